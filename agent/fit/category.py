"""State tags in a training record: which columns are one, their states and changes of state.

A column is a state tag where its values are few whole numbers that come back again and again: 0 and
1 alone, or 2 to 16 codes, each stayed in for some samples, among which it jumps. A coarse
measurement has few values too, but climbs from one to the next: it stays a measurement, for its
next unseen value is a matter of time, and the calibrated charts allow for that.

A state tag is judged by `kernels.category` alone. The other detectors are off, because

- range: its limits are tails of a continuous distribution; a code next to a trained one is new;
- stuck: a state may rightly last for hours, and how long is the plant's business;
- spike, rate: every change of state is a jump;
- level, drift: the mean of codes is the share of time in each, which follows production;
- noise: there is none but the changes.

What a record has not shown may still be normal. Good (1953): the chance that the next visit, or
change, is of a kind not yet seen is about the share of kinds that were seen once; where some were
seen rarely, others were not seen at all. So, to keep the budget, unseen states are judged only
after `ENOUGH` visits with each state visited at least `OFTEN` times (0 and 1 are all that a switch
has: there three visits do), and changes only after `ENOUGH` of them with each kind seen at least
`OFTEN` times. Nothing can be extrapolated beyond that. Measured on random machines, in a service as
long as the record: 0.2 false alarms a tag at most; 1.9 if kinds seen twice were often enough.
So these findings are of unknown cause, and ask for caution only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from agent.core.delays import flag_hold
from agent.core.kernels import category
from agent.fit.record import Record
from agent.types import Float64, Int64

ENOUGH = 30
OFTEN = 5
_GAP = 1.5
_LARGEST = 65_535  # a code, not a count
_VISITS_EACH = 3
_DWELL = 4.0  # samples a visit; noise on a coarse instrument does not stay
_JUMPS = 0.05  # share of changes that pass a value by; below it, it climbs like a measurement
_ALL = (1 << category.MOST) - 1


class Scaled(Protocol):
    """How a column is standardised."""

    @property
    def centre(self) -> float:
        """In the tag's unit."""

    @property
    def scale(self) -> float:
        """In the tag's unit."""


@dataclass(frozen=True, slots=True)
class States:
    """The states of one column.

    Attributes:
        codes: float64[k], increasing, in the tag's unit.
        visits: int64[k], stays in each state.
        changes: int64[k, k], how often the record goes from one to another without a gap.
    """

    codes: Float64
    visits: Int64
    changes: Int64


def read_states(record: Record, *, sure: bool = False) -> States | None:
    """The states of a state tag; None where the column is a measurement.

    `sure`: a person says that it is a state tag; None where it holds no few whole codes.
    """
    raw = record.z * record.scale + record.centre
    if (record.constant and not sure) or np.abs(raw).max() > _LARGEST:
        return None
    whole = np.round(raw)
    codes, which = np.unique(whole, return_inverse=True)
    if np.abs(raw - whole).max() > 1e-6 or not (1 if sure else 2) <= len(codes) <= category.MOST:
        return None
    moved = np.flatnonzero(np.diff(which)) + 1
    visits = np.bincount(which[np.append(0, moved)], minlength=len(codes))
    changes = np.zeros((len(codes), len(codes)), np.int64)
    seen = moved[record.joined[moved]]
    np.add.at(changes, (which[seen - 1], which[seen]), 1)
    states = States(codes, visits, changes)
    return states if sure or _is_state_tag(states, len(raw)) else None


def _is_switch(states: States) -> bool:
    return len(states.codes) == 2 and states.codes[0] == 0.0 and states.codes[1] == 1.0


def _is_state_tag(states: States, samples: int) -> bool:
    if _is_switch(states):
        return bool(states.visits.min() >= 1 and states.visits.sum() >= _VISITS_EACH)
    total, k = int(states.visits.sum()), len(states.codes)
    if total < _VISITS_EACH * k or samples < _DWELL * total:
        return False
    if k == 2:
        # Two neighbours far from 0 are a measurement's last digit rather than two states.
        return bool(states.codes[1] - states.codes[0] > 1.0 or np.abs(states.codes).max() <= 2.0)
    apart = np.abs(np.arange(k)[:, None] - np.arange(k)[None, :])
    jumps = int(states.changes[apart > 1].sum())
    return jumps >= 2 and jumps >= _JUMPS * int(states.changes.sum())


def fit_category(
    states: States, record: Scaled, interval_ns: int, *, sure: bool = False
) -> tuple[dict[str, Any], str, str]:
    """(parameters of `kernels.category`, text of the threshold, note for a person).

    `sure`: a person says that it is a state tag; then few visits of a state are enough to know it.
    """
    known = ", ".join(f"{code:g}" for code in states.codes)
    total = int(states.visits.sum())
    sure = sure or _is_switch(states) or (total >= ENOUGH and bool(states.visits.min() >= OFTEN))
    if not sure:
        note = (
            f"a state tag ({known}) with {total} visits, {states.visits.min()} of the rarest: too"
            " few to say that no other state is normal; only its arrival is judged"
        )
        return dict(category.DEFAULTS), "off", note
    following = _following(states)
    judged = any(bits != _ALL for bits in following)
    pad = category.MOST - len(states.codes)
    parameters = {
        "count": len(states.codes),
        "tolerance": category.NEAR / record.scale,
        "hold": flag_hold(interval_ns),
        "gap_ns": int(_GAP * interval_ns),
        "values": [float(z) for z in (states.codes - record.centre) / record.scale] + [0.0] * pad,
        "next": following + [_ALL] * pad,
    }
    text = f"states {known}" + ("; changes" if judged else "")
    return parameters, text, f"a state tag ({known}): judged by its states alone"


def _following(states: States) -> list[int]:
    """Per state, the trained successors as bits; all bits where that can not be judged."""
    seen = states.changes[states.changes > 0]
    if seen.sum() < ENOUGH or seen.min() < OFTEN:
        return [_ALL] * len(states.codes)
    return [
        sum(1 << int(k) for k in np.flatnonzero(row)) if row.any() else _ALL
        for row in states.changes
    ]
