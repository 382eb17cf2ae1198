"""The state of the engine at a start: the snapshot, and the journal's tail folded behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.core.steward import Steward
from agent.errors import StoreError
from agent.intake import Intake
from agent.runtime.candidates import Candidates
from agent.runtime.refold import left, resumed
from agent.runtime.spoken import renewal_in_words
from agent.runtime.storing import Storing
from agent.runtime.supervisor import Supervisor
from agent.store import Batch, Reader, Store
from agent.types import Block, Entry

_AT_ONCE = 200
_MOST_LEFT_OUT = 10  # entries that could not be folded, at one start


class Starting(Protocol):
    """An agent before it serves."""

    configuration: Configuration
    engine: Steward
    store: Store
    reader: Reader
    supervisor: Supervisor
    storing: Storing
    intake: Intake
    candidates: Candidates
    folding: int

    def fold(self, entries: Sequence[Entry], *, again: bool = False) -> Batch:
        """Fold entries; `folding` is the number of the one in hand."""


def warm_up(spec: EngineSpec) -> None:
    """Fold a few samples through an engine that is thrown away.

    Kernels that are compiled just in time take seconds at their first call; in service that would
    look like a plant that stood still for as long.
    """
    engine = Engine(spec)
    count, second = len(spec.tags), 1_000_000_000
    tag = np.array([item.index for item in spec.tags], np.int32)
    for turn in (1, 2, 3):
        times = np.full(count, turn * second, np.int64)
        engine.step(
            Block(turn, (turn + 1) * second, tag, times, times, np.zeros(count),
                  np.zeros(count, np.uint16))
        )  # fmt: skip
    engine.snapshot()


async def catch_up(agent: Starting, spec: EngineSpec) -> list[dict[str, Any]]:
    """Resume from the snapshot and fold again what was journaled after it.

    Where that fails the journal is folded anew. An entry that fails then, too, is left out, so that
    it does not end every start; returns what to tell of those.

    Raises:
        StoreError: the journal can not be read.
    """
    found = agent.reader.snapshot()
    out: set[int] = set()
    for attempt in range(_MOST_LEFT_OUT + 2):
        agent.engine = Steward(spec)
        if found is not None and attempt != 1:
            # What the journal's tail says nothing about was added while the agent was away.
            store = agent.store
            agent.engine = resumed(spec, found[1], store.last_time_ns, store.last_sequence)
        anew = agent.engine.sequence == 0
        try:
            await _fold_tail(agent, out)
            if anew and (noted := agent.candidates.noted_service()) is not None:
                agent.engine.serve(noted)  # the journal may have lost how that came about
        except StoreError:
            raise
        except Exception as error:
            if attempt == 0 and found is not None:
                left(error)  # it could be resumed, but not used
                continue
            if attempt > _MOST_LEFT_OUT:
                raise
            agent.supervisor.failed("engine", error)
            out.add(agent.folding)
        else:
            agent.supervisor.well("engine")
            break
    return [
        {
            "part": "engine", "count": 1, "unit": "entries",
            "reason": f"entry {sequence} could not be judged, and was left out",
        }
        for sequence in sorted(out)
    ]


def tell_of_last_stop(agent: Starting, left_out: list[dict[str, Any]]) -> None:
    """Put before all else what the last stop, or this start, could not keep."""
    for loss in agent.store.take_losses():  # they are in the journal
        agent.supervisor.renewed("store", renewal_in_words(loss, agent.configuration.store_path))
    if (told := agent.storing.noted()) is not None:
        agent.intake.command("lost", told, on_commit=agent.storing.forget_note)
    for told in left_out:
        agent.intake.command("lost", told)


async def _fold_tail(agent: Starting, out: set[int]) -> None:
    tail: list[Entry] = []
    for entry in agent.reader.journal(agent.engine.sequence + 1):
        if entry.sequence not in out:
            tail.append(entry)
        if len(tail) >= _AT_ONCE:
            await agent.store.commit(agent.fold(tail, again=True))
            tail = []
    await agent.store.commit(agent.fold(tail, again=True))
