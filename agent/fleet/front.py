"""What the front process does besides pages and relays: partitions and what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from agent.backoff import Backoff
from agent.clock import monotonic_ns
from agent.errors import StoreError
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.database import Database
from agent.fleet.retention import tidy
from agent.mqtt.background import in_thread

logger = logging.getLogger(__name__)

TIDY_S: Final = 3_600.0
STEP: Final = timedelta(hours=12)  # a machine that slept is no more behind than that, mostly


async def keep_tidy(
    configuration: FleetConfiguration, database: Database, stop: asyncio.Event
) -> None:
    """Every hour: partitions ahead are made, and what is older than it is kept goes."""
    backoff, steps = Backoff(1.0, 60.0), Steps()
    while not stop.is_set():
        wait_s = TIDY_S
        try:
            now = await in_thread(database.now, "now")
            if steps.stepped(now, monotonic_ns()):
                logger.warning(
                    "the clock of the database was set to %s: no old rows go before it has stood so"
                    " for an hour; hint: is that the time?", now.isoformat(timespec="seconds"),
                )  # fmt: skip
                await _or_stop(stop, wait_s)
                continue
            done = await in_thread(partial(tidy, database, configuration.central, now), "tidy")
            logger.info(
                "old rows: %d partitions made, %d dropped, %d rows deleted", done.made,
                done.dropped, done.deleted,
            )  # fmt: skip
            backoff.reset()
        except StoreError as error:
            wait_s = backoff.next_s()
            logger.warning("what is too old could not be removed: %s", error.cause)
        await _or_stop(stop, wait_s)


async def _or_stop(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class Steps:
    """Notices that a clock was set forward: what it calls old then may not be."""

    def __init__(self) -> None:
        self._last: tuple[datetime, int] | None = None

    def stepped(self, now: datetime, mono_ns: int) -> bool:
        """Whether it has gone on by more than it should since it was asked last.

        Args:
            now: by the clock.
            mono_ns: this process' monotonic clock.
        """
        last, self._last = self._last, (now, mono_ns)
        if last is None:
            return False
        return now - last[0] > timedelta(microseconds=(mono_ns - last[1]) // 1_000) + STEP
