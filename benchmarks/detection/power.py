"""Power: how soon a shift of an autocorrelated stream is found by one chart, at a known ARL.

AR(1) streams, trained on 2,000 correlation times each; a shift of 0.5, 1 or 2 standard deviations
begins at a known row; the delay is to the flag of the level chart calibrated to an ARL of 2 x 10^5
samples. The achieved ARL is measured on unshifted streams. Reference delays (each the best of five
charts measured): phi 0.9: 1,468 / 283 / 97; phi 0.98: 5,572 / 1,121 / 399; the goal is 1.25 times
them. The last rows give the same at the thresholds that ship (24 inputs, one in 30 days at 1 Hz,
level and drift together).

`python benchmarks/detection/power.py [--quick]` prints JSON lines.
"""

from __future__ import annotations

import sys

import numpy as np
from _recorded import note, say
from _streams import SECOND, ar1, first_flags, tau_of

from agent.fit.budget import ModelLoad, divide
from agent.fit.univariate import fit_input

ARL = 2e5
REFERENCE = {0.9: (1468, 283, 97), 0.98: (5572, 1121, 399)}
SHIFTS = (0.5, 1.0, 2.0)
FACTOR = 1.25
TRAINED_TAU = 2000


def shipped_arl() -> float:
    """A chart's ARL in samples on a gateway of 24 inputs at 1 Hz with the default budget."""
    month = 1.0 / (30 * 86_400 * SECOND)
    return divide(month, [ModelLoad("m", (SECOND,) * 24, SECOND)])["m"].inputs[0]


def delays(phi: float, arl: float, charts: tuple[str, ...], baselines: int, columns: int) -> dict:
    """Median over baselines of the mean delay for each shift; and the ARL achieved."""
    tau = tau_of(phi)
    lead = int(20 * tau)
    longest = int(12 * REFERENCE[phi][0] * (3 if arl > ARL else 1))
    means: list[list[float]] = []
    flags = calm_rows = 0
    for seed in range(baselines):
        train = ar1(phi, int(TRAINED_TAU * tau), 1, 100 + seed)[:, 0]
        fit = fit_input(train, interval_ns=SECOND, arl=arl, name="x")
        row = []
        for shift, reference in zip(SHIFTS, REFERENCE[phi], strict=True):
            rows = lead + min(longest, 12 * reference * (3 if arl > ARL else 1))
            streams = ar1(phi, rows, columns, 5000 + 10 * seed)
            streams[lead:] += shift
            found = first_flags(fit, charts, streams, lead)
            row.append(float(np.where(found < 0, rows - lead, found).mean()))
        means.append(row)
        if arl <= ARL:
            calm = ar1(phi, 400_000, 8, 9000 + seed)
            flags += int((first_flags(fit, charts, calm, 0) >= 0).sum())
            found = first_flags(fit, charts, calm, 0)
            calm_rows += int(np.where(found < 0, 400_000, found).sum())
    achieved = calm_rows / max(flags, 1) if arl <= ARL else None
    return {"delay": [round(x) for x in np.mean(means, axis=0)], "arl_achieved": achieved}


def main() -> None:
    """Print a row for each phi, and the same at shipped thresholds."""
    quick = "--quick" in sys.argv
    baselines, columns = (3, 40) if quick else (12, 200)
    for phi, reference in REFERENCE.items():
        note(f"power: phi {phi:g} ...")
        row = delays(phi, ARL, ("level",), baselines, columns)
        exact = [d / r for d, r in zip(row["delay"], reference, strict=True)]
        ratio = [round(one, 3) for one in exact]
        say(
            table="power", phi=phi, arl=ARL, chart="level", shifts_sd=SHIFTS,
            delay_samples=row["delay"], reference=reference, ratio=ratio, goal_ratio=FACTOR,
            arl_achieved=round(row["arl_achieved"]), reached=max(exact) <= FACTOR,
        )  # fmt: skip
    arl = shipped_arl()
    for phi in REFERENCE:
        for charts in (("level", "drift"), ("level",)):
            row = delays(phi, arl, charts, baselines, columns)
            say(
                table="power", phi=phi, arl=round(arl), chart=f"{' and '.join(charts)}, as shipped",
                shifts_sd=SHIFTS, delay_samples=row["delay"], reached=None,
            )  # fmt: skip


if __name__ == "__main__":
    main()
