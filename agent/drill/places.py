"""Where in a record faults are put: in the part that the baseline was held back from, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.types import Int64

HELD_BACK_FROM = "held_back_from_ns"
"""Key of a baseline's facts: from when on its record was not used for its thresholds."""

SHARE = 0.4
"""Of a record that was trained on as a whole, the last part in which faults are put."""


@dataclass(frozen=True, slots=True)
class Places:
    """Faults begin at row `first` or later; `text` says what part of the record that is."""

    first: int
    text: str


def places(facts: Mapping[str, Any], time_ns: Int64, least: int) -> Places:
    """The part of a record in which faults are put.

    1. What comes after the record that the baseline was fitted on, or after the part of it that
       the fit used, by its facts: nothing there is known to the baseline.
    2. Where that is too short, the last 40 % of the record.

    Args:
        facts: of the baseline.
        time_ns: int64[n] of the record.
        least: rows that there must be.
    """
    known_until = facts.get(HELD_BACK_FROM) or int(facts.get("to_ns") or 0) + 1
    first = int(np.searchsorted(time_ns, int(known_until), side="left"))
    rows = len(time_ns)
    if known_until > 1 and rows - first >= least:
        share = f"the last {(rows - first) / rows:.0%}" if first else "all"
        return Places(first, f"faults are in {share} of the record, which the baseline never saw")
    began, ended = int(facts.get("from_ns") or 0), int(facts.get("to_ns") or 0)
    if not (time_ns[0] <= ended and began <= time_ns[-1]):
        seen = "never saw" if ended else "does not say to have seen"
        return Places(0, f"faults are in all of the record, which the baseline {seen}")
    first = max(0, min(int(rows * (1.0 - SHARE)), rows - least))
    share = f"the last {(rows - first) / rows:.0%}" if first else "all"
    return Places(
        first, f"faults are in {share} of the record, which the baseline was fitted on too: "
        "new data find a little less, and raise more false alarms",
    )  # fmt: skip
