"""Whatever a configuration names is read within bounds, or refused with cause and hint."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from agent.configuration.credentials import password, tls_context
from agent.configuration.load import load
from agent.configuration.schema import Login, Tls
from agent.core.baseline_file import read_baseline
from agent.errors import FieldwardenError
from agent.files import read_bounded, write_texts

KINDS = ("folder", "pipe", "endless", "huge", "socket", "missing", "loop", "name with a NUL")
CONFIG = """
schema = 1
tag_lists = ["{path}"]
[gateway]
site = "s"
name = "g"
"""


def named(kind: str, folder: Path) -> Path:
    """A path of that kind."""
    path = folder / "it"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        return Path("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 34)  # a hole: no byte of it is on the disk
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "name with a NUL":
        return folder / "a\0b"
    return path


def tag_list(path: Path) -> object:
    file = Path(os.environ["PYTEST_FOLDER"]) / "config.toml"
    file.write_text(CONFIG.format(path=str(path).replace("\0", "\\u0000")), encoding="utf-8")
    return load(file)


READERS = {
    "bytes": lambda path: read_bounded(path, 1000, "reading"),
    "configuration": load,
    "tag list": tag_list,
    "baseline": read_baseline,
    "password": lambda path: password(Login.model_construct(
        password_file=str(path), password_env="", password_credential="")),
    "authority": lambda path: tls_context(Tls.model_construct(
        tls=True, ca=str(path), certificate="", private_key="")),
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hangs_and_nothing_raises_anything_else(tmp_path, monkeypatch, kind, reader):
    """Devices, pipes, folders, holes of 16 GB: refused within a second, with the path."""
    monkeypatch.setenv("PYTEST_FOLDER", str(tmp_path))
    path = named(kind, tmp_path)
    began = time.monotonic()
    with pytest.raises(FieldwardenError):
        READERS[reader](path)
    assert time.monotonic() - began < 3.0


TEXTS = {
    "a list nested": "x = " + "[" * 50_000,
    "a list nested and closed": "x = " + "[" * 900 + "]" * 900,
    "tables nested": "x = " + "{a=" * 400 + "1" + "}" * 400,
    "a key of many parts": ".".join("a" * 5_000) + " = 1",
    "a table of many parts": "[" + ".".join("a" * 5_000) + "]",
    "a long number": "schema = " + "9" * 10_000,
    "a long number within": "[gateway]\njournal_limit_mb = 0x" + "f" * 10_000,
    "a number beyond all": "[gateway]\njournal_limit_mb = 1e999",
    "not a number": "[gateway]\njournal_limit_mb = nan",
    "a NUL": "schema = 1\0",
    "not UTF-8": b"\xff\xfes\0c\0",
    "a date that is none": "schema = 2026-99-99",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_configuration_that_no_parser_likes_is_refused(tmp_path, kind):
    """An error of the configuration, never one of Python."""
    text = TEXTS[kind]
    file = tmp_path / "config.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.monotonic()
    with pytest.raises(FieldwardenError) as caught:
        load(file)
    assert str(caught.value)
    assert time.monotonic() - began < 3.0


LISTS = {
    "a cell without end": b'name,source,address\na,b,"' + b"x" * 300_000,
    "a NUL": b"name,source,address\na\0,b,c\n",
    "noise": bytes(range(256)) * 100,
    "one line": b"," * 500_000,
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_tag_list_that_is_none_is_a_fault_of_the_configuration(tmp_path, kind):
    """Noise, endless cells and NULs in a tag list are faults, with the list's name."""
    (tmp_path / "tags.csv").write_bytes(LISTS[kind])
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(path="tags.csv"), encoding="utf-8")
    with pytest.raises(FieldwardenError):
        load(file)


def test_several_files_are_written_all_or_none(tmp_path):
    """Where one can not be, those before it are as they were, and no draft stays."""
    first, second = tmp_path / "a", tmp_path / "b"
    write_texts({first: "1", second: "2"})
    assert (first.read_text("utf-8"), second.read_text("utf-8")) == ("1", "2")
    second.unlink()
    (second / "in").mkdir(parents=True)  # no file can take the place of a folder
    fresh = tmp_path / "0"
    with pytest.raises(FieldwardenError, match="writing"):
        write_texts({fresh: "new", first: "changed", second: "x"})
    assert first.read_text("utf-8") == "1" and not fresh.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
