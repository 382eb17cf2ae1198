"""Sheets of Excel workbooks through python-calamine, as delimited text. The only user of it.

A sheet is read as any other text is, so that preambles, rows of units, words of historians and
long format are understood as they are there. What the workbook itself knows is kept: its dates are
dates, its numbers have no mark that could be another. Import this late, and only where
python-calamine is installed (the extra `fit`).
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from agent.configuration.rules import nearest
from agent.records.cells import data_error
from agent.records.times import Reading

_MOST_BYTES = 2 * 1024**3  # of all parts, unpacked
_MOST_CELLS = 50_000_000  # the reader holds a rectangle of cells, of 36 bytes each
_AT_ONCE = 1 << 22
_OVERLAP = 512  # of what is looked through piece by piece
_COLUMN = re.compile(rb'<(?:\w+:)?c [^>]*?\br="([A-Z]{1,3})\d')
_ROW = re.compile(rb'<(?:\w+:)?(?:row|c) [^>]*?\br="[A-Z]{0,3}(\d{1,7})"')
_MOST_WHOLE = 1e15
_MOST_NAMED = 8
SEPARATOR = "\t"
"""Of the cells of the text."""

Cell = int | float | str | bool | date | time | timedelta


def sheet_of(file: Path, found: Path, target: Path, how: Reading) -> tuple[str, str]:
    """Write a sheet as a text; (its name, the mark of its numbers where any has one).

    Args:
        file: for errors.
        found: the workbook.
        target: to write to.
        how: what a person said; which sheet.

    Raises:
        FieldwardenError: it is no workbook, too large, or of several sheets none was named.
        OSError, EOFError, zlib.error, zipfile.BadZipFile: it is damaged.
    """
    try:
        _bounded(file, found)
        sheet = _chosen(file, CalamineWorkbook.from_path(found), how)
        return sheet.name, _write(sheet, target, how)
    except (CalamineError, RuntimeError, ValueError) as error:  # zipfile's own: RuntimeError
        cause = f"no readable workbook: {str(error)[:120]}"
        raise data_error(file, cause, "open it in Excel and save it anew, or as CSV") from error


def _bounded(file: Path, found: Path) -> None:
    """Refuse what would not fit into memory, whatever its size on disk.

    The reader takes each sheet as a rectangle up to its last row and column: one cell far off is
    enough for 600 GB.
    """
    with zipfile.ZipFile(found) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > _MOST_BYTES:
            cause = f"unpacked it is larger than {_MOST_BYTES >> 30} GiB"
            raise data_error(file, cause, "export it as CSV, or fewer tags")
        for part in parts:
            if part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml"):
                rows, columns = _extent(archive, part)
                if rows * columns > _MOST_CELLS:
                    cause = f"a sheet reaches to row {rows:,} and column {columns:,}"
                    raise data_error(file, cause, "delete what stands far off, or export it as CSV")


def _extent(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> tuple[int, int]:
    """(last row, last column) of what a sheet says of its cells."""
    columns: set[bytes] = set()
    rows, before = 0, b""
    with archive.open(part) as stream:
        while piece := stream.read(_AT_ONCE):
            text = before + piece
            columns.update(_COLUMN.findall(text))
            rows = max(rows, *map(int, _ROW.findall(text)), 0)
            before = text[-_OVERLAP:]
    return rows, max(map(_number, columns), default=0)


def _number(column: bytes) -> int:
    """26 of ``Z``, 27 of ``AA``."""
    number = 0
    for sign in column:
        number = number * 26 + sign - 64
    return number


def _chosen(file: Path, book: CalamineWorkbook, how: Reading) -> CalamineSheet:
    """The one sheet that holds anything, or the one that was named."""
    sheets = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    if how.sheet:
        if how.sheet not in {one.name for one in sheets}:
            hint = nearest(how.sheet, [one.name for one in sheets])
            raise data_error(file, f"no sheet {how.sheet!r} for --sheet", hint)
        return book.get_sheet_by_name(how.sheet)
    shown = [one.name for one in sheets if one.visible == SheetVisibleEnum.Visible]
    filled = [name for name in shown if book.get_sheet_by_name(name).end is not None]
    if not filled:
        raise data_error(file, "the workbook's sheets are empty", "give one with a table")
    if len(filled) > 1:
        listed = ", ".join(map(repr, filled[:_MOST_NAMED]))
        more = ", ..." if len(filled) > _MOST_NAMED else ""
        cause = f"the workbook has {len(filled)} sheets: {listed}{more}"
        raise data_error(file, cause, f"say which: --sheet {filled[0]!r}")
    return book.get_sheet_by_name(filled[0])


def _write(sheet: CalamineSheet, target: Path, how: Reading) -> str:
    """Write a line for each row; the decimal mark where any number has one."""
    point = how.decimal_mark or "."
    fractions = False
    with target.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter=SEPARATOR, lineterminator="\n")
        rows: Iterable[list[Cell]] = sheet.iter_rows()
        for row in rows:
            fractions = fractions or any(isinstance(cell, float) and cell % 1 for cell in row)
            writer.writerow([_text(cell, point) for cell in row] if any(map(_filled, row)) else [])
    return point if fractions else ""


def _filled(cell: Cell) -> bool:
    return cell != ""  # 0 and False are cells that hold something


def _text(cell: Cell, point: str) -> str:
    """A cell as it stands in a text: dates as ISO 8601, numbers in full."""
    if isinstance(cell, str):
        return " ".join(cell.split()) if SEPARATOR in cell or "\n" in cell or "\r" in cell else cell
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date):  # a stamp of midnight comes as that too
        return f"{cell.isoformat()} 00:00:00"
    if isinstance(cell, timedelta):
        seconds = cell.total_seconds()
        return f"{int(seconds // 3600):02}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"
    if isinstance(cell, time):
        return cell.isoformat()
    if cell % 1 == 0 and abs(cell) < _MOST_WHOLE:
        return str(int(cell))
    return repr(cell).replace(".", point)
