"""How often a model's outputs, labels and mode tag come, as the record has them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent.core.baseline import Pace
from agent.records.table import Table


def paces_of(tables: Iterable[tuple[Table, Iterable[str]]]) -> dict[str, Pace]:
    """By tag, its usual interval and its longest gap; of a tag with one value nothing is known.

    Args:
        tables: each with the names of the columns to look at; others are not there.
    """
    found: dict[str, Pace] = {}
    for table, names in tables:
        for name in names:
            if name not in table.names:
                continue
            steps = table.steps_ns(name)
            if len(steps):
                usual = max(int(np.median(steps)), 1)
                longest = max(int(steps.max()), table.silences_ns.get(name, 0))
                found[name] = Pace(usual, longest - usual)
    return found
