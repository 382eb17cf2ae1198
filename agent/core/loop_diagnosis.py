"""What a fault in a control loop is: a reading, a valve, a load, or somebody who moved it.

In automatic, integral action brings the measurement back to its set point whatever the fault. So:

- a reading that leaps further from one scan to the next than it ever did, while the controller
  answers, is a transmitter's: no process behind a controller moves so fast. If the controller does
  not answer, what is read here is not what it reads;
- a *biased* measurement moves the true value, so each output and measurement that depends on it
  moves by its gain, as `agent.fit.loops` learnt it, and the loop's own output by an unknown amount;
- a *load*, or a valve, moves the loop's own output alone;
- where the measurement does not come back to its set point, the output has no effect any more;
- a set point or mode like none of training was moved by somebody.

Steady hypotheses are weighed by likelihood ratios: what remains after the load models, averaged
over a window, is Gaussian with the covariance of training; a hypothesis may shift it along its
directions by unknown sizes. Pure functions of the traces at one instant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core import shape
from agent.core.kernels.trace import COARSE
from agent.core.kernels.trace import PER_MEAN as BLOCK
from agent.core.loop_traces import Loop, Seen, beyond, has_stayed
from agent.types import Float64

WINDOW = 8
"""Blocks of 16 samples whose mean is judged."""

SHIFTED = 0.6
"""Times the farthest window of training from its centre from which a shift may be told whose it is:
that there is one, the charts have found."""

EXPLAINS = 1.3
"""Times that distance that may remain of a shift once it is explained."""

MARGIN = 12.0
"""Log likelihood ratio, doubled, by which one explanation must beat the next."""

OFF = 1.5
"""Times the farthest that a measurement ever was from its set point."""

SEEN_DOWNSTREAM = 4.0
"""Standard deviations of a measurement: a bias of that size that others would show, and do not,
is none."""

SEVERAL_LEAPT = "readings leapt"
"""Several at once: they may have traded places, which their own values tell."""

_FLAT = 32
_ANSWERED = 0.9  # of the largest step of an output in training
_MUST_MOVE = 6.0  # standard deviations of a bias that its own output must show
_SWINGING = "oscillation"
_AS_FAR = 0.5  # of the farthest block: what is as far on the other side swings, and is no noise
_CROSSINGS = 2  # from far on one side of the set point to the other that are an oscillation
_NOISY = 2  # blocks with steps that training never had, from which they are noise
_PATIENCE = 4  # blocks after a leap until a controller must have answered


@dataclass(frozen=True, slots=True)
class LoopFault:
    """What the evidence says: whose it is (a column), which fault, whose cause.

    `shown` says that single samples show it, which later ones do not refute: a reading that leaps
    does so once. `column` is -1 where several may be it: `candidates` then holds their columns.
    `size` of a bias and its `error` are standardised; `sure` is the log of how much likelier it is
    than any other explanation, 0 where no such ratio decided. `reads` and `set_point` are the
    latest, in units.
    """

    kind: str
    cause: str
    column: int
    candidates: tuple[int, ...] = ()
    size: float = 0.0
    error: float = 0.0
    sure: float = 0.0
    shown: bool = True
    reads: float = np.nan
    set_point: float = np.nan


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """Of the input `column`: what it may shift, float64[k, answers]; `bias`: of its reading."""

    column: int
    directions: Float64
    bias: bool


class LoopModel:
    """The loops of one mode of a model, as `agent.fit.loops` wrote them."""

    def __init__(self, document: Mapping[str, Any], loops: Sequence[Loop]) -> None:
        self.loops = tuple(loops)
        self._answers = np.array(document["answers"], np.int64)
        self._gains = np.array(document["gains"], np.float64)
        self._middle = np.array(document["middle"], np.float64)
        covariance = np.array(document["covariance"], np.float64)
        self._precision = np.linalg.inv(covariance)
        self._farthest = float(document["farthest"])
        self._leap = np.array(document["leap"], np.float64)
        self._off = np.array(document["off"], np.float64)
        self._sway = np.array(document["sway"], np.float64)
        self._hypotheses = self._all_hypotheses(document["follows"])

    def fault(self, seen: Seen, flagged: Collection[int] = ()) -> LoopFault | None:
        """The fault that the traces tell of; None where they tell of none.

        Args:
            seen: the traces.
            flagged: the inputs that charts found something of; where outputs or indicators are
                among them, what explains none of these is no explanation.
        """
        shown = self._announced(seen) or self._flat(seen) or self._reading(seen)
        found = shown or self._not_held(seen) or self._settled(seen, flagged)
        if found is None or found.column < 0:
            return found
        found = replace(found, shown=shown is not None)
        loop = next((one for one in self.loops if one.pv == found.column and one.sp >= 0), None)
        set_point = seen.now(loop.sp) if loop is not None else np.nan
        return replace(found, reads=seen.now(found.column), set_point=set_point)

    def _settled(self, seen: Seen, flagged: Collection[int]) -> LoopFault | None:
        """What the last window tells; swinging, where that is no answer or nothing settled."""
        swings, steady = self._sways(seen), self._steady(seen, flagged)
        if swings is None or steady is None or swings.kind == _SWINGING:
            return swings or steady
        return swings if {steady.column, *steady.candidates} - {-1} <= {swings.column} else steady

    # --- somebody moved it ----------------------------------------------------------------------

    def _announced(self, seen: Seen) -> LoopFault | None:
        """A set point or mode that training never had, now or within the traces."""
        for part, kind in (("mode", "loop mode"), ("sp", "set point moved")):
            for loop in self.loops:
                column = getattr(loop, part)
                if column >= 0 and beyond(seen, column):
                    return LoopFault(kind, "process", column)
        return None

    # --- the reading ----------------------------------------------------------------------------

    def _flat(self, seen: Seen) -> LoopFault | None:
        """A measurement repeats one value, though it always had noise."""
        for loop in self.loops:
            recent = seen.fine[loop.pv][-_FLAT:]
            if len(recent) == _FLAT and seen.noise[loop.pv] > 0.0 and np.ptp(recent) == 0.0:
                return LoopFault("stuck", "sensor", loop.pv)
        return None

    def _reading(self, seen: Seen) -> LoopFault | None:
        """Noise of one measurement, or a leap that no process makes."""
        leapt = [loop for loop in self.loops if self._leapt(seen, loop.pv).any()]
        stayed = [loop for loop in leapt if has_stayed(seen, loop.pv, self._largest(seen, loop.pv))]
        if len(stayed) > 1:
            return LoopFault(SEVERAL_LEAPT, "unknown", -1, tuple(loop.pv for loop in stayed))
        if len(leapt) > 1:
            leapt = stayed
        if len(leapt) != 1:
            return None
        loop, blocks = leapt[0], int(self._leapt(seen, leapt[0].pv).sum())
        largest = self._largest(seen, loop.pv)
        off = self._is_off(seen, loop)
        noisy = shape.noisier(seen.fine[loop.pv], seen.noise[loop.pv])
        if not off and blocks >= (_NOISY if noisy else 2 * _NOISY):
            return LoopFault("noise", "sensor", loop.pv)
        if loop not in stayed:
            return None
        if off and not self._answered(seen, loop, largest):
            if len(seen.leaps) - largest <= _PATIENCE:
                return LoopFault("transmitter or load", "unknown", -1, (loop.pv,))
            return LoopFault("not what the controller reads", "integration", loop.pv)
        return LoopFault("bias", "sensor", loop.pv, size=float(seen.leaps[largest, loop.pv]))

    def _largest(self, seen: Seen, column: int) -> int:
        """The block with the largest step."""
        return int(np.argmax(np.abs(seen.leaps[:, column])))

    def _leapt(self, seen: Seen, column: int) -> NDArray[np.bool_]:
        """bool[k]: blocks with a step that training never had."""
        slope = np.abs(np.diff(seen.means[:, column], prepend=0.0, append=0.0))[1:-1] / BLOCK
        beside = np.concatenate([slope[:1], slope, slope[-1:], slope[-1:]])  # a ramp is no leap
        ramp = np.zeros(len(seen.leaps))
        known = min(len(ramp), max(len(beside) - 1, 0))
        ramp[:known] = np.maximum(beside[:-1], beside[1:])[:known]
        least = max(float(self._leap[column]), 1e-12)
        found: NDArray[np.bool_] = np.abs(seen.leaps[:, column]) > least + ramp
        return found

    def _answered(self, seen: Seen, loop: Loop, since: int) -> bool:
        """Whether the output stepped with the measurement, or has left where it was trained."""
        if loop.out < 0:
            return True
        stepped = np.abs(seen.leaps[since : since + 2, loop.out]) > _ANSWERED * self._leap[loop.out]
        return bool(stepped.any()) or beyond(seen, loop.out)

    # --- the loop does not hold its measurement ---------------------------------------------------

    def _is_off(self, seen: Seen, loop: Loop) -> bool:
        """Whether the latest samples of a measurement are off its set point, as they never were."""
        if loop.sp < 0 or not self._off[loop.pv]:
            return False
        apart = abs(seen.now(loop.pv) - seen.now(loop.sp))
        return bool(apart > OFF * self._off[loop.pv] * seen.scale[loop.pv])

    def _not_held(self, seen: Seen) -> LoopFault | None:
        """The output moved as it never had to, and its measurement does not come back."""
        off = [loop for loop in self.loops if loop.out >= 0 and self._is_off(seen, loop)]
        first = self._first_of([*off, *self._swinging(seen)])
        if len(first) != 1 or first[0] not in off or not beyond(seen, first[0].out):
            return None
        return LoopFault("output without effect", "process", first[0].pv)

    def _sways(self, seen: Seen) -> LoopFault | None:
        """A measurement swings about its set point: the first of the loops that follow each other.

        A slow fault of its transmitter does not: the controller brings the reading back all the
        time. A valve that sticks, or has less effect than it had, leaves it behind.
        """
        first = self._first_of(self._swinging(seen))
        if len(first) != 1:
            return None
        loop = first[0]
        apart = self._off_blocks(seen, loop)
        size = np.abs(apart)
        far = apart[size > max(self._sway[loop.pv], _AS_FAR * size.max())]
        if (np.diff(np.sign(far)) != 0).sum() >= _CROSSINGS:
            return LoopFault(_SWINGING, "process", loop.pv)
        moved = beyond(seen, loop.out) if loop.out >= 0 else False
        return LoopFault("output without effect", "process", loop.pv) if moved else None

    def _swinging(self, seen: Seen) -> list[Loop]:
        return [
            loop for loop in self.loops if loop.sp >= 0 and self._sway[loop.pv] > 0.0
            and (self._off_blocks(seen, loop) ** 2).sum() > COARSE * self._sway[loop.pv] ** 2
        ]  # fmt: skip

    def _first_of(self, loops: Sequence[Loop]) -> list[Loop]:
        """Those of the loops that follow no other of them."""
        row = {loop: place for place, loop in self._answering(loops)}
        return [
            loop for loop in dict.fromkeys(loops) if loop not in row or not any(
                self._gains[row[loop], other.pv] for other in loops if other != loop
            )
        ]

    def _answering(self, loops: Sequence[Loop]) -> list[tuple[int, Loop]]:
        """(row of its output among the answers, loop) of those that have one."""
        place = {column: row for row, column in enumerate(self._answers.tolist())}
        return [(place[loop.out], loop) for loop in loops if loop.out in place]

    def _off_blocks(self, seen: Seen, loop: Loop) -> Float64:
        """float64[k]: block means of a measurement less those of its set point, standardised."""
        pv, sp = (seen.units(column, seen.means[:, column]) for column in (loop.pv, loop.sp))
        apart: Float64 = (pv - sp) / seen.scale[loop.pv]
        return apart

    # --- what has settled -------------------------------------------------------------------------

    def _steady(self, seen: Seen, flagged: Collection[int]) -> LoopFault | None:
        """The likelihood ratios of single faults, of the mean of the last window."""
        if len(seen.means) < WINDOW or any(self._is_off(seen, loop) for loop in self.loops):
            return None
        means = seen.means[-WINDOW:].mean(axis=0)
        left = means[self._answers] - self._gains @ means - self._middle
        total = float(left @ self._precision @ left)
        if not np.isfinite(total) or total <= (SHIFTED * self._farthest) ** 2:
            return None
        rows = [row for row, column in enumerate(self._answers.tolist()) if column in flagged]
        tried = [
            (self._remains(left, one.directions), one) for one in self._hypotheses
            if self._plausible(one, left)
            and (not rows or np.abs(one.directions[:, rows]).max() > 0.0)
        ]
        least = min((rest for rest, _ in tried), default=np.inf)
        most = min((EXPLAINS * self._farthest) ** 2, least + MARGIN)
        rival = min((rest for rest, _ in tried if rest > most), default=np.inf)
        decided = self._decided([one for rest, one in tried if rest <= most], left)
        return replace(decided, sure=0.5 * (rival - least)) if decided.column >= 0 else decided

    def _all_hypotheses(self, follows: Collection[int]) -> list[_Hypothesis]:
        """Every single fault: a load on, or a bias of the measurement of, a loop; an indicator.

        What a true value needs of its loop's own output is known where its set point moved in
        training (`follows`), else it is free.
        """
        place = {column: row for row, column in enumerate(self._answers.tolist())}
        units = np.eye(len(place))
        found = []
        for loop in self.loops:
            own = units[[place[loop.out]]] if loop.out in place else units[:0]
            if len(own):
                found.append(_Hypothesis(loop.pv, own, bias=False))
            moved = -self._gains[:, loop.pv]
            others = moved * (1.0 - own.sum(axis=0))
            if others.any() and loop.pv in follows:
                found.append(_Hypothesis(loop.pv, moved[None], bias=True))
            elif others.any():
                found.append(_Hypothesis(loop.pv, np.vstack([others, own]), bias=True))
        outputs = {loop.out for loop in self.loops}
        for column, row in place.items():
            if column not in outputs:
                alone = units[[row]] - self._gains[:, column]
                found.append(_Hypothesis(column, alone, bias=True))
        return found

    def _plausible(self, one: _Hypothesis, left: Float64) -> bool:
        """Not a bias so large that the loop's own output must have moved, and did not."""
        if not one.bias or len(one.directions) < 2:
            return True
        size, _ = self._size(one, left)
        rest = left - size * one.directions[0]
        own = one.directions[1]
        moved = float(own @ self._precision @ rest) ** 2 / float(own @ self._precision @ own)
        return abs(size) <= _MUST_MOVE or moved >= 4.0

    def _decided(self, near: Sequence[_Hypothesis], left: Float64) -> LoopFault:
        """The fault that the hypotheses which explain what is seen have in common."""
        columns = tuple(dict.fromkeys(one.column for one in near))
        biases = [one for one in near if one.bias]
        if len(columns) != 1:
            return LoopFault("loops disagree", "unknown", -1, columns)
        if len(near) == 1 and biases and any(loop.pv == columns[0] for loop in self.loops):
            size, error = self._size(biases[0], left)
            return LoopFault("bias", "sensor", columns[0], size=size, error=error)
        if len(near) == 2:
            size, error = self._size(biases[0], left)
            if abs(size) <= 3.0 * error and abs(size) + 3.0 * error <= SEEN_DOWNSTREAM:
                return LoopFault("load", "process", columns[0])
        return LoopFault("transmitter or load", "unknown", -1, columns)

    def _size(self, bias: _Hypothesis, left: Float64) -> tuple[float, float]:
        """(size of a bias, its error) in standard deviations, the own output being free."""
        weighed = bias.directions @ self._precision
        inverse = np.linalg.pinv(weighed @ bias.directions.T)
        return float((inverse @ (weighed @ left))[0]), float(np.sqrt(max(inverse[0, 0], 0.0)))

    def _remains(self, left: Float64, directions: Float64) -> float:
        """What remains of the squared distance once shifts along the directions are free."""
        weighed = directions @ self._precision
        size = np.linalg.lstsq(weighed @ directions.T, weighed @ left, rcond=None)[0]
        rest = left - size @ directions
        return float(rest @ self._precision @ rest)
