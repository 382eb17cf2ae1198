"""What a bundle is made of: the declared request, the clean windows and the clean samples of it.

Clean is what lies between the begin of the shift and its declaration, outside of all that is left
out (and of one window before each, in which it began), by its own time and by when it arrived, and
of usable quality.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Model
from agent.errors import FieldwardenError
from agent.store import Reader
from agent.types import NO_NEWS, NOT_USABLE, Block, Float64, Int64, quality_names

MOST_SAMPLES: Final = 4_000_000
_MOST_EVENTS: Final = 10_000


@dataclass(slots=True)
class Samples:
    """Clean samples in the order of their arrival.

    Attributes:
        time_ns: when the source took them; arrival_ns: when they arrived.
        tag: position in `names`.
        bad: (tag, why) -> how many were left out for their quality.
        why_none: why there are none though there should be; empty where there is no such reason.
    """

    names: Sequence[str]
    time_ns: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    arrival_ns: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    tag: Int64 = field(default_factory=lambda: np.zeros(0, np.int64))
    value: Float64 = field(default_factory=lambda: np.zeros(0))
    bad: dict[tuple[str, str], int] = field(default_factory=dict)
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it; `blocks` as `Reader.block_means` gives them."""

    request: Mapping[str, Any]
    blocks: Sequence[Mapping[str, Any]]
    samples: Samples


def request_of(reader: Reader, name: str) -> Mapping[str, Any]:
    """The request, as its newest event told it; by its id, or by its model: the newest of it.

    Raises:
        FieldwardenError: there is none.
    """
    told = reader.events(_MOST_EVENTS, "retraining")
    events = [event for event in told if "opened_ns" in event["data"]]  # the others are of trials
    model = name.removeprefix("model/")
    for event in events:
        data: Mapping[str, Any] = event["data"]
        if name == data.get("id") or model == data.get("model"):
            return data
    ids = list(dict.fromkeys(str(event["data"].get("id")) for event in events))
    raise FieldwardenError(
        "looking for retraining request", name, "there is none",
        nearest(name, ids) or "see: fieldwarden retraining list CONFIG",
    )


def gathered(reader: Reader, configuration: Configuration, name: str) -> Evidence:
    """What a person may train on, and why.

    Raises:
        FieldwardenError: there is no such request or model, or nobody declared it the new normal.
    """
    request = request_of(reader, name)
    if request["state"] != "declared":
        raise FieldwardenError(
            "offering data of", str(request["id"]),
            f"it is {request['state']}: a model that is taught on a fault learns the fault",
            'where the shift is the new normal: fieldwarden retraining declare CONFIG ID '
            '--reason "..."' if request["state"] == "open" else "",
        )
    if request["model"] not in configuration.models:
        raise FieldwardenError(
            "offering data of", str(request["id"]),
            f"model {request['model']} is not in the configuration any more",
        )
    since_ns, until_ns = int(request["since_ns"]), int(request["until_ns"])
    left_out = spans_of(request, configuration.gateway.summary)
    blocks = [
        one for one in reader.block_means(str(request["model"]), since_ns, until_ns)
        if not any(start < one["end_ns"] and end > one["start_ns"] for start, end in left_out)
    ]
    model = configuration.models[str(request["model"])]
    samples = _samples(reader, configuration, model, (since_ns, until_ns), left_out)
    return Evidence(request, blocks, samples)


def spans_of(request: Mapping[str, Any], before_ns: int) -> list[tuple[int, int]]:
    """What is left out, with so much time before each: what was found began before it was told."""
    until_ns = int(request["until_ns"])
    return [
        (int(one["from_ns"]) - before_ns, int(one["to_ns"]) or until_ns)
        for one in request["left_out"]
    ]


def _samples(
    reader: Reader, configuration: Configuration, model: Model, within: tuple[int, int],
    left_out: Sequence[tuple[int, int]],
) -> Samples:
    names = list(dict.fromkeys(
        name for name in (*model.inputs, *model.outputs, *(one.tag for one in model.labels))
        if name in configuration.tags
    ))  # fmt: skip
    ids = reader.tag_ids()
    place = np.full(max(ids.values(), default=0) + 1, -1, np.int64)
    for position, name in enumerate(names):
        if name in ids:
            place[ids[name]] = position
    spans = [configuration.tags[name].physical or (-np.inf, np.inf) for name in names]
    limits = np.array(spans, np.float64).reshape(-1, 2)
    made, parts, bad, count = Samples(names), list[tuple[Any, ...]](), Counter[Any](), 0
    for entry, shift_ns in reader.entries_within(*within):
        if not isinstance(entry, Block) or not len(entry):
            continue
        part = _clean(entry, shift_ns, place, limits, within, left_out, bad)
        count += len(part[0])
        if count > MOST_SAMPLES:
            made.why_none = f"there are more than {MOST_SAMPLES:,}: take the block means"
            parts = []
            break
        parts.append(part)
    if parts:
        made.time_ns, made.arrival_ns, made.tag, made.value = map(
            np.concatenate, zip(*parts, strict=True)
        )
    elif not made.why_none:
        made.why_none = "the journal has none of this time any more: take the block means"
    made.bad = {(names[tag], why): n for (tag, why), n in sorted(bad.items())}
    return made


def _clean(
    block: Block, shift_ns: int, place: Int64, limits: Float64, within: tuple[int, int],
    left_out: Sequence[tuple[int, int]], bad: Counter[Any],
) -> tuple[Int64, Int64, Int64, Float64]:
    """(source time, arrival, tag, value) of the usable samples of a block; others are counted."""
    known = (block.tag >= 0) & (block.tag < len(place))
    tag = np.where(known, place[np.where(known, block.tag, 0)], -1)
    arrival, made = block.arrival_ns + shift_ns, block.source_ns + shift_ns
    own = (tag >= 0) & (arrival >= within[0]) & (arrival < within[1])
    for start, end in left_out:  # a truth that came later is of that time nevertheless
        for time_ns in (arrival, made):
            own &= (time_ns < start) | (time_ns >= end)
    value, quality = block.value, block.quality
    low, high = limits[np.maximum(tag, 0)].T
    fine = (quality & (NOT_USABLE | NO_NEWS)) == 0
    possible = np.isfinite(value) & (value >= low) & (value <= high)
    for row in np.nonzero(own & ~(fine & possible))[0].tolist():
        why = ", ".join(quality_names(int(quality[row]))) if not fine[row] else (
            "out_of_physical" if np.isfinite(value[row]) else "not_a_number"
        )
        bad[int(tag[row]), why] += 1
    kept = own & fine & possible
    return made[kept], arrival[kept], tag[kept], value[kept]
