"""Looks after trials: has them judged when their time is over, and notes what serves.

What is due follows from the fold; that it is due is journaled, so that a trial ends at an entry,
the same in every replay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from agent.core.steward import Steward
from agent.intake import Intake
from agent.mqtt.background import in_thread
from agent.runtime.candidates import Candidates

logger = logging.getLogger(__name__)

_LOOK_S: Final = 1.0


class Tried(Protocol):
    """What is looked after. A reload replaces the engine, so it is asked for each time."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def candidates(self) -> Candidates:
        """Copies of baselines."""

    intake: Intake


class TrialWatch:
    """Looks once a second.

    Args:
        agent: that runs.
    """

    def __init__(self, agent: Tried) -> None:
        self._agent = agent
        self._told: set[tuple[str, str]] = set()
        self._noted: Mapping[str, Any] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        candidates = self._agent.candidates
        await in_thread(partial(candidates.forget, needed(self._agent.engine)), "candidates")
        while True:
            self._tell()
            service = self._agent.engine.service.to_json()
            if service != self._noted:
                await in_thread(partial(candidates.note_service, service), "what serves")
                self._noted = service
            await asyncio.sleep(_LOOK_S)

    def _tell(self) -> None:
        """Journal what is due; once, however long it takes to be folded."""
        engine, due = self._agent.engine, set[tuple[str, str]]()
        for data in engine.due():
            key = (str(data["trial"]), engine.trials[data["model"]].state)
            due.add(key)
            if key not in self._told and not self._agent.intake.command("trial_judged", data):
                due.discard(key)
        for one in engine.dropped:
            key = (one.model, one.served.digest)
            due.add(key)
            if key in self._told:
                continue
            logger.error("model %s: version %s serves no more: %s", one.model, one.served.version,
                         one.text)  # fmt: skip
            data = {
                "model": one.model, "version": one.served.version, "digest": one.served.digest,
                "trial": one.served.trial, "reason": one.text,
            }  # fmt: skip
            if not self._agent.intake.command("superseded", data):
                due.discard(key)
        self._told = due


def needed(engine: Steward) -> frozenset[str]:
    """The digests of baselines that serve, may serve again, or are tried."""
    served = (one.digest for found in engine.service.of.values() for one in found.served)
    tried = (one.digest for one in engine.trials.values())
    return frozenset((*served, *tried))
