"""At what interval each tag is expected: as configured, else as in the record, else as scanned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.configuration.schema import Configuration, Model
from agent.core.baseline import Baseline, Pace

_SECOND = 1_000_000_000
_FOR_EVER = 1 << 59
"""Silence of which nothing is known: doubled it is still a time."""


@dataclass(frozen=True, slots=True)
class Paces:
    """What is known of each tag.

    Attributes:
        trained: of inputs, from the baselines.
        beside: of outputs, labels and mode tags, from the baselines.
        scanned: of the same, the scan of the fastest of their models. A label comes when it comes:
            of one that no record has, no silence is too long.
    """

    trained: Mapping[str, Pace]
    beside: Mapping[str, Pace]
    scanned: Mapping[str, Pace]

    def of(self, tag: str, configured_ns: int | None, recorded_ns: int | None) -> Pace:
        """A tag's usual interval, and the longest time in which its values may be missing.

        Args:
            tag: its name.
            configured_ns: what a person said, of the tag or of its source.
            recorded_ns: in a record that is replayed.
        """
        known = self.trained.get(tag) or self.beside.get(tag)
        if configured_ns is not None:
            return Pace(configured_ns, known.gap_ns if known else 0)
        if tag not in self.trained and recorded_ns is not None:
            return Pace(recorded_ns, known.gap_ns if known else 0)
        return known or self.scanned.get(tag, Pace(_SECOND, 0))


def expected(configuration: Configuration, baselines: Mapping[str, Baseline]) -> Paces:
    """What baselines and models say of every tag's interval."""
    trained: dict[str, Pace] = {}
    beside: dict[str, Pace] = {}
    scanned: dict[str, Pace] = {}
    for name, model in configuration.models.items():
        for tag, seldom in _others(model):
            known = scanned.get(tag)
            scan_ns = min(model.scan, known.interval_ns) if known else model.scan
            scanned[tag] = Pace(scan_ns, _FOR_EVER if seldom else 0)
        if name not in baselines:
            continue
        beside |= baselines[name].paces
        for item in (item for mode in baselines[name].modes for item in mode.inputs):
            before = trained[item.tag].gap_ns if item.tag in trained else 0
            gap_ns = max(before, item.longest_gap * item.interval_ns)
            trained[item.tag] = Pace(item.interval_ns, gap_ns)
    return Paces(trained, beside, scanned)


def _others(model: Model) -> Iterator[tuple[str, bool]]:
    """(tag, whether it is a label) of what is no input."""
    yield from ((tag, False) for tag in model.outputs)
    if model.mode is not None:
        yield model.mode.tag, False
    yield from ((label.tag, True) for label in model.labels)
