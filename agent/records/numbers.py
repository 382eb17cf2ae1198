"""Texts of a column -> numbers: decimal and thousands marks, and words that say "no value"."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.records.cells import MISSING, says_no_value
from agent.records.dress import STEPS, unit_of
from agent.records.marks import GROUPED, AmbiguousMarkError, can_mean_two, decimal_of
from agent.records.units import plain_unit
from agent.types import Float64

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]

_LIKE_A_NUMBER = re.compile(r"[\d.,eE+\-_' ]*\d[\d.,eE+\-_' ]*", re.ASCII)
_BLANKS = "' \u00a0\u202f\u2009\u2019"  # marks of thousands that are no decimal mark anywhere
_FEWEST_GROUPED = 50
_MOST_STATES = 20
_MOST_WORDS = 50  # different ones that are counted by themselves


_PAIRS = (
    ("true", "false"), ("wahr", "falsch"), ("vrai", "faux"), ("verdadero", "falso"),
    ("vero", "falso"), ("waar", "onwaar"), ("on", "off"), ("ein", "aus"), ("an", "aus"),
    ("yes", "no"), ("ja", "nein"), ("oui", "non"), ("sí", "no"), ("si", "no"),
    ("marche", "arrêt"), ("y", "n"), ("t", "f"),
)  # fmt: skip
"""Words for 1 and 0 that can not be meant the other way round."""
_NOTHING = pl.Series([None], dtype=pl.String)


@dataclass(slots=True)
class Column:
    """One column as numbers.

    Attributes:
        values: float64[n], NaN where missing.
        bad: bool[n], where a word stands instead of a number.
        words: each word, and in how many cells.
        fault: why it is no column of numbers; empty where it is one.
        unit: that stands in its cells; empty where none does.
        remark: how its cells were read, where that is not plain.
    """

    name: str
    values: Float64
    bad: Bools
    words: Counter[str]
    fault: str = ""
    unit: str = ""
    remark: str = ""

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
    unit = remark = ""
    if left.any():
        rest, unit = _undressed(texts.filter(left))
        if (truth := _truth(rest, values)) is not None:
            values, remark = values.scatter(left.arg_true(), truth[0]), truth[1]
            left = ~missing & ~_finite(values)
            rest = texts.filter(left)
        elif unit and (fault := _partly(values, unit, name)):
            return Column(name, np.empty(0), np.empty(0, np.bool_), Counter(), fault)
        else:
            texts = texts.scatter(left.arg_true(), rest)
            values = _plain(texts, decimal)
            left = ~missing & ~_finite(values)
            rest = texts.filter(left)
    if left.any():
        if not decimal:
            decimal = _told(rest)
            values = _plain(texts, decimal)
            left = ~missing & ~_finite(values)
            rest = texts.filter(left)
        rows = left.arg_true()
        sure = said or _short(texts.filter(_finite(values)), rest)
        values = values.scatter(rows, _grouped(rest, decimal, said=sure)) if len(rows) else values
        left = ~missing & ~_finite(values)
    array = values.cast(pl.Float64).fill_null(math.nan).to_numpy().copy()
    bad = left.to_numpy()
    array[bad] = math.nan
    known = int(np.isfinite(array).sum())
    words, fault = _words(texts.filter(left), left, known, name, place)
    return Column(name, array, bad, words, fault, unit, remark)


def _undressed(cells: pl.Series) -> tuple[pl.Series, str]:
    """(cells without what only dresses a number, the unit that all of those with one have)."""
    for pattern, by in STEPS:
        cells = cells.str.replace(pattern, by)
    unit = unit_of(cells.unique().to_list())
    bare = cells.str.strip_suffix(unit).str.strip_chars() if unit else cells
    return bare, plain_unit(unit)


def _finite(values: pl.Series) -> pl.Series:
    return values.is_finite().fill_null(value=False)


def _plain(texts: pl.Series, decimal: str) -> pl.Series:
    """Numbers without marks of thousands."""
    if decimal == ",":
        dotted = texts.str.contains(".", literal=True)
        texts = texts.str.replace(",", ".", literal=True).zip_with(~dotted, _NOTHING)
    return texts.cast(pl.Float64, strict=False)


def _truth(rest: pl.Series, values: pl.Series) -> tuple[pl.Series, str] | None:
    """(1 and 0 of a column that says yes or no, how it was read); None for another column.

    A word such as "off" among numbers is no 0: nothing but 0 and 1 may stand beside such words.
    """
    lower = rest.str.to_lowercase()
    words = {word for word in lower.unique().to_list() if not says_no_value(word)}
    pair = next((pair for pair in _PAIRS if words and words <= set(pair)), None)
    numbers_ = set(values.drop_nulls().drop_nans().unique().to_list())
    if pair is None or not numbers_ <= {0.0, 1.0}:
        return None
    made = lower.replace_strict({pair[0]: 1.0, pair[1]: 0.0}, default=None, return_dtype=pl.Float64)
    plain = "" if pair == _PAIRS[0] else f"{pair[0]!r} read as 1, {pair[1]!r} as 0"
    return made, plain


def _partly(values: pl.Series, unit: str, name: str) -> str:
    """A fault where some cells have a unit and other ones, that are not 0, none."""
    bare = values.filter(_finite(values) & (values != 0.0))
    return f"column {name!r}: some cells have the unit {unit!r}, others none" if len(bare) else ""


def _told(rest: pl.Series) -> str:
    """The decimal mark of cells that are no plain numbers; the point where nothing tells."""
    try:
        return decimal_of([rest.head(2000).to_list()]) or "."
    except AmbiguousMarkError:
        return "."


def _short(plain: pl.Series, rest: pl.Series) -> bool:
    """Whether all numbers below a thousand have no mark, and all others have groups of three.

    Of decimals, every tenth would end with a zero, which is not written beside plain whole numbers.
    """
    groups = rest.str.contains(r"^[+-]?[1-9]\d{0,2}([.,]\d{3})+$").fill_null(value=False)
    words = _no_values(rest)
    short = plain.str.contains(r"^[+-]?\d{1,3}$").fill_null(value=False)
    return bool(
        groups.sum() >= _FEWEST_GROUPED and len(plain) and short.all() and (groups | words).all()
    )


def _no_values(texts: pl.Series) -> pl.Series:
    """Which of them say that there is no value."""
    said = [text for text in texts.drop_nulls().unique().to_list() if says_no_value(text)]
    return texts.is_in(said).fill_null(value=False)


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
        if says_no_value(text):
            continue
        foreign += count
        first = first or text
        if not malformed and _LIKE_A_NUMBER.fullmatch(text):
            malformed = text
    if foreign <= known and not malformed:
        return words, ""
    if foreign > known:
        malformed = str(rest.filter(~_no_values(rest))[0])
    row = int(left.arg_true()[int((rest == malformed).arg_true()[0])])
    text = f"column {name!r}, {place(row)}: {malformed[:40]!r}"
    if can_mean_two(malformed):
        return words, (
            f"{text} can be a number with decimals or one with thousands: say --decimal point or "
            "--decimal comma"
        )
    if known == 0 and len(counts) <= _MOST_STATES < len(rest):
        shown = ", ".join(repr(text) for text in counts.get_column(counts.columns[0]).head(3))
        return words, f"{text} is no number (it holds {len(counts)} texts: {shown})"
    return words, f"{text} is no number"
