"""Placeholders: what `init` left is a warning each, and fails `check --strict`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.load import load
from agent.configuration.placeholders import left
from agent.configuration.schema import Configuration
from agent.records.init import draft
from agent.records.table import Table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What `init` writes for two columns."""
    times = np.arange(50, dtype=np.int64) * 10**9
    values = np.asfortranarray(np.random.default_rng(0).normal(20.0, 1.0, (50, 2)))
    path = tmp_path / "config.toml"
    text = draft(Table(times, ("flow", "level"), values, 10**9), "yield").text
    path.write_text(text, encoding="utf-8")
    return path


def found(configuration: Configuration) -> list[tuple[str, str]]:
    return [(subject, text) for subject, text, _ in left(configuration)]


def test_everything_that_init_could_not_know_is_named(written):
    """Site and name, the source, who must act, and how to reach them; each with what to do."""
    said = list(left(load(written)))
    assert [subject for subject, _, _ in said] == [
        "gateway", "source plant", "model yield", "model yield"
    ]  # fmt: skip
    texts = " ".join(text for _, text, _ in said)
    for word in ("gateway-1", "addresses of 2 tags", "to be named", "to-be-named@plant.example"):
        assert word in texts
    assert all(hint for _, _, hint in said)


def test_strict_fails_on_them_and_passes_without(written):
    """The exit code and the lines of the command itself."""
    def run(*options: str) -> tuple[int, set[str]]:
        done = CliRunner().invoke(cli, ["check", str(written), "--offline", "--json", *options])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return done.exit_code, {line["text"] for line in lines if line["level"] == "warning"}

    code, warned = run("--strict")
    assert code == 1
    assert {text for _, text in found(load(written))} <= warned
    assert run()[0] == 0
    mended = written.read_text(encoding="utf-8")
    for old, new in (("gateway-1", "gw-07"), ("to be named", "utilities"),
                     ("to-be-named@plant.example", "utilities@acme.de"),
                     ("127.0.0.1", "broker.acme.de")):
        mended = mended.replace(old, new)
    written.write_text(mended, encoding="utf-8")
    assert found(load(written)) == []


@pytest.mark.parametrize(
    ("was", "now", "subject"),
    [
        ("127.0.0.1", "plc.example", "source plant"),
        ("127.0.0.1", "Broker.Example.COM.", "source plant"),
        ("to-be-named@plant.example", "ann@example.org", "model yield"),
    ],
)
def test_names_that_belong_to_nobody_are_examples(written, was, now, subject):
    """RFC 2606, however they are spelt."""
    text = written.read_text(encoding="utf-8").replace(was, now)
    written.write_text(text, encoding="utf-8")
    assert any(at == subject and now in what for at, what in found(load(written)))


@pytest.mark.parametrize("contact", ["ann@example-plant.com", "ann@myexample.com", "4711"])
def test_what_only_looks_like_an_example_is_none(written, contact):
    """A real domain with the word in it, and a telephone."""
    text = written.read_text(encoding="utf-8").replace("to-be-named@plant.example", contact)
    written.write_text(text, encoding="utf-8")
    assert not any(contact in what for _, what in found(load(written)))


SAMPLES = [
    path for path in sorted((ROOT / "configs").glob("*.toml")) if "[gateway]" in path.read_text()
]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_samples_say_whose_addresses_are_made_up(path):
    """Whoever copies one is told of each example address in it."""
    text = path.read_text(encoding="utf-8")
    made_up = set(re.findall(r"""contact = "([^"]*\.example)""", text))
    told = " ".join(what for _, what in found(load(path)))
    assert all(address in told for address in made_up)
