"""One output and the label that brings its truth: predictions, truths, losses and what they say.

Invariants:
- a truth counts once: the same one again changes nothing; another one of the same time corrects the
  sums, in the window in which it comes, and no chart, which can not forget.
- a truth of a prediction that rests on a faulty input is summed apart, and moves no chart: its loss
  tells of the fault, not of the model.
- what comes before its prediction waits for it, for as long as a truth may be late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from agent.core import loss as losses
from agent.core import rivals
from agent.core.conversions import Change
from agent.core.expected_loss import Estimate, LossReference
from agent.core.label_unit import other_unit
from agent.core.label_watch import LabelReference, remarks, repeats, stands_off
from agent.core.loss_chart import LossChart, LossStep
from agent.core.predictions import MOST, SHIFTED, SPOILT, Predictions
from agent.core.spec import LabelSpec
from agent.core.truth_state import BUCKETS, PairState

_EARLY_MOST: Final = 64
_PENDING_MOST: Final = 64
_SCORES_MOST: Final = 512
_LATE_LABELS: Final = 3.0
"""Times the record's time between two labels without one, from which the model is not assessed."""

_WITHOUT_RECORD: Final = 3
"""Times `within` without a truth, where no record says how far apart they come."""

_DAY_NS: Final = 86_400_000_000_000


_SELECTED: Final = {
    0: "",
    1: "labels are taken more often where the model is new: their mean loss is too high",
    -1: "labels are taken less often where the model is new: their mean loss is too low",
}


class Told(NamedTuple):
    """One truth or prediction that came: what time it is of, when it came, its value and its id."""

    when_ns: int
    arrived_ns: int
    value: float
    key: int = 0


class Recorder(Protocol):
    """Writes down scans and losses of a training record: no chart judges these yet."""

    def scan(self, novelty: float, said: float) -> None:
        """A scan, and the prediction that stood at it."""

    def made(self, when_ns: int) -> None:
        """The prediction of a time was made from the latest scan."""

    def label(self, when_ns: int, said: float, loss: float) -> None:
        """What a prediction of a time said, and its loss."""


class Pair:
    """Folds one output's predictions and truths.

    Args:
        label: what is compared with what, and how.
        reference: what `fit` learnt of its losses; None: they are summed, and not judged.
        scan_ns: of the model.
        stands_ns: how long a prediction stands where no other follows it.
        rows: its memory, `predictions.ROW`[MOST].
        stream: what truths of the record were like; None: not known.
        texts: of codes, where the tags are texts.
        changes: of unit and scale that truths may come by.
    """

    def __init__(
        self, label: LabelSpec, reference: LossReference | None, scan_ns: int, stands_ns: int,
        rows: np.ndarray[Any, Any], texts: Mapping[int, str],
        stream: LabelReference | None = None, changes: Sequence[Change] = (),
    ) -> None:
        self.label, self.reference, self._texts = label, reference, texts
        self.recorder: Recorder | None = None
        # Labels by which other versions were compared, for whoever takes them after each entry.
        self.compared: deque[rivals.Compared] = deque(maxlen=MOST)
        self._stream, self._changes = stream, changes
        self._scan_ns = scan_ns
        step_ns = label.within_ns // MOST
        self.memory = Predictions(rows, step_ns)
        self.stands_ns = max(stands_ns, 2 * scan_ns, step_ns)
        self._bucket = max(_DAY_NS // scan_ns // BUCKETS, 1)
        own = _WITHOUT_RECORD * label.within_ns
        if reference is not None:
            own = int(_LATE_LABELS * reference.scans_per_label * scan_ns) + label.within_ns
        self.limit_ns = max(own, 10 * scan_ns)
        self.take(PairState.new(self._sums()))

    def _sums(self) -> losses.LossSums:
        clip = self.reference.clip if self.reference is not None else np.inf
        return losses.LossSums(self.label.loss, float(clip), self.label.classes)

    def take(self, state: PairState) -> None:
        """Go on from a state."""
        self.state = state
        self.chart: LossChart | None = None
        if self.reference is not None:
            self.chart = LossChart(self.reference, self.label.tolerance, state.chart)

    # --- what comes -----------------------------------------------------------------------------

    def scan(self, novelty: float, time_ns: int, inputs: int) -> None:
        """A scan of the model's inputs; those of which a fault is known do not count."""
        state = self.state
        state.novelty, state.scan_ns = novelty, time_ns
        if self.recorder is not None:
            self.recorder.scan(np.nan if inputs == SPOILT else novelty, self._held(time_ns))
        for when_ns in state.pending:
            self._expect(when_ns)
        state.pending.clear()
        if self.chart is None or self.reference is None or inputs == SPOILT:
            return
        expected = self.reference.expected.of(novelty, self._held(time_ns))
        self.chart.scan(expected)
        if expected == expected:
            state.estimate(expected, self._bucket)
            state.selection.scans[self.reference.expected.novelty_bin(novelty)] += 1

    def _held(self, time_ns: int) -> float:
        fresh = time_ns - self.state.held_ns <= self.stands_ns
        return self.state.held if fresh else np.nan

    def predicted(self, told: Told, inputs: int) -> list[LossStep]:
        """A prediction, made while the inputs were so; and what truths that waited for it say."""
        state = self.state
        state.predictions += 1
        state.held, state.held_ns = told.value, told.arrived_ns
        self.memory.put(
            told.when_ns, told.arrived_ns, told.key, told.value, np.nan, -1, inputs
        )
        # A scan holds what came up to half a scan before it and after it; what is delivered from a
        # buffer was made from one that has gone.
        if told.arrived_ns - told.when_ns <= 2 * self._scan_ns:
            if told.arrived_ns - state.scan_ns < self._scan_ns // 2:
                self._expect(told.when_ns)
            elif len(state.pending) < _PENDING_MOST:
                state.pending.append(told.when_ns)
        waiting, state.early = state.early, []
        steps = []
        for early in waiting:
            if told.arrived_ns - early[1] <= self.label.within_ns:
                steps += self._match(Told(*early))
        return steps

    def scored(self, key: int, scores: Mapping[str, float]) -> None:
        """The scores of all classes of a prediction with an id."""
        kept = self.state.scores
        kept[str(key)] = dict(scores)
        while len(kept) > _SCORES_MOST:
            kept.pop(next(iter(kept)))

    def _expect(self, when_ns: int) -> None:
        """The latest scan is the one that the prediction of this time was made from."""
        row = self.memory.by_time(when_ns, 0)
        if row is None:
            return
        memory, novelty = self.memory.rows, self.state.novelty
        if self.recorder is not None:
            self.recorder.made(when_ns)
        elif self.reference is not None and novelty == novelty:
            value = float(memory["value"][row])
            memory["expected"][row] = self.reference.expected.of(novelty, value)
            memory["novelty"][row] = self.reference.expected.novelty_bin(novelty)

    def labelled(self, told: Told) -> list[LossStep]:
        """A truth; what its loss says of the model, where it says anything."""
        self.state.heard_ns = max(self.state.heard_ns, told.arrived_ns)
        if not self._is_there(told):
            self.state.watch(told.value, told.arrived_ns)
        return self._match(told)

    def _is_there(self, told: Told) -> bool:
        """Whether a truth was delivered before: it says nothing new of the stream."""
        row = self._row_of(told)
        if row is None:
            return False
        made = self.memory.rows[row]
        return int(made["truth_ns"]) == _time_of(made, told) and float(made["truth"]) == told.value

    def _row_of(self, told: Told) -> int | None:
        """The prediction that a truth is of."""
        if told.key:
            return self.memory.by_key(told.key)
        return self.memory.by_time(told.when_ns, self.stands_ns)

    def _match(self, told: Told) -> list[LossStep]:
        state = self.state
        row = self._row_of(told)
        if row is None:
            state.early.append(list(told))
            if len(state.early) > _EARLY_MOST:
                state.early.pop(0)
                state.unmatched += 1
            return []
        of_ns = _time_of(self.memory.rows[row], told)
        if told.arrived_ns - of_ns > self.label.within_ns:
            state.late += 1
            return []
        return self._pair(row, of_ns, told)

    def _pair(self, row: int, of_ns: int, told: Told) -> list[LossStep]:
        """A truth and its prediction, of the time `of_ns`."""
        state, memory = self.state, self.memory.rows
        value, was = float(memory["value"][row]), float(memory["truth"][row])
        scores = state.scores.get(str(int(memory["key"][row])))
        loss, before = self._loss(value, told.value, scores), float(memory["loss"][row])
        again = int(memory["truth_ns"][row]) == of_ns
        if again and told.value == was:
            state.repeated += 1
            return []
        memory["truth_ns"][row], memory["truth"][row], memory["loss"][row] = of_ns, told.value, loss
        state.unit = self._unit_of(told.value, value)
        if not again and (self._stuck() or state.unit or self._stands_off(told.value)):
            memory["state"][row] = SPOILT
        spoilt = int(memory["state"][row]) == SPOILT
        if not spoilt and not self._of_classes:
            state.err(of_ns, value - told.value)
        if again:
            state.correct(before, loss, spoilt=spoilt)
            if self.chart is not None and not spoilt:
                self.chart.correct(before, loss)
            if self._of_classes and not spoilt:
                names = (self._name(was), self._name(told.value), self._name(value))
                state.sums.correct_class(*names)
            return []
        state.of_ns = max(state.of_ns, of_ns)
        if spoilt:
            state.left_out.add(loss)
            state.spoilt += 1
            return []
        state.add(loss)
        self.compared += rivals.labelled(
            state.rivals, of_ns, told.key, self.stands_ns, loss,
            lambda said, its_scores: self._loss(said, told.value, its_scores),
        )
        if self._of_classes:
            state.sums.add_class(self._name(told.value), self._name(value))
        if (novelty := int(memory["novelty"][row])) >= 0:
            state.selection.labelled[novelty] += 1
        return self._judge(row, of_ns, loss, told)

    def _stuck(self) -> bool:
        """Whether the latest truths are no measurements; a class may well be the same for long."""
        if self._stream is None or self._of_classes:
            return False
        return repeats(self._stream, self.state.same)

    def _stands_off(self, truth: float) -> bool:
        """Whether a truth is far from all others, and so no measurement."""
        if self._stream is None or self._of_classes:
            return False
        return stands_off(self._stream, truth, self.state.latest)

    def _unit_of(self, truth: float, prediction: float) -> str:
        """What a truth comes in, where that is not as in training; empty where it is."""
        if self._stream is None or self.mean_error is None or self._of_classes:
            return ""
        found = other_unit(truth, prediction, self.mean_error, self._stream, self._changes)
        return (found.new if found.old else f"{found.new} times the unit") if found else ""

    @property
    def mean_error(self) -> float | None:
        """Mean absolute error in training, in the output's unit; None where the loss says none."""
        if self.reference is None:
            return None
        risk = max(float(self.reference.risk), 0.0)
        return {"absolute": risk, "squared": sqrt(risk)}.get(self.label.loss)

    def _judge(self, row: int, of_ns: int, loss: float, told: Told) -> list[LossStep]:
        made = self.memory.rows[row]
        if self.recorder is not None:
            self.recorder.label(int(made["when_ns"]), float(made["value"]), loss)
        if self.chart is None:
            return []
        step = self.chart.label(told.arrived_ns, loss, float(made["expected"]))
        if step is None:
            return []
        shifted = int(made["state"]) == SHIFTED
        self.state.rise(of_ns, loss, above=self.chart.state.cusum > 0.0, shifted=shifted)
        return [step]

    # --- losses ---------------------------------------------------------------------------------

    def _loss(
        self, prediction: float, truth: float, scores: Mapping[str, float] | None = None
    ) -> float:
        kind, _, quantile = self.label.loss.partition(" ")
        if kind in losses.CLASS_LOSSES:
            said = scores or {self._name(prediction): 1.0}
            return losses.CLASS_LOSSES[kind](said, self._name(truth))
        if quantile:
            return losses.pinball(prediction, truth, float(quantile))
        return losses.VALUE_LOSSES[kind](prediction, truth)

    @property
    def _of_classes(self) -> bool:
        return self.label.loss in losses.CLASS_LOSSES

    def _name(self, code: float) -> str:
        return self._texts.get(int(code), f"{code:g}") if abs(code) < 1e15 else f"{code:g}"

    # --- what is known --------------------------------------------------------------------------

    def due_ns(self) -> int | None:
        """When it will not have been assessed for too long; None: it was told, or nothing began."""
        state = self.state
        return None if state.stopped or not state.heard_ns else state.heard_ns + self.limit_ns

    def estimate(self) -> tuple[Estimate, int] | None:
        """The loss as it is estimated from inputs alone, and over how many scans."""
        scans, summed = self.state.window
        if self.reference is None or not scans:
            return None
        return self.reference.estimate(summed / scans, scans), scans

    def remarks(self) -> list[str]:
        """What is odd about the label stream itself, in sentences."""
        found = [_SELECTED[self.state.selection.selected]]
        if self.state.unit:
            found.append(f"{self.label.tag or 'a truth'} comes in another unit: {self.state.unit}; "
                         "it is left out")  # fmt: skip
        if self._stream is not None:
            found += remarks(self._stream, self.label.tag, self.state.latest, self.state.same,
                             of_classes=self._of_classes)  # fmt: skip
        return [text for text in found if text]

    def window(self) -> dict[str, Any]:
        """Losses of the window that ends now, JSON-ready; a new one begins."""
        sums, left_out = self.state.sums, self.state.left_out
        self.state.sums, self.state.left_out = self._sums(), self._sums()
        return {"losses": sums.to_json(), "losses_left_out": left_out.to_json()}


def _time_of(made: Any, told: Told) -> int:
    """What time a truth is of, by the prediction that it belongs to."""
    return told.when_ns if told.key == 0 else int(made["when_ns"])
