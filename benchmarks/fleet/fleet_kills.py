"""Who is killed while the load runs, and when."""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleet_stand import Stand

WORKER_S, BROKER_S = (15.0, 45.0), (80.0, 160.0)  # from one kill to the next


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Kills:
    """When who is killed next, from a seed.

    Args:
        stand: whose.
        seed: of the times.
        share: of the usual pauses; 0: nobody is killed.
    """

    def __init__(self, stand: Stand, seed: int, share: float) -> None:
        self._stand, self._rng, self._share = stand, random.Random(seed), share
        self.count = {"worker": 0, "broker": 0}
        now = time.monotonic()
        self._next = {"worker": now + self._pause(WORKER_S), "broker": now + self._pause(BROKER_S)}

    def _pause(self, between: tuple[float, float]) -> float:
        return self._rng.uniform(*between) * self._share if self._share else 1e9

    def turn(self) -> None:
        """Kill whoever is due."""
        now = time.monotonic()
        if now > self._next["worker"]:
            self._next["worker"] = now + self._pause(WORKER_S)
            self.count["worker"] += 1
            say("a worker is killed")
            self._stand.kill_worker(self._rng.choice)
        if now > self._next["broker"]:
            self._next["broker"] = now + self._pause(BROKER_S)
            self.count["broker"] += 1
            say("the broker is killed")
            self._stand.kill_broker()
