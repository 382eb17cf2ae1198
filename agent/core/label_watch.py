"""The label stream's own watch: whether truths come, and look, as those of the record did.

A laboratory that repeats its last result, rounds, mixes up samples or falls behind makes a model
look better or worse than it is. What is seen is said beside the losses. Numbers that repeat one
value are no measurements: their losses are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Final

KEPT: Final = 16
"""Latest truths that are looked at."""

_FEWEST: Final = 8
_REPEATED: Final = 2
"""Times the longest run of one value in the record from which a stream is called stuck."""

_SLOWER: Final = 3.0
"""Times the record's time between two truths from which they are called slower."""

_BEYOND: Final = 0.1
"""Of the width of the record's range: what lies so far outside of it is out of range."""

_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class LabelReference:
    """What truths of the record looked like.

    Attributes:
        low, high: their range.
        run: the most of one value, one after another.
        decimals: that most of them have.
        every_ns: from one to the next, in the middle of all.
    """

    low: float
    high: float
    run: int
    decimals: int
    every_ns: int

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelReference:
        """What `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        try:
            found = cls(
                float(data["low"]), float(data["high"]), int(data["run"]), int(data["decimals"]),
                int(data["every_ns"]),
            )  # fmt: skip
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"reference of labels: {type(error).__name__}: {error}") from None
        if not (isfinite(found.low) and isfinite(found.high) and found.low <= found.high):
            raise ValueError("reference of labels: its range is none")
        if found.run < 1 or found.every_ns < 1 or not 0 <= found.decimals <= _DECIMALS:
            raise ValueError("reference of labels: a figure out of its range")
        return found


def decimals_of(value: float) -> int:
    """How many decimals a number has, as people write it; at most 9."""
    for count in range(_DECIMALS):
        scaled = value * 10.0**count
        if abs(scaled - round(scaled)) <= 1e-9 * max(abs(scaled), 1.0):
            return count
    return _DECIMALS


def reference_of(times_ns: Sequence[int], truths: Sequence[float]) -> LabelReference:
    """What the truths of a record looked like, at least two of them."""
    longest = run = 1
    for before, value in pairwise(truths):
        run = run + 1 if value == before else 1
        longest = max(longest, run)
    steps = sorted(b - a for a, b in pairwise(times_ns))
    decimals = sorted(map(decimals_of, truths))
    return LabelReference(
        min(truths), max(truths), longest, decimals[len(decimals) // 2],
        max(steps[len(steps) // 2], 1),
    )  # fmt: skip


def repeats(reference: LabelReference, same: int) -> bool:
    """Whether so many equal truths in a row are more than a stream that works has."""
    return same > max(_REPEATED * reference.run, _FEWEST // 2)


def is_far(reference: LabelReference, truth: float) -> bool:
    """Whether a truth lies farther outside of the record's range than that is wide."""
    width = reference.high - reference.low
    return not reference.low - width <= truth <= reference.high + width


def stands_off(
    reference: LabelReference, truth: float, latest: Sequence[Sequence[float]]
) -> bool:
    """Whether a truth is no measurement: it is far, and a quarter of the latest or more are not.

    A laboratory writes 0 for "not done", or slips by a digit, now and then; what a plant does to
    its truth it does to all of them.
    """
    if reference.low == reference.high:  # nobody knows how far it may go
        return False
    far = sum(is_far(reference, float(value)) for _, value in latest)
    return is_far(reference, truth) and 4 * far <= 3 * max(len(latest), _FEWEST)


def remarks(
    reference: LabelReference, tag: str, latest: Sequence[Sequence[float]], same: int, *,
    of_classes: bool,
) -> list[str]:
    """What is odd about the latest truths, in sentences.

    Args:
        reference: of the record.
        tag: that brings them.
        latest: [arrival in ns, value] of the latest, at most `KEPT`, oldest first.
        same: how many came of the latest value, one after another.
        of_classes: whether they are classes, and no numbers.
    """
    found = []
    if repeats(reference, same):
        found.append(
            f"{tag} repeats one value: {same} in a row, in training at most {reference.run}"
        )
    if len(latest) >= _FEWEST:
        every_ns = (latest[-1][0] - latest[0][0]) / (len(latest) - 1)
        if every_ns > _SLOWER * reference.every_ns:
            found.append(
                f"{tag} is slower than usual: one in {every_ns / 1e9:.3g} s, in training one in "
                f"{reference.every_ns / 1e9:.3g} s"
            )
    values = [float(value) for _, value in latest]
    if of_classes or not values:
        return found
    most = max(map(decimals_of, values))
    if len(values) >= _FEWEST and most < reference.decimals:
        found.append(
            f"{tag} is rounded: {most} decimals, in training {reference.decimals}"
        )
    margin = _BEYOND * (reference.high - reference.low)
    outside = [v for v in values if not reference.low - margin <= v <= reference.high + margin]
    if outside:
        apart = any(stands_off(reference, value, latest) for value in outside)
        found.append(
            f"{tag} is out of the range that it had in training: {outside[-1]:.5g}, trained "
            f"{reference.low:.5g} to {reference.high:.5g}"
            + ("; such single ones are left out" if apart else "")
        )
    return found
