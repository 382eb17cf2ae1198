"""A soft sensor trained anew knows its record and what was offered, and nothing else."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from agent.errors import FieldwardenError
from agent.records.table import read_table
from simulators.cli import cli
from simulators.faults import parse_faults
from simulators.history import HistoryOrder, make_history, write_history, write_labels
from simulators.model import SoftSensor
from simulators.retrain import Material, retrain
from simulators.tags import LAB_YIELD, MODEL_INPUTS, PREDICTED

SHIFT = {
    "kind": "process", "disturbance": "steam header", "start": 0, "duration": 86400, "size": -5
}  # fmt: skip


@pytest.fixture(scope="module")
def offered():
    """40 s after the steam header changed, stamped like a gateway stamps: off the grid of rows."""
    order = HistoryOrder(400, faults=parse_faults([SHIFT]), skip=8_000)
    made = make_history(order)
    return replace(made, times=made.times + 86_400_000_000_000 + 343)


@pytest.fixture(scope="module")
def material(tmp_path_factory, offered):
    folder = tmp_path_factory.mktemp("material")
    record = make_history(HistoryOrder(8_000))
    write_history(record.without(LAB_YIELD), folder / "record.parquet")
    write_labels(record, folder / "lab.csv")
    return Material(folder / "record.parquet", folder / "lab.csv", bundle_of(folder, offered))


def bundle_of(folder, made, leave_out=()):
    """A zip file with the samples in long format, as the agent packs it."""
    rows = [
        (int(time_ns), name, float(value))
        for name in (*MODEL_INPUTS, LAB_YIELD)
        if name not in leave_out
        for time_ns, value in zip(made.times, made.columns[name], strict=True)
        if value == value  # noqa: PLR0124 - not NaN
    ]
    times, tags, values = zip(*sorted(rows), strict=True)
    table = pa.table(
        {"time": pa.array(times, pa.timestamp("ns", "UTC")), "tag": tags, "value": values}
    )
    parquet.write_table(table, folder / "samples.parquet")
    with zipfile.ZipFile(folder / "bundle.zip", "w") as archive:
        archive.write(folder / "samples.parquet", "samples.parquet")
    return folder / "bundle.zip"


def test_it_is_trained_on_the_end_of_the_record_and_all_that_is_offered(material, offered):
    """Rows of both, in order, on even steps; each label at its row; the new predictions."""
    made = retrain(material, rows=3_000)
    count = len(made.times)
    assert abs(count - 3_400) <= 2 and (np.diff(made.times) > 0).all()
    assert set(made.columns) == {*MODEL_INPUTS, PREDICTED, LAB_YIELD}
    record = read_table(material.record, ["feed.flow"]).values[-3_000:, 0]
    assert np.array_equal(made.columns["feed.flow"][:3_000], record)
    steam = made.columns["steam.pressure"]
    assert abs(steam[:3_000].mean() - 4.0) < 0.1 and abs(steam[3_100:].mean() - 3.5) < 0.1
    labels = made.columns[LAB_YIELD]
    assert np.isfinite(labels).sum() == 60 + 8
    late = labels[3_000:][np.isfinite(labels[3_000:])]
    assert late.tolist() == offered.columns[LAB_YIELD][::50].tolist()
    assert np.isfinite(made.columns[PREDICTED]).all()


def test_command_writes_what_fit_takes_and_a_soft_sensor(material, tmp_path):
    """`python -m simulators retrain` says what it trained on; both files are read back."""
    data, sensor = tmp_path / "training.parquet", tmp_path / "s.json"
    arguments = ["retrain", "--record", material.record, "--labels", material.labels]
    arguments += ["--bundle", material.bundle, "--data", data, "--soft-sensor", sensor]
    result = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0 and "trained on 6,4" in result.output
    table = read_table(data, [*MODEL_INPUTS, PREDICTED])
    assert np.isfinite(table.values).all()
    assert SoftSensor.load(sensor).inputs == MODEL_INPUTS


def test_a_bundle_without_samples_or_without_an_input_is_refused(material, offered, tmp_path):
    """What can not be trained on is an error that says what to do, and nothing is written."""
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("README.txt", "declared")
    with pytest.raises(FieldwardenError, match="fieldwarden retraining bundle"):
        retrain(replace(material, bundle=tmp_path / "empty.zip"))
    lacking = bundle_of(tmp_path, offered, leave_out=["feed.flow"])
    with pytest.raises(FieldwardenError, match=r"feed\.flow"):
        retrain(replace(material, bundle=lacking))
