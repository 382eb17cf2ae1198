"""What a Modbus device tells of itself: Read Device Identification, where it has that function.

Most devices do not have it, and answer with an exception, not at all, or hang up. So it is asked by
the connection that the values come by, after they came; a device that does not know it is asked
again only where another one may be there; and no answer is no answer: what the device is stays as
it was known.

Source: MODBUS Application Protocol Specification V1.1b3, section 6.21 (function 43, MEI type 14).
"""

from __future__ import annotations

from typing import Final

from agent.decode.modbus import REFUSED, Identification
from agent.errors import SourceError
from agent.sources.modbus_connection import Connection
from agent.sources.modbus_framing import IDENTIFICATION

_NAMES = {0: "vendor", 1: "product_code", 2: "revision"}
_MOST_PARTS = 4
_HEAD = 7  # bytes before the objects: function, type, category, conformity, more, next, how many
_LEAST_SILENCE_S: Final = 600.0  # until a device that did not answer may be asked again
_MOST_SILENCES: Final = 3
_HANGS_UP_AFTER: Final = 3  # polls in a row, each with a new connection


async def identity_of(
    connection: Connection, unit: int, timeout_s: float
) -> dict[str, str] | None:
    """Vendor, product code and revision, as far as told.

    Empty where the device says that it does not have the function; None where nothing is known: it
    did not answer, or with what is no answer.
    """
    found: dict[str, str] = {}
    first = 0
    for _ in range(_MOST_PARTS):
        try:
            answer = await connection.ask(Identification(first), unit, timeout_s)
        except SourceError:
            return None
        if isinstance(answer, int):
            return found if answer in REFUSED else None
        found |= identity_in(answer)
        more = answer[5] if len(answer) > _HEAD and answer[4] == 0xFF else 0
        if more <= first:
            break
        first = more
    return found or None


def identity_in(pdu: bytes) -> dict[str, str]:
    """From the answer's PDU; empty where it is no such answer."""
    if len(pdu) < _HEAD or pdu[:2] != IDENTIFICATION:
        return {}
    found, at = {}, _HEAD
    for _ in range(pdu[6]):
        if at + 2 > len(pdu) or at + 2 + pdu[at + 1] > len(pdu):
            break
        number, length = pdu[at], pdu[at + 1]
        text = pdu[at + 2 : at + 2 + length].decode("ascii", "replace").strip("\x00 ")
        if number in _NAMES and text.isprintable():
            found[_NAMES[number]] = text
        at += 2 + length
    return found


class Asking:
    """When a device is to be asked who it is: seldom, where it does not know.

    Args:
        period_s: between two questions to a device that answers them.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._knows = self._knew = False
        self._asked_s = float("-inf")
        self._silences = 0
        self._made = -1
        self._fresh_polls = 0
        self._may_be_another = True

    def lost(self) -> None:
        """The device was lost: another one may come back in its place."""
        self._may_be_another = True

    def is_due(self, now_s: float, made: int) -> bool:
        """Whether to ask now, after values came.

        Args:
            now_s: monotonic.
            made: TCP connections to the device so far: behind a new one may be another device.
        """
        is_fresh, self._made = made != self._made, made
        self._fresh_polls = self._fresh_polls + 1 if is_fresh else 0
        is_fresh = is_fresh and self._fresh_polls < _HANGS_UP_AFTER
        if self._knew and is_fresh:
            self._may_be_another = True
        if self._knows:
            return is_fresh or self._may_be_another or now_s >= self._asked_s + self._period_s
        if not self._may_be_another:
            return False
        is_silent = self._silences > 0
        waited = now_s >= self._asked_s + _LEAST_SILENCE_S
        return not is_silent or (waited and self._silences < _MOST_SILENCES)

    def answered(self, identity: dict[str, str] | None, now_s: float, made: int) -> None:
        """It was asked, with this result of `identity_of`."""
        self._asked_s, self._made = now_s, made
        self._may_be_another = False
        if identity is None:
            self._silences += 1
            self._may_be_another = not self._knows
            self._fresh_polls = _HANGS_UP_AFTER  # it may have hung up for that: wait a period
        else:
            self._silences = 0
            self._knows = bool(identity)
            self._knew = self._knew or self._knows
