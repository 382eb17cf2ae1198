"""What else a training record holds of a model: its outputs and labels, beside its inputs.

They are read apart from the inputs, so that whatever they are like, the inputs are read as they
would be without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agent.configuration.schema import Configuration, Model
from agent.records.table import Table, read_table, tags_of_texts
from agent.records.times import Reading
from agent.types import Float64, Int64


def beside(model: Model) -> tuple[str, ...]:
    """A model's tags that a record may or may not have: its outputs and labels, once each."""
    return tuple(dict.fromkeys((*model.outputs, *(label.tag for label in model.labels))))


def read_beside(
    configuration: Configuration, model: Model, data: Path | str, how: Reading | None = None
) -> Table | None:
    """Outputs and labels as they were told, as far as the record has them; None without any.

    Raises:
        FieldwardenError: the file can not be read or understood.
    """
    texts = tags_of_texts(configuration)
    wanted = [name for name in beside(model) if name not in texts]
    if not wanted:
        return None
    # An input is there for sure: without any column there would be no table.
    found = read_table(
        data, [model.inputs[0], *wanted], text="skip", lenient=True, how=how, as_told=True
    )
    names = [name for name in wanted if name in found.names]
    return found.select(names) if names else None


def on_rows(table: Table, apart: Table, names: Sequence[str]) -> Table:
    """A table with columns of another one: of each, what was last told since the row before."""
    columns = [_placed(table, apart.time_ns, apart.column(name)) for name in names]
    values = np.asfortranarray(np.column_stack([table.values, *columns]))
    return replace(table, names=(*table.names, *names), values=values)


def _placed(table: Table, time_ns: Int64, column: Float64) -> Float64:
    """float64[rows of the table], NaN where nothing was told."""
    told = np.isfinite(column)
    when, what = time_ns[told], column[told]
    placed = np.full(len(table.time_ns), np.nan)
    if len(when):
        last = np.searchsorted(when, table.time_ns, side="right") - 1
        before = np.append(table.time_ns[0] - table.interval_ns, table.time_ns[:-1])
        fresh = (last >= 0) & (when[last] > before)
        placed[fresh] = what[last[fresh]]
    return placed


