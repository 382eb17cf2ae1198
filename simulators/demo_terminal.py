"""The terminal of the demonstration: how wide it is, and what ends it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from rich.console import Console


def terminal() -> Console:
    """A terminal gets tables of its width, a pipe of 130 columns and lines that are not broken."""
    width = None if sys.stdout.isatty() else 130
    return Console(highlight=False, soft_wrap=True, width=width)


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demonstration as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
