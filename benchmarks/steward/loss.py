"""The loss chart on streams with known truth: delay, false alarms, requests, estimated loss.

**The streams.** A scan t has a latent g_t (AR(1) over scans, unit variance), which is its novelty,
and a prediction level u_t ~ N(0, 1) that says nothing. Its loss is

    L_t = 5 + rho g_t + sqrt(1 - rho^2) e_t,   not below 0 (1 instead of 5 where "base 1" is said),

of unit variance, so rho is its correlation with the best expected loss. e_t is standard normal, or
lognormal of unit variance (skewness 6.2), AR(1) from label to label where that is said. Instead of
that, "errors" are of a model that errs more where it is newer: squared ones e^2 exp(g), whose best
expected loss has a correlation of .49, absolute ones |e| exp(.7 g), .64.
Every 20th scan is labelled at once, or, in batches, any 10 of 200 scans at the end of those.

**The shift** is .5 standard deviations of the loss, from one label to the next, on a chart that
begins there at zero (the worst place, Lorden 1971):

- of the loss: L_t + .5, which no input shows; r(x) stays as it was;
- of the covariates: g_t + .5 / rho, which raises L by as much through g; r(x) sees it as far as its
  steps reach.

**What is compared.** `alone` is the same chart without r(x). The reference has 2,000 labels (40,000
scans), or 100,000 where it is called known. `ratio` of false alarms is their number over what was
promised; one lasts until the CUSUM is back at zero, as in service. Figures are means over
references.

`python benchmarks/steward/loss.py [--quick] [--only TABLE]` prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from agent.core.betting import ALPHA, YEAR_NS
from agent.core.expected_loss import LossReference
from agent.core.loss_chart import LossChart, LossStep
from agent.fit.expected_loss import fit_expected_loss, looked_up
from agent.types import Float64

ARL = 1000.0
TOLERANCE = 0.1
A_YEAR = 8766
"""Labels a year, where nothing else is said: one an hour."""
LABELS, KNOWN = 2_000, 100_000
SHIFT = 0.5
EVERY, BATCH = 20, 10
POWERED_REFERENCE = {0.3: 29.8, 0.8: 19.3, 0.9: 16.8}
"""Labels of delay at ARL 1,000; at .3 that of labels alone."""
MOST_DELAY, FALSE_ALARMS, COVERS = 1.25, (0.3, 1.5), (85.0, 95.0)


@dataclass(frozen=True)
class Kind:
    """A kind of stream; see the module."""

    rho: float = 0.8
    noise: str = "normal"
    phi_scans: float = 0.0
    phi_labels: float = 0.0
    batches: bool = False
    power: int = 0
    base: float = 5.0
    labels: int = LABELS
    every: int = EVERY


    @property
    def grows(self) -> float:
        """How errors grow with novelty: ln of the loss by g."""
        return {1: 0.7, 2: 1.0}[self.power]

    @property
    def mean_and_sd(self) -> tuple[float, float]:
        """Of the loss."""
        if not self.power:
            return self.base, 1.0
        first, second = {1: (np.sqrt(2.0 / np.pi), 1.0), 2: (1.0, 3.0)}[self.power]
        mean = first * np.exp(0.5 * self.grows**2)
        return float(mean), float(np.sqrt(second * np.exp(2.0 * self.grows**2) - mean**2))

    @property
    def by_covariates(self) -> float:
        """How far g must move for the loss to rise by `SHIFT` standard deviations."""
        mean, sd = self.mean_and_sd
        return float(np.log1p(SHIFT * sd / mean)) / self.grows if self.power else SHIFT / self.rho


@dataclass(frozen=True)
class Stream:
    """Scans and their losses; `at` are the labelled ones in the order in which labels come."""

    novelty: Float64
    level: Float64
    loss: Float64
    at: np.ndarray


def ar1(rng: np.random.Generator, n: int, phi: float) -> Float64:
    """float64[n] of unit variance."""
    noise = rng.standard_normal(n)
    if phi == 0.0:
        return noise
    from scipy.signal import lfilter

    noise[1:] *= np.sqrt(1.0 - phi * phi)
    return lfilter([1.0], [1.0, -phi], noise)


def stream(kind: Kind, labels: int, seed: int, moved: str = "") -> Stream:
    """So many labels; `moved` is "loss" or "covariates" where it is shifted from the begin."""
    rng = np.random.default_rng(seed)
    n = labels * kind.every
    latent = ar1(rng, n, kind.phi_scans)
    latent += kind.by_covariates if moved == "covariates" else 0.0
    normal = ar1(rng, n, kind.phi_labels ** (1.0 / kind.every) if kind.phi_labels else 0.0)
    if kind.power:
        loss = np.exp(kind.grows * latent) * np.abs(normal) ** kind.power
    else:
        heavy = (np.exp(normal) - np.exp(0.5)) / np.sqrt((np.e - 1.0) * np.e)
        noise = heavy if kind.noise == "lognormal" else normal
        loss = kind.base + kind.rho * latent + np.sqrt(1.0 - kind.rho**2) * noise
    loss += SHIFT * kind.mean_and_sd[1] if moved == "loss" else 0.0
    at = np.arange(kind.every - 1, n, kind.every)
    if kind.batches:
        many = kind.every * BATCH
        places = np.argsort(rng.random((n // many, many)), axis=1)[:, :BATCH]
        at = (np.sort(places, axis=1) + np.arange(n // many)[:, None] * many).ravel()
    return Stream(latent, rng.standard_normal(n), np.maximum(loss, 0.0), at)


def fitted(kind: Kind, seed: int, arl: float = ARL) -> LossReference:
    """The reference of a stream."""
    one = stream(kind, kind.labels, seed)
    labelled = np.full(len(one.loss), np.nan)
    labelled[one.at] = one.loss[one.at]
    return fit_expected_loss(one.novelty, one.level, labelled, arl=arl)


def without(reference: LossReference) -> LossReference:
    """The same chart from labels alone."""
    return replace(reference, slope=0.0, powered=reference.alone)


class Run:
    """A chart over a stream; `steps` are what its labels said."""

    def __init__(
        self, reference: LossReference, kind: Kind, one: Stream, per_year: int = A_YEAR
    ) -> None:
        self.chart = LossChart(reference, TOLERANCE)
        self._expected = looked_up(reference.expected, one.novelty, one.level)
        self._sums = np.concatenate([[0.0], np.cumsum(self._expected)])
        self._one, self._batches = one, kind.batches
        self._many, self._gap = kind.every * (BATCH if kind.batches else 1), YEAR_NS // per_year

    def labels(self) -> Iterator[LossStep]:
        """Each label's step; sums of r(x) are given at once, which is what single scans add to."""
        state, many, seen = self.chart.state, self._many, 0
        for number, at in enumerate(self._one.at):
            until = (at // many + 1) * many if self._batches else at + 1
            state.summed += self._sums[until] - self._sums[seen]
            state.scans += int(until - seen)
            seen = until
            yield self.chart.label(
                number * self._gap, float(self._one.loss[at]), float(self._expected[at])
            )

    def first(self) -> int:
        """Labels until the first warning."""
        for number, step in enumerate(self.labels(), 1):
            if step.raised:
                return number
        return len(self._one.at)

    def alarms(self) -> int:
        """Warnings, as in service: one lasts until the CUSUM is back at zero."""
        return sum(step.raised for step in self.labels())


def say(**row: object) -> None:
    """A JSON line."""
    print(json.dumps(row, allow_nan=False), flush=True)


def note(text: str) -> None:
    """What is being done, for a person."""
    print(text, file=sys.stderr, flush=True)


def delay_of(kind: Kind, references: list[LossReference], moved: str, runs: int) -> float:
    """Mean labels to the first warning."""
    found = [
        Run(reference, kind, stream(kind, 1_000, 10_000 + 97 * number + seed, moved)).first()
        for number, reference in enumerate(references) for seed in range(runs)
    ]
    return float(np.mean(found))


def ratio_of(kind: Kind, references: list[LossReference], labels: int) -> float:
    """False alarms over those promised."""
    found = sum(
        Run(reference, kind, stream(kind, labels, 50_000 + number)).alarms()
        for number, reference in enumerate(references)
    )
    return found / (len(references) * labels / ARL)


KINDS = {
    **{f"normal {rho:g}": Kind(rho) for rho in (0.3, 0.8, 0.9)},
    **{f"normal {rho:g}, known": Kind(rho, labels=KNOWN) for rho in (0.3, 0.8, 0.9)},
    "normal 0.8, 500 labels": Kind(labels=500),
    "lognormal 0.8": Kind(noise="lognormal"),
    "squared errors": Kind(power=2),
    "absolute errors": Kind(power=1),
    "batches of 10": Kind(batches=True),
    "scans AR(1) .9": Kind(phi_scans=0.9),
    "labels AR(1) .5": Kind(phi_labels=0.5),
    "labels AR(1) .8": Kind(phi_labels=0.8),
    "labels AR(1) .9": Kind(phi_labels=0.9),
    "lognormal 0.8, batches, scans .9, labels .5": Kind(
        noise="lognormal", phi_scans=0.9, phi_labels=0.5, batches=True
    ),
}  # fmt: skip


def chart(references: int) -> None:
    """Delay and false alarms, by kind of stream."""
    for name, kind in KINDS.items():
        count = min(references, 4) if kind.labels == KNOWN else references
        fits = [fitted(kind, seed) for seed in range(count)]
        alone = [without(fit) for fit in fits]
        runs = 10 if references > 10 else 20
        row = {
            "labels": kind.labels,
            "correlation": round(float(np.mean([fit.correlation for fit in fits])), 2),
            "slope": round(float(np.mean([fit.slope for fit in fits])), 2),
            "delay": round(delay_of(kind, fits, "loss", runs), 1),
            "delay_by_covariates": round(delay_of(kind, fits, "covariates", runs), 1),
            "delay_alone": round(delay_of(kind, alone, "loss", runs), 1),
            "ratio": round(ratio_of(kind, fits, 10_000), 2),
            "ratio_alone": round(ratio_of(kind, alone, 10_000), 2),
        }
        reference = POWERED_REFERENCE[kind.rho]
        reached = FALSE_ALARMS[0] <= row["ratio"] <= FALSE_ALARMS[1]
        if name.startswith("normal") and kind.labels >= LABELS:
            row |= {"reference": reference, "over_reference": round(row["delay"] / reference, 2)}
            reached = reached and row["delay"] <= MOST_DELAY * reference
        say(table="chart", kind=name, arl=int(ARL), **row, reached=reached)


# --- requests ------------------------------------------------------------------------------------

REQUESTS = (
    "normal 0.8", "lognormal 0.8", "squared errors", "absolute errors", "batches of 10",
    "labels AR(1) .5", "labels AR(1) .8", "labels AR(1) .9",
)  # fmt: skip
YEARS, LABELS_A_YEAR = 25, 200
"""Of one model, after a reference; a label about every other day."""


def requests(references: int) -> None:
    """Requests a model and year without cause, at the edge of what is allowed, and with cause."""
    kinds = {name: KINDS[name] for name in REQUESTS}
    for phi in (0.5, 0.8, 0.9):
        kinds[f"labels AR(1) {phi:g}, base 1"] = Kind(0.5, phi_labels=phi, base=1.0)
    for name, kind in kinds.items():
        opened = {"clean": 0, "at_the_edge": 0}
        opens: dict[str, list[int]] = {"powered": [], "alone": []}
        warns: dict[str, list[int]] = {"powered": [], "alone": []}
        for number in range(2 * references):
            fit = fitted(kind, number)
            one = stream(kind, YEARS * LABELS_A_YEAR, 70_000 + number)
            truth = float(np.minimum(stream(kind, 20_000, 90_000).loss, fit.clip).mean())
            edge = (1.0 + TOLERANCE) * truth - truth
            for case, more in (("clean", 0.0), ("at_the_edge", edge)):
                moved = replace(one, loss=one.loss + more)
                run = Run(fit, kind, moved, LABELS_A_YEAR)
                opened[case] += sum(step.opens for step in run.labels())
            for chart_name, reference in (("powered", fit), ("alone", without(fit))):
                doubled = replace(one, loss=2.0 * one.loss)
                steps = list(Run(reference, kind, doubled, LABELS_A_YEAR).labels())
                opens[chart_name].append(1 + [*(step.opens for step in steps), True].index(True))
                warns[chart_name].append(1 + [*(step.raised for step in steps), True].index(True))
        years = 2 * references * YEARS
        rates = {name: round(count / years, 4) for name, count in opened.items()}
        say(table="requests", kind=name, model_years=years, labels_a_year=LABELS_A_YEAR,
            promised_a_year=ALPHA, a_year=rates,
            labels_until_doubling_warns={k: round(float(np.mean(v)), 1) for k, v in warns.items()},
            labels_until_doubling_opens={k: round(float(np.mean(v)), 1) for k, v in opens.items()},
            reached=max(rates.values()) <= ALPHA)  # fmt: skip


# --- the loss that is estimated without labels ----------------------------------------------------

ESTIMATED = {
    "normal 0.8": Kind(), "lognormal 0.8": Kind(noise="lognormal"),
    "squared errors": Kind(power=2), "500 labels": Kind(labels=500),
    "scans AR(1) .9": Kind(phi_scans=0.9), "labels AR(1) .8": Kind(phi_labels=0.8),
    "every scan, AR(1) .9 and .9": Kind(every=1, phi_scans=0.9, phi_labels=0.9),
    "every scan, squared errors, AR(1) .95 and .95": Kind(
        every=1, phi_scans=0.95, phi_labels=0.95, power=2, labels=5_000
    ),
}  # fmt: skip
WINDOWS = (1, 8, 24, 60, 150, 400)
"""Labels of a window."""


def estimate(references: int) -> None:
    """Share of clean windows whose mean loss lies within the interval of its estimate."""
    for name, kind in ESTIMATED.items():
        inside: dict[int, list[float]] = {window: [] for window in WINDOWS}
        for number in range(2 * references):
            fit = fitted(kind, number)
            one = stream(kind, 4_000, 30_000 + number)
            expected = looked_up(fit.expected, one.novelty, one.level)
            for window in WINDOWS:
                count = len(one.at) // window
                losses = one.loss[one.at[: count * window]].reshape(count, window).mean(axis=1)
                scans = window * kind.every
                means = expected[: count * scans].reshape(count, scans).mean(axis=1)
                found = [fit.estimate(float(mean), scans) for mean in means]
                hit = [e.low <= loss <= e.high for e, loss in zip(found, losses, strict=True)]
                inside[window].append(float(np.mean(hit)))
        percent = {window: round(100 * float(np.mean(hits)), 1) for window, hits in inside.items()}
        overall = round(float(np.mean(list(percent.values()))), 1)
        reached = all(COVERS[0] <= value <= COVERS[1] for value in percent.values())
        say(table="estimate", kind=name, labels=kind.labels, covered_percent=overall,
            by_labels_of_a_window=percent, reached=reached)  # fmt: skip


TABLES: dict[str, Callable[[int], None]] = {
    "chart": chart, "requests": requests, "estimate": estimate,
}  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="the loss chart on streams with known truth")
    parser.add_argument("--quick", action="store_true", help="8 references a row instead of 40")
    parser.add_argument("--only", choices=TABLES, help="one table")
    chosen = parser.parse_args()
    for name in [chosen.only] if chosen.only else TABLES:
        note(f"loss: {name} ...")
        TABLES[name](8 if chosen.quick else 40)


if __name__ == "__main__":
    main()
