"""A small plant with control loops, in plain numpy, whose truth is known: for tests of loops.

A flow F with a set point that wanders; a heated stream A that the flow cools, with an unmeasured
load; a stream B after it, fed by what A truly is. Each is held by a PI controller that reads the
transmitter. Columns: of each loop pv, set point, output, mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from agent.core.loop_traces import Loop, Seen
from agent.fit.loops import Part
from agent.types import Float64

LOOPS = ("F", "A", "B")
NAMES = tuple(f"{loop}.{part}" for loop in LOOPS for part in ("PV", "SP", "OUT", "MODE"))
PARTS = {
    f"{loop}.{short}": Part(loop, part)
    for loop in LOOPS
    for short, part in (("PV", "measurement"), ("SP", "set point"), ("OUT", "controller output"),
                        ("MODE", "loop mode"))
}  # fmt: skip
COLUMNS = tuple(
    Loop(loop, *(NAMES.index(f"{loop}.{part}") for part in ("PV", "SP", "OUT", "MODE")))
    for loop in LOOPS
)
_SP = {"F": 20.0, "A": 60.0, "B": 90.0}
_NOISE = {"F": 0.3, "A": 0.1, "B": 0.1}
_TUNING = {"F": (0.3, 6.0), "A": (4.0, 60.0), "B": (4.0, 80.0)}  # gain, integral time in scans
_WANDER = {
    name: (math.exp(-1.0 / time), spread * math.sqrt(1.0 - math.exp(-2.0 / time)))
    for name, spread, time in (("rsp", 1.0, 120.0), ("F", 0.5, 60.0), ("A", 1.0, 150.0),
                               ("B", 0.2, 100.0))
}  # fmt: skip
"""What moves by itself -> share kept from scan to scan, and of a new value: first-order."""


def _nothing(_: int) -> float:
    return 0.0


@dataclass
class Faults:
    """What is wrong, each a function of scans since the onset; none before it."""

    bias: dict[str, Callable[[int], float]] = field(default_factory=dict)
    load: dict[str, Callable[[int], float]] = field(default_factory=dict)
    set_point: dict[str, Callable[[int], float]] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    stuck_valve: frozenset[str] = frozenset()
    stuck_reading: frozenset[str] = frozenset()
    manual: frozenset[str] = frozenset()


def record(scans: int, seed: int, faults: Faults | None = None, onset: int = 0) -> Float64:
    """float64[scans, 12] in the order of `NAMES`, after a start-up that is left out."""
    before = 400
    chance = np.random.default_rng(seed).normal(size=(before + scans, 7)).tolist()
    plant = _Plant()
    rows = [
        plant.scan(drawn, faults if faults and at >= before + onset else Faults(),
                   at - before - onset)
        for at, drawn in enumerate(chance)
    ]  # fmt: skip
    return np.array(rows[before:])


class _Plant:
    """The state of process and controllers."""

    def __init__(self) -> None:
        self.true = dict(_SP)
        self.integral = dict.fromkeys(LOOPS, 50.0)
        self.valve = dict.fromkeys(LOOPS, 50.0)
        self.position = dict.fromkeys(LOOPS, 50.0)
        self.last = dict(_SP)
        self.wander = dict.fromkeys(_WANDER, 0.0)

    def scan(self, drawn: list[float], on: Faults, since: int) -> list[float]:
        """One scan, from seven independent normal values; the columns of `NAMES`."""
        for (name, (keep, share)), value in zip(_WANDER.items(), drawn[:4], strict=True):
            self.wander[name] = keep * self.wander[name] + share * value
        row: list[float] = []
        for loop, value in zip(LOOPS, drawn[4:], strict=True):
            sp = _SP[loop] + (self.wander["rsp"] if loop == "F" else 0.0)
            sp += on.set_point.get(loop, _nothing)(since)
            noise = _NOISE[loop] * on.noise.get(loop, 1.0) * value
            pv = round(self.true[loop] + noise + on.bias.get(loop, _nothing)(since), 3)
            pv = self.last[loop] if loop in on.stuck_reading else pv
            self.last[loop] = pv
            if loop not in on.manual:
                self._control(loop, sp - pv)
            row += [pv, sp, self.valve[loop], 0.0 if loop in on.manual else 1.0]
        self._move(on, since)
        return row

    def _control(self, loop: str, error: float) -> None:
        gain, time = _TUNING[loop]
        self.integral[loop] = min(max(self.integral[loop] + gain / time * error, 0.0), 100.0)
        self.valve[loop] = min(max(self.integral[loop] + gain * error, 0.0), 100.0)

    def _move(self, on: Faults, since: int) -> None:
        for loop in LOOPS:
            if loop not in on.stuck_valve:
                self.position[loop] = self.valve[loop]
        flow, heat, more = self.position.values()
        load = {
            loop: self.wander[loop] + on.load.get(loop, _nothing)(since) for loop in LOOPS
        }  # fmt: skip
        true = self.true
        true["F"] += (0.4 * flow + load["F"] - true["F"]) / 2.0
        true["A"] += (70.0 + 0.8 * heat - 2.5 * true["F"] + load["A"] - true["A"]) / 20.0
        true["B"] += (5.0 + true["A"] + 0.5 * more + load["B"] - true["B"]) / 30.0


@lru_cache(maxsize=1)
def training() -> Float64:
    """A record of normal operation to fit on."""
    return record(16_000, seed=1)


def standard(values: Float64) -> tuple[Float64, Float64]:
    """Centre and scale as `fit` has them."""
    scale = values.std(axis=0)
    return values.mean(axis=0), np.where(scale > 1e-9, scale, 1.0)


def seen(values: Float64, train: Float64) -> Seen:
    """The traces as the engine holds them after `values` float64[n, 12], standardised by `train`.

    As blocks are counted from the first sample, `values` should hold whole traces.
    """
    centre, scale = standard(train)
    z = (values - centre) / scale
    noise = np.diff((train - centre) / scale, axis=0).std(axis=0) / np.sqrt(2.0)
    blocks = len(z) // 16
    first = max(blocks - 32, 0)
    steps = np.diff(z, axis=0, prepend=z[:1])
    leaps = [steps[16 * i : 16 * (i + 1)] for i in range(first, blocks)]
    leaps.append(steps[16 * blocks :] if len(z) % 16 else np.zeros((1, z.shape[1])))
    return Seen(
        [z[-64:, j] for j in range(z.shape[1])],
        z[16 * first : 16 * blocks].reshape(blocks - first, 16, -1).mean(axis=1),
        np.array([each[np.abs(each).argmax(axis=0), np.arange(z.shape[1])] for each in leaps]),
        noise, centre, scale, np.stack([train.min(axis=0), train.max(axis=0)], axis=1),
    )  # fmt: skip
