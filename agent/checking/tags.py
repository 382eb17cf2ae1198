"""What `fieldwarden check` says of each tag, from what its source gave at one try.

That a source answered says nothing of a tag: here the value itself is held against the unit, the
physical range and what the models were trained on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from agent.checking.item import Item
from agent.configuration.schema import Tag
from agent.core.baseline import Baseline
from agent.sources import TagProbe
from agent.sources.base import some_of
from agent.types import Quality

Span = tuple[float, float]
_REFUSALS = Quality.ADDRESS_REFUSED | Quality.WRONG_TYPE | Quality.NOT_AUTHORISED
_ORDINARY = (1e-3, 1e6)
"""Sizes that a measured value has; without any range, far from them is held to be misread."""

_AHEAD_S = 5.0
_WORDS = {
    Quality.COMMUNICATION_LOST: "no communication",
    Quality.ADDRESS_REFUSED: "address refused",
    Quality.WRONG_TYPE: "wrong type",
    Quality.NOT_AUTHORISED: "not authorised",
    Quality.NOT_AVAILABLE: "no value there",
    Quality.NOT_A_NUMBER: "no number",
    Quality.UNCERTAIN: "uncertain",
    Quality.BAD: "bad",
}
_SELDOM_NS = 10_000_000_000
_HINTS = {
    Quality.COMMUNICATION_LOST: "check the way from the source to the device behind it",
    Quality.ADDRESS_REFUSED: "compare the address with the list of the device or server",
    Quality.WRONG_TYPE: "compare the type with what arrives: see the raw value",
    Quality.NOT_AUTHORISED: "give the agent's user the right to read it",
    Quality.NOT_AVAILABLE: "the source has no value now: is the instrument in operation?",
    Quality.NOT_A_NUMBER: "is the instrument in operation? see the raw value",
    Quality.BAD: "ask the source why: see what it said",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a tag before it is asked."""

    tag: Tag
    trained: Span | None

    @property
    def seldom(self) -> bool:
        """Whether it need not come while somebody waits for it, as what a laboratory says."""
        return (self.tag.interval or 0) > _SELDOM_NS or (self.tag.max_silence or 0) > _SELDOM_NS

    def within_trained(self, value: float) -> bool | None:
        """Whether the models have seen such a value; None where none was fitted."""
        return None if self.trained is None else self.trained[0] <= value <= self.trained[1]

    def within_physical(self, value: float) -> bool | None:
        """Whether the sensor can say it; None where that is not configured."""
        span = self.tag.physical
        return None if span is None else span[0] <= value <= span[1]

    def strange(self, value: float) -> bool:
        """Whether a value is so far off that it may have been misread."""
        span = self.trained or self.tag.physical
        if span is None:
            return value != 0.0 and not _ORDINARY[0] <= abs(value) <= _ORDINARY[1]
        wide = max(span[1] - span[0], 1e-6 * max(abs(span[0]), abs(span[1])))
        far = wide if self.trained else 0.0
        # a number next to nothing is what a float with swapped words most often is
        tiny = 0.0 < abs(value) < 1e-6 * wide
        return value < span[0] - far or value > span[1] + far or tiny

    def plausible(self, value: float) -> bool:
        """Whether a value is where it should be."""
        if self.trained or self.tag.physical:
            found = (self.within_trained(value), self.within_physical(value))
            return False not in found
        return _ORDINARY[0] <= abs(value) <= _ORDINARY[1]

    @property
    def told(self) -> str:
        """Which range a plausible value lies in, for people."""
        if self.trained:
            return "inside the trained range"
        return "inside the physical range" if self.tag.physical else "an ordinary value"


def trained_ranges(baselines: Mapping[str, Baseline]) -> dict[str, Span]:
    """Of each input and output the range that some mode of some model was trained on."""
    found: dict[str, Span] = {}
    for baseline in baselines.values():
        for item in (item for mode in baseline.modes for item in mode.items):
            low, high = found.get(item.tag, (math.inf, -math.inf))
            found[item.tag] = (min(low, item.trained[0]), max(high, item.trained[1]))
    return found


def tag_items(
    probes: Sequence[TagProbe], tags: Mapping[str, Tag], trained: Mapping[str, Span],
    now_ns: int, *, strict: bool,
) -> Iterator[Item]:  # fmt: skip
    """One line a tag, of the worst that is found of it."""
    for probe in probes:
        expected = Expected(tags[probe.name], trained.get(probe.name))
        level, notes, hint = _judge(probe, expected, now_ns, strict=strict)
        text = "; ".join(filter(None, (_reading(probe, expected), *notes)))
        yield Item(level, f"tag {probe.name}", text, hint, _facts(probe, expected, now_ns))


def _judge(
    probe: TagProbe, expected: Expected, now_ns: int, *, strict: bool
) -> tuple[Literal["ok", "warning", "fault"], list[str], str]:
    if probe.waited_s is not None:
        text = f"never arrived: {probe.said} for {probe.waited_s:g} s"
        hint = "check the spelling of the topic and whether anybody publishes there; "
        hint += "where it comes seldom, wait for longer: --timeout"
        return ("fault" if strict else "warning"), [text], hint
    if probe.keys:
        near = f"; the nearest is {probe.nearest}" if probe.nearest else ""
        hint = f"write {expected.tag.address.split()[0]} {probe.nearest or 'POINTER'} as address"
        # What a laboratory says comes once in many messages.
        if expected.seldom:
            hint = f"where it comes seldom, wait for longer: --timeout; else {hint}"
        text = f"{probe.said}; it has {some_of(probe.keys)}{near}"
        return "warning" if expected.seldom else "fault", [text], hint
    quality = probe.quality
    if quality & ~Quality.UNCERTAIN:
        refused = bool(quality & _REFUSALS)
        hint = next(hint for bit, hint in _HINTS.items() if quality & bit or bit is Quality.BAD)
        return ("fault" if refused else "warning"), [probe.said, _raw(probe)], hint
    if probe.value is None:
        return "warning", [probe.said or "no value came", _raw(probe)], _HINTS[Quality.BAD]
    notes, hints = [probe.said, _raw(probe)], []
    levels: list[Literal["ok", "warning", "fault"]] = ["ok"]
    for found in (_misread(probe, expected), _outside(probe, expected), _time(probe, now_ns)):
        if found is not None:
            levels.append(found[0])
            notes.append(found[1])
            hints.append(found[2])
    level = max(levels, key=("ok", "warning", "fault").index)
    return level, notes, next(filter(None, hints), "")


def _reading(probe: TagProbe, expected: Expected) -> str:
    """The value with its unit and quality, as the agent would take it."""
    words = [word for bit, word in _WORDS.items() if probe.quality & bit][:1] or ["good"]
    if probe.value is None:
        return words[0] if probe.waited_s is None and probe.quality else ""
    value = f"{probe.value:.6g}" if isinstance(probe.value, float) else repr(probe.value)
    unit = f" {expected.tag.unit}" if expected.tag.unit else ""
    return f"{value}{unit}, {words[0]}"


def _raw(probe: TagProbe) -> str:
    return f"raw {probe.raw}" if probe.raw else ""


Found = tuple[Literal["ok", "warning", "fault"], str, str]


def _outside(probe: TagProbe, expected: Expected) -> Found | None:
    if not isinstance(probe.value, float):
        return None
    physical, trained = expected.tag.physical, expected.trained
    if physical and not expected.within_physical(probe.value):
        text = f"outside the physical range {_span(physical)}, so never used"
        return "warning", text, "check address, type and scale; or the instrument; or `physical`"
    if trained is None:
        known = f"inside the physical range {_span(physical)}" if physical else ""
        return ("ok", known, "") if known else None
    if not expected.within_trained(probe.value):
        text = f"outside the trained range {_span(trained)}"
        return "warning", text, "check address, type, scale and unit; or the plant runs elsewhere"
    return "ok", f"inside the trained range {_span(trained)}", ""


def _misread(probe: TagProbe, expected: Expected) -> Found | None:
    """A value far off, whose bytes read otherwise give one that is where it should be."""
    if not isinstance(probe.value, float) or not expected.strange(probe.value):
        return None
    fit = [(name, value) for name, value in probe.others if expected.plausible(value)]
    if not fit:
        return None
    name, value = fit[0]
    text = f"reads {probe.value:.3g}; as {name} it would be {value:.4g}: {expected.told}"
    level: Literal["warning", "fault"] = "fault" if expected.trained else "warning"
    return level, text, f"write {name} in the address, if the device's list says so"


def _time(probe: TagProbe, now_ns: int) -> Found | None:
    if probe.time_fault:
        level: Literal["warning", "fault"] = (
            "warning" if probe.time_fault.startswith("implausible") else "fault"
        )
        text = f"its configured time gives none, the time of arrival stands in: {probe.time_fault}"
        return level, text, "correct what follows `time` in the address, or the device's clock"
    if not probe.source_ns:
        return None
    age_s = (now_ns - probe.source_ns) / 1e9
    stamp = f"{datetime.fromtimestamp(probe.source_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if age_s < -_AHEAD_S:
        hint = "compare the clocks of the source and of this machine"
        return "warning", f"its time {stamp} is {-age_s:.1f} s ahead of this machine", hint
    return "ok", f"its time {stamp} is {max(age_s, 0.0):.1f} s old", ""


def _span(span: Span | None) -> str:
    return f"{span[0]:.6g} to {span[1]:.6g}" if span else ""


def _facts(probe: TagProbe, expected: Expected, now_ns: int) -> dict[str, Any]:
    """The same for programs."""
    value = probe.value
    number = value if isinstance(value, float) else None
    return {
        "name": probe.name,
        "address": expected.tag.address,
        "raw": probe.raw,
        "value": value,
        "unit": expected.tag.unit,
        "quality": [word for bit, word in _WORDS.items() if probe.quality & bit] or ["good"],
        "said": probe.said,
        "source_time_ns": probe.source_ns or None,
        "age_s": (now_ns - probe.source_ns) / 1e9 if probe.source_ns else None,
        "time_fault": probe.time_fault,
        "inside_physical": None if number is None else expected.within_physical(number),
        "inside_trained": None if number is None else expected.within_trained(number),
        "never_arrived_s": probe.waited_s,
        "keys": list(probe.keys),
        "nearest": probe.nearest,
    }
