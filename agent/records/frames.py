"""Files of delimited text through polars, column by column.

Import this late, and only where polars is installed (the extra `fit`). Columns are read in groups,
so that the texts of a large file are never in memory all at once.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Protocol, Self

import polars as pl
from polars.exceptions import PolarsError

from agent.records.cells import data_error
from agent.records.clocks import parses
from agent.records.delimited import COMMENTS, Layout, rows_of
from agent.records.formats import time_formats
from agent.records.times import Reading

_GROUP_BYTES = 768 * 1024**2  # of cells held at once
_CELL_BYTES = 24
_MOST_FOOTER = 12
_FEWEST_ALIKE = 5
_AGGREGATE = re.compile(
    r"(grand[ _])?(total|sum|average|avg|mean|max(imum)?|min(imum)?|std([ ._]?dev)?|stdev|count"
    r"|median|range|variance|summe|gesamt|mittel(wert)?|mittelw\.?|anzahl|standardabweichung|moyenne|somme"
    r"|écart[ -]type|media|promedio|suma|total(es|e)?)s?\.?:?",
    re.IGNORECASE,
)


class Frame(Protocol):
    """Columns of one file, by position."""

    names: Sequence[str]
    rows: int

    @property
    def notes(self) -> list[str]:
        """What was left out of the file, for people; known once it was read."""

    def __enter__(self) -> Self:
        """Open it, and count its rows."""

    def __exit__(self, *_: object) -> None:
        """Close it."""

    def columns(self, places: Sequence[int]) -> Iterator[pl.Series]:
        """Each column: texts, stripped; or of a Parquet file what it holds."""

    def numbers(self, places: Sequence[int], decimal: str) -> Iterator[pl.Series]:
        """Each column as numbers where it holds nothing else; otherwise as `columns`."""

    def place(self, row: int) -> str:
        """Where a row stands in the file, for people: ``line 3``."""


class DelimitedFrame:
    """One file of delimited text; a context, for what is no UTF-8 is copied to a temporary file."""

    def __init__(self, file: Path, layout: Layout) -> None:
        self.file, self.layout = file, layout
        self.names: Sequence[str] = layout.names
        self._copied = False
        self.footer = 0  # lines at the end that hold no data
        self.cut = False  # whether the last line was incomplete, and is left out
        self._again = 0  # rows of the heading among the data
        self._stack = ExitStack()
        self._scan = self._scanned(file, layout.head)
        self._kept: pl.Series | None = None

    def __enter__(self) -> Self:
        try:
            try:
                self._look()
            except PolarsError:
                # A first line that is short, line ends of old computers, another encoding: what
                # polars refuses in the file it may read in a plain copy of it.
                self._scan = self._scanned(self._copy(), 0)
                self._look()
        except PolarsError as error:
            self._stack.close()
            raise self._refused(error) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _scanned(self, file: Path, head: int) -> pl.LazyFrame:
        layout = self.layout
        return pl.scan_csv(
            file, has_header=False, skip_lines=head, separator=layout.separator,
            quote_char='"' if self._quotes else None, encoding="utf8-lossy",
            schema={_key(at): pl.String() for at in range(layout.cells)},
            raise_if_empty=False,
        )  # fmt: skip

    def _look(self) -> None:
        """Which rows there are: those that hold anything, and are no comment."""
        if not self.layout.plain and not self._copied:
            self._scan = self._scanned(self._copy(), 0)
        first = pl.col(_key(0)).str.strip_chars_start()
        empty = pl.all_horizontal(pl.all().is_null())
        comment = pl.any_horizontal(*(first.str.starts_with(mark) for mark in COMMENTS))
        again = pl.any_horizontal(pl.lit(value=False), *map(_is_row, self.layout.above))
        found = self._scan.select(
            keep=~empty & ~comment.fill_null(value=False) & ~again.fill_null(value=False),
            heading=again.fill_null(value=False),
        ).collect(engine="streaming")  # fmt: skip
        kept, self._again = found["keep"], int(found["heading"].sum())
        self.cut = bool(len(kept)) and self._is_cut()
        self.footer = 0 if self.cut else self._footer(kept)
        if self.cut or self.footer:
            ends = int(kept.arg_true()[-1 - max(0, self.footer - 1)])
            kept = kept & (pl.int_range(len(kept), eager=True) < ends)
        self.rows = int(kept.sum())
        self._kept = None if kept.all() else kept

    @property
    def _quotes(self) -> bool:
        return self.layout.quoted or self._copied

    def _copy(self) -> Path:
        """The data below the heading as UTF-8, with a first line that has every cell."""
        self._copied = True
        layout = self.layout
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        target = Path(folder) / "data.csv"
        width = layout.cells
        with (
            self.file.open(encoding=layout.encoding, errors="replace", newline="") as stream,
            target.open("w", encoding="utf-8", newline="") as copy,
        ):
            writer = csv.writer(copy, delimiter=layout.separator, quoting=csv.QUOTE_ALL)
            for line, cells in rows_of(stream, layout.separator):
                if line > layout.head:
                    if any(cells[width:]):
                        raise self._too_wide(line, len(cells))
                    writer.writerow([*cells[:width], *[""] * (width - len(cells))])
        return target

    def _footer(self, kept: pl.Series) -> int:
        """Lines at the end that hold one text, which is no time, or what was made of the rows."""
        tail = self._scan.tail(_MOST_FOOTER + 1).collect()
        rows = tail.filter(kept.tail(tail.height)).rows()  # comments are no rows as it is
        forms = time_formats(Reading())
        count = 0
        for row in reversed([row for row in rows if any(row)][1:]):
            cells = [(cell or "").strip(' "') for cell in row]
            label = next((cell for cell in cells if cell), "")
            alone = bool(cells[0]) and not any(cells[1:])
            if any(parses(label, make()) for make in forms):
                break
            if not alone and not _AGGREGATE.fullmatch(label):
                break
            count += 1
        return count

    def _too_wide(self, line: int, cells: int) -> Exception:
        cause = f"line {line} has {cells} cells, the first line has {len(self.names)}"
        hint = "is a decimal comma in a file separated by commas? was the export cut off?"
        return data_error(self.file, cause, hint)

    def _refused(self, error: PolarsError) -> Exception:
        return data_error(self.file, f"no delimited text: {str(error).splitlines()[0][:120]}")

    def _is_cut(self) -> bool:
        """Whether the file ends within a line: no line end, and fewer cells than the heading."""
        layout = self.layout
        if layout.encoding.startswith(("utf-16", "utf-32")):
            return False
        with self.file.open("rb") as stream:
            stream.seek(max(0, self.file.stat().st_size - 65_536))
            tail = stream.read()
        last = tail.splitlines()[-1] if tail else b""
        if tail.endswith((b"\n", b"\r")):
            return False
        cells = next(csv.reader([last.decode(errors="replace")], delimiter=layout.separator), [])
        if len(cells) != len(layout.names):
            return len(cells) < len(layout.names)
        return _is_shorter(cells[-1].strip(), [row[-1] for row in layout.body[:-1] if row[-1]])

    def _repeats(self, row: Sequence[str]) -> bool:
        return any(
            marks and all(at < len(row) and row[at] == text for at, text in marks)
            for marks in self.layout.above
        )

    @property
    def notes(self) -> list[str]:
        """What was left out: a last line that was cut off, footers, headings that come again."""
        lines = f"{self.footer} lines at the end hold no data: left out"
        cut = ["the last line is incomplete: left out"] if self.cut else []
        again = f"the heading comes again in the data: {self._again} lines left out"
        return [*cut, *([lines] if self.footer else []), *([again] if self._again else [])]

    def columns(self, places: Sequence[int]) -> Iterator[pl.Series]:
        """Texts, stripped; null or empty where there is none."""
        at_once = max(1, _GROUP_BYTES // (_CELL_BYTES * max(1, self.rows)))
        for start in range(0, len(places), at_once):
            keys = [_key(at) for at in places[start : start + at_once]]
            lazy = self._scan.select(pl.col(list(dict.fromkeys(keys))).str.strip_chars())
            try:
                part = lazy.collect(engine="streaming")
            except PolarsError as error:
                raise self._refused(error) from error
            for at, key in enumerate(keys):
                column = part[key] if key in keys[at + 1 :] else part.drop_in_place(key)
                column = column if self._kept is None else column.filter(self._kept)
                yield column if self._quotes else column.str.strip_chars('"')
                del column

    def numbers(self, places: Sequence[int], decimal: str) -> Iterator[pl.Series]:
        """Columns of numbers and nothing else as float64; each other one as texts.

        A file is scanned once for many columns, not for the texts of each few.
        """
        at_once = max(1, _GROUP_BYTES // (8 * max(1, self.rows)))
        for start in range(0, len(places), at_once):
            group = places[start : start + at_once]
            made = {_key(at): _as_number(_key(at), decimal) for at in group}
            left = [_holds_texts(key, made[key]).alias(f"{key} holds texts") for key in made]
            try:
                part = self._scan.select(*made.values(), *left).collect(engine="streaming")
            except PolarsError as error:
                raise self._refused(error) from error
            for at in group:
                key = _key(at)
                column = part.drop_in_place(key)  # so that what was taken is not held any more
                if len(column) and part[f"{key} holds texts"][0]:
                    del column
                    yield from self.columns([at])
                else:
                    yield column if self._kept is None else column.filter(self._kept)
                    del column

    def place(self, row: int) -> str:
        """The line of the file; counted anew, which only errors need."""
        layout = self.layout
        with self.file.open(encoding=layout.encoding, errors="replace", newline="") as stream:
            rows = rows_of(stream, layout.separator)
            lines = (n for n, row in rows if n > layout.head and not self._repeats(row))
            return f"line {next(islice(lines, row, None), 0)}"


def _is_shorter(cell: str, others: Sequence[str]) -> bool:
    """Whether a number has fewer decimals than all others, which have one number of them."""
    decimals = {len(other.replace(",", ".").partition(".")[2]) for other in others}
    own = len(cell.replace(",", ".").partition(".")[2])
    return len(others) > _FEWEST_ALIKE and len(decimals) == 1 and own < decimals.pop()


def _is_row(marks: Sequence[tuple[int, str]]) -> pl.Expr:
    """Whether a row begins with these texts, each at its place."""
    cells = (pl.col(_key(at)).str.strip_chars(' "') == text for at, text in marks)
    return pl.all_horizontal(pl.lit(value=bool(marks)), *cells)


def _key(place: int) -> str:
    return f"c{place}"


def _as_number(key: str, decimal: str) -> pl.Expr:
    text = pl.col(key).str.strip_chars()
    if decimal == ",":
        marked = text.str.replace(",", ".", literal=True)
        text = pl.when(~text.str.contains(".", literal=True)).then(marked)
    return text.cast(pl.Float64, strict=False).alias(key)


def _holds_texts(key: str, number: pl.Expr) -> pl.Expr:
    """Whether any cell holds something that is no finite number."""
    filled = pl.col(key).str.strip_chars().str.len_bytes() > 0
    return (filled & ~number.is_finite().fill_null(value=False)).any()
