"""What every decoder shares: columns of samples, numbers from scalars, codes for texts.

Rules for all protocols:
- a value that could not be had is NaN with a bad bit; infinities are no measurements either;
- text in a tag of numbers is never coded as a number: a tag holds texts only where its
  configuration says so (`data_type` "text"), else a text must read as a number or is bad.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.types import Float64, Int32, Int64, Quality, UInt16

TEXT_TYPES = frozenset({"text", "string", "category"})
"""Values of a tag's `data_type` that make it a tag of texts."""

MAX_TIME_NS = 2**63 - 1
_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_MAX_NUMBER_CHARS = 64
_BAD = int(Quality.BAD)
_WRONG_TYPE = int(Quality.WRONG_TYPE)
_UNCERTAIN = int(Quality.UNCERTAIN)
_NOT_A_NUMBER = int(Quality.NOT_A_NUMBER)
_UNDEFINED = (math.nan, _BAD | _NOT_A_NUMBER)
_OTHER_TYPE = (math.nan, _BAD | _NOT_A_NUMBER | _WRONG_TYPE)
_NO_VALUE = (math.nan, _BAD | _NOT_A_NUMBER | int(Quality.NOT_AVAILABLE))
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Samples:
    """Columns of equal length; `source_ns` is 0 where the device gave no time of its own."""

    tag: Int32
    source_ns: Int64
    value: Float64
    quality: UInt16

    def __len__(self) -> int:
        return len(self.tag)

    def part(self, begin: int, end: int) -> Samples:
        """The rows from `begin` to before `end`, as views."""
        rows = slice(begin, end)
        return Samples(self.tag[rows], self.source_ns[rows], self.value[rows], self.quality[rows])


class Dictionary:
    """Texts as codes, so that a column of numbers can hold them.

    A text's code follows from the text alone: it is the same in every store, in a training record
    and in replay, so that a mode that was trained is known by its code.

    Args:
        entries: text -> code, as journaled so far.
        on_new: told each new (code, text) before the code is used; False refuses it.
        limit: texts at most, over all tags.
        max_chars: longest text.
    """

    def __init__(
        self,
        entries: Mapping[str, int] | None = None,
        *,
        on_new: Callable[[int, str], bool] | None = None,
        limit: int = 10_000,
        max_chars: int = 200,
    ) -> None:
        self._codes = {
            text: code for text, code in (entries or {}).items() if code == text_code(text)
        }
        self._texts = {code: text for text, code in self._codes.items()}
        self._on_new = on_new
        self._limit = limit
        self._max_chars = max_chars

    def __len__(self) -> int:
        return len(self._codes)

    def code(self, text: str) -> int | None:
        """The code of `text`, from 1; None where it is too long, or one too many."""
        code = self._codes.get(text)
        if code is not None:
            return code
        if len(text) > self._max_chars or len(self._codes) >= self._limit:
            return None
        # A lone surrogate (JSON can carry one) could be stored nowhere.
        clean = text.encode("utf-8", "replace").decode()
        if clean != text:
            return self.code(clean)
        code = text_code(text)
        if code in self._texts:  # of another text: once in 10^6 dictionaries that are full
            return None
        if self._on_new is not None and not self._on_new(code, text):
            return None
        self._codes[text] = code
        self._texts[code] = text
        return code


def text_code(text: str) -> int:
    """1 to 2^48, which float64 holds exactly; by SHA-256, the same for ever."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return 1 + int.from_bytes(digest[:6], "big")


def scalar(value: Any, *, is_text: bool, dictionary: Dictionary) -> tuple[float, int]:
    """One scalar as (number, quality bits): a number, a truth value or a text.

    Nothing, infinities and numbers beyond float64 give NaN with bad bits; lists, tables and texts
    that are no numbers are of the wrong type besides. A whole number that float64 may not hold
    exactly is uncertain.
    """
    if value is None:
        return _NO_VALUE
    if isinstance(value, str):
        if is_text:
            code = dictionary.code(value)
            return (math.nan, _BAD) if code is None else (float(code), 0)
        if len(value) > _MAX_NUMBER_CHARS or not _NUMBER.fullmatch(value):
            return _OTHER_TYPE
    elif not isinstance(value, (int, float)):
        return _OTHER_TYPE
    elif is_text:
        return scalar(str(value), is_text=True, dictionary=dictionary)
    try:
        number = float(value)
    except OverflowError:
        return _UNDEFINED
    if not math.isfinite(number):
        return _UNDEFINED
    inexact = abs(number) >= _EXACT and not isinstance(value, float) and _is_inexact(value, number)
    return number, _UNCERTAIN if inexact else 0


def _is_inexact(value: int | str, number: float) -> bool:
    """Whether a number this large may be another one than what was sent."""
    try:
        return abs(int(value)) > _EXACT
    except ValueError:
        return abs(number) > _EXACT  # a text with a point or an exponent


def settle(value: Float64, quality: UInt16) -> None:
    """Make values and qualities agree, in place: what is not finite or bad becomes NaN and bad."""
    not_finite = ~np.isfinite(value) & ((quality & _BAD) == 0)
    quality[not_finite] |= _BAD | _NOT_A_NUMBER
    value[(quality & _BAD) != 0] = np.nan


def lost(tag: Int32) -> Samples:
    """One sample for each tag that says: the source lost the device."""
    count = len(tag)
    bits = int(Quality.COMMUNICATION_LOST)
    return Samples(
        tag, np.zeros(count, np.int64), np.full(count, np.nan), np.full(count, bits, np.uint16)
    )
