"""How long to wait before the next try of what failed: the one backoff of the agent."""

from __future__ import annotations

import random

LONGEST_RETRY_S = 10.0


class Backoff:
    """Waits that double from failure to failure, with jitter, so that many do not retry at once.

    Args:
        first_s: seconds of the first wait, before jitter.
        longest_s: no wait is longer.
    """

    def __init__(self, first_s: float = 0.5, longest_s: float = LONGEST_RETRY_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._next_s = first_s

    def reset(self) -> None:
        """The last try was good: the next wait is short again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """Seconds to wait now: between half of the present step and all of it."""
        wait_s = self._next_s * random.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, self._longest_s)
        return wait_s
