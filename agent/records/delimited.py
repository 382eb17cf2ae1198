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
from agent.records.clocks import TimeAt, find_time, is_index
from agent.records.dress import bare
from agent.records.foreign import no_text
from agent.records.headings import first_data, heading_of, is_rule, names_of, units_of, width_of
from agent.records.marks import AmbiguousMarkError, decimal_of, shows_thousands
from agent.records.times import NUMBER, Reading
from agent.records.units import unit_row

_SAMPLE_BYTES = 256 * 1024
_SAMPLE_ROWS = 400
_SEPARATORS = ";\t,|"
_MARKS = frozenset({"#NAMES", "#TYPES", "#ROWS"})  # of Java datasets, as Ignition writes them
_END_OF_HEADER = re.compile(r"\W*end[\s_-]*of[\s_-]*header\W*", re.IGNORECASE)
_SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
COMMENTS = ("#", "//", "%", "$RT_", '"$RT_')  # the last are marks of WinCC, no tags
_FOREIGN = re.compile(r"[^\x00-\x7f\s]{3,}")  # what no western word has, read as Windows-1252
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
        above: of each row of the heading the first texts and where they stand, by which it is
            known where it comes again.
        grouped: whether a cell shows the mark of thousands beside the decimal one.
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
    above: tuple[tuple[tuple[int, str], ...], ...]
    grouped: bool


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
        if any(cells) and cells[0] not in _MARKS:
            yield reader.line_num, cells


def layout_of(file: Path, how: Reading, *, separator: str = "", decimal: str = "") -> Layout:
    """Find out how a file is written.

    Args:
        file: the text.
        how: what a person said.
        separator: of cells, where it is known beforehand.
        decimal: mark of numbers, likewise.

    Raises:
        FieldwardenError: it is no delimited text, or has no heading, or no column of times.
    """
    encoding, text, notes = _decoded(file, how.encoding)
    lines = [line for line in io.StringIO(text, newline="") if line.strip()]
    separator, said = (separator, False) if separator else _separator(lines)
    rows, rules = _rows(file, text, separator, said=said)
    if len(rows) < 2:
        raise data_error(file, "no header with data below it", "the first line names the columns")
    first = first_data(rows, how)
    if first == 0 and (told := _commented_names(lines, separator, len(rows[0][1]))):
        rows.insert(0, (rows[0][0] - 1, told))
        first = 1
    heading = heading_of(file, rows, first, how)
    columns = len(rows[heading][1])
    body = [[*cells, *[""] * (columns - len(cells))] for _, cells in rows[first:]]
    width = width_of(rows[heading][1], body)
    names = names_of(file, rows[heading][1][:width])
    if skipped := heading + sum(line.startswith(COMMENTS) for line in lines):
        notes.append(f"{skipped} lines without data (title, comments) skipped")
    above = rows[heading - 1 : heading] if heading and unit_row(rows[heading - 1][1]) else []
    units = units_of(names, [row for _, row in (*rows[heading + 1 : first], *above)])
    if units:
        notes.append("units taken from a row beside the heading")
    if len(rows[heading][1]) > width:
        notes.append("every row ends with a separator: that is no column")
    time = find_time(file, names, body, how)
    others = [place for place in range(width) if place not in time.taken]
    index = _left_out(names, others, body, lines, notes)
    if missing := [place for place in others if not names[place] and place not in index]:
        cause = f"column {missing[0] + 1} has no name"
        raise data_error(file, cause, "name every column in the first line")
    decimal = decimal or _decimal(file, body, separator, how)
    head = max(rows[first - 1][0], *(line for line in [0, *rules] if line < rows[first][0]))
    plain = encoding.startswith("utf-8") and "\r" not in text.replace("\r\n", "")
    return Layout(
        encoding, separator, decimal, names, len(rows[heading][1]), plain,
        _quoted(lines, separator), time, index, units, head, tuple(map(tuple, body)),
        tuple(notes), tuple(_marks(cells) for _, cells in rows[heading:first]),
        shows_thousands(_cells(body, separator), decimal),
    )  # fmt: skip


def _rows(
    file: Path, text: str, separator: str, *, said: bool
) -> tuple[list[tuple[int, list[str]]], list[int]]:
    """(the first rows, lines that are drawn below a heading)."""
    rows: list[tuple[int, list[str]]] = []
    rules: list[int] = []
    try:
        for row in rows_of(io.StringIO(text, newline=""), separator):
            if _END_OF_HEADER.fullmatch("".join(row[1])):
                rows.clear()  # what stood above it tells nothing of the table
            elif is_rule(row[1]):
                rules.append(row[0])
            elif not (said and not rows and _SEP_LINE.fullmatch(separator.join(row[1]))):
                rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error as error:
        raise data_error(file, f"no delimited text: {error}", "give CSV or Parquet") from error
    return rows, rules


def _left_out(
    names: Sequence[str], places: Sequence[int], body: Sequence[list[str]], lines: Sequence[str],
    notes: list[str],
) -> frozenset[int]:  # fmt: skip
    """Columns that hold no values: row numbers, nothing at all, what InfluxDB numbers tables by."""
    index = {place for place in places if is_index(names[place], body, place)}
    notes += [f"column {p + 1} ({names[p]!r}) only numbers the rows: left out" for p in index]
    if lines[0].lstrip("\ufeff").startswith(("#group", "#datatype", "#default")):
        index |= {place for place in places if names[place] in {"result", "table"}}
    nothing = {p for p in places if not names[p] and not any(row[p] for row in body)}
    notes += [f"column {p + 1} has no name and no value: left out" for p in sorted(nothing)]
    return frozenset(index | nothing)


def _decimal(file: Path, body: Sequence[list[str]], separator: str, how: Reading) -> str:
    try:
        dotted = separator == ";" and any(re.match(r"\d{1,2}\.\d{1,2}\.\d", c) for c in body[0])
        return how.decimal_mark or decimal_of(_cells(body, separator), continental=dotted)
    except AmbiguousMarkError as error:
        cause = f"{error.cell!r} can be a number with decimals or one with thousands"
        raise data_error(file, cause, "say --decimal point or --decimal comma") from error


def _cells(body: Sequence[list[str]], separator: str) -> list[list[str]]:
    """The cells of each column; dots are decimal where commas separate and none is in a cell."""
    columns = [[bare(cell) for cell in column] for column in _columns(body)]
    if separator == "," and not any("," in cell for column in columns for cell in column):
        return [["0.5"]]
    return columns


def _marks(cells: Sequence[str]) -> tuple[tuple[int, str], ...]:
    return tuple((at, cell) for at, cell in enumerate(cells) if cell)[:3]


def _columns(body: Sequence[list[str]]) -> list[list[str]]:
    width = max(map(len, body), default=0)
    return [[row[at] for row in body if at < len(row)] for at in range(width)]


def _quoted(lines: Sequence[str], separator: str) -> bool:
    """Whether quotes enclose cells; a quote within a cell is no more than a sign (4" pipe)."""
    mark = re.escape(separator)
    return any(re.search(rf'(?:^|{mark})\s*"', line) for line in lines)


def _decoded(file: Path, said: str) -> tuple[str, str, list[str]]:
    """(encoding, whole lines of the file's beginning, notes)."""
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES)
        more = bool(stream.read(1))
    if what := no_text(sample):
        raise data_error(file, *what)
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
    if encoding == "cp1252" and not said and (match := _FOREIGN.search(text)):
        cause = f"no UTF-8, and as Windows-1252 it reads {match[0][:20]!r}"
        raise data_error(file, cause, "say --encoding shift_jis, gbk, cp1251, cp1253 or another")
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


def _commented_names(lines: Sequence[str], separator: str, width: int) -> list[str]:
    """The heading where it is the last of the comments on top, as in ``# time, a, b``."""
    above = list(takewhile(lambda line: line.startswith(COMMENTS), lines))
    cells = above[-1].lstrip("#/% ").split(separator) if above else []
    names = [cell.strip().strip('"') for cell in cells]
    plain = all(names) and not any(NUMBER.fullmatch(name) for name in names)
    return names if len(names) == width > 1 and plain else []
