"""`make test-versions`: each claimed Python that is there is tested, the others are said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ".ci/versions"
CLASSIFIER = "Programming Language :: Python :: "
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CLAIMED = [
    line.removeprefix(CLASSIFIER)
    for line in PROJECT["project"]["classifiers"]
    if line.startswith(CLASSIFIER)
]
# A Python that makes environments of itself; its tests end as the file `code` beside it says.
FAKE = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
case "$*" in
*ensurepip*) echo "$0" ;;
"-m venv "*) mkdir -p "$3/bin" && ln -s "$(readlink -f "$0")" "$3/bin/python" ;;
*"-m pip "*) exit 0 ;;
*"-m pytest "*) echo "tested: $*"; exit "$(cat "$here/code")" ;;
*) exit 9 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """The script and pyproject.toml in a folder of their own, with no Python on PATH."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / SCRIPT, tmp_path / SCRIPT)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for tool in ("bash", "sh", "sed", "dirname", "touch", "mkdir", "ln", "readlink", "cat", "env",
                 "timeout"):  # fmt: skip
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def add_python(checkout, version, code):
    """Put a Python on PATH whose tests end with an exit code."""
    folder = checkout / version
    folder.mkdir()
    (folder / "code").write_text(str(code), encoding="utf-8")
    (folder / "python").write_text(FAKE, encoding="utf-8")
    (folder / "python").chmod(0o755)
    (checkout / "bin" / f"python{version}").symlink_to(folder / "python")


def run(checkout, *arguments):
    return subprocess.run(
        [checkout / SCRIPT, *arguments],
        env={**os.environ, "PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_interpreter_is_said_and_fails_nothing(checkout):
    """CI passes on a machine that has the one version that was just tested."""
    done = run(checkout, "--except", CLAIMED[0])
    assert done.returncode == 0, done.stderr
    assert f"Python {' '.join(CLAIMED[1:])}: not tested, no interpreter here" in done.stdout
    assert f"Python {CLAIMED[0]}: left out, tested already" in done.stdout


def test_every_interpreter_that_is_there_is_tested(checkout):
    """Each in an environment of its own; the one that is excepted is not."""
    for version in CLAIMED:
        add_python(checkout, version, 0)
    done = run(checkout, "--except", CLAIMED[0])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("tested: ") == len(CLAIMED) - 1
    assert f"Python {' '.join(CLAIMED[1:])}: passed" in done.stdout
    made = {path.name for path in checkout.glob(".venv-*")}
    assert made == {f".venv-{version}" for version in CLAIMED[1:]}


def test_a_version_that_fails_fails_the_run_and_stops_no_other(checkout):
    """The exit code says so, the version is named, the next one is tested all the same."""
    add_python(checkout, CLAIMED[0], 1)
    add_python(checkout, CLAIMED[1], 0)
    done = run(checkout)
    assert done.returncode == 1
    assert f"Python {CLAIMED[0]}: failed" in done.stderr
    assert f"Python {CLAIMED[1]}: passed" in done.stdout


def test_what_is_claimed_is_3_11_to_3_13_everywhere():
    """Classifiers, the oldest version that is accepted, and what ruff and mypy check for."""
    assert CLAIMED == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={CLAIMED[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == CLAIMED[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{CLAIMED[0].replace('.', '')}"


def test_the_quick_part_exists_and_ci_runs_it():
    """The folders of tests are there, and `.ci/run` calls it for the other versions."""
    text = (ROOT / SCRIPT).read_text(encoding="utf-8")
    folders = re.search(r"^TESTS=\((.+)\)$", text, re.MULTILINE)[1].split()
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert 'make test-versions EXCEPT="' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\n.venv-*/\n" in (ROOT / ".gitignore").read_text(encoding="utf-8")
