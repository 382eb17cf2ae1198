"""How log lines look and how many there may be.

Under systemd each line begins with its priority (sd-daemon(3)), so that `journalctl -p warning`
finds what it should. A line that says the same again within a minute is left out and counted, and a
flood of different lines of one kind is cut; what was left out is said.
"""

from __future__ import annotations

import copy
import logging
import os
from typing import Final, TextIO

SAME_S: Final = 60.0
KIND_PER_MINUTE: Final = 120  # lines of one place in the program
_REMEMBERED: Final = 500  # lines, of which the latest are known
_PRIORITIES: Final = (
    (logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7),
)  # fmt: skip
CHANGES: Final = "fieldwarden"  # the logger of `runtime.spoken`
QUIET: Final = ("asyncua", "pymodbus", "aiohttp.access", "amqtt", "transitions", "alembic")
"""These tell at INFO what our own sources tell better."""


class Sparing(logging.Filter):
    """Lets through what is new; times are those of the records, so it reads no clock."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, list[float]] = {}  # text -> [when it was said, left out since]
        self._kinds: dict[tuple[str, int], list[float]] = {}  # place -> [minute's begin, lines]

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be said; what was left out before it is added to its text."""
        if record.levelno < logging.INFO:
            return True
        text, now = record.getMessage(), record.created
        # A change is news also where it is the same change as half a minute ago.
        said = None if record.name == CHANGES else self._said.get(text)
        if said is not None and 0 <= now - said[0] < SAME_S:
            said[1] += 1
            return False
        place = (record.pathname, record.lineno)
        kind = self._kinds.setdefault(place, [now, 0.0])
        if not 0 <= now - kind[0] < 60.0:
            kind[:] = [now, 0.0]
        kind[1] += 1
        if kind[1] > KIND_PER_MINUTE:
            return False
        if kind[1] == KIND_PER_MINUTE:
            text += "; more of this kind within the minute are left out"
        if said is not None and said[1]:
            text += f" (said {said[1]:.0f} times more since)"
        self._remember(record.getMessage(), now)
        record.msg, record.args = text, ()
        return True

    def _remember(self, text: str, now: float) -> None:
        self._said.pop(text, None)
        self._said[text] = [now, 0.0]
        while len(self._said) > _REMEMBERED:
            self._said.pop(next(iter(self._said)))


class BadRequests(logging.Filter):
    """Requests that are no HTTP are the client's fault: a line, and no traceback of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record is changed."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and type(error).__module__.startswith("aiohttp.http"):
            record.exc_info, record.exc_text = None, None
            record.levelno, record.levelname = logging.INFO, "INFO"
            first = (str(error).splitlines() or [""])[0][:200]
            record.msg, record.args = f"a request was no HTTP: {first!r}", ()
        return True


class _Prioritised(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        lines = super().format(record).splitlines()
        return "\n".join(f"<{priority}>{line}" for line in lines)


class _Lines(logging.StreamHandler[TextIO]):
    """What filters change of a record is for this stream alone; other handlers get it as it was."""

    def handle(self, record: logging.LogRecord) -> bool:
        return bool(super().handle(copy.copy(record)))


def set_up_logging(*, verbose: bool) -> None:
    """Log lines to stderr; without times where the journal of systemd adds its own."""
    handler = _Lines()
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_Prioritised("%(levelname)s %(name)s: %(message)s"))
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        )
    if not verbose:
        handler.addFilter(BadRequests())
        handler.addFilter(Sparing())
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET if not verbose else ():
        logging.getLogger(name).setLevel(logging.WARNING)
