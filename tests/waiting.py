"""How long a test waits for what it asserts, and for what it is compared with.

A wait ends when its condition comes true: patience costs time only where something is broken. So
it is that of a slow machine that does much else, and never shorter than the code under test may
rightly take. What is asserted of speed is compared with what the loop could do meanwhile (`Beats`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self, TypeVar

from agent.backoff import LONGEST_RETRY_S
from agent.central.pace import FOLLOW_NS
from agent.mqtt.link import CONNACK_TIMEOUT_S
from agent.store.acknowledge import TAIL_AGAIN_S

T = TypeVar("T")

PATIENCE_S = 3 * (LONGEST_RETRY_S + CONNACK_TIMEOUT_S)
"""Of anything: two tries to connect in vain, with their pauses, and as much again."""

START_S = 2 * PATIENCE_S
"""Until a process is there that compiles its kernels first."""

SETTLED_S = FOLLOW_NS[-1] / 1e9 + TAIL_AGAIN_S + PATIENCE_S
"""Until central has all: what a killed broker took and handed to nobody is asked for after the last
of `FOLLOW_NS`, and sent again when its sender may."""

_LOOK_S = 0.01


async def until(
    condition: Callable[[], T], seconds: float = PATIENCE_S, told: Callable[[], object] = str
) -> T:
    """The first true answer of `condition`; fails with what `told` says when none comes."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"did not come true within {seconds:g} s\n{told()}"
        await asyncio.sleep(_LOOK_S)
    return found


def wait_until(
    condition: Callable[[], T], seconds: float = PATIENCE_S, told: Callable[[], object] = str
) -> T:
    """The same, where there is no loop."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"did not come true within {seconds:g} s\n{told()}"
        time.sleep(_LOOK_S)
    return found


class Beats:
    """How often the loop could do something of this interval, and how late it was at worst.

    A machine that does much else lets a poll come late or not at all. It does so to these beats,
    too: what keeps its rate does so compared with them.

    Args:
        every_s: seconds from one to the next.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self.count = 0
        self.late_s = 0.0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            due = time.monotonic() + self._every_s
            await asyncio.sleep(self._every_s)
            self.count += 1
            self.late_s = max(self.late_s, time.monotonic() - due)
