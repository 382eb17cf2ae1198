"""The last state taken up again at a start: the snapshot, then the journal's tail folded again.

No snapshot keeps the agent from starting: one that can not be resumed is left, and the whole
journal is folded instead.

What was told keeps its place, what is new gets one. The same program, baselines and configuration
give the same events again, and the store has them. Where one of these changed while the agent was
dead, an entry may give others; at the same place (entry, position) they would be taken for what is
there, and nobody would be told of them. An event of which a newer program tells more facts is still
the same event.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.core.spec import EngineSpec
from agent.core.steward import Steward
from agent.errors import StoreError, explained
from agent.types import Event

logger = logging.getLogger(__name__)

_Key = tuple[int, str, int, str]  # entry, kind, time in ns, subject


def resumed(spec: EngineSpec, snapshot: bytes, watch_from_ns: int, last: int) -> Steward:
    """An engine with a snapshot's state; a new one where it can not be resumed.

    Args:
        spec: what is guarded now.
        snapshot: as `Engine.snapshot` gave it, perhaps of another configuration or version.
        watch_from_ns: see `Engine.resume`.
        last: sequence of the journal's last entry; no snapshot of this store can be ahead of it.
    """
    engine = Steward(spec)
    try:
        events = engine.resume(snapshot, watch_from_ns)
        if engine.sequence > last:
            cause = f"it is of entry {engine.sequence}, the journal ends with {last}"
            raise StoreError("resuming from the snapshot", "engine state", cause)
    except Exception as error:  # noqa: BLE001 - whatever it is, the plant is to be guarded
        left(error)
        return Steward(spec)  # the other may have taken half of the state
    for event in events:
        logger.warning("warming up again: %s", event.data["part"])
    return engine


def left(error: Exception) -> None:
    """Log why the snapshot was left."""
    told = explained(error, "resuming from the snapshot", "engine state")
    logger.error("%s\n  the state starts anew from the journal", told,
                 exc_info=None if told is error else error)


def placed(
    events: Sequence[tuple[int, int, Event]], told: Iterable[Mapping[str, Any]]
) -> tuple[list[tuple[int, int, Event]], int]:
    """(the events at the places where they belong, how many of them are told for the first time).

    Args:
        events: (entry sequence, position, event), as the fold gives them.
        told: the store's events of these entries, as `Reader.events_of` gives them.
    """
    places: dict[_Key, list[tuple[int, dict[str, str]]]] = {}
    free: dict[int, int] = {}
    for row in told:
        sequence, position = int(row["sequence"]), int(row["position"])
        key = (sequence, row["kind"], row["time_ns"], row["subject"])
        places.setdefault(key, []).append((position, _plain(row["data"])))
        free[sequence] = max(free.get(sequence, 0), position + 1)
    found, fresh = [], 0
    for sequence, position, event in events:
        known = places.get((sequence, event.kind, event.time_ns, event.subject), [])
        facts = _plain(event.data)
        same = [place for place in known if place[1].items() <= facts.items()]
        if same:
            place = max(same, key=lambda one: len(one[1]))
            known.remove(place)
            found.append((sequence, place[0], event))
        elif sequence in free:
            found.append((sequence, free[sequence], event))
            free[sequence] += 1
            fresh += 1
        else:
            found.append((sequence, position, event))
    return found, fresh


def _plain(data: Mapping[str, Any]) -> dict[str, str]:
    """Each fact as the text that the store holds of it."""
    return {name: json.dumps(fact, sort_keys=True, default=dict) for name, fact in data.items()}
