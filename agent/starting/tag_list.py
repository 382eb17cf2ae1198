"""Tags as a CSV list: what `init` writes, a spreadsheet edits, and a configuration names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from agent.configuration.load import LIST_COLUMNS
from agent.records.init import duration_text
from agent.sources.found import FoundTag

_FORMULA = "=+-@"
"""A spreadsheet takes a text that begins so for a formula, whoever wrote it."""


def rows_of(tags: Iterable[FoundTag], source: str) -> list[dict[str, str]]:
    """A row of cells for each tag, by column; cells that say nothing are empty.

    Args:
        tags: as found.
        source: name of the source; where there are several, it stands before theirs.
    """
    return [_row(tag, source) for tag in tags]


def _row(tag: FoundTag, source: str) -> dict[str, str]:
    cells = {
        "name": tag.name, "source": source_name(source, tag.source), "address": tag.address,
        "unit": tag.unit, "data_type": tag.data_type, "description": tag.description,
        "interval": duration_text(tag.interval_ns) if tag.interval_ns else "",
    }  # fmt: skip
    if tag.physical is not None:
        cells |= {
            key: f"{end:.12g}"
            for key, end in zip(("physical_low", "physical_high"), tag.physical, strict=True)
        }
    return cells


def source_name(source: str, part: str) -> str:
    """Name of a source, of which there may be several."""
    return f"{source}-{part}" if part else source


def text_of(rows: Iterable[Mapping[str, str]]) -> str:
    """The file: a head and a line for each row, with the columns that any of them uses."""
    rows = list(rows)
    used = [
        column for at, column in enumerate(LIST_COLUMNS)
        if at < 3 or any(row.get(column) for row in rows)
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(used)
    for row in rows:
        writer.writerow([_safe(column, row.get(column, "")) for column in used])
    return out.getvalue()


def _safe(column: str, cell: str) -> str:
    """A cell that no spreadsheet calculates; the blank before it is no part of it when read."""
    is_text = column in ("name", "address", "unit", "description")
    return f" {cell}" if is_text and cell[:1] and cell[0] in _FORMULA else cell
