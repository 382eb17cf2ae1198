"""How long a model's inputs, outputs and scans have been off: what its criteria are held against.

Only time that counts is counted; what is left out stops these clocks and does not set them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_PARTS = 24


@dataclass(slots=True)
class Held:
    """For how long something held, less the time that it did not; `since_ns` is when it began.

    So a chart that is silent for a while does not set back what went on for days.
    """

    held_ns: int = 0
    since_ns: int = 0

    def add(self, span_ns: int, most_ns: int, since_ns: int, *, holds: bool) -> None:
        """A window more."""
        if holds:
            self.since_ns = self.since_ns or since_ns
            self.held_ns = min(self.held_ns + span_ns, most_ns)
        else:
            self.held_ns = max(0, self.held_ns - span_ns)
            self.since_ns = self.since_ns if self.held_ns else 0

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.since_ns += shift_ns if self.since_ns else 0


@dataclass(slots=True)
class Part:
    """A part of the time over which a share is taken; `since_ns`: since when scans of it were
    outside, 0 where none was.
    """

    since_ns: int = 0
    span_ns: int = 0
    scans: int = 0
    outside: int = 0


@dataclass(slots=True)
class Share:
    """The share of scans outside of training over the last span of time that counts."""

    parts: list[Part] = field(default_factory=list)

    def add(self, since_ns: int, span_ns: int, over_ns: int, scans: int, outside: int) -> None:
        """A window more; whole parts that are not needed for `over_ns` any more go."""
        if not self.parts or self.parts[-1].span_ns * _PARTS >= over_ns:
            self.parts.append(Part())
        last = self.parts[-1]
        last.since_ns = last.since_ns or (since_ns if outside else 0)
        last.span_ns += span_ns
        last.scans += scans
        last.outside += outside
        while len(self.parts) > 1 and self.span_ns - self.parts[0].span_ns >= over_ns:
            del self.parts[0]
        del self.parts[: -2 * _PARTS]

    @property
    def span_ns(self) -> int:
        """How much time it is of."""
        return sum(part.span_ns for part in self.parts)

    @property
    def share(self) -> float:
        """0 to 1."""
        scans = sum(part.scans for part in self.parts)
        return sum(part.outside for part in self.parts) / scans if scans else 0.0

    @property
    def since_ns(self) -> int:
        """From when on there were any; 0 where there are none."""
        return next((part.since_ns for part in self.parts if part.outside), 0)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        for part in self.parts:
            part.since_ns += shift_ns if part.since_ns else 0


@dataclass(slots=True)
class Evidence:
    """What speaks for retraining one model.

    Attributes:
        inputs, outputs: for how long enough of them were shifted.
        extrapolating: share of its scans.
        losses_ns: when its errors were found to have grown; 0 where they were not.
        losses: what was told of them; `erring` for how long their chart warned or that stood, of
            time that counts in which no input moved: an input whose own chart is slower than the
            errors is known by then.
        misread: for how long one input's reading, far from training, explained its errors.
        explained_ns: what errors and outputs began before is that of a sensor or an integration.
        scans, outside: of the model when it was looked at last, ever.
        not_before_ns: no further request before.
    """

    inputs: Held = field(default_factory=Held)
    outputs: Held = field(default_factory=Held)
    extrapolating: Share = field(default_factory=Share)
    losses_ns: int = 0
    losses: dict[str, Any] = field(default_factory=dict)
    erring: Held = field(default_factory=Held)
    misread: Held = field(default_factory=Held)
    explained_ns: int = 0
    scans: int = 0
    outside: int = 0
    not_before_ns: int = 0

    @property
    def since_ns(self) -> int:
        """Since when anything speaks for it; 0 where nothing does."""
        times = (self.inputs.since_ns, self.outputs.since_ns, self.extrapolating.since_ns,
                 self.losses_ns)
        return min((time_ns for time_ns in times if time_ns), default=0)

    def passed(self, scans: int, outside: int) -> tuple[int, int]:
        """How many there were since the last look."""
        was = (self.scans, self.outside) if scans >= self.scans else (0, 0)
        self.scans, self.outside = scans, outside
        return scans - was[0], max(0, outside - was[1])

    def begin_anew(self, not_before_ns: int) -> None:
        """A person decided."""
        self.inputs, self.outputs, self.extrapolating = Held(), Held(), Share()
        self.not_before_ns = not_before_ns
        self.forget_losses()

    def misreads(self, span_ns: int, most_ns: int, since_ns: int, *, holds: bool) -> bool:
        """A window more; whether that is by now as good as a fault that was found: no chance makes
        an input of a model that became wrong read as its errors are for so long.
        """
        self.misread.add(span_ns, most_ns, since_ns, holds=holds)
        return holds and 2 * self.misread.held_ns >= most_ns

    def explain(self, now: int) -> None:
        """A fault was found that is why the model errs: it explains what these said."""
        self.forget_losses()
        self.outputs = Held()
        self.explained_ns = now

    def forget_losses(self) -> None:
        """That its errors grew says nothing of the model any more."""
        self.losses_ns, self.losses, self.erring = 0, {}, Held()

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        for part in (self.inputs, self.outputs, self.extrapolating, self.erring,
                     self.misread):  # fmt: skip
            part.move(shift_ns)
        self.losses_ns += shift_ns if self.losses_ns else 0
        self.explained_ns += shift_ns if self.explained_ns else 0
        self.not_before_ns += shift_ns if self.not_before_ns else 0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Evidence:
        """From `to_json`."""
        made = dict(document)
        for name in ("inputs", "outputs", "erring", "misread"):
            made[name] = Held(**made.get(name, {}))  # an earlier version knew not all of them
        parts = [Part(**part) for part in made["extrapolating"]["parts"]]
        return Evidence(**(made | {"extrapolating": Share(parts)}))
