"""How long to wait before the next try of what failed: the one backoff of the agent."""

from __future__ import annotations

import asyncio
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

    async def wait(self, least_s: float = 0.0) -> None:
        """Sleep for `next_s`, or `least_s` where that is longer; not where the task is to end.

        A library that cancels a task of its own and awaits it may take the cancellation of this
        one for that, and swallow it (asyncua does, while it disconnects): what came of it is then
        another error, and a loop that only waits and tries again would never end.

        Raises:
            asyncio.CancelledError: the task was cancelled before.
        """
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        await asyncio.sleep(max(self.next_s(), least_s))
