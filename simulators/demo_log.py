"""What the demonstration says while it runs, in the order in which it happened.

Each line stands under its own moment, in seconds of the script: that of the event itself, as the
final table has it, and not when somebody got to hear of it. The agent tells of a second once it is
over and stored, so a line waits a little for what others have to tell of the time before it.
"""

from __future__ import annotations

import heapq

from rich.console import Console
from rich.table import Table
from rich.text import Text

HOLD_NS = 2_500_000_000  # a sealed second, its commit, its way to central


class DemoLog:
    """Lines of several tellers on one console.

    Attributes:
        began_ns: wall ns at which the script of faults began; 0 before, when lines have no time.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console) -> None:
        self.began_ns = 0
        self._console = console
        self._waiting: list[tuple[int, int, str, str, str]] = []
        self._said = 0

    def say(self, at_ns: int, who: str, text: str, style: str = "") -> None:
        """Have `who` say something of the moment `at_ns` (wall ns)."""
        self._said += 1
        heapq.heappush(self._waiting, (at_ns, self._said, who, text, style))

    def flush(self, now_ns: int | None = None) -> None:
        """Print what has waited long enough at `now_ns`; all of it where that is None."""
        while self._waiting and (now_ns is None or self._waiting[0][0] <= now_ns - HOLD_NS):
            at_ns, _, who, text, style = heapq.heappop(self._waiting)
            self._print(at_ns, who, text, style)

    def _print(self, at_ns: int, who: str, text: str, style: str) -> None:
        begun = 0 < self.began_ns <= at_ns
        moment = f"{(at_ns - self.began_ns) / 1e9:6.1f} s" if begun else " " * 8
        head = f"{moment}  {who:<8}"
        if not self._console.is_terminal:  # what reads a pipe gets one line an event
            self._console.print(f"{head}{text}", markup=False)
            return
        hanging = Table.grid()
        hanging.add_column(no_wrap=True)
        hanging.add_column()
        hanging.add_row(head, Text(text, style))
        self._console.print(hanging, soft_wrap=False)
