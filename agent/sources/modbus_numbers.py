"""Numbers of registers as maps write them: from 0, from 1, as 4xxxx and 3xxxx, hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.sources import modbus_terms as terms

BASES = ("0-based", "1-based", "modicon", "modicon-0")
_HEX = re.compile(r"(?:0x|&h|\$|16#)([0-9a-f]{1,6})|([0-9a-f]{1,6})h")
_RANGE = re.compile(r"(\w+?)\s*(?:-|–|\.\.|to|,|&|\+)\s*(\w+)")
_BIT = re.compile(r"(\d+)[.:](\d{1,2})")
_PREFIXED = re.compile(r"(4x|3x|1x|hr|ir|di|co|%mw|%m)\s*[-:_]?\s*(\d+)")
_MODICON_DIGITS = (5, 6)

Ask = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Number:
    """A register's number as it is written.

    Attributes:
        value: the number.
        digits: its digits as they stand, empty for hexadecimal ones and those with a prefix.
        area: what its prefix says.
        base: where it counts from, as its prefix says.
        count: registers of a range; 0: not told.
    """

    value: int
    digits: str = ""
    area: str = ""
    base: str = ""
    count: int = 0
    bit: bool = False

    @property
    def modicon_area(self) -> str:
        """The area that the first of five or six digits names; empty where it can name none."""
        if len(self.digits) not in _MODICON_DIGITS:
            return ""
        return terms.MODICON_AREAS.get(self.digits[0], "")

    def offset(self, base: str) -> int:
        """Offset from 0."""
        own = self.base or base
        if own.startswith("modicon"):
            value = int(self.digits[1:]) if self.modicon_area else self.value
            return value - (own == "modicon")
        return self.value - (own == "1-based")


def number_of(text: str, *, is_hex: bool) -> Number | None:
    """Read one; None where it is none."""
    plain = " ".join(text.casefold().split())
    if match := _BIT.fullmatch(plain):
        return Number(int(match[1]), bit=True)
    if match := _PREFIXED.fullmatch(plain):
        area, base = terms.PREFIXES[match[1]]
        return Number(int(match[2]), area=area, base=base)
    if match := _HEX.fullmatch(plain):
        return Number(int(match[1] or match[2], 16))
    if is_hex and re.fullmatch(r"[0-9a-f]{1,6}", plain):
        return Number(int(plain, 16))
    if re.fullmatch(r"\d{1,6}", plain, re.ASCII):
        return Number(int(plain), plain)
    if match := _RANGE.fullmatch(plain):
        first, last = (number_of(part, is_hex=is_hex) for part in match.groups())
        if first is None or last is None or last.value <= first.value:
            return None
        count = last.value - first.value + 1
        return Number(first.value, first.digits, first.area, first.base, count)
    return None


def base_of(
    numbers: Sequence[tuple[Number, str]], heading: str, answer: str, ask: Ask
) -> str:
    """Where the map counts from: one of `BASES`; empty where that is asked.

    Args:
        numbers: all that are read, with the area that the map names, or empty.
        heading: of their column.
        answer: what a person said.
        ask: told what can be meant two ways.
    """
    plain = terms.plain(heading)
    told = (
        answer
        or ("0-based" if plain in terms.ZERO_BASED else "")
        or ("1-based" if plain in terms.ONE_BASED and not _are_modicon(numbers) else "")
    )
    open_ = [(number, area) for number, area in numbers if not number.base]
    if told or not open_:
        return told or "0-based"
    if _are_modicon(open_):
        return _modicon(open_, plain in terms.MODICON, ask)
    if any(number.value == 0 for number, _ in open_):
        return "0-based"  # nothing that counts from 1 has a 0
    first, area = min(open_, key=lambda one: one[0].value)
    where = area or "register"
    what = (
        f"{heading} {first.value} may be {where} {first.value} (counted from 0) or "
        f"{where} {first.value - 1} (from 1)"
    )
    ask("addresses", what, "--addresses 0-based or --addresses 1-based")
    return ""


def _are_modicon(numbers: Sequence[tuple[Number, str]]) -> bool:
    """Whether each number may name its area by its first digit, as its row does."""
    return all(
        number.modicon_area and area in ("", number.modicon_area) for number, area in numbers
    )


def _modicon(numbers: Sequence[tuple[Number, str]], is_told: bool, ask: Ask) -> str:  # noqa: FBT001
    first, area = min(numbers, key=lambda one: one[0].value)
    from_one = first.modicon_area, first.offset("modicon")
    if any(number.offset("modicon") < 0 for number, _ in numbers):
        what = f"{first.digits} is none that counts from 1"
        answers = "--addresses modicon-0 (40000 is holding 0) or --addresses 0-based (it is 40000)"
        ask("addresses", what, answers)
        return ""
    if is_told or not all(area for _, area in numbers):
        return "modicon"  # without an area of its own a number can only name it so
    what = f"{first.digits} may be {from_one[0]} {from_one[1]}, or {area} {first.value} itself"
    ask("addresses", what, "--addresses modicon (40001 is holding 0) or --addresses 0-based")
    return ""
