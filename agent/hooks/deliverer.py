"""Tells one hook of what waits for it, in order, behind the commit.

Invariants:
- a message leaves the store only by way of `take`, with a commit of the application: so it is
  delivered at least once, whatever ends the process.
- an endpoint that is slow or dead delays nobody but itself: nothing of acquisition waits for it.
- what is refused for good, or older than `max_age`, is given up: counted, and logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from agent.backoff import Backoff
from agent.configuration.hooks import Hook
from agent.hooks.attempts import LONGEST_WAIT_S, REFUSED, TOO_OLD, attempted
from agent.hooks.form import Sender, Target, told_of
from agent.store import HookRow, Reader
from agent.store.batch import HookKey

logger = logging.getLogger(__name__)


class Deliverer:
    """One hook.

    Args:
        name: of the hook.
        hook: its table.
        target: where its events go.
        sender: who speaks.
        reader: of the store; used on the loop only.
        now_ns: engine time.
        backoff: between tries.
    """

    def __init__(
        self, name: str, hook: Hook, target: Target, sender: Sender, reader: Reader,
        now_ns: Callable[[], int], backoff: Backoff | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self._hook, self._target, self._sender, self._reader = hook, target, sender, reader
        self._now_ns = now_ns
        self._backoff = backoff or Backoff(1.0, LONGEST_WAIT_S)
        self._wake = asyncio.Event()
        self._after = (-1, 0)  # the last event of which it is known what came of it
        self._done: dict[HookKey, str] = {}
        self._asked_s = 0.0  # for so long the endpoint does not want to be told again
        self.reason = ""  # why the oldest message still waits; empty where nothing does

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._wake.clear()
                rows = self._reader.hook_messages(self.name, self._after)
                if not rows:
                    await self._wake.wait()
                elif not await self._handled(rows[0]):
                    await self._backoff.wait(self._asked_s)
        finally:
            await self._target.close()

    async def _handled(self, row: HookRow) -> bool:
        """Whether it is known now what came of a message."""
        if self._now_ns() - row.time_ns > self._hook.max_age:
            return self._given_up(row, TOO_OLD, self.reason or "it was not delivered in time")
        attempt = await attempted(self._told(row), f"hook {self.name}")
        self._asked_s = attempt.wait_s
        if not attempt.over:
            if attempt.cause != self.reason:  # once, not at each try
                logger.warning(
                    "hook %s was not told, and is tried again: %s", self.name, attempt.cause
                )
            self.reason = attempt.cause
            return False
        if attempt.cause:
            return self._given_up(row, REFUSED, attempt.cause)
        self._known(row, "")
        return True

    async def _told(self, row: HookRow) -> None:
        await self._target.deliver(told_of(row, self._sender))

    def _given_up(self, row: HookRow, why: str, cause: str) -> bool:
        logger.error("hook %s is not told of event %s: %s: %s", self.name, row.event, why, cause)
        self._known(row, why)
        return True

    def _known(self, row: HookRow, why: str) -> None:
        self._done[row.hook, *row.event], self._after = why, row.event
        self._backoff.reset()
        self.reason = ""

    # --- the application's side -----------------------------------------------------------------

    def notify(self) -> None:
        """New messages were committed."""
        self._wake.set()

    def take(self) -> dict[HookKey, str]:
        """What came of messages, for the next commit: once for each commit that stands."""
        done, self._done = self._done, {}
        return done

    def report(self) -> dict[str, Any]:
        """For status: what waits, what came of the rest, and why the oldest still waits."""
        return {"name": self.name, "reason": self.reason, **self._reader.hook_counts(self.name)}
