"""Assessments of changes: one at a time, each in a niced process, the result journaled.

Whoever runs the agent is asked for nothing: a change that waits for a decision is assessed by
itself, once what is known of it has been the same for a while. Invariants:
- the agent's loop only starts the process and reads a line of it now and then;
- a change that is another by now, or is over, is not assessed any further; with the agent its
  process ends;
- one that failed is told, and tried again only where the change is another.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from agent.clock import monotonic_ns
from agent.configuration.schema import Configuration
from agent.core import change as life
from agent.core.change import Change
from agent.core.steward import Steward
from agent.errors import FieldwardenError
from agent.impact.process import assess
from agent.impact.replay import Progress
from agent.impact.task import Task, task_of
from agent.impact.words import span_text

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
SETTLED_S: Final = 5.0
"""A change that came of several messages is one only after the last of them."""

AGAIN_S: Final = 900.0
"""Where a change says nothing of values, held samples do; after so long there are some."""

Assess = Callable[[Configuration, Task, Callable[[Progress], None]], Coroutine[Any, Any, Any]]


class Deciding(Protocol):
    """What journals a command on changes: see `agent.runtime.governance`."""

    def decide(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Whether it was taken."""


class Assessing(Protocol):
    """The agent, as far as its changes are assessed."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def governance(self) -> Deciding:
        """Takes what came of it."""


@dataclass(slots=True)
class _Known:
    """What is known of a change: as what it was seen, since when, and what came of it.

    `again_s` is when it is to be assessed once more; 0.0: not by itself.
    """

    seen: str
    since_s: float
    done: bool = False
    failed: str = ""
    again_s: float = 0.0


@dataclass(slots=True)
class _Running:
    """The assessment in hand."""

    change: str
    seen: str
    since_ns: int
    task: asyncio.Task[dict[str, Any]]
    progress: Progress


class Assessments:
    """The queue, and the one that runs.

    Args:
        agent: that runs.
        how: does one; a process of its own unless a test says otherwise.
        settled_s: how long what is known of a change must have been the same.
    """

    def __init__(
        self, agent: Assessing, how: Assess = assess, settled_s: float = SETTLED_S
    ) -> None:
        self._agent, self._how, self._settled_s = agent, how, settled_s
        self._known: dict[str, _Known] = {}
        self._running: _Running | None = None

    @property
    def parts(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What is to be run beside everything else."""
        return {"assessments": self.run}

    async def run(self) -> None:
        """Assess what waits for it, until cancelled."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            await self._end()

    async def look(self) -> None:
        """Take note of what there is; begin, end, or take the result of one."""
        waiting = self._waiting()
        if self._running is None:
            if waiting:
                self._begin(waiting[0])
            return
        running = self._running
        if running.task.done():
            self._running = None
            self._take(running)
        elif self._as_it_was(running.change) != running.seen:
            await self._end()

    # --- what waits -------------------------------------------------------------------------------

    def _waiting(self) -> list[Change]:
        """Changes that are to be assessed, the oldest first."""
        changes = self._agent.engine.judge.changes.known
        for gone in self._known.keys() - changes.keys():
            del self._known[gone]
        now_s = monotonic_ns() / 1e9
        found = []
        for one in changes.values():
            if one.state not in life.UNDECIDED:
                continue
            seen = _seen(one)
            known = self._known.get(one.id)
            if known is None:
                done = one.assessment is not None  # of an earlier run
                known = self._known[one.id] = _Known(seen, now_s, done)
            elif known.seen != seen:
                known = self._known[one.id] = _Known(seen, now_s)
            again = 0.0 < known.again_s <= now_s
            settled = now_s - known.since_s >= self._settled_s
            if again or (not known.done and not known.failed and settled):
                found.append(one)
        return found

    def _as_it_was(self, name: str) -> str:
        one = self._agent.engine.judge.changes.known.get(name)
        return _seen(one) if one is not None and one.state in life.UNDECIDED else ""

    # --- one --------------------------------------------------------------------------------------

    def _begin(self, one: Change) -> None:
        self._known[one.id].again_s = 0.0
        task = task_of(one.to_json())
        work = self._how(self._agent.configuration, task, self._told)
        self._running = _Running(
            one.id, _seen(one), self._agent.engine.time_ns, asyncio.create_task(work),
            Progress(0.0, None),
        )
        logger.info("assessing change %s", one.id)

    def _told(self, progress: Progress) -> None:
        if self._running is not None:
            self._running.progress = progress

    def _take(self, running: _Running) -> None:
        """Journal what came of one."""
        known = self._known.get(running.change)
        try:
            found = running.task.result()
        except FieldwardenError as error:
            logger.error("%s", error)
            if known is not None:
                known.failed = error.cause
            return
        if known is None or known.seen != running.seen:
            return
        known.done = True
        one = self._agent.engine.judge.changes.known.get(running.change)
        if one is not None and one.holds and found["basis"] != "held samples" and found["notes"]:
            known.again_s = monotonic_ns() / 1e9 + AGAIN_S
        data = {"change": running.change, "assessment": found}
        self._agent.governance.decide("assessed", data)
        logger.info("change %s: %s", running.change, found["text"])

    async def _end(self) -> None:
        """Give up the one that runs."""
        running, self._running = self._running, None
        if running is not None:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    # --- looking in -------------------------------------------------------------------------------

    def shown(self) -> dict[str, dict[str, Any]]:
        """By change how far its assessment is (`progress` from 0 to 1), or why there is none."""
        found = {
            name: {"progress": 0.0, "since_ns": 0, "text": f"it can not be assessed: {one.failed}"}
            for name, one in self._known.items() if one.failed
        }
        running = self._running
        if running is not None:
            left_s = running.progress.left_s
            left = f"; about {span_text(round(left_s * 1e9))} left" if left_s is not None else ""
            found[running.change] = {
                "progress": round(running.progress.done, 3), "since_ns": running.since_ns,
                "text": f"the last days are replayed with it{left}",
            }  # fmt: skip
        return found


def _seen(one: Change) -> str:
    """All of a change that an assessment depends on, as text."""
    return json.dumps(
        [one.differences, one.document, one.suggested, sorted(one.tags), one.hold == life.HELD],
        sort_keys=True, default=str,
    )  # fmt: skip
