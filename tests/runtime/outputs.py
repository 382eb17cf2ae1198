"""A configuration with outputs, labels and a mode tag, and samples of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from agent.configuration.schema import Configuration
from agent.types import Block
from tests.core.small import SECOND, START

TAGS = ("a", "b", "c", "y", "lab", "grade", "idle")


def configured(scan: str = "1s", **more: dict[str, Any]) -> Configuration:
    """Model m of a, b and c gives y, of which lab is the truth; `more` is said of tags."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {
            name: {"source": "s", "address": f"{name} /v"} | more.get(name, {}) for name in TAGS
        },
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": scan, "inputs": ["a", "b", "c"], "outputs": ["y"],
            "labels": [{"tag": "lab", "of": "y", "within": "1h"}], "mode": {"tag": "grade"},
        }},
    })  # fmt: skip


def rows_of(seconds: int, *, y_every: int, y_until: int = 1 << 30) -> Iterator[Block]:
    """A block a minute: inputs and idle every second, y and grade every so many."""
    rng = np.random.default_rng(3)
    for number, first in enumerate(range(0, seconds, 60)):
        rows = []
        for second in range(first, min(first + 60, seconds)):
            own = [1, 2, 3, 7] + ([6] if second % y_every == 0 else [])
            own += [4] if second % y_every == 0 and second < y_until else []
            rows += [(second, tag, 1.0 if tag == 6 else rng.standard_normal()) for tag in own]
        times = START + np.array([row[0] for row in rows], np.int64) * SECOND
        yield Block(
            number + 1, START + min(first + 60, seconds) * SECOND,
            np.array([row[1] for row in rows], np.int32), times.copy(), times,
            np.array([row[2] for row in rows]), np.zeros(len(rows), np.uint16),
        )
