"""From a server with 5,000 nodes to a configuration and a contract in which nothing differs."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.load import load
from simulators.children import end_with_parent
from simulators.ports import free_port
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
COUNT = 5_000
NUMBERS = COUNT + 2  # and one text, one truth value
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    """Its address; it is a process of its own."""
    port = free_port()
    program = Path(__file__).with_name("opcua_plant.py")
    command = [sys.executable, str(program), str(port), str(COUNT)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)},
        preexec_fn=end_with_parent,  # noqa: PLW1509 - only libc between fork and exec
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield f"opc.tcp://127.0.0.1:{port}/plant"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def run(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


CONFIG = """\
# What the integrator wrote.
schema = 1

# Who we are.
[gateway]
site = "north"   # the plant
name = "gw"

[sources.plant]
protocol = "opcua"
endpoint = "{url}"

[tags."Plant.Line0.T0000"]   # its own table
source = "plant"
address = "nsu=urn:plant:line;s=L0.T0"
unit = "degC"   # by the data sheet
[models.m]
version = "1"
owner = {{ team = "t", contact = "c" }}
baseline = "m.json"
scan = "1s"
inputs = ["Plant.Line0.T0000"]
"""


def test_thousands_of_tags_go_by_a_spreadsheet_into_configuration_and_contract(url, tmp_path):
    """Browse, edit, see the difference, apply; then nothing differs, and comments are there."""
    config, tags = tmp_path / "config.toml", tmp_path / "tags.csv"
    config.write_text(CONFIG.format(url=url), encoding="utf-8")
    assert run("contract", "snapshot", config)[0] == 0
    code, told = run("init", "--opcua", url, "--out", tags)
    assert code == 0 and f"{NUMBERS} tags" in told and "[sources.plant]" in told
    assert "of several values (1)" in told and "of type ByteString (1)" in told
    rows = rows_of(tags)
    assert len(rows) == NUMBERS == len({row["name"] for row in rows})
    first = next(row for row in rows if row["name"] == "Plant.Line0.T0000")
    assert first["unit"] == "degC" and first["data_type"] == "Double"
    assert (first["physical_low"], first["physical_high"]) == ("-40", "250")
    assert first["description"] == " =a thermowell, upper"  # no formula for a spreadsheet
    code, told = run("contract", "apply", config, tags, "--dry-run")
    assert code == 0 and f"{NUMBERS} additive" in told and "... and" in told, told[-400:]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.contract.json", "config.toml", "tags.csv"
    ]  # fmt: skip
    assert run("contract", "apply", config, tags)[0] == 0
    made = load(config)
    assert len(made.tags) == NUMBERS
    assert made.tags["Plant.Line0.T0000"].physical == (-40.0, 250.0)
    assert made.tags["Plant.Line0.T0000"].description == "=a thermowell, upper"
    text = config.read_text("utf-8")
    for comment in ("# What the integrator wrote.", "# Who we are.", "# the plant",
                    "# its own table", "# by the data sheet"):  # fmt: skip
        assert comment in text
    code, told = run("contract", "diff", config)
    assert code == 0 and "nothing differs" in told, told[-400:]

    edited = [dict(row) for row in rows_of(tags) if row["name"] != "Plant.Line5.T0005"]
    for row in edited:
        row["unit"] = "K" if row["name"] == "Plant.Line0.T0000" else row["unit"]
        row["interval"] = "2s" if row["name"] == "Plant.Line1.T0001" else ""
    write_rows(tags, edited)
    code, told = run("contract", "apply", config, tags, "--dry-run", "--offline")
    assert code == 1 and "breaking Plant.Line0.T0000: unit was degC, is K (models m)" in told
    assert "additive Plant.Line1.T0001: interval" in told
    assert "1 tags that the list lacks stay" in told
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, told = run("contract", "apply", config, tags, "--offline")
    assert code == 1 and "--replace" in told
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
    words = ("--replace", "--remove", "--offline")
    assert run("contract", "apply", config, tags, *words)[0] == 0
    assert 'unit = "K"   # by the data sheet' in config.read_text("utf-8")
    assert "Plant.Line5.T0005" not in load(config).tags
    code, told = run("contract", "diff", config)
    assert code == 0 and "nothing differs" in told, told[-400:]


def test_training_columns_are_found_at_the_server(url, tmp_path):
    """What is sure is an address, what is not is EDIT, and `check` passes once that is edited."""
    data, config = tmp_path / "train.csv", tmp_path / "config.toml"
    head = "time,Plant.Line0.T0000,line1_t0001 [degC],T0002,Line3.T0003 value,vibration,L4.T4"
    rows = [f"2026-03-01T00:00:{at:02d}Z,{','.join(str(20 + at + i) for i in range(6))}"
            for at in range(60)]  # fmt: skip
    data.write_text("\n".join([head, *rows]), encoding="utf-8")
    code, told = run("init", "--opcua", url, "--from-csv", data, "--model", "m", "--out", config)
    assert code == 0 and "of 6 columns were found: 3 by name, 1 by name but for" in told, told
    code, told = run("check", config, "--offline")
    assert code == 1 and told.count("still to be edited") == 2
    text = config.read_text("utf-8")
    assert 'description = "EDIT: is it Plant.Line3.T0003?"' in text
    text = text.replace("EDIT: is it Plant.Line3.T0003?", "seen on the drawing")
    text = text.replace("EDIT: nothing has such a name", "nsu=urn:plant:line;s=L8.T8")
    config.write_text(text, encoding="utf-8")
    code, told = run("check", config)
    assert code == 0, told
    made = load(config)
    assert made.tags["line1_t0001 [degC]"].address == "nsu=urn:plant:line;s=L1.T1"
    assert made.tags["L4.T4"].address == "nsu=urn:plant:line;s=L4.T4"
    assert run("contract", "snapshot", config)[0] == 0
    code, told = run("contract", "diff", config)
    assert code == 0 and "nothing differs" in told


@pytest.mark.parametrize(
    ("words", "count", "note"),
    [
        (("--under", "Plant/Line3"), COUNT // 10, ""),
        (("--under", "Plant/Line3", "--under", "Plant/Line4"), COUNT // 5, ""),
        (("--most", "100"), 100, "stopped at 100 variables"),
    ],
)  # fmt: skip
def test_a_part_of_a_server_can_be_browsed(url, tmp_path, words, count, note):
    """Below some nodes, or up to a number; that it stopped is said."""
    code, told = run("init", "--opcua", url, "--out", tmp_path / "tags.csv", *words)
    assert code == 0 and note in told
    assert len(rows_of(tmp_path / "tags.csv")) == count


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--under", "Plant/Lin"), "there is no 'Lin' in it"),
        (("--under", "nsu=urn:other;s=A"), "no such namespace"),
        (("--set", "securty=None"), "did you mean"),
        (("--set", "security"), "no KEY=VALUE"),
        (("--set", "security=Basic256Sha256"), "needs certificate"),
        (("--mqtt", "x"), "several sources"),
    ],
)  # fmt: skip
def test_what_can_not_be_browsed_is_an_error_with_a_hint(url, tmp_path, words, cause):
    """And nothing is written."""
    code, told = run("init", "--opcua", url, "--out", tmp_path / "tags.csv", *words)
    assert code == 1 and cause in told and "hint:" in told, told
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_told(tmp_path):
    """With what to look at."""
    nobody = f"opc.tcp://127.0.0.1:{free_port()}"
    code, told = run("init", "--opcua", nobody, "--out", tmp_path / "x.csv", "--timeout", "2")
    assert code == 1 and "Connection refused" in told and "hint:" in told
