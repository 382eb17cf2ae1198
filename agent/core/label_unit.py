"""Whether a truth comes in another unit than in training: degF for degC, a power of ten, the sign.

No chart of losses may move by such a one: it says nothing of the model. Told from a truth that
moved by what a change makes of it: it lies farther outside of the record's range than that is wide,
and as near to the prediction as truths of the record once the change is undone.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.conversions import Change
from agent.core.label_watch import LabelReference, is_far

_NEAR = 6.0  # mean errors in training that a truth, put back, may be off its prediction


def thought_of(changes: Iterable[Change], unit: str) -> tuple[Change, ...]:
    """The changes that a truth of a unit may come by; all units' where its own is not known."""
    known = tuple(changes)
    own = tuple(one for one in known if one.old in {"", unit})
    return own if any(one.old for one in own) else known


def other_unit(
    truth: float, prediction: float, error: float, reference: LabelReference,
    changes: Iterable[Change],
) -> Change | None:
    """The change that explains a truth best; None where it needs none, or none does.

    Args:
        truth: as it came.
        prediction: what the model said, in the trained unit.
        error: mean absolute error in training.
        reference: what truths of the record were like.
        changes: those that are thought of.
    """
    if not is_far(reference, truth):
        return None
    off = {
        abs((truth - one.offset) / one.gain - prediction): one for one in changes if one.gain
    }
    nearest = min(off, default=float("inf"))
    return off[nearest] if nearest <= _NEAR * error else None
