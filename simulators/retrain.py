"""The soft sensor trained anew, as the owner of a model does it: on its record and what is offered.

The agent trains no model. It offers clean samples since a shift that a person declared the new
normal (`fieldwarden retraining bundle`); here they are put after the end of the record that the
model was trained on, so that it knows both.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from agent.errors import FieldwardenError
from agent.records.table import Table, read_table
from simulators.history import Float64, History, write_history
from simulators.model import SoftSensor
from simulators.tags import COLUMN, LAB_YIELD, MODEL_INPUTS, NAMES, PREDICTED

ROWS = 6_000
"""Of the record, its last ones: the shift is to be no rarity in what the model learns."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the model was trained on, and what is offered.

    Attributes:
        record: of its inputs.
        labels: of the laboratory over that record.
        bundle: zip file of a declared request.
    """

    record: Path
    labels: Path
    bundle: Path


def retrain(material: Material, rows: int = ROWS) -> History:
    """Rows to train on, with what the soft sensor that is fitted on them says, and that one.

    Raises:
        FieldwardenError: a file is not what it should be, or the bundle offers no samples.
    """
    old, lab = _old(material, rows)
    new, fresh = _offered(material.bundle)
    before = old.interval_ns * np.arange(-len(old.time_ns), 0)
    times = np.concatenate([new.time_ns[0] + before, new.time_ns])
    measured = np.full((len(times), len(NAMES)), np.nan)
    for name in MODEL_INPUTS:
        measured[:, COLUMN[name]] = np.concatenate([old.column(name), new.column(name)])
    labels = np.concatenate([lab, fresh])
    sensor = SoftSensor.fit(measured, labels)
    columns = {name: measured[:, COLUMN[name]] for name in MODEL_INPUTS}
    columns |= {PREDICTED: sensor.predict(measured), LAB_YIELD: labels}
    return History(times, columns, sensor)


def write_retrained(made: History, data: Path, soft_sensor: Path) -> None:
    """Write the training data, for `fieldwarden fit`, and the soft sensor.

    Raises:
        FieldwardenError: a file can not be written.
    """
    write_history(made, data)
    made.soft_sensor.save(soft_sensor)


def _old(material: Material, rows: int) -> tuple[Table, Float64]:
    """The last rows of the record, and the label of each; NaN where there is none."""
    table = read_table(material.record, MODEL_INPUTS)
    kept = slice(max(0, len(table.time_ns) - rows), None)
    lab = read_table(material.labels, [LAB_YIELD])
    last = Table(table.time_ns[kept], table.names, table.values[kept], table.interval_ns)
    return last, _on_rows(last, lab)


def _offered(bundle: Path) -> tuple[Table, Float64]:
    """The rows of a bundle that have every input, and the label of each."""
    try:
        with TemporaryDirectory() as folder, zipfile.ZipFile(bundle) as archive:
            samples = Path(archive.extract("samples.parquet", folder))
            table = read_table(samples, MODEL_INPUTS)
            lab = read_table(samples, [LAB_YIELD], lenient=True, as_told=True)
    except KeyError as error:  # zipfile's word for a name that is not in it
        hint = "its left_out.json says why; later: fieldwarden retraining bundle CONFIG ID"
        raise FieldwardenError(
            "reading bundle", str(bundle), "it has no clean samples", hint
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        hint = "make one: fieldwarden retraining bundle CONFIG ID --out FILE.zip"
        raise FieldwardenError("reading bundle", str(bundle), str(error), hint) from error
    whole = np.flatnonzero(np.isfinite(table.values).all(axis=1))
    if not len(whole):
        raise FieldwardenError("reading bundle", str(bundle), "no row of it has every input")
    kept = Table(table.time_ns[whole], table.names, table.values[whole], table.interval_ns)
    return kept, _on_rows(kept, lab)


def _on_rows(table: Table, lab: Table) -> Float64:
    """Each label at the row that it is of, or at the last one before it; NaN elsewhere."""
    labels = np.full(len(table.time_ns), np.nan)
    if LAB_YIELD not in lab.names:
        return labels
    known = np.isfinite(lab.column(LAB_YIELD)) & (lab.time_ns >= table.time_ns[0])
    known &= lab.time_ns <= table.time_ns[-1] + table.interval_ns
    rows = np.searchsorted(table.time_ns, lab.time_ns[known], side="right") - 1
    labels[rows] = lab.column(LAB_YIELD)[known]
    return labels
