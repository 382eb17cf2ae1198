"""Thresholds: what the fitted limits of one input promise and find, beside those not chosen.

- `level`: delays of the level chart to shifts of 2 to 5 sd at the thresholds that ship, and those
  of its CUSUM alone.
- `tails`: false alarms of the level chart beside what was promised, where values are not normal;
  and of its EWMA beside its share of them.
- `step`: the limit after 400 samples; false alarms beside what was promised, by kind of stream.
- `dips`: steps of 3 sd found after records with dips, with groups of blocks and without.
- `unseen`: what a record of 400 s lets be found, and what an input that wanders raises in the hour
  after it.

The figures are in docs/measurements/thresholds.md.
`python benchmarks/detection/thresholds.py [--quick] [--only TABLE]` prints JSON lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import numpy as np
from _recorded import note, say
from _streams import SECOND, ar1, first_flags, tau_of
from power import shipped_arl

from agent.fit import step as fitting
from agent.fit.univariate import EWMA_SHARE, InputFit, fit_input
from agent.types import Float64

Stream = Callable[[int, int], Float64]
MINUTES = 400
HOUR = 3600
NO_EWMA = {"ewma_up": 1e300, "ewma_down": 1e300}
NO_CUSUM = {"h_up": 1e300, "h_down": 1e300}


def one(phi: float, n: int, seed: int) -> Float64:
    """float64[n] of an AR(1) stream."""
    return ar1(phi, n, 1, seed)[:, 0]


def dips(n: int, seed: int) -> Float64:
    """AR(1) that falls by 8 for 20 samples about every 1,000."""
    fallen = np.convolve(np.random.default_rng(seed).random(n) < 0.001, np.ones(20))[:n] > 0
    return one(0.9, n, seed) - 8.0 * fallen


KINDS: dict[str, Stream] = {
    "white": lambda n, seed: one(0.0, n, seed),
    "AR(1) 0.9": lambda n, seed: one(0.9, n, seed),
    "t6": lambda n, seed: np.random.default_rng(seed).standard_t(6, n),
    "t4": lambda n, seed: np.random.default_rng(seed).standard_t(4, n),
    "whole units": lambda n, seed: np.round(0.5 * np.random.default_rng(seed).standard_normal(n)),
    "exponential": lambda n, seed: np.random.default_rng(seed).exponential(size=n),
    "dips": dips,
}


def fitted(values: Float64, arl: float) -> InputFit:
    """An input's charts, each at an ARL in samples."""
    return fit_input(values, interval_ns=SECOND, arl=arl, name="x")


def raised(fit: InputFit, name: str, stream: Float64, parts: int) -> int:
    """In how many of equal parts of a stream, each begun anew, a detector raises its flag."""
    columns = np.ascontiguousarray(stream.reshape(parts, -1).T)
    return int((first_flags(fit, (name,), columns, 0) >= 0).sum())


def level(repeats: int) -> None:
    """Delays to large shifts, as shipped and by the CUSUM alone."""
    arl = shipped_arl()
    for phi in (0.9, 0.98):
        tau = tau_of(phi)
        lead, after = int(20 * tau), int(80 * tau)
        found: dict[str, list[list[float]]] = {"shipped": [], "cusum_alone": []}
        for seed in range(repeats):
            fit = fitted(one(phi, int(2000 * tau), 100 + seed), arl)
            for name, rows in found.items():
                if name == "cusum_alone":
                    fit.detectors["level"] |= NO_EWMA
                row = []
                for shift in (2.0, 3.0, 4.0, 5.0):
                    streams = ar1(phi, lead + after, 100, 5000 + seed)
                    streams[lead:] += shift
                    first = first_flags(fit, ("level",), streams, lead)
                    row.append(float(np.where(first < 0, after, first).mean()))
                rows.append(row)
        delay = {name: [round(x) for x in np.mean(rows, axis=0)] for name, rows in found.items()}
        say(table="level", phi=phi, arl=round(arl), shifts_sd=[2, 3, 4, 5], delay_samples=delay)


def tails(repeats: int) -> None:
    """First false alarms in parts of a tenth of the run length, beside a tenth promised."""
    arl, parts = 1e5, 40
    for kind, rows in (("white", 20_000), ("t4", 20_000), ("exponential", 2_000), ("dips", 20_000)):
        alarms = {"chart": 0, "ewma_alone": 0}
        for seed in range(repeats):
            fit = fitted(KINDS[kind](rows, seed), arl)
            new = KINDS[kind](int(arl / 10) * parts, 1000 + seed)
            alarms["chart"] += raised(fit, "level", new, parts)
            fit.detectors["level"] |= NO_CUSUM
            alarms["ewma_alone"] += raised(fit, "level", new, parts)
        promised = repeats * parts / 10
        shares = {"chart": promised, "ewma_alone": EWMA_SHARE * promised}
        ratio = {name: round(count / shares[name], 2) for name, count in alarms.items()}
        say(table="tails", kind=kind, rows=rows, ratio=ratio)


def step(repeats: int) -> None:
    """The limit after 400 samples and how well it is kept, at one false alarm in 100,000."""
    arl, parts, part = 1e5, 20, 6_000
    for kind in ("white", "AR(1) 0.9", "t6", "t4", "whole units", "exponential"):
        limits, alarms = [], 0
        for seed in range(repeats):
            values = KINDS[kind](MINUTES, seed)
            fit = fitted(values, arl)
            limits.append(fit.detectors["step"]["limit"] * fit.scale / float(values.std()))
            alarms += raised(fit, "step", KINDS[kind](part * parts, 1000 + seed), parts)
        ratio = alarms / (repeats * parts * part / arl)
        say(table="step", kind=kind, limit_sd=round(median(limits), 2), ratio=round(ratio, 2))


def among_dips(repeats: int) -> None:
    """Steps of 3 sd that last, after 6,000 samples in which dips as large come and go."""
    every = fitting.CHARTS
    found = {}
    for name, charts in (("with_groups", every), ("single_blocks", every[:4])):
        fitting.CHARTS = charts
        hits = 0
        for seed in range(repeats):
            fit = fitted(dips(6_000, seed), 1e6)
            stream = dips(1_000, 1000 + seed)
            stream[580:] += 3.0 * fit.scale
            hits += raised(fit, "step", stream, 1)
        found[name] = round(100 * hits / repeats, 1)
    fitting.CHARTS = every
    say(table="dips", found_percent=found)


def unseen(repeats: int) -> None:
    """After 400 s: a shift of 1 sd of white noise; an hour of a level that wanders over hours."""
    arl, slow = 1e7, float(np.exp(-1.0 / HOUR))
    delays, alarms = [], {"level": 0, "outside": 0}
    for seed in range(repeats):
        values = one(0.0, MINUTES, seed)
        stream = ar1(0.0, 600, 20, 1000 + seed) + values.std()
        first = first_flags(fitted(values, arl), ("level",), stream, 0)
        delays += [float(at) if at >= 0 else 600.0 for at in first]
        wandering = one(slow, MINUTES + HOUR, seed) + 0.1 * one(0.0, MINUTES + HOUR, 99 + seed)
        fit = fitted(wandering[:MINUTES], arl)
        for name in alarms:
            alarms[name] += raised(fit, name, wandering[MINUTES:], 1)
    say(table="unseen", shift_of_1_sd_found_after=median(delays))
    percent = {name: round(100 * count / repeats) for name, count in alarms.items()}
    say(table="unseen", raised_in_the_hour_after_percent=percent)


TABLES = {"level": level, "tails": tails, "step": step, "dips": among_dips, "unseen": unseen}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="what fitted limits promise and find")
    parser.add_argument("--quick", action="store_true", help="4 records a row instead of 40")
    parser.add_argument("--only", choices=TABLES, help="one table")
    chosen = parser.parse_args()
    records = 4 if chosen.quick else 40
    for name in [chosen.only] if chosen.only else TABLES:
        note(f"thresholds: {name} ...")
        TABLES[name](max(3, records // 4) if name == "level" else records)


if __name__ == "__main__":
    main()
