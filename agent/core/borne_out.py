"""Whether the truth bears out inputs that moved, and that no other input predicts.

Such a reading may be true or false, and nothing that arrives with it tells. The truth does, where
the model follows the input: by its trained relation a reading that is off by d moves the
prediction by b d. Of a false reading the prediction then errs by that much; of a true one it does
not. So for every set F of the inputs that moved, errors e of labels since then have the rest

    mean |e - sum of b d over F|,

which is least for the set that is false (Ljung 1999, 16: models compared by what they leave). An
input is borne out where the best sets without it leave less than `LESS` of what the best with it
do. It takes a move that is large beside the model's errors. What the prediction does beyond the
relation, as that of a model that is no line, may be due to what moved, too: each set is tried with
it and without. So a prediction that did not follow bears out nothing, nor does what the model
hardly uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from agent.core.baseline import OutputBaseline
from agent.core.kernels.tally import UNITS_PER_SD
from agent.core.retraining_watch import SEVERAL_MOVED, STAYS_MOVED, Watch
from agent.core.spec import EngineSpec
from agent.core.state import Lasting
from agent.core.truth import Truth
from agent.core.truth_pair import Pair

LABELS = 6
"""Of the time since they all moved, at least: by chance alone so many are seldom as far off."""

WINDOWS = 16
"""Since then, at least, so that what was before is nearly forgotten in `_FORGETS`."""

LARGE = 3.0
"""Times the model's mean error in training that the prediction must have been moved by."""

FAR = 2.0
"""Standard deviations of training from which a reading alone may be why the model errs."""

LESS = 0.5
_FORGETS = 1.0 / 8.0  # weight of the latest window

_LATELY = np.dtype([("mean", np.float64), ("windows", np.int64)])


def borne_out(
    errors: Sequence[float], moves: Sequence[float], risk: float, beyond: float = 0.0
) -> list[bool]:
    """Of each input that moved, whether its reading is true.

    Args:
        errors: prediction less truth of each label since all of them moved, in the output's unit.
        moves: by how much the prediction follows from each one's move, in the same.
        risk: mean absolute error in training.
        beyond: by how much the prediction is off what all inputs give.
    """
    told, every = np.asarray(errors, np.float64), range(len(moves))
    rests = {
        faulty: min(
            float(np.mean(np.abs(told - sum(moves[place] for place in faulty) - more)))
            for more in ((0.0, beyond) if faulty else (0.0,))
        )
        for size in range(len(moves) + 1) for faulty in combinations(every, size)
    }  # fmt: skip
    return [
        abs(moves[place]) >= LARGE * risk
        and min(rest for faulty, rest in rests.items() if place not in faulty)
        < LESS * min(rest for faulty, rest in rests.items() if place in faulty)
        for place in every
    ]


def misread(errors: Sequence[float], moves: Sequence[float], risk: float) -> bool:
    """Whether one input's reading, if it were false, explains most of the errors.

    Args:
        errors: prediction less truth of the latest labels, in the output's unit.
        moves: by how much the prediction follows from the place of each input in doubt, in the
            same.
        risk: mean absolute error in training.
    """
    told = np.asarray(errors, np.float64)
    size = float(np.mean(np.abs(told)))
    return any(
        abs(move) >= LARGE * risk and float(np.mean(np.abs(told - move))) < LESS * size
        for move in moves
    )


class BearingOut:
    """Looks at each window that closes; see the module's text.

    Args:
        spec: what is guarded.
        truth: errors of labels.
        mode: of each model, the place of its present mode's baseline.
    """

    def __init__(self, spec: EngineSpec, truth: Truth, mode: Callable[[int], int]) -> None:
        self._spec, self._truth, self._mode = spec, truth, mode
        self._lately = np.zeros(len(spec.rows), _LATELY)

    def add(self, counts: np.ndarray[Any, Any]) -> None:
        """A window more: `tally.COUNTS`[rows]."""
        has = counts["good"] > 0
        now = counts["sum"][has] / counts["good"][has] / UNITS_PER_SD
        windows = self._lately["windows"][has] + 1
        was = self._lately["mean"][has]
        self._lately["mean"][has] = was + np.maximum(1.0 / windows, _FORGETS) * (now - was)
        self._lately["windows"][has] = windows

    def look(self, model: int, watch: Watch, now: int) -> None:
        """Note in `watch` which inputs of a model the truth bears out by now."""
        spec, inputs = self._spec.models[model], self._spec.rows_of(model)
        places = {f"tag/{name}": place for place, name in enumerate(spec.inputs)}
        moved = {
            one: item for one, item in watch.doubted.items()
            if item.kind in STAYS_MOVED and item.subject in places and spec.name in item.models
            and one not in watch.borne
        }
        if not 0 < len(moved) < SEVERAL_MOVED:
            return
        since_ns = max(item.since_ns for item in moved.values())
        if now - since_ns < WINDOWS * self._spec.summary_ns:
            return
        lately = self._lately["mean"][inputs.start : inputs.stop]
        columns = [places[item.subject] for item in moved.values()]
        for pair in self._truth.pairs[model]:
            moves = self._moves(model, pair, lately)
            errors = [error for of_ns, error in pair.state.errors if of_ns >= since_ns]
            if moves is None or len(errors) < LABELS:
                continue
            follows, risk, beyond = moves
            found = borne_out(errors, [follows[place] for place in columns], risk, beyond)
            watch.borne |= {one for one, true in zip(moved, found, strict=True) if true}

    def misreads(self, model: int, watch: Watch, now: int) -> bool:
        """Whether the latest errors of a model are those of an input that reads far from where it
        was trained, before its own charts say so: a slow drift shows in the output first.

        Not of one that the process is known to have moved: its reading is true.
        """
        spec, rows = self._spec.models[model], self._spec.rows_of(model)
        lately = self._lately["mean"][rows.start : rows.stop]
        known = {item.subject for item in watch.moved(spec.name)}
        far = [
            place for place, name in enumerate(spec.inputs)
            if abs(lately[place]) >= FAR and f"tag/{name}" not in known
        ]
        for pair in self._truth.pairs[model] if far else ():
            moves = self._moves(model, pair, lately)
            reach_ns = int(self._spec.summary_ns / _FORGETS)
            errors = [error for of_ns, error in pair.state.errors if now - of_ns <= reach_ns]
            if moves is None or len(errors) < LABELS:
                continue
            if misread(errors, [moves[0][place] for place in far], moves[1]):
                return True
        return False

    def _moves(
        self, model: int, pair: Pair, lately: np.ndarray[Any, Any]
    ) -> tuple[list[float], float, float] | None:
        """(by how much the prediction follows from each input's place, the mean absolute error in
        training, by how much it is off what all inputs give), in the output's unit; None where that
        is not known.
        """
        output = self._output(model, pair.label.output)
        risk = pair.mean_error
        if output is None or not output.relation or risk is None:
            return None
        charted = self._spec.models[model].charted
        row = self._spec.outputs_of(model)[charted.index(output.item.tag)]
        relation, scale = output.relation, output.item.scale
        moves = np.asarray(relation["slopes"], np.float64) * lately
        given = float(relation["intercept"] + relation["middle"] + moves.sum())
        beyond = float(self._lately["mean"][row]) - given
        return (moves * scale).tolist(), risk, beyond * scale

    def _output(self, model: int, name: str) -> OutputBaseline | None:
        """None also where it is not charted: a candidate's predictions are not."""
        if name not in self._spec.models[model].charted:
            return None
        mode = self._spec.models[model].baseline.modes[self._mode(model)]
        return next((one for one in mode.outputs if one.item.tag == name), None)

    def arrays(self) -> list[Lasting]:
        """Where each input and output has been lately."""
        return [Lasting("retraining.lately", "input", self._lately)]
