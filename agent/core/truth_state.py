"""All that lasts of one output's truths, JSON-ready; its predictions stand in an array beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from agent.core import rivals
from agent.core.label_selection import LabelSelection
from agent.core.label_watch import KEPT
from agent.core.loss import LossSums, is_usable
from agent.core.loss_chart import LossState

_RECENT: Final = 20
"""Latest losses that people are told the mean of."""

_ERRORS: Final = 32
"""Latest errors that what moves is held against."""

BUCKETS: Final = 24
"""Parts of the day that the estimated loss is a mean of."""

BEFORE: Final = 2
"""Charts from before that are remembered."""

_COUNTS = (
    "predictions", "labels", "spoilt", "repeated", "corrected", "late", "unmatched", "same",
    "rise_labels", "rise_shifted", "held_ns", "heard_ns", "of_ns", "rise_ns", "scan_ns",
)  # fmt: skip
_REAL = ("held", "novelty", "total", "rise_sum", "last_truth")
_MOMENTS = ("held_ns", "heard_ns", "of_ns", "rise_ns", "scan_ns")


@dataclass(slots=True)
class PairState:
    """What lasts of one output's truths.

    Attributes:
        sums, left_out: losses of the open window; those of predictions made on faulty inputs.
        chart: of the losses.
        selection: scans and labelled scans by novelty.
        predictions, labels, repeated, corrected, late, unmatched: how many of each came, ever.
        total: sum of all losses ever; `recent` the latest; `spoilt` how many were left out.
        errors: [what time it is of, prediction less truth] of the latest truths that count.
        held, held_ns: the latest prediction, and when it came; `novelty`: of the latest scan.
        heard_ns: when a truth came last, or since when one is waited for; `of_ns`: what time the
            latest is of; `stopped`: that none came was told.
        last_truth, same: the latest truth, and how many of that value came one after another.
        rise_ns, rise_labels, rise_sum, rise_shifted: since the chart last stood at 0: what time the
            first label is of, how many there were, their losses, and those with moved inputs.
        latest: arrival and value of the latest truths. odd: what was told of them. unit: what the
            latest comes in, where it is another than in training.
        rivals: predictions of other versions. scores: of classes, by what names the prediction.
        scan_ns: when the latest scan was; `pending`: times of predictions that the next one is of.
        early: truths that wait for their prediction.
        scans: [scans, sum of expected losses] of the parts of the latest day.
        before: [engine ns, chart as JSON] as it was then, the newest first.
    """

    sums: LossSums
    left_out: LossSums
    chart: LossState = field(default_factory=LossState)
    selection: LabelSelection = field(default_factory=LabelSelection)
    predictions: int = 0
    labels: int = 0
    repeated: int = 0
    corrected: int = 0
    late: int = 0
    unmatched: int = 0
    total: float = 0.0
    held: float = float("nan")
    held_ns: int = 0
    novelty: float = float("nan")
    heard_ns: int = 0
    of_ns: int = 0
    stopped: bool = False
    last_truth: float = float("nan")
    same: int = 0
    rise_ns: int = 0
    rise_labels: int = 0
    rise_sum: float = 0.0
    rise_shifted: int = 0
    spoilt: int = 0
    recent: list[float] = field(default_factory=list)
    errors: list[list[Any]] = field(default_factory=list)
    latest: list[list[Any]] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    unit: str = ""
    rivals: rivals.Rivals = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    scan_ns: int = 0
    pending: list[int] = field(default_factory=list)
    early: list[list[Any]] = field(default_factory=list)
    scans: list[list[float]] = field(default_factory=list)
    before: list[list[Any]] = field(default_factory=list)

    @classmethod
    def new(cls, sums: LossSums) -> PairState:
        """As nothing came yet; `sums` are empty ones."""
        return cls(sums, LossSums(sums.kind, sums.clip, sums.classes))

    # --- what comes -----------------------------------------------------------------------------

    def add(self, loss: float) -> None:
        """A loss more; one that is no number is counted in the sums alone."""
        self.sums.add(loss)
        if not is_usable(loss):
            return
        self.labels += 1
        self.total += loss
        self.recent = [*self.recent, loss][-_RECENT:]

    def correct(self, before: float, now: float, *, spoilt: bool) -> None:
        """A truth is another than was said first."""
        self.corrected += 1
        (self.left_out if spoilt else self.sums).correct(before, now)
        if not spoilt:
            for loss, times in ((before, -1), (now, 1)):
                self.labels += times * int(is_usable(loss))
                self.total += times * loss if is_usable(loss) else 0.0

    def err(self, of_ns: int, error: float) -> None:
        """By how much a prediction is off its truth; one of the same time is corrected."""
        if error == error:
            kept = [one for one in self.errors if one[0] != of_ns]
            self.errors = [*kept, [of_ns, error]][-_ERRORS:]

    def watch(self, truth: float, arrived_ns: int) -> None:
        """A truth came, whatever it is of."""
        self.latest = [*self.latest, [arrived_ns, truth]][-KEPT:]
        self.same = self.same + 1 if truth == self.last_truth else 1
        self.last_truth = truth

    def rise(self, of_ns: int, loss: float, *, above: bool, shifted: bool) -> None:
        """A label was folded; `above`: the chart is above 0 after it."""
        if not above or not self.rise_labels:
            self.rise_ns, self.rise_labels, self.rise_sum, self.rise_shifted = of_ns, 0, 0.0, 0
        if above:
            self.rise_labels += 1
            self.rise_sum += loss
            self.rise_shifted += int(shifted)

    def estimate(self, expected: float, bucket: int) -> None:
        """A scan's expected loss joins those of the latest day."""
        if not self.scans or self.scans[-1][0] >= bucket:
            self.scans.append([0, 0.0])
            del self.scans[:-BUCKETS]
        self.scans[-1][0] += 1
        self.scans[-1][1] += expected

    def keep(self, now_ns: int, apart_ns: int) -> None:
        """Remember the chart as it is, where that was not done for so long."""
        if not self.before or now_ns - self.before[0][0] >= apart_ns:
            self.before = [[now_ns, self.chart.to_json()], *self.before][:BEFORE]

    def chart_before(self, onset_ns: int) -> dict[str, Any] | None:
        """The newest of these from before an onset."""
        return next((chart for at_ns, chart in self.before if at_ns <= onset_ns), None)

    def put_back(self, chart: Mapping[str, Any] | None) -> None:
        """The chart is as this JSON says, or new; what it rose by is forgotten."""
        self.chart = LossState() if chart is None else LossState.from_json(chart)
        self.rise_ns = self.rise_labels = self.rise_shifted = 0
        self.rise_sum = 0.0

    @property
    def window(self) -> tuple[int, float]:
        """Scans of the latest day, and the sum of their expected losses."""
        return int(sum(part[0] for part in self.scans)), float(sum(part[1] for part in self.scans))

    # --- time -----------------------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: no span changes."""
        self.chart.move(shift_ns)
        rivals.move(self.rivals, shift_ns)
        self.latest = [[time_ns + shift_ns, truth] for time_ns, truth in self.latest]
        self.errors = [[time_ns + shift_ns, error] for time_ns, error in self.errors]
        for name in _MOMENTS:
            if time_ns := getattr(self, name):
                setattr(self, name, time_ns + shift_ns)
        for kept in self.before:
            chart = LossState.from_json(kept[1])
            chart.move(shift_ns)
            kept[:] = [kept[0] + shift_ns, chart.to_json()]
        for early in self.early:
            if early[0] == early[1]:
                early[0] += shift_ns
            early[1] += shift_ns

    def restart(self, time_ns: int) -> None:
        """Nobody heard until `time_ns`: no prediction stands over it."""
        self.held = self.novelty = float("nan")
        if self.heard_ns:
            self.heard_ns = max(self.heard_ns, time_ns)

    # --- what lasts -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Values of JSON; None for what is not known."""
        made: dict[str, Any] = {name: getattr(self, name) for name in _COUNTS}
        made |= {
            name: value if value == value else None
            for name in _REAL for value in [getattr(self, name)]
        }
        made |= {one.name: getattr(self, one.name).to_json() for one in fields(self)[:4]}
        lists = {"early": self.early, "scans": self.scans, "pending": self.pending,
                 "recent": self.recent, "rivals": self.rivals, "scores": self.scores,
                 "latest": self.latest, "odd": self.odd, "errors": self.errors,
                 "before": self.before}
        return made | lists | {"stopped": self.stopped, "unit": self.unit}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PairState:
        """What `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        try:
            found = cls(
                LossSums.from_json(data["sums"]), LossSums.from_json(data["left_out"]),
                LossState.from_json(data["chart"]), LabelSelection.from_json(data["selection"]),
                stopped=bool(data["stopped"]), unit=str(data.get("unit", "")),
                pending=[int(one) for one in data["pending"]],
                recent=[float(loss) for loss in data["recent"]],
                rivals=rivals.from_json(data["rivals"]), odd=[str(one) for one in data["odd"]],
                errors=[[int(of_ns), float(error)] for of_ns, error in data.get("errors", ())],
                latest=[[int(time_ns), float(truth)] for time_ns, truth in data["latest"]],
                scores={str(key): dict(one) for key, one in data["scores"].items()},
                early=[[int(a), int(b), float(c), int(d)] for a, b, c, d in data["early"]],
                scans=[[int(scans), float(summed)] for scans, summed in data["scans"]],
                before=[
                    [int(at_ns), LossState.from_json(chart).to_json()]
                    for at_ns, chart in data.get("before", ())
                ],
            )
            for name in _COUNTS:
                setattr(found, name, int(data[name]))
            for name in _REAL:
                value = data[name]
                setattr(found, name, float("nan") if value is None else float(value))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"state of truths: {type(error).__name__}: {error}") from None
        return found
