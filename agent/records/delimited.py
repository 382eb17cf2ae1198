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
from itertools import pairwise, takewhile
from pathlib import Path

from agent.configuration.rules import nearest
from agent.records.cells import MISSING, data_error
from agent.records.times import NUMBER, CellError, Reading, TimeFormat, time_formats

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 400
_SEPARATORS = ";\t,|"
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_COMMENTS = ("#", "//", "%")
_MOST_UNIT_ROWS = 5  # rows of units, types or descriptions between the heading and the data
_LONGEST_UNIT = 16
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TIME_WORDS = frozenset({
    "time", "timestamp", "timestamps", "date", "datetime", "zeit", "zeitstempel", "zeitpunkt",
    "datum", "uhrzeit", "stamp", "ts", "t", "utc", "epoch", "clock", "heure", "horodatage", "fecha",
    "hora", "tijd", "tid", "seconds", "second", "sec", "elapsed",
})  # fmt: skip
_INDEX_WORDS = frozenset({"", "index", "idx", "id", "nr", "no", "row", "unnamed", "#", "level"})


@dataclass(frozen=True, slots=True)
class Layout:
    """How one file is written.

    Attributes:
        names: of all columns, as in the heading; cells that always trail empty have none.
        cells: of a row, those that trail empty included.
        time: position of the column of times.
        time_format: makes what parses them.
        index: positions of columns that only number the rows.
        units: name of a column -> unit, from a row of units.
        head: lines of the file that stand before the data.
        notes: what was understood that is not plain.
    """

    encoding: str
    separator: str
    decimal: str
    names: tuple[str, ...]
    cells: int
    time: int
    time_format: TimeFormat
    index: frozenset[int]
    units: Mapping[str, str]
    head: int
    notes: tuple[str, ...]


def rows_of(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """(line of the file, cells stripped) of what is neither blank nor a comment.

    Raises:
        csv.Error: a line that is none of a delimited text.
    """
    reader = csv.reader(
        ("\n" if line.startswith(_COMMENTS) else line for line in lines), delimiter=separator
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
    encoding, text, notes = _decoded(file)
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
    body = [cells for _, cells in rows[first:]]
    heading = _heading(file, rows, first)
    width = _width(rows[heading][1], body)
    names = _names(file, rows[heading][1][:width])
    above = sum(line.startswith(_COMMENTS) for line in lines)
    if heading or above:
        notes.append(f"{heading + above} lines without data (title, comments) skipped")
    units = _units(names, [row for _, row in rows[heading + 1 : first]])
    if units:
        notes.append("units taken from the row below the heading")
    if len(rows[heading][1]) > width:
        notes.append("every row ends with a separator: that is no column")
    time, kind = find_time(file, names, body, how, body[0])
    decimal = _decimal(separator, body, time)
    index = frozenset(p for p in range(width) if p != time and _is_index(names[p], body, p))
    if index:
        notes += [f"column {p + 1} ({names[p]!r}) only numbers the rows: left out" for p in index]
    if missing := [p for p in range(width) if not names[p] and p not in index and p != time]:
        cause = f"column {missing[0] + 1} has no name"
        raise data_error(file, cause, "name every column in the first line")
    formats = time_formats(how)
    return Layout(
        encoding, separator, decimal, names, len(rows[heading][1]), time, formats[kind](), index,
        units, rows[first - 1][0], tuple(notes),
    )  # fmt: skip


def _decoded(file: Path) -> tuple[str, str, list[str]]:
    """(encoding, whole lines of the file's beginning, notes)."""
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES)
        more = bool(stream.read(1))
    encoding = next((name for bom, name in _BOMS if sample.startswith(bom)), "")
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
            notes = ["no UTF-8: read as Windows-1252"]
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
    plain = [line for line in lines[:_SAMPLE_ROWS] if not line.startswith(_COMMENTS)]

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
        return any(_parses(cell, make()) for cell in filled for make in formats[-3:])

    data = [is_data(cells) for _, cells in rows]
    width, _ = Counter(len(cells) for _, cells in rows).most_common(1)[0]
    begins = [at for at, yes in enumerate(data) if yes and not (at and data[at - 1])]
    wide = (at for at in begins if len(rows[at][1]) == width)
    return next(wide, begins[0] if begins else 1)


def _parses(cell: str, form: TimeFormat) -> bool:
    try:
        form.add([cell])
    except CellError as error:
        return error.cause.startswith(("the year", "no such", "the zone"))  # a time, if no good one
    return True


def _commented_names(lines: Sequence[str], separator: str, width: int) -> list[str]:
    """The heading where it is the last of the comments on top, as in ``# time, a, b``."""
    above = list(takewhile(lambda line: line.startswith(_COMMENTS), lines))
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
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        cause = f"two columns are named {twice!r}"
        raise data_error(file, cause, "name every column differently")
    return tuple(names)


def _units(names: Sequence[str], rows: Sequence[list[str]]) -> dict[str, str]:
    """The first row between heading and data that has short texts only."""
    for row in rows:
        if all(len(cell) <= _LONGEST_UNIT for cell in row[1:]):
            pairs = zip(names, row, strict=False)
            cleaned = ((name, cell.strip("[]() ")) for name, cell in pairs)
            return {name: plain_unit(cell) for name, cell in cleaned if name and cell}
    return {}


def plain_unit(text: str) -> str:
    """A unit without signs that are hard to type: ``degC``, ``m3/h``."""
    return text.replace("°", "deg").replace("³", "3").replace("²", "2")


def _decimal(separator: str, body: Sequence[list[str]], time: int) -> str:
    """The mark that numbers have; empty where none of them has one."""
    cells = [cell for row in body for place, cell in enumerate(row) if place != time]
    commas = sum(re.fullmatch(r"[+-]?\d*,\d+([eE][+-]?\d+)?", cell) is not None for cell in cells)
    dots = sum(re.fullmatch(r"[+-]?\d*\.\d+([eE][+-]?\d+)?", cell) is not None for cell in cells)
    return "," if commas > dots else "." if dots or separator == "," else ""


def _is_index(name: str, body: Sequence[list[str]], place: int) -> bool:
    """Whole numbers, each one more than the one above it, in a column without a name of its own."""
    if (name.lower().split(":") or [""])[0].strip() not in _INDEX_WORDS or len(body) < 2:
        return False
    cells = [row[place] if place < len(row) else "" for row in body]
    if not all(re.fullmatch(r"\d{1,15}(\.0)?", cell) for cell in cells):
        return False
    numbers = [int(cell.removesuffix(".0")) for cell in cells]
    return all(b == a + 1 for a, b in pairwise(numbers))


def _says_time(name: str) -> bool:
    words = re.findall(r"[A-Z]+(?![a-z])|[^\W\d_][^\W\dA-Z_]*", name)
    return any(word.lower() in _TIME_WORDS for word in words) or bool(
        re.search(r"timestamp|datetime|unixtime|epoch|zeitstempel", name.lower())
    )


def find_time(
    file: Path, names: Sequence[str], body: Sequence[Sequence[str]], how: Reading,
    shown: Sequence[str],
) -> tuple[int, int]:
    """(position of the column of times, which of `time_formats` it has).

    Args:
        file: for errors.
        names: of the columns.
        body: rows of cells from the file's beginning.
        how: what a person said.
        shown: the row that an error shows.

    Raises:
        FieldwardenError: no column is one, or not the one that was said.
    """
    places = range(len(names))
    if how.time_column:
        if how.time_column not in names:
            hint = nearest(how.time_column, [name for name in names if name])
            raise data_error(file, f"no column {how.time_column!r} for --time-column", hint)
        places = range(names.index(how.time_column), names.index(how.time_column) + 1)
    found = []
    for place in places:
        cells = [cell for row in body if place < len(row) and (cell := row[place])]
        kind = _kind(cells, how)
        if kind is None:
            continue
        is_number = kind == 0 and not how.time_format and not how.time_column
        if is_number and not _counts_time(names[place], place, cells):
            continue
        found.append((is_number, not _says_time(names[place]), place, kind))
    if not found:
        which = f"column {how.time_column!r}" if how.time_column else "no column"
        cause = f"{which} is {'no' if how.time_column else 'a'} time"
        pairs = list(zip(names, shown, strict=False))[:4]
        seen = ", ".join(f"{name!r}: {cell[:40]!r}" for name, cell in pairs)
        hint = (
            "times are ISO 8601 (2026-03-01T06:00:00Z), dates such as 01.03.2026 06:00 or"
            " 01-Mar-26 06:00, or epoch numbers; others are told by --time-format"
        )
        raise data_error(file, f"{cause} ({seen})", hint)
    _, _, place, kind = min(found)
    return place, kind


def _kind(cells: Sequence[str], how: Reading) -> int | None:
    """Which of `time_formats` the first cell and most others have."""
    cells = [cell for cell in cells if cell.lower() not in MISSING]
    for kind, make in enumerate(time_formats(how)):
        if cells and _parses(cells[0], make()):
            good = sum(_parses(cell, make()) for cell in cells)
            return kind if 2 * good >= len(cells) else None
    return None


def _counts_time(name: str, place: int, cells: Sequence[str]) -> bool:
    """Whether numbers are times: they do not fall, and are called so, or are of an epoch."""
    numbers = [float(cell.replace(",", ".")) for cell in cells if _is_number(cell)]
    steps = [b - a for a, b in pairwise(numbers)]
    if 2 * sum(step >= 0 for step in steps) < len(steps):
        return False
    words = re.findall(r"[^\W\d_]+", re.sub(r"[\[(].*", "", name).lower())
    if words and all(word in _TIME_WORDS for word in words):
        return True
    epoch = any(low <= numbers[0] < high for low, high in _EPOCHS)
    return epoch and (place == 0 or _says_time(name))


_EPOCHS = tuple((4.7e8 * scale, 7.2e9 * scale) for scale in (1.0, 1e3, 1e6, 1e9))
"""What epoch numbers of s, ms, us and ns are from 1984 to 2199."""
