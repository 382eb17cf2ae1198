"""Values that are asked of the database for all who look at once, about a second old at most.

A fleet of 10,000 gateways is one question of some 100 ms. While somebody looks it is asked again
each second, behind those who look; nobody looks, nothing is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from agent.clock import monotonic_ns
from agent.fleet.aside import aside

OLDEST_S: Final = 1.0
LINGER_S: Final = 5.0
"""So long after somebody looked last it is still asked, for who looks every few seconds."""

_LEAST_PAUSE_S: Final = 0.3
_MOST_SPARE_S: Final = 4.0
_NS: Final = 1e9
T = TypeVar("T")


class Fresh(Generic[T]):
    """One value.

    Args:
        make: asks for it; blocks, so it is called in a thread, once at a time.
        oldest_s: a value that was had longer ago is not given any more, beside the time that it
            takes to ask again: on a machine that is full nobody waits for what others ask anyway.
        linger_s: see `LINGER_S`; 0: it is asked only when somebody waits.
    """

    def __init__(
        self, make: Callable[[], T], *, oldest_s: float = OLDEST_S, linger_s: float = LINGER_S
    ) -> None:
        self._make, self._oldest_s, self._linger_s = make, oldest_s, linger_s
        self._had: tuple[T, int] | None = None  # and when, monotonic ns
        self._asked_ns = 0
        self._cost_s = 0.0
        self._making: asyncio.Task[T] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """The value; many who wait for it wait for one question.

        Raises:
            Exception: whatever `make` raises, to all who waited for it.
        """
        self._asked_ns = monotonic_ns()
        had = self._had
        if had is None or monotonic_ns() - had[1] > (self._oldest_s + self._spare_s()) * _NS:
            value = await asyncio.shield(self._start())
        else:
            value = had[0]
        if self._linger_s and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(self._keep(), name="fleet-fresh")
        return value

    @property
    def idle(self) -> bool:
        """Nobody has asked for a while, and nobody waits."""
        waits = self._making is not None and not self._making.done()
        return not waits and monotonic_ns() - self._asked_ns > LINGER_S * _NS

    def _spare_s(self) -> float:
        """While it is asked behind those who look; never much."""
        kept = self._keeping is not None and not self._keeping.done()
        return min(self._cost_s, _MOST_SPARE_S) if kept else 0.0

    def _start(self) -> asyncio.Task[T]:
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._renew(), name="fleet-question")
        return self._making

    async def _renew(self) -> T:
        began = monotonic_ns()
        value = await aside(self._make)
        ended = monotonic_ns()
        self._cost_s = (ended - began) / _NS
        self._had = value, ended
        return value

    async def _keep(self) -> None:
        """Ask again in time, while somebody looks; what fails is told to who waits for it."""
        while monotonic_ns() - self._asked_ns < self._linger_s * _NS:
            await asyncio.sleep(max(_LEAST_PAUSE_S, self._oldest_s - self._cost_s))
            with contextlib.suppress(Exception):
                await asyncio.shield(self._start())

    async def close(self) -> None:
        """Ask no more."""
        for task in (self._keeping, self._making):
            if task is not None:
                task.cancel()
        tasks = [task for task in (self._keeping, self._making) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
