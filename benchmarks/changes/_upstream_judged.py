"""What an agent made of a change, beside what it must have made of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from _upstream_plants import SCAN_S
from _upstream_table import Change

from agent.types import NOT_USABLE, Quality

SCANS: Final = 30
"""In which a change that only values show must be found."""

POINTS: Final = 2.0
"""By how many points the share of scans with another verdict may be off."""

_MARGIN_NS: Final = 50_000_000
"""A row lies so far before the one that follows it at least: its samples are none of that."""

_SCAN_NS: Final = round(SCAN_S * 1e9)
_GONE: Final = {"ended", "rejected", "expired"}
Samples = tuple[np.ndarray, np.ndarray, np.ndarray]
Document = Mapping[str, Any]


@dataclass
class Judged:
    """What was found; `why` has a sentence for each thing that is not as it must be.

    Attributes:
        held: as a breaking change must be; None of another.
        falsely_held: something was held, or said to break, that does not.
        impact: the models, versions and owners are those that are touched; None of one that
            touches none and was not told.
        scans: until it was told, in scans of the models; None where it was not.
    """

    change: Change
    held: bool | None
    falsely_held: bool
    impact: bool | None
    scans: float | None
    why: list[str]

    def to_json(self) -> dict[str, Any]:
        """A line of the output."""
        return {
            "change": self.change.name, "protocol": self.change.protocol,
            "grade": self.change.grade, "by": self.change.by, "held_in_time": self.held,
            "falsely_held": self.falsely_held, "impact_exact": self.impact, "scans": self.scans,
            "why": self.why,
        }  # fmt: skip


def judged(
    change: Change, at_ns: int, samples: Mapping[str, Samples], told: Sequence[Document]
) -> Judged:
    """Judge one.

    Args:
        change: that was made.
        at_ns: wall ns of the first row that was served changed.
        samples: tag -> (source_ns, value, quality) of all that was journaled.
        told: the changes that the agent told of, as in its status document.
    """
    why: list[str] = []
    told = [one for one in told if one["how"] != "proposed" and one["state"] != "announced"]
    breaking = [one for one in told if one["grade"] == "breaking"]
    if change.grade != "breaking":
        marked = _marked(samples)
        if breaking:
            why.append(f"said to break: {'; '.join(one['text'] for one in breaking)[:200]}")
        if marked:
            why.append(f"held: {', '.join(marked)}")
        return Judged(change, None, bool(why), _impact(change, told, why), None, why)
    early = [one for one in breaking if one["found_ns"] < at_ns - _MARGIN_NS]
    if early:
        why.append(f"told before anything changed: {early[0]['text'][:120]}")
    scans = min((max(0.0, (one["found_ns"] - at_ns) / _SCAN_NS) for one in breaking), default=None)
    held = _in_values(scans, why) if change.by == "values" else _held(change, at_ns, samples, why)
    if change.by == "protocol" and not breaking:
        why.append("no change that breaks was told")
        held = False
    if early:
        held = False
    rounded = None if scans is None else round(scans, 1)
    return Judged(change, held, False, _impact(change, breaking, why), rounded, why)


def _in_values(scans: float | None, why: list[str]) -> bool:
    if scans is None:
        why.append("not found in the values")
        return False
    if scans > SCANS:
        why.append(f"found after {scans:.1f} scans")
    return scans <= SCANS


def _held(
    change: Change, at_ns: int, samples: Mapping[str, Samples], why: list[str]
) -> bool:
    """Whether no changed sample of a touched tag counts that is not marked."""
    counted = 0
    for tag in change.tags:
        source_ns, value, quality = samples.get(tag, _NONE)
        after = source_ns >= at_ns - _MARGIN_NS
        usable = after & np.isfinite(value) & (quality.astype(np.int64) & int(NOT_USABLE) == 0)
        if usable.any():
            count, first = int(usable.sum()), (int(source_ns[usable][0]) - at_ns) / 1e6
            counted += count
            why.append(f"{tag}: {count} changed samples count, the first at {first:.0f} ms")
    return counted == 0


_NONE: Final = (np.zeros(0), np.zeros(0), np.zeros(0))


def _marked(samples: Mapping[str, Samples]) -> list[str]:
    """Tags with a sample that was held."""
    broken = int(Quality.CONTRACT_BROKEN)
    return sorted(
        tag for tag, (_, _, quality) in samples.items()
        if (quality.astype(np.int64) & broken).any()
    )  # fmt: skip


def models_in(told: Iterable[Document]) -> set[tuple[str, str, str]]:
    """(name, version, owner) of all models that changes name."""
    return {
        (model["name"], model["version"], model["owner"]) for one in told for model in one["models"]
    }


def _impact(change: Change, told: Sequence[Document], why: list[str]) -> bool | None:
    """Whether those named are those touched; what does not break touches none that it names."""
    if change.grade != "breaking":
        return None
    found = models_in(told)
    if found == change.touched:
        return True
    for text, some in (("not named", change.touched - found), ("named", found - change.touched)):
        if some:
            why.append(f"models {text}: {', '.join(sorted(one[0] for one in some))}")
    return False


@dataclass
class Assessed:
    """A proposal's replay, beside what came: share of scans whose verdict is another, 0 to 1."""

    name: str
    told: dict[str, float]
    came: dict[str, float]
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """A line of the output."""
        return {"proposed": self.name, "told": self.told, "came": self.came,
                "agreed": self.agreed, "why": self.why}  # fmt: skip

    @property
    def agreed(self) -> bool:
        """Of every model within `POINTS`."""
        return bool(self.told) and self.told.keys() == self.came.keys() and all(
            abs(self.told[name] - self.came[name]) * 100 <= POINTS for name in self.told
        )


def changed_share(
    verdicts: Sequence[tuple[int, str]], beside: Sequence[tuple[int, str]], from_ns: int,
    to_ns: int, beside_from_ns: int,
) -> float:  # fmt: skip
    """Share of scans of a span in which a verdict is another than in one as long beside it.

    Args:
        verdicts: (time_ns, verdict) as they changed, in order.
        beside: likewise.
        from_ns: begin of the span.
        to_ns: its end.
        beside_from_ns: begin of the other.
    """
    count = max(1, (to_ns - from_ns) // _SCAN_NS)
    steps = np.arange(count) * _SCAN_NS
    mine, other = _at(verdicts, from_ns + steps), _at(beside, beside_from_ns + steps)
    return float(np.mean([one != two for one, two in zip(mine, other, strict=True)]))


def _at(verdicts: Sequence[tuple[int, str]], times: np.ndarray) -> list[str]:
    begins = np.array([at for at, _ in verdicts])
    return [
        verdicts[at][1] if at >= 0 else ""
        for at in np.searchsorted(begins, times, side="right") - 1
    ]


def summary(rows: Sequence[Judged], assessed: Sequence[Assessed] = ()) -> dict[str, Any]:
    """The line at the end."""
    breaking = [one for one in rows if one.change.grade == "breaking"]
    shown = [one for one in breaking if one.change.by == "protocol"]
    values = [one for one in breaking if one.change.by == "values"]
    same = [one for one in rows if one.change.grade != "breaking"]
    return {
        "suite": "changes", "n": len(rows), "breaking": len(breaking),
        "held_in_time": sum(bool(one.held) for one in breaking),
        "by_protocol": len(shown), "held_by_protocol": sum(bool(one.held) for one in shown),
        "in_values": len(values), "found_in_values": sum(bool(one.held) for one in values),
        "compatible": len(same), "falsely_held": sum(one.falsely_held for one in same),
        "impact": len(breaking), "impact_exact": sum(bool(one.impact) for one in breaking),
        "assessed": len(assessed), "assessment_agreed": sum(one.agreed for one in assessed),
    }  # fmt: skip


def passes(told: Mapping[str, Any]) -> bool:
    """Whether a line is as good as it must be."""
    return bool(
        told["held_by_protocol"] == told["by_protocol"]
        and told["found_in_values"] >= 0.95 * told["in_values"]
        and told["falsely_held"] == 0
        and told["impact_exact"] == told["impact"]
        and told["assessment_agreed"] == told["assessed"]
    )
