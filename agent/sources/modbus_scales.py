"""Scales as maps write them: a factor, a divisor, decimals, a resolution with its unit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from agent.sources.modbus_numbers import Ask
from agent.sources.modbus_rows import Row, Sheet

_NUMBER = r"[+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:e[+-]?\d+)?"
_TIMES = re.compile(rf"[x*×]\s*({_NUMBER})|({_NUMBER})\s*[x*×]")
_BY = re.compile(rf"(?:1\s*)?[/÷:]\s*({_NUMBER})")
_POWER = re.compile(r"10\s*(?:\^|\*\*|e)\s*\(?\s*([+-]?\d+)\s*\)?")
_ALONE = re.compile(rf"({_NUMBER})(?:\s*[^\d\s.,+*/x×-][^\d]*)?")
_THOUSANDS = re.compile(r"[1-9]\d*,\d{3}")
_NOTHING = frozenset({"", "-", "–", "n/a", "na", "none"})

_MOST_POWER = 18

Scale = Callable[[Row], "float | None"]


def scale_of(sheet: Sheet, rows: Sequence[Row], answer: str, ask: Ask) -> Scale:
    """How the value of each row follows from its number: a function of the row; None: unreadable.

    Args:
        sheet: with its headings.
        rows: that are read.
        answer: ``multiply``, ``divide`` or ``power`` (of ten), as a person said.
        ask: told what can be meant two ways.
    """
    if "scale" in sheet.headings:
        open_ = [
            value for row in rows
            if not _sure(row.get("scale")) and (value := _alone(row.get("scale"))) is not None
        ]
        unclear = [value for value in open_ if value != 1]
        if unclear and not answer and all(value == round(value) for value in open_):
            what = f"{sheet.headings['scale']} {unclear[0]:g} may multiply or divide what is read"
            answers = "--scale multiply or --scale divide or --scale power (ten to that power)"
            ask("scale", what, answers)

    def scale(row: Row) -> float | None:
        found = 1.0
        for role, read in (
            ("scale", _MEANT[answer]), ("factor", _factor),
            ("resolution", _factor), ("divisor", _divided), ("decimals", _decimals),
        ):  # fmt: skip
            text = row.get(role).casefold()
            if text in _NOTHING:
                continue
            value = read(text)
            if value is None or value == 0 or not math.isfinite(value):
                return None
            found *= value
        added = row.get("offset").casefold()
        if added not in _NOTHING and _alone(added) != 0:
            return None  # an address has no place for what is added
        return float(f"{found:.12g}")

    return scale


def _sure(text: str) -> float | None:
    """What says itself whether it multiplies or divides."""
    text = text.casefold().strip()
    if match := _POWER.fullmatch(text):
        return float(10.0 ** int(match[1])) if abs(int(match[1])) <= 18 else None
    if match := _TIMES.fullmatch(text):
        return _plain(match[1] or match[2])
    if match := _BY.fullmatch(text):
        value = _plain(match[1])
        return 1 / value if value else None
    return None


def _factor(text: str) -> float | None:
    found = _sure(text)
    return _alone(text) if found is None else found


def _divided(text: str) -> float | None:
    if (found := _sure(text)) is not None:
        return found
    value = _alone(text)
    return 1 / value if value else None


def _power(text: str) -> float | None:
    """Ten to the power that is told, as SunSpec writes it."""
    if (found := _sure(text)) is not None:
        return found
    power = _alone(text)
    if power is None or abs(power) > _MOST_POWER or power != round(power):
        return None
    return float(f"1e{power:.0f}")


def _decimals(text: str) -> float | None:
    return float(10.0 ** -int(text)) if text.isdigit() and len(text) < 3 else None


def _alone(text: str) -> float | None:
    """A number, with a unit behind it or not."""
    match = _ALONE.fullmatch(text.casefold().strip())
    return _plain(match[1]) if match else None


def _plain(text: str) -> float | None:
    if _THOUSANDS.fullmatch(text):
        return None  # 1,000 is a thousand here and one there
    return float(text.replace(",", "."))


_MEANT: dict[str, Callable[[str], float | None]] = {
    "": _factor, "multiply": _factor, "divide": _divided, "power": _power
}  # fmt: skip
"""Answer -> how a column Scale is read."""
