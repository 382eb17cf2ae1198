"""Texts of a column -> numbers: decimal and thousands marks, and words that say "no value"."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.records.cells import MISSING, STATUS_WORDS
from agent.records.marks import GROUPED, AmbiguousMarkError, decimal_of
from agent.types import Float64

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]

_LIKE_A_NUMBER = re.compile(r"[\d.,eE+\-_' ]*\d[\d.,eE+\-_' ]*", re.ASCII)
_BLANKS = "' \u00a0\u202f\u2009\u2019"  # marks of thousands that are no decimal mark anywhere
_MOST_WORDS = 50  # different ones that are counted by themselves


_NOTHING = pl.Series([None], dtype=pl.String)


@dataclass(slots=True)
class Column:
    """One column as numbers.

    Attributes:
        values: float64[n], NaN where missing.
        bad: bool[n], where a word stands instead of a number.
        words: each word, and in how many cells.
        fault: why it is no column of numbers; empty where it is one.
    """

    name: str
    values: Float64
    bad: Bools
    words: Counter[str]
    fault: str = ""

    @property
    def note(self) -> str:
        """Which words were taken as missing; empty where none was."""
        return words_note(self.name, self.words)


def words_note(name: str, words: Counter[str]) -> str:
    """``flow: 6 cells "Bad Input" taken as missing``; empty for no words."""
    total = sum(words.values())
    if not total:
        return ""
    counted = [(count, f'"{word[:40]}"') for word, count in words.most_common(8)]
    cells = f"{total:,} cell{'s' * (total != 1)}"
    if len(counted) == 1:
        return f"{name}: {cells} {counted[0][1]} taken as missing"
    listed = ", ".join(f"{count} {word}" for count, word in counted)
    return f"{name}: {cells} taken as missing: {listed}"


def numbers(
    texts: pl.Series, name: str, decimal: str, place: Callable[[int], str], *, said: bool = False
) -> Column:
    """Read a column of texts.

    Args:
        texts: cells, stripped; null or empty where there is none.
        name: of the column.
        decimal: mark of the file; empty where its beginning shows none.
        place: where in the file a row stands, for faults.
        said: whether a person said the mark, so that the other one is of thousands wherever it
            stands in groups of three.
    """
    lower = texts.str.to_lowercase()
    missing = texts.is_null() | lower.is_in(list(MISSING))
    values = _plain(texts, decimal)
    left = ~missing & ~_finite(values)
    if left.any():
        rest = texts.filter(left)
        if not decimal:
            decimal = _told(rest)
            values = _plain(texts, decimal)
            left = ~missing & ~_finite(values)
            rest = texts.filter(left)
        rows = left.arg_true()
        values = values.scatter(rows, _grouped(rest, decimal, said=said)) if len(rows) else values
        left = ~missing & ~_finite(values)
    array = values.cast(pl.Float64).fill_null(math.nan).to_numpy().copy()
    bad = left.to_numpy()
    array[bad] = math.nan
    known = int(np.isfinite(array).sum())
    words, fault = _words(texts.filter(left), left, known, name, place)
    return Column(name, array, bad, words, fault)


def _finite(values: pl.Series) -> pl.Series:
    return values.is_finite().fill_null(value=False)


def _plain(texts: pl.Series, decimal: str) -> pl.Series:
    """Numbers without marks of thousands; and the words true and false."""
    if decimal == ",":
        dotted = texts.str.contains(".", literal=True)
        texts = texts.str.replace(",", ".", literal=True).zip_with(~dotted, _NOTHING)
    values = texts.cast(pl.Float64, strict=False)
    if not values.null_count():
        return values
    truth = texts.str.to_lowercase().replace_strict(
        {"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64
    )
    return values.fill_null(truth)


def _told(rest: pl.Series) -> str:
    """The decimal mark of cells that are no plain numbers; the point where nothing tells."""
    try:
        return decimal_of([rest.head(2000).to_list()]) or "."
    except AmbiguousMarkError:
        return "."


def _grouped(rest: pl.Series, decimal: str, *, said: bool) -> pl.Series:
    """Numbers with marks of thousands.

    A mark that could be the decimal one counts only where the column has cells with both.
    """
    thousands = "." if decimal == "," else ","
    blanks = rest.str.replace_all(rf"(\d)[{_BLANKS}](\d{{3}})", "${1}${2}")
    blanks = blanks.str.replace_all(rf"(\d)[{_BLANKS}](\d{{3}})", "${1}${2}")
    fits = blanks.str.contains(f"^(?:{GROUPED[decimal]})$").fill_null(value=False)
    both = blanks.filter(fits).str.contains(decimal, literal=True).any()
    many = blanks.filter(fits).str.count_matches(thousands, literal=True).max()
    if said or both or (isinstance(many, int) and many > 1):
        whole = blanks.str.replace_all(thousands, "", literal=True)
        blanks = whole.zip_with(fits, blanks)
    return _plain(blanks, decimal)


def _words(
    rest: pl.Series, left: pl.Series, known: int, name: str, place: Callable[[int], str]
) -> tuple[Counter[str], str]:
    """(words and their counts, the fault they are) of cells that are no numbers."""
    if not len(rest):
        return Counter(), ""
    counts = rest.value_counts(sort=True)
    words: Counter[str] = Counter()
    foreign, first, malformed = 0, "", ""
    for text, count in counts.iter_rows():
        words[text if len(words) < _MOST_WORDS or text in words else "..."] += count
        if text.lower() in STATUS_WORDS:
            continue
        foreign += count
        first = first or text
        if not malformed and _LIKE_A_NUMBER.fullmatch(text):
            malformed = text
    if foreign <= known and not malformed:
        return words, ""
    if foreign > known:
        unknown = rest.str.to_lowercase().is_in(list(STATUS_WORDS)).not_()
        malformed = str(rest.filter(unknown)[0])
    row = int(left.arg_true()[int((rest == malformed).arg_true()[0])])
    return words, f"column {name!r}, {place(row)}: {malformed[:40]!r} is no number"
