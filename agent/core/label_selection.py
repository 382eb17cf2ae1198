"""Whether labels are taken of scans like any others, or only when something looks odd.

A mean loss of labels is that of the model only where labelled scans are a sample of all. So scans
are counted by novelty (the bins of r(x)), and beside them those that got a label. The mean ridit of
labelled scans (Bross 1958) is the chance that one is newer than a scan taken at random: 0.5 where
labels are taken without looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from agent.core.expected_loss import NOVELTY_BINS

SELECTED = 0.1
"""How far from 0.5 the chance must be for labels to be called selected, however sure it is."""

SURE = 4.0
"""Standard errors by which it must be beyond chance; neighbouring scans are not independent."""


@dataclass(slots=True)
class LabelSelection:
    """Counts of scans by novelty bin, additive: of all `scans`, and of the `labelled` ones."""

    scans: list[int] = field(default_factory=lambda: [0] * NOVELTY_BINS)
    labelled: list[int] = field(default_factory=lambda: [0] * NOVELTY_BINS)

    @property
    def share(self) -> float:
        """Labelled scans of all; 0 of none."""
        total = sum(self.scans)
        return sum(self.labelled) / total if total else 0.0

    @property
    def newer(self) -> float:
        """Chance that a labelled scan is newer than any scan; 0.5 where nothing is known."""
        total, labelled = sum(self.scans), sum(self.labelled)
        if not total or not labelled:
            return 0.5
        # Twice the ridits, in scans, are whole numbers: the same however windows were merged.
        twice = sum(count * two for count, two in zip(self.labelled, self._twice(), strict=True))
        return twice / (2 * total * labelled)

    @property
    def selected(self) -> int:
        """1 where labels are taken of newer scans, -1 of less new ones, 0 where neither is sure."""
        total, labelled = sum(self.scans), sum(self.labelled)
        away = self.newer - 0.5
        if not total or not labelled or abs(away) < SELECTED:
            return 0
        spread = sum(
            count * (two / (2 * total) - 0.5) ** 2
            for count, two in zip(self.scans, self._twice(), strict=True)
        ) / total  # fmt: skip
        if abs(away) <= SURE * sqrt(spread / labelled):
            return 0
        return 1 if away > 0.0 else -1

    def _twice(self) -> list[int]:
        below, found = 0, []
        for count in self.scans:
            found.append(2 * below + count)
            below += count
        return found

    def merge(self, other: LabelSelection) -> LabelSelection:
        """The counts of both."""
        return LabelSelection(
            [a + b for a, b in zip(self.scans, other.scans, strict=True)],
            [a + b for a, b in zip(self.labelled, other.labelled, strict=True)],
        )

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return {"scans": list(self.scans), "labelled": list(self.labelled)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelSelection:
        """What `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        for name in ("scans", "labelled"):
            counts = data.get(name)
            if not isinstance(counts, list) or len(counts) != NOVELTY_BINS:
                raise ValueError(f"selection of labels: {name} is no list of {NOVELTY_BINS}")
            if not all(type(count) is int and 0 <= count < 1 << 62 for count in counts):
                raise ValueError(f"selection of labels: {name} has what is no count")
        return cls(list(data["scans"]), list(data["labelled"]))
