"""Times in payloads: numbers and texts to ns since 1970, or what is wrong with them.

A time that is not there, one that can not be read, and one that is decades off are three faults:
the first is a message of another kind, the second a form that nobody told us, the third a clock.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

from agent.decode.columns import MAX_TIME_NS

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_2000, _YEAR_2100 = 946_684_800 * _SECOND, 4_102_444_800 * _SECOND
MOST_OFF_NS = 10 * 365 * 86_400 * _SECOND
"""A time further than this from the time of arrival is no time stamp, but a clock never set."""

_MAX_CHARS = 64
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CLOCK = (
    r"(?:(?:\s*,\s*|[ T]+)(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?)?"
)
_YEAR_FIRST = r"(?P<year>\d{4})(?P<mark>[-/.])(?P<one>\d{1,2})(?P=mark)(?P<two>\d{1,2})"
_YEAR_LAST = r"(?P<one>\d{1,2})(?P<mark>[./-])(?P<two>\d{1,2})(?P=mark)(?P<year>\d{4})"
_NAMED = (
    r"(?:[A-Za-z]{3,9},?\s+)?(?P<one>\d{1,2})[ -](?P<month>[A-Za-z]{3})[a-z]*[ -](?P<year>\d{4})"
)
_FORMS = tuple(
    re.compile(form + _CLOCK, re.ASCII | re.IGNORECASE)
    for form in (_YEAR_FIRST, _YEAR_LAST, _NAMED)
)
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class TimeFault(StrEnum):
    """Why a configured time is none."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    IMPLAUSIBLE = "implausible"


def read_time(value: Any, now_ns: int = 0) -> tuple[int, TimeFault | None]:
    """A time in a payload as (ns since 1970, what is wrong with it); 0 where there is none.

    Numbers, as such or as text, are seconds, milli-, micro- or nanoseconds by their size: seconds
    are below 1e11 (the year 5138), milliseconds below 1e14, microseconds below 1e17. Texts are ISO
    8601, or a date with its year first, day.month.year, day and month with '/' or '-' where one of
    them can only be the day, or RFC 5322, each with an optional time and offset; UTC where they
    name no offset.

    Args:
        value: as it stands in the payload; None is absent.
        now_ns: when it arrived; 0 where only the century can be judged.
    """
    if value is None or value == "":
        return 0, TimeFault.ABSENT
    if isinstance(value, str):
        found = _of_text(value.strip(), now_ns) if len(value) <= _MAX_CHARS else 0
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = _of_number(value)
    else:
        found = 0
    if not found:
        return 0, TimeFault.UNREADABLE
    return found, None if _plausible(found, now_ns) else TimeFault.IMPLAUSIBLE


def _plausible(stamp_ns: int, now_ns: int) -> bool:
    if not _YEAR_2000 <= stamp_ns < _YEAR_2100:
        return False
    # Our own clock may not be set yet: then it says nothing about theirs.
    return now_ns < _YEAR_2000 or abs(stamp_ns - now_ns) <= MOST_OFF_NS


def _of_number(value: Any) -> int:
    """ns since 1970, 1 for what is before or at 1970 (a clock never set), 0 for no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    if value <= 0:
        return 1
    for limit, unit in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)):
        if value < limit:
            whole: int = int(value)
            part: int = round((value - whole) * unit)
            return max(1, min(whole * unit + part, MAX_TIME_NS))
    return int(min(value, MAX_TIME_NS))


def _of_text(text: str, now_ns: int) -> int:
    if _NUMBER.fullmatch(text):
        whole = text.isdigit()
        found = _of_number(int(text) if whole else float(text))
        if whole and len(text) in _COMPACT and not _plausible(found, now_ns):
            return _ns(_compact(text)) or found
        return found
    try:
        return _ns(datetime.fromisoformat(text))
    except ValueError:
        pass
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            return _ns(_of_parts(match.groupdict()))
    return 0


def _compact(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _COMPACT[len(text)]).replace(tzinfo=UTC)
    except ValueError:
        return None


def _of_parts(part: dict[str, str | None]) -> datetime | None:
    """A moment from what a form of dates matched; None where it is none, or may be two."""
    day_month = _day_and_month(part)
    if day_month is None:
        return None
    whole = [int(part[name] or 0) for name in ("year", "hour", "minute", "second")]
    micro = int((part["part"] or "0").ljust(6, "0")[:6])
    try:
        zone = timezone(_offset(part["zone"] or ""))
        return datetime(
            whole[0], day_month[1], day_month[0], whole[1], whole[2], whole[3], micro, zone
        )
    except ValueError:
        return None


def _day_and_month(part: dict[str, str | None]) -> tuple[int, int] | None:
    one = int(part["one"] or 0)
    if part.get("month"):
        name = str(part["month"]).lower()
        return (one, _MONTHS.index(name) + 1) if name in _MONTHS else None
    two = int(part["two"] or 0)
    year_first = bool(part.get("mark")) and _is_year_first(part)
    if year_first:
        return two, one
    if part["mark"] == ".":
        return one, two
    if one > 12 or one == two:  # day/month, or both the same
        return one, two
    return (two, one) if two > 12 else None


def _is_year_first(part: dict[str, str | None]) -> bool:
    return list(part).index("year") < list(part).index("one")


def _offset(zone: str) -> timedelta:
    digits = re.sub(r"[^0-9+-]", "", zone)
    if not digits:
        return timedelta(0)
    sign = -1 if digits[0] == "-" else 1
    hours, minutes = digits[1:3], digits[3:5] or "0"
    if len(digits) == 4:  # +930
        hours, minutes = digits[1:2], digits[2:4]
    return sign * timedelta(hours=int(hours), minutes=int(minutes))


def _ns(stamp: datetime | None) -> int:
    if stamp is None:
        return 0
    stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    delta = stamp - _EPOCH
    ns = (delta.days * 86_400 + delta.seconds) * _SECOND + delta.microseconds * 1_000
    return min(max(ns, 1), MAX_TIME_NS)
