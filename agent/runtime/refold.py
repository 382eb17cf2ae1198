"""The journal's tail folded again at a start: what was told keeps its place, what is new gets one.

The same program, baselines and configuration give the same events again, and the store has them.
Where one of these changed while the agent was dead, an entry may give others; at the same place
(entry, position) they would be taken for what is there, and nobody would be told of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.types import Event


def placed(
    events: Sequence[tuple[int, int, Event]], told: Iterable[Mapping[str, Any]]
) -> tuple[list[tuple[int, int, Event]], int]:
    """(the events at the places where they belong, how many of them are told for the first time).

    Args:
        events: (entry sequence, position, event), as the fold gives them.
        told: the store's events of these entries, as `Reader.events_of` gives them.
    """
    places: dict[str, list[int]] = {}
    free: dict[int, int] = {}
    for row in told:
        sequence, position = int(row["sequence"]), int(row["position"])
        key = _key(sequence, row["kind"], row["time_ns"], row["subject"], row["data"])
        places.setdefault(key, []).append(position)
        free[sequence] = max(free.get(sequence, 0), position + 1)
    found, fresh = [], 0
    for sequence, position, event in events:
        known = places.get(_key(sequence, event.kind, event.time_ns, event.subject, event.data))
        if known:
            found.append((sequence, known.pop(0), event))
        elif sequence in free:
            found.append((sequence, free[sequence], event))
            free[sequence] += 1
            fresh += 1
        else:
            found.append((sequence, position, event))
    return found, fresh


def _key(sequence: int, kind: str, time_ns: int, subject: str, data: Mapping[str, Any]) -> str:
    return json.dumps([sequence, kind, time_ns, subject, data], sort_keys=True, default=dict)
