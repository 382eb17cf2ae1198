"""What central must have in the end, from what the gateways know that they said. Pure.

A file of JSON lines: of each gateway its runs, streams and latest verdicts, and of each day the
totals of its inputs as [model, tag, day, least, most, *added]; see `content.ADDED`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.core.kernels.tally import BINS
from simulators.fleet.content import ADDED, MODELS, NOTHING, Pool
from simulators.fleet.gateway import Gateway

COLUMNS = ("model", "tag", "day", "min", "max", *ADDED, *(f"bin{i}" for i in range(BINS)))


def truth_of(gateway: Gateway, pool: Pool) -> dict[str, Any]:
    """One gateway's, JSON-ready."""
    numbers: dict[tuple[int, int], list[int]] = {}
    for window in gateway.windows.values():
        numbers.setdefault((window.model, window.day), []).append(window.number)
    return {
        "site": gateway.identity.site, "gateway": gateway.identity.gateway,
        "store": gateway.identity.store, "boot": gateway.outbox.boot,
        "online": gateway.sender.connected,
        "runs": [
            {"boot": boot, "stream": stream, "last": last, "lost": lost, "covered": covered}
            for boot, streams in sorted(gateway.boots().items())
            for stream, (last, lost, covered) in sorted(streams.items())
        ],
        "verdicts": gateway.told,
        "totals": [
            row for (model, day), some in sorted(numbers.items())
            for row in _totals(pool, model, day, some)
        ],
    }  # fmt: skip


def _totals(pool: Pool, model: int, day: int, numbers: list[int]) -> Iterable[list[Any]]:
    kind = MODELS[model]
    added = pool.added[numbers].sum(axis=0)
    least, most = pool.least[numbers].min(axis=0), pool.most[numbers].max(axis=0)
    for at, tag in enumerate(kind.tags):
        low, high = int(least[at]), int(most[at])
        ends = [None, None] if low == NOTHING else [low, high]
        yield [kind.name, tag, day, *ends, *added[at].tolist()]


def write_truth(path: Path, gateways: Iterable[Gateway], pool: Pool) -> None:
    """One line a gateway."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(truth_of(one, pool)) + "\n" for one in gateways)
