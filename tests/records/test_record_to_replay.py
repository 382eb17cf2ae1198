"""One record through `init`, `fit` and `replay`, as a person types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.load import load
from agent.core.baseline_file import read_baseline

ROWS = 900
BLOCK = 150


def _wander(rows, seed):
    noise = np.random.default_rng(seed).standard_normal((rows, 2))
    values = np.zeros((rows, 2))
    for row in range(1, rows):
        values[row] = 0.8 * values[row - 1] + noise[row]
    return values


def _run(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model with a mode of texts, fitted; words among numbers, and a column nobody uses."""
    place = tmp_path_factory.mktemp("record")
    values = _wander(ROWS, 1)
    rows = []
    for row, (a, b) in enumerate(values):
        valve = "Open" if row // BLOCK % 2 else "Closed"
        level = 50.0 if valve == "Open" else 0.0
        valve = "" if row % 50 == 7 else valve  # the last one holds
        flow = "Bad Input" if row % 100 == 3 else f"{b:.4f}"
        time = f"2026-03-01T{row // 3600:02}:{row // 60 % 60:02}:{row % 60:02}Z"
        rows.append(f"{time},{a + level:.4f},{flow},{valve},anna\n")
    (place / "train.csv").write_text("time,temp,flow,valve,operator\n" + "".join(rows))
    untrained = [row.replace("Open", "Ajar") for row in rows]
    (place / "week.csv").write_text("time,temp,flow,valve,operator\n" + "".join(untrained))
    said = _run("init", "--from-csv", place / "train.csv", "--model", "m", "--out",
                place / "config.toml")  # fmt: skip
    assert 'flow: 9 cells "Bad Input" taken as missing' in said.output
    text = (place / "config.toml").read_text()
    text = text.replace('[models."m"]', (
        '[tags.valve]\nsource = "plant"\naddress = "plant/telemetry /valve"\ndata_type = "text"\n'
        '[models."m"]\nmode = { tag = "valve", names = { Open = "running" } }'
    ))  # fmt: skip
    (place / "config.toml").write_text(text)
    _run("fit", place / "config.toml", "--data", place / "train.csv")
    return place


def _events(place, data):
    out = place / "events.jsonl"
    _run("replay", place / "config.toml", "--data", data, "--events", out)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_a_tag_of_texts_is_fitted_as_the_mode(place):
    """Each text has a baseline under its name, or what people call it."""
    baseline = read_baseline(place / "baselines" / "m.json")
    assert sorted(mode.name for mode in baseline.modes) == ["Closed", "running"]


def test_replay_follows_the_texts_and_reads_no_column_that_is_no_tag(place):
    """The operator's name is not looked at; each change of the valve is a mode, none is alarmed."""
    events = _events(place, place / "train.csv")
    modes = [event["mode"] for event in events if event["kind"] == "mode"]
    assert modes == ["Closed", "running"] * (ROWS // BLOCK // 2)
    assert not [event for event in events if event["kind"] == "condition"]


def test_a_text_that_was_never_trained_is_said_by_its_name(place):
    """Not by its code."""
    verdicts = [e for e in _events(place, place / "week.csv") if e["kind"] == "verdict"]
    reasons = [reason["text"] for verdict in verdicts for reason in verdict["reasons"]]
    assert "not judged: operating mode Ajar, which was never trained" in reasons


def test_an_input_of_texts_is_refused(place):
    """It has no range and no trend; the error says what it can be."""
    text = (place / "config.toml").read_text().replace('    "flow",\n', '    "valve",\n')
    (place / "wrong.toml").write_text(text)
    done = CliRunner().invoke(
        cli, ["fit", str(place / "wrong.toml"), "--data", str(place / "train.csv")]
    )
    assert done.exit_code == 1 and "input valve: its tag holds texts" in done.output


def test_what_was_said_of_the_record_is_known_to_drill(tmp_path):
    """`init` prints the options again for `fit`, and the baseline keeps them."""
    values = _wander(400, 2)
    rows = [f"0{1 + row // 200}/03/2026 10:{row // 60 % 60:02}:{row % 60:02},{a:.4f},{b:.4f}\n"
            for row, (a, b) in enumerate(values)]  # fmt: skip
    data = tmp_path / "x.csv"
    data.write_text("time,a,b\n" + "".join(rows))
    done = CliRunner().invoke(cli, ["init", "--from-csv", str(data), "--model", "m"])
    assert done.exit_code == 1 and "--day-first or --month-first" in done.output
    options = ["--day-first", "--timezone", "Europe/Berlin"]
    config = tmp_path / "c.toml"
    said = _run("init", "--from-csv", data, "--model", "m", "--out", config, *options)
    assert f"--data {data} --timezone Europe/Berlin --day-first" in said.output
    _run("fit", config, "--data", data, *options)
    facts = read_baseline(tmp_path / "baselines" / "m.json").facts
    assert facts["reading"] == {"timezone": "Europe/Berlin", "day_first": True}
    drilled = _run("drill", config, "--repeats", "1", "--json")
    assert json.loads(drilled.stdout)


def test_replay_says_that_the_record_is_not_as_the_one_trained_on(place, tmp_path):
    """Rows ten times as far apart: a note with both intervals; none where they are the same."""
    lines = (place / "train.csv").read_text().splitlines(keepends=True)
    (tmp_path / "thin.csv").write_text("".join([lines[0], *lines[1::10]]))
    same, other = (
        _run("replay", place / "config.toml", "--data", data, "--events", tmp_path / "e.jsonl")
        for data in (place / "train.csv", tmp_path / "thin.csv")
    )
    assert "was trained on one every" not in same.output
    assert "a row every 10 s, but model m was trained on one every 1 s" in other.output


def test_init_and_fit_take_quality_and_sentinels_the_same(tmp_path):
    """Neither a bad sample nor -9999 is in the trained range; what was understood is printed."""
    rows = []
    for row, (a, b) in enumerate(_wander(ROWS, 2)):
        bad = row % 90 == 5
        temp = "-9999" if row % 100 == 7 else f"{a + 50:.4f}"
        flow = "4711" if bad else f"{b:.4f}"
        rows.append(f"01.03.2026 {row // 3600:02}:{row // 60 % 60:02}:{row % 60:02};"
                    f"{temp};{flow};{'Bad' if bad else 'Good'}\n".replace(".", ",")
                    .replace("01,03,2026", "01.03.2026"))  # fmt: skip
    data, config = tmp_path / "x.csv", tmp_path / "config.toml"
    heading = "Zeit;TI101 [°C];FI103 (m³/h);FI103 Status\n"
    data.write_text(heading + "".join(rows), encoding="cp1252")
    said = _run("init", "--from-csv", data, "--model", "m", "--out", config)
    parts = ["9 cells hold -9999", "FI103 Status: Bad", "TI101 [°C]", "degC", "m3/h", "2 inputs"]
    for part in parts:
        assert part in said.output
    fitted = _run("fit", config, "--data", data)
    assert "9 cells hold -9999" in fitted.output
    assert "physical = " in config.read_text() and load(config).tags["TI101 [°C]"].physical
    inputs = read_baseline(tmp_path / "baselines" / "m.json").modes[0].inputs
    assert [(item.tag, item.unit) for item in inputs] == [
        ("TI101 [°C]", "degC"), ("FI103 (m³/h)", "m3/h")
    ]  # fmt: skip
    assert 30 < inputs[0].trained[0] < inputs[0].trained[1] < 70
    assert inputs[1].trained[1] < 50
