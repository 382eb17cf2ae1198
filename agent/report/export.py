"""What an agent stored, as tables for other tools: samples, windows of summaries, events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.core.summary import mean_and_sd
from agent.records.written import Columns
from agent.store import Reader
from agent.types import Block, Command, quality_names

_AT_ONCE = 1_000
_MOST_WINDOWS = 10_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted: tags (all where none is named) and a stretch of time in ns."""

    tags: frozenset[str]
    since_ns: int
    until_ns: int

    def wants(self, tag: str, time_ns: int) -> bool:
        """Whether it is part of it."""
        return (not self.tags or tag in self.tags) and self.since_ns <= time_ns <= self.until_ns


def samples(reader: Reader, order: Order) -> Iterator[Columns]:
    """Every sample of the journal as it was judged, in the order of arrival.

    A value that is a text has it in `text`; `quality` names the bits that are set.
    """
    names = {number: name for name, number in reader.tag_ids().items()}
    wanted = np.array([n for n, name in names.items() if not order.tags or name in order.tags])
    texts: dict[float, str] = {}
    for entry in reader.journal(1):
        if isinstance(entry, Command) and entry.kind == "text":
            texts[float(entry.data["code"])] = str(entry.data["text"])
        if not isinstance(entry, Block) or entry.sealed_ns < order.since_ns:
            continue
        mine = np.isin(entry.tag, wanted) & (entry.arrival_ns >= order.since_ns)
        mine &= entry.arrival_ns <= order.until_ns
        if mine.any():
            values = entry.value[mine].tolist()
            yield {
                "time": entry.source_ns[mine].tolist(),
                "arrived": entry.arrival_ns[mine].tolist(),
                "tag": [names[number] for number in entry.tag[mine].tolist()],
                "value": values, "text": [texts.get(value) for value in values],
                "quality": [" ".join(quality_names(q)) for q in entry.quality[mine].tolist()],
            }


def windows(reader: Reader, order: Order) -> Iterator[Columns]:
    """Every window of the summaries, the first first."""
    rows = reader.summaries(limit=_MOST_WINDOWS, since_ns=order.since_ns)[::-1]
    rows = [row for row in rows if order.wants(row["tag"], row["end_ns"])]
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        moments = [mean_and_sd(row) for row in part]
        yield {
            "start": [row["start_ns"] for row in part],
            "end": [row["end_ns"] for row in part],
            **{name: [row.get(name, 0) for row in part]
               for name in ("model", "tag", "unit", "count", "good", "scans", "extrapolating")},
            "mean": [mean for mean, _ in moments], "sd": [sd for _, sd in moments],
            "baseline": [row["baseline"] for row in part],
        }  # fmt: skip


def events(reader: Reader, order: Order) -> Iterator[Columns]:
    """Every event, in order; `data` is its JSON. Tags choose those on these tags."""
    place = (0, -1)
    while rows := reader.events(limit=_AT_ONCE, after=place):
        place = (rows[-1]["sequence"], rows[-1]["position"])
        part = [r for r in rows if order.wants(r["subject"].partition("/")[2], r["time_ns"])]
        if part:
            yield {
                "time": [row["time_ns"] for row in part],
                **{name: [row[name] for row in part]
                   for name in ("kind", "subject", "sequence", "position")},
                "data": [json.dumps(row["data"], sort_keys=True) for row in part],
            }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Content:
    """Something that can be exported: its columns, as `written.write_table` takes them."""

    types: Mapping[str, str]
    read: Callable[[Reader, Order], Iterator[Columns]]


def _types(text: str) -> dict[str, str]:
    return dict(pair.split(":") for pair in text.split())


CONTENTS: Final[Mapping[str, Content]] = {
    "samples": Content(
        _types("time:time arrived:time tag:text value:number text:text quality:text"),
        samples,
    ),
    "windows": Content(
        _types("start:time end:time model:text tag:text unit:text count:count good:count "
               "scans:count extrapolating:count mean:number sd:number baseline:text"),
        windows,
    ),
    "events": Content(
        _types("time:time kind:text subject:text sequence:count position:count data:text"),
        events,
    ),
}  # fmt: skip


def unknown_tags(reader: Reader, asked: Sequence[str]) -> list[str]:
    """Those of the asked tags that the store has never heard of."""
    return sorted(set(asked) - reader.tag_ids().keys())
