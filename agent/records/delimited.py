"""How a delimited text is written: encoding, separator, heading, units, decimal mark, time column.

Found out from the file's beginning. What is understood is said in `Layout.notes`; what can be meant
two ways is an error that names the option which says it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from agent.records.cells import data_error
from agent.records.clocks import TimeAt, find_time, is_index, parses
from agent.records.formats import time_formats
from agent.records.marks import AmbiguousMarkError, decimal_of
from agent.records.quality import is_quality_word
from agent.records.times import NUMBER, Reading
from agent.records.units import is_type_row, plain_unit, unit_row

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 400
_SEPARATORS = ";\t,|"
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
COMMENTS = ("#", "//", "%")
_MOST_UNIT_ROWS = 5  # rows of units, types or descriptions between the heading and the data
_LONGEST_UNIT = 16
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How one file is written.

    Attributes:
        names: of all columns, as in the heading; cells that always trail empty have none.
        cells: of a row, those that trail empty included.
        plain: whether it is UTF-8 with usual line ends.
        quoted: whether cells stand in quotes.
        time: where the times are, and what parses them.
        index: positions of columns that only number the rows.
        units: name of a column -> unit, from a row of units.
        head: lines of the file that stand before the data.
        body: the first rows of data.
        notes: what was understood that is not plain.
    """

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    cells: int
    plain: bool
    quoted: bool
    time: TimeAt
    index: frozenset[int]
    units: Mapping[str, str]
    head: int
    body: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def rows_of(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line of the file, cells stripped) of what is neither blank nor a comment.

    Raises:
        csv.Error: a line that is none of a delimited text.
    """
    reader = csv.reader(
        ("\n" if line.startswith(COMMENTS) else line for line in lines), delimiter=separator
    )
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num, cells


def layout_of(file: Path, how: Reading) -> Layout:
    """Find out how a file is written.

    Raises:
        FieldwardenError: it is no delimited text, or has no heading, or no column of times.
    """
    encoding, text, notes = _decoded(file, how.encoding)
    lines = [line for line in io.StringIO(text, newline="") if line.strip()]
    separator, said = _separator(lines)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in rows_of(io.StringIO(text, newline=""), separator):
            if not (said and not rows and _SEP_LINE.fullmatch(separator.join(row[1]))):
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error as error:
        raise data_error(file, f"no delimited text: {error}", "give CSV or Parquet") from error
    if len(rows) < 2:
        raise data_error(file, "no header with data below it", "the first line names the columns")
    first = _first_data(rows, how)
    if first == 0 and (told := _commented_names(lines, separator, len(rows[0][1]))):
        rows.insert(0, (rows[0][0] - 1, told))
        first = 1
    heading = _heading(file, rows, first)
    columns = len(rows[heading][1])
    body = [[*cells, *[""] * (columns - len(cells))] for _, cells in rows[first:]]
    width = _width(rows[heading][1], body)
    names = _names(file, rows[heading][1][:width])
    if skipped := heading + sum(line.startswith(COMMENTS) for line in lines):
        notes.append(f"{skipped} lines without data (title, comments) skipped")
    above = rows[heading - 1 : heading] if heading and unit_row(rows[heading - 1][1]) else []
    units = _units(names, [row for _, row in (*rows[heading + 1 : first], *above)])
    if units:
        notes.append("units taken from a row beside the heading")
    if len(rows[heading][1]) > width:
        notes.append("every row ends with a separator: that is no column")
    time = find_time(file, names, body, how)
    others = [place for place in range(width) if place not in time.places]
    index = frozenset(place for place in others if is_index(names[place], body, place))
    notes += [f"column {p + 1} ({names[p]!r}) only numbers the rows: left out" for p in index]
    if missing := [place for place in others if not names[place] and place not in index]:
        cause = f"column {missing[0] + 1} has no name"
        raise data_error(file, cause, "name every column in the first line")
    try:
        dotted = separator == ";" and any(re.match(r"\d{1,2}\.\d{1,2}\.\d", c) for c in body[0])
        decimal = how.decimal_mark or decimal_of(_cells(body, separator), continental=dotted)
    except AmbiguousMarkError as error:
        cause = f"{error.cell!r} can be a number with decimals or one with thousands"
        raise data_error(file, cause, "say --decimal point or --decimal comma") from error
    plain = encoding.startswith("utf-8") and "\r" not in text.replace("\r\n", "")
    return Layout(
        encoding, separator, decimal, names, len(rows[heading][1]), plain,
        _quoted(lines, separator), time, index, units, rows[first - 1][0], tuple(map(tuple, body)),
        tuple(notes),
    )  # fmt: skip


def _cells(body: Sequence[list[str]], separator: str) -> list[list[str]]:
    """The cells of each column; dots are decimal where commas separate and none is in a cell."""
    width = max(map(len, body), default=0)
    columns = [[row[at] for row in body if at < len(row)] for at in range(width)]
    if separator == "," and not any("," in cell for column in columns for cell in column):
        return [["0.5"]]
    return columns


def _quoted(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes enclose cells; a quote within a cell is no more than a sign (4" pipe)."""
    mark = re.escape(separator)
    return any(re.search(rf'(?:^|{mark})\s*"', line) for line in lines)


def _decoded(file: Path, said: str) -> tuple[str, str, list[str]]:
    """(encoding, whole lines of the file's beginning, notes)."""
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES)
        more = bool(stream.read(1))
    encoding = said or next((name for bom, name in _BOMS if sample.startswith(bom)), "")
    if not encoding and b"\0" in sample:
        encoding = next((f"utf-16-{end}" for end, odd in (("le", 1), ("be", 0))
                         if sample[odd::2].count(0) > 0.4 * len(sample)), "")  # fmt: skip
        if not encoding:
            raise data_error(file, "not a text file", "give CSV, or name a Parquet file .parquet")
    notes = [f"encoding {encoding.upper()}"] if encoding.startswith("utf-16") else []
    if not encoding:
        encoding = "utf-8"
        try:
            # A character may be cut at the end of the sample.
            codecs.getincrementaldecoder("utf-8")().decode(sample, final=not more)
        except UnicodeDecodeError:
            encoding = "cp1252"  # what spreadsheets write for degC and mu
            notes = ["no UTF-8: read as Windows-1252 (--encoding says another)"]
    text = sample.decode(encoding, "replace")
    if "\0" in text:
        raise data_error(file, "not a text file", "give CSV, or name a Parquet file .parquet")
    if more:
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    return encoding, text, notes


def _separator(lines: Sequence[str]) -> tuple[str, bool]:
    """(the separator, whether a line of the file says it)."""
    if lines and (match := _SEP_LINE.fullmatch(lines[0].strip("\ufeff\r\n"))):
        return match[1], True
    plain = [line for line in lines[:_SAMPLE_ROWS] if not line.startswith(COMMENTS)]

    def agreement(separator: str) -> tuple[float, int]:
        try:
            widths = Counter(len(row) for row in csv.reader(plain, delimiter=separator) if row)
        except csv.Error:
            return 0.0, 0
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        return (count / len(plain), width) if width > 1 else (0.0, 0)

    return max(_SEPARATORS, key=agreement), False


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def _first_data(rows: Sequence[tuple[int, list[str]]], how: Reading) -> int:
    """Position of the first row of data.

    A row of data has a time, begins with a number, or is mostly numbers. Above the heading may
    stand rows that look so too ("From;01.03.2026"): they are not as wide as most rows are.
    """
    formats = time_formats(how)

    def is_data(cells: list[str]) -> bool:
        filled = [cell for cell in cells if cell]
        numbers = sum(_is_number(cell) for cell in filled)
        if _is_number(filled[0]) or 2 * numbers > len(filled):
            return True
        return any(parses(cell, make()) for cell in filled for make in formats[-3:])

    data = [is_data(cells) for _, cells in rows]
    width, _ = Counter(len(cells) for _, cells in rows).most_common(1)[0]
    begins = [at for at, yes in enumerate(data) if yes and not (at and data[at - 1])]
    wide = (at for at in begins if len(rows[at][1]) == width)
    return next(wide, begins[0] if begins else 1)


def _commented_names(lines: Sequence[str], separator: str, width: int) -> list[str]:
    """The heading where it is the last of the comments on top, as in ``# time, a, b``."""
    above = list(takewhile(lambda line: line.startswith(COMMENTS), lines))
    cells = above[-1].lstrip("#/% ").split(separator) if above else []
    names = [cell.strip().strip('"') for cell in cells]
    plain = all(names) and not any(_is_number(name) for name in names)
    return names if len(names) == width > 1 and plain else []


def _heading(file: Path, rows: Sequence[tuple[int, list[str]]], first: int) -> int:
    """Position of the row of names: the topmost full one of those right above the data."""
    if first == 0:
        cause = "the first line holds numbers, not names"
        raise data_error(file, cause, "add a line of names on top")
    full = max(2, -(-sum(map(bool, rows[first][1])) // 2))
    heading = first - 1
    for position in range(first - 1, max(-1, first - 1 - _MOST_UNIT_ROWS), -1):
        cells = rows[position][1]
        if sum(map(bool, cells)) < full or len(cells) != len(rows[first - 1][1]):
            break
        if not 2 * unit_row(cells) > 1:  # units may stand above the names too
            heading = position
    if len(rows[heading][1]) < 2:
        raise data_error(file, "one column only", "columns are separated by ; , | or tab")
    return heading


def _width(heading: list[str], body: Sequence[list[str]]) -> int:
    """Columns without those at the end that never have a name or a value."""
    width = len(heading)
    while width > 2 and not heading[width - 1] and all(not "".join(r[width - 1 :]) for r in body):
        width -= 1
    return width


def _names(file: Path, names: list[str]) -> tuple[str, ...]:
    if all(_is_number(name) for name in names[1:] if name):
        raise data_error(
            file, "the first line holds numbers, not names", "add a line of names on top"
        )
    for at in range(2, len(names)):
        if names.count(names[at]) > 1 and is_quality_word(names[at]):
            names[at] = f"{names[at - 1]}.{names[at]}"  # one beside each column of values
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        cause = f"two columns are named {twice!r}"
        raise data_error(file, cause, "name every column differently")
    return tuple(names)


def _units(names: Sequence[str], rows: Sequence[list[str]]) -> dict[str, str]:
    """Of the rows beside the heading the one that has most units; else the first of short texts."""
    short = [row for row in rows if all(len(cell) <= _LONGEST_UNIT for cell in row[1:])]
    best = max(short, key=unit_row, default=[])
    if best and not unit_row(best):
        best = [] if is_type_row(short[0]) else short[0]
    pairs = zip(names, best, strict=False)
    cleaned = ((name, cell.strip("[](){} ")) for name, cell in pairs)
    return {name: plain_unit(cell) for name, cell in cleaned if name and cell and cell != "-"}
