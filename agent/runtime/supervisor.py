"""Supervision by part: what fails unexpectedly is restarted after a back-off, counted and told.

A part is a coroutine that runs for ever (the uplink, the feeds, the load meter) or a call that is
made again and again (the description of one source, the status document). None of them ends the
agent: it goes on without the part, and status, /healthz and the log say so. Only the engine and the
store stop the process, and they are not run by this.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from agent import clock
from agent.backoff import Backoff
from agent.errors import FieldwardenError, explained

logger = logging.getLogger(__name__)

T = TypeVar("T")

CALM_S = 60.0  # without a failure: the part is well again, and its next wait is short
LOG_EVERY_S = 600.0  # the same failure of the same part again
LONGEST_WAIT_S = 30.0


@dataclass(slots=True)
class _Part:
    """What is known of one part that failed at least once."""

    reason: str = ""
    restarts: int = 0
    failing: bool = False
    since_ns: int = 0  # engine time of the latest failure
    failed_s: float = 0.0  # monotonic, of the same
    logged: tuple[str, float] = ("", 0.0)
    unlogged: int = 0


class Supervisor:
    """Knows every part that failed.

    Args:
        now_ns: engine time.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._parts: dict[str, _Part] = {}

    async def run(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        """Run a part until it ends by itself or is cancelled; started again when it fails.

        `start` is called for each run; cancelling this cancels the part.
        """
        backoff = Backoff(0.5, LONGEST_WAIT_S)
        while True:
            began = _now_s()
            try:
                await start()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                if _now_s() - began > CALM_S:
                    backoff.reset()
                self.failed(name, error)
            else:
                return
            await backoff.wait()
            self.well(name)

    def call(self, name: str, function: Callable[[], T], otherwise: T) -> T:
        """What a call gives; `otherwise` where it fails, which is counted."""
        try:
            found = function()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self.failed(name, error)
            return otherwise
        self.well(name)
        return found

    def failed(self, name: str, error: BaseException) -> None:
        """Note a failure of a part: it stands still until `well`."""
        told = explained(error, "running", name) if isinstance(error, Exception) else error
        part = self._parts.setdefault(name, _Part())
        part.reason = getattr(told, "cause", "") or str(told) or type(error).__name__
        part.restarts += 1
        part.failing, part.since_ns, part.failed_s = True, self._now_ns(), _now_s()
        before, at = part.logged
        if before == part.reason and _now_s() - at < LOG_EVERY_S:
            part.unlogged += 1
            return
        again = f" ({part.unlogged} times more before that)" if part.unlogged else ""
        part.logged, part.unlogged = (part.reason, _now_s()), 0
        foreseen = isinstance(error, FieldwardenError)  # it says all, where and what to do, too
        said = str(error).replace("\n  ", "; ") if foreseen else part.reason
        logger.error("%s failed and is started again: %s%s", name, said, again,
                     exc_info=None if foreseen else error)  # fmt: skip

    def renewed(self, name: str, reason: str) -> None:
        """Note that a part began anew and runs again; whoever renewed it has logged it."""
        part = self._parts.setdefault(name, _Part())
        part.reason, part.restarts = reason, part.restarts + 1
        part.failing, part.since_ns, part.failed_s = False, self._now_ns(), _now_s()

    def well(self, name: str) -> None:
        """Note that a part runs; one that never failed costs nothing."""
        part = self._parts.get(name)
        if part is not None and part.failing:
            part.failing = False

    def report(self) -> list[dict[str, Any]]:
        """``parts`` of the status document: those that failed since the start.

        Each has `name`, `state`, `restarts`, `reason` and `since_ns`, the time of its latest
        failure. The state is ``failing``, ``unsteady`` for a minute after it was started again, or
        ``running``.
        """
        return [
            {
                "name": name, "state": _state(part), "restarts": part.restarts,
                "reason": part.reason, "since_ns": part.since_ns,
            }
            for name, part in sorted(self._parts.items())
        ]


def _state(part: _Part) -> str:
    if part.failing:
        return "failing"
    return "unsteady" if _now_s() - part.failed_s < CALM_S else "running"


def _now_s() -> float:
    return clock.monotonic_ns() / 1e9
