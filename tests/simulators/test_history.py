"""Histories read back as written, repeat by seed, and carry faults, labels and predictions."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from simulators.cli import cli
from simulators.faults import parse_faults
from simulators.history import START_NS, HistoryOrder, make_history, write_history
from simulators.model import SoftSensor
from simulators.tags import NAMES


@pytest.fixture(scope="module")
def record():
    return make_history(HistoryOrder(3000))


def test_csv_reads_back(record, tmp_path):
    """The CSV has a time column, one column a tag, empty cells for what is missing."""
    path = tmp_path / "x.csv"
    write_history(record, path)
    with path.open(encoding="utf-8") as lines:
        header, *rows = list(csv.reader(lines))
    assert header == ["time", *NAMES, "yield.predicted", "lab.yield"] and len(rows) == 3000
    assert rows[1][0] == "2026-01-01T00:00:00.100Z"
    read = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    for index, column in enumerate(record.columns.values()):
        assert np.allclose(read[:, index], column, rtol=1e-9, equal_nan=True)
    assert np.isfinite(read[:, -1]).sum() == 60


def test_parquet_reads_back(record, tmp_path):
    """Parquet has the same columns, times and missing values."""
    path = tmp_path / "x.parquet"
    write_history(record, path)
    table = parquet.read_table(path)
    assert table.column_names == ["time", *record.columns]
    assert table["time"].cast("int64").to_pylist()[:2] == [START_NS, START_NS + 100_000_000]
    assert table["lab.yield"].null_count == 3000 - 60


def test_seed_repeats_a_history_exactly(record):
    """The same order gives the same columns."""
    again = make_history(HistoryOrder(3000))
    for name, column in record.columns.items():
        assert np.array_equal(column, again.columns[name], equal_nan=True), name


def test_skip_gives_a_later_part_of_the_same_run(record):
    """Skipping 1000 rows gives what follows them."""
    later = make_history(HistoryOrder(500, skip=1000), record.soft_sensor)
    for name in NAMES:
        assert np.array_equal(later.columns[name], record.columns[name][1000:1500]), name


def test_soft_sensor_explains_the_laboratory(record, tmp_path):
    """On rows it has not seen, the sensor explains over 40 % of the yield's variance."""
    sensor = make_history(HistoryOrder(40_000)).soft_sensor
    fresh = make_history(HistoryOrder(40_000, skip=40_000), sensor)
    lab, predicted = fresh.columns["lab.yield"], fresh.columns["yield.predicted"]
    known = np.isfinite(lab)
    assert np.corrcoef(lab[known], predicted[known])[0, 1] ** 2 > 0.4
    sensor.save(tmp_path / "s.json")
    assert SoftSensor.load(tmp_path / "s.json") == sensor


def test_soft_sensor_predicts_alike_in_bulk_and_live(record):
    """One snapshot at a time gives the same prediction; a missing input gives none."""
    rows = np.column_stack([record.columns[name] for name in NAMES])
    bulk = record.soft_sensor.predict(rows[:50])
    for row, expected in zip(rows[:50], bulk, strict=True):
        values = dict(zip(NAMES, row.tolist(), strict=True))
        assert record.soft_sensor.predict_one(values) == pytest.approx(expected, abs=2e-3)
        del values["feed.flow"]
        assert record.soft_sensor.predict_one(values) is None


def test_faults_reach_the_history_and_its_predictions():
    """A lost source leaves its columns empty, and the prediction that needs them too."""
    lost = {"kind": "source_lost", "source": "utilities", "start": 5, "duration": 5}
    record = make_history(HistoryOrder(200, faults=parse_faults([lost])))
    gone = np.isnan(record.columns["feed.flow"])
    assert np.flatnonzero(gone).tolist() == list(range(50, 100))
    assert np.array_equal(np.isnan(record.columns["yield.predicted"]), gone)
    assert np.isfinite(record.columns["reactor.temperature"]).all()


def test_process_and_output_faults_reach_the_history_on_their_rows():
    """What the plant does starts on its row; what the output does is on its own rows alone."""
    tables = [
        {"kind": "process", "disturbance": "steam header", "start": 20, "duration": 20, "size": -8},
        {"kind": "bias", "tag": "yield.predicted", "start": 5, "duration": 5, "size": 1.0},
    ]
    plain = make_history(HistoryOrder(500))
    record = make_history(HistoryOrder(500, faults=parse_faults(tables)), plain.soft_sensor)
    steam, was = record.columns["steam.pressure"], plain.columns["steam.pressure"]
    assert np.flatnonzero(steam != was)[0] in range(200, 203)
    assert np.mean((steam - was)[300:400]) == pytest.approx(-0.8, abs=0.01)
    assert record.columns["feed.temperature"][399] < plain.columns["feed.temperature"][399] - 4
    off = record.columns["yield.predicted"] - plain.columns["yield.predicted"]
    assert np.flatnonzero(np.abs(off[:200]) > 0).tolist() == list(range(50, 100))


def test_command_writes_history_truth_and_soft_sensor(tmp_path):
    """`python -m simulators history` writes all three files."""
    script = tmp_path / "f.toml"
    script.write_text(
        '[[fault]]\nkind = "stuck"\ntag = "feed.flow"\nstart = 10\nduration = 5\n', encoding="utf-8"
    )
    arguments = ["history", "--rows", "400", "--out", str(tmp_path / "x.csv")]
    arguments += ["--faults", str(script), "--truth", str(tmp_path / "truth.jsonl")]
    arguments += ["--soft-sensor", str(tmp_path / "s.json")]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "400 rows" in result.output
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in truth] == ["start", "end"]
    assert truth[0]["at_ns"] == START_NS + 10_000_000_000
    assert SoftSensor.load(tmp_path / "s.json").inputs
