"""Times as some tools write them -> the same in a usual form, for the formats that are known.

``[14/Oct/2025:06:00:00 +0000]``, ``06:00:00 14.10.2025``, ``2025年10月14日6時00分``,
``14. 10. 2025 - 06h00`` and ``Tue Oct 14 2025 08:00:00 GMT+0200 (CEST)`` mean one thing each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.records.times import TimeFormat
from agent.types import Int64

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp][Mm])?"
_STEPS = (
    (re.compile(r'^="?(.*?)"?$'), r"\1"),  # a spreadsheet's way to keep a text
    (re.compile(r"^[\[(<'](.*?)[\])>']?$"), r"\1"),
    (re.compile(r"\s*\([^()]* [^()]*\)$"), ""),  # the zone in words, after its offset
    (re.compile(r"\(([A-Za-z]{2,5})\)$"), r"\1"),
    (re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日"), r"\1/\2/\3 "),
    (re.compile(r"(\d{1,2})[時时](\d{1,2})分(?:(\d{1,2})秒)?"), r"\1:\2:\3"),
    (re.compile(rf"(?:오전|午前|上午)\s*({_CLOCK})"), r"\1 AM"),
    (re.compile(rf"(?:오후|午後|下午)\s*({_CLOCK})"), r"\1 PM"),
    (re.compile(r"(\d)\s*([AaPp])\.\s*[Mm]\.$"), r"\1 \2M"),
    (re.compile(r"^(\d{4})\.\s*(\d{1,2})\.\s*(\d{1,2})\.\s+(?=\d)"), r"\1/\2/\3 "),
    (re.compile(r"(\d):(?=$|\s)"), r"\1"),
    (re.compile(r"^(\d{4}):(\d{2}):(\d{2})(?=[ T])"), r"\1-\2-\3"),
    (re.compile(r"^(\d{1,2}/[A-Za-z]{3}/\d{4}):"), r"\1 "),
    (re.compile(r"^(\d{4})[-/. ]([A-Za-z]{3,9})[-/. ](\d{1,2})(?=\D)"), r"\3-\2-\1"),
    (re.compile(r"(?<=\d)\.\s+(?=\d)"), "."),
    (re.compile(r"\s+[-–]\s+(?=\d)"), " "),
    (re.compile(r"(?<=\d)\s*[hH](?=\d{2}\b)"), ":"),
    (re.compile(rf"^({_CLOCK}),?\s+(\d.*\d)$"), r"\2 \1"),
    (re.compile(r"\s*(?:UTC|GMT)\s*([+-])(\d{1,2}):?(\d{2})?$"), None),
    (re.compile(r"([ T]\d{1,2}:\d{2}(?::\d{2})?\S*?)([+-]\d{2})$"), r"\1\2:00"),
)


def tidied(cell: str) -> str:
    """A time in a usual form; what is none stays what it is."""
    for pattern, by in _STEPS:
        cell = pattern.sub(by if by is not None else _offset, cell).strip()
    return cell


def _offset(match: re.Match[str]) -> str:
    """``UTC+2`` as an offset of ISO 8601."""
    return f" {match[1]}{int(match[2]):02}:{match[3] or '00'}"


class Tidied:
    """A format whose cells are put into a usual form first."""

    def __init__(self, form: TimeFormat) -> None:
        self._form = form
        self.text = form.text

    def add(self, cells: Sequence[str]) -> None:
        """Take cells."""
        self._form.add([tidied(cell) for cell in cells])

    def finish(self) -> tuple[Int64, bool]:
        """As of the format."""
        made = self._form.finish()
        self.text = self._form.text
        return made
