"""The detectors: one module each, one row each in a table.

`DETECTORS` judge a model's inputs and outputs (feed "good"), `TAG_DETECTORS` raw tags (feed "all"),
`OUTPUT_CHARTS` its outputs alone, `JOINT_CHARTS` the scans of its inputs. A row says all that the
rest of the program needs to know: adding a detector is one module and one row; generic tests run
over every row.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from agent.core.kernels import (
    again,
    bad,
    category,
    digits,
    drift,
    late,
    level,
    lines,
    missing,
    mix,
    noise,
    pace,
    rate,
    source_clock,
    source_zone,
    spike,
    step,
    stuck,
)
from agent.core.kernels import range as trained_range
from agent.core.kernels.base import (
    SAMPLE_CLOCK,
    SPE,
    T2,
    T2_AND_SPE,
    Detector,
    JointChart,
    Symptom,
    Traits,
    Words,
)


def _row(
    module: ModuleType, reference: str, traits: Traits, *, name: str = "", blocked: bool = False,
    **more: Any,
) -> Detector:
    feed = more.pop("feed", "all" if "of_tag" in more else "good")
    # What an input's detector compares is the sample clock alone.
    own = {name: SAMPLE_CLOCK for name in module.STATE.names if name.endswith("_ns")}
    return Detector(
        name=name or module.NAME,
        feed=feed,
        moments=own if feed != "all" else module.MOMENTS,
        params=module.PARAMS,
        state=module.STATE,
        fold=module.fold,
        disabled=module.DEFAULTS,
        blocked=blocked,
        reference=reference,
        traits=traits,
        **more,
    )


_CUSUM = "Page 1954, two-sided CUSUM of block means"
_PEAKS = "limit by peaks over threshold"

_SERVED = 3
"""Intervals until what only a change of how values are served can be raises a condition."""

DETECTORS: tuple[Detector, ...] = (
    _row(trained_range, "Siffer et al. 2017, peaks over threshold", Traits(Symptom.BEYOND),
         limits=("half",)),
    _row(stuck, f"QARTOD flat line test; {_PEAKS} of run lengths", Traits(Symptom.FLAT),
         limits=("limit",)),
    _row(spike, f"QARTOD spike test; {_PEAKS}", Traits(Symptom.SPIKE, latched=True),
         limits=("limit", "minor")),
    _row(rate, f"first difference; {_PEAKS}", Traits(Symptom.JUMP, latched=True),
         limits=("limit",)),
    _row(level, _CUSUM, Traits(Symptom.LEVEL), blocked=True, limits=("ewma_up", "ewma_down"),
         slopes=("inverse_sd",)),
    _row(drift, _CUSUM, Traits(Symptom.LEVEL), blocked=True, limits=("ewma_up", "ewma_down"),
         slopes=("inverse_sd",)),
    _row(noise, "von Neumann 1941, successive differences; Page 1954", Traits(Symptom.SCATTER),
         blocked=True, slopes=("inverse_sd",)),
    _row(step, f"Basseville & Nikiforov 1993; {_PEAKS}", Traits(Symptom.JUMP, latched=True),
         blocked=True, looks_back=step.looks_back, limits=("limit",)),
    _row(category, "support of a Markov chain; Good 1953, what a record has not shown",
         Traits(Symptom.STATE)),
    _row(digits, "tests of last digits, Mosimann et al. 1995", limits=("limit",), traits=Traits(
        Symptom.DIGITS, on_delay=_SERVED, words=Words(
            "coarser resolution", "integration",
            "{tag} comes from {source} in coarser steps than in training",
            "check decimals, data type and scaling of {tag} at {source}", 6,
        ))),
    _row(again, "QARTOD flat line test, for lags", limits=("limit",), traits=Traits(
        Symptom.AGAIN, on_delay=_SERVED, words=Words(
            "old values repeated", "integration",
            "{tag} keeps arriving from {source}, but old values come again and again",
            "check caches, sampling rates and historians between {source} and its instruments", 7,
        ))),
    _row(lines, "Reynolds & Stoumbos 1999, CUSUM of a proportion", limits=("limit",),
         traits=Traits(Symptom.LINES, on_delay=_SERVED, words=Words(
            "interpolated", "integration",
            "{tag} arrives from {source} on straight lines between few values",
            "check what resamples or compresses {tag} between its instrument and {source}", 6,
         ))),
    _row(lines, "Reynolds & Stoumbos 1999, CUSUM of a proportion", name="averaged",
         limits=("limit",), traits=Traits(Symptom.SMOOTH, on_delay=_SERVED, words=Words(
            "averaged", "integration",
            "{tag} arrives from {source} smoother, and with more digits, than in training",
            "check what averages or filters {tag} between its instrument and {source}", 6,
         ))),
)  # fmt: skip

OUTPUT_CHARTS: tuple[Detector, ...] = (
    _row(level, "Hawkins 1991, a CUSUM of regression-adjusted values", Traits(Symptom.UNEXPLAINED),
         name="given_inputs", feed="residual", blocked=True, limits=("ewma_up", "ewma_down"),
         slopes=("inverse_sd",)),
    _row(mix, "Reynolds & Stoumbos 1999, CUSUM of a proportion", Traits(Symptom.MIX),
         blocked=True, slopes=("inverse_sd",)),
)  # fmt: skip
"""What an output has beside the charts of an input: its level given the inputs, its class mix."""

_WORDS_OF_BAD: dict[str, tuple[Symptom, Words | None]] = {
    "bad_link": (Symptom.CUT_OFF, Words(
        "communication lost", "integration",
        "{tag} is lost behind {source}: it has no communication with what gives {address}",
        "check the device, cable or gateway behind {source}", 7,
    )),
    "bad_access": (Symptom.FORBIDDEN, Words(
        "not authorised", "integration", "{source} does not let this agent read {address} of {tag}",
        "give the agent's user the right to read it at {source}, or correct the login", 7,
    )),
    "bad_address": (Symptom.REFUSED, Words(
        "address refused", "integration", "{tag} can not be read from {source}: {refusal}",
        "check the address of {tag} in the configuration against the list of {source}", 7,
    )),
    "bad_type": (Symptom.MISTYPED, Words(
        "wrong type", "integration",
        "what {source} sends at {address} for {tag} is not of the configured type",
        "compare the type of {tag} in the configuration with what {source} sends there", 7,
    )),
    "bad_void": (Symptom.NO_VALUE, Words(
        "no value", "sensor", "{source} says that it has no value for {tag}",
        "see whether the instrument is in operation, and what {source} says of itself", 7,
    )),
    "bad_number": (Symptom.NO_NUMBER, Words(
        "no number", "sensor", "{tag} arrives from {source} as no number (not a number, infinite)",
        "see whether the instrument is in operation, and what {source} sends where it has no value",
        7,
    )),
    "bad": (Symptom.MARKED_BAD, Words(
        "bad quality", "sensor", "{tag} is marked bad by its source {source}",
        "check the transmitter and its wiring", 7,
    )),
    "bad_range": (Symptom.IMPOSSIBLE, None),  # its name needs the value: see `diagnosis`
}  # fmt: skip


def _of_bad(name: str) -> Detector:
    symptom, words = _WORDS_OF_BAD[name]
    # The on-delay is longer than its flag takes to clear after one bad sample.
    traits = Traits(symptom, on_delay=5, transport=True, words=words)
    return _row(
        bad, "OPC UA Part 8; NAMUR NE 43", traits, name=name, of_tag=bad.of_kind(name)
    )


TAG_DETECTORS: tuple[Detector, ...] = (
    *(_of_bad(name) for name in bad.KINDS),
    _row(missing, "ISA-18.2, stale inputs", of_tag=missing.of_tag, by_time=True, traits=Traits(
        Symptom.SILENT, on_delay=2, transport=True, words=Words(
            "missing", "integration", "{tag} stopped arriving from {source}",
            "check that {source} still serves it under the configured address; where it reports "
            "changes only, give the tag a max_silence", 8,
        ))),
    _row(source_clock, "OPC UA Part 4, SourceTimestamp", of_tag=source_clock.of_tag, traits=Traits(
        Symptom.CLOCK_STANDS, words=Words(
            "frozen source clock", "integration",
            "{tag} keeps arriving, but the time stamps of {source} stand still or go back",
            "check the clock and the buffer of {source}: old values may be served again", 7,
        ))),
    _row(pace, "mean inter-arrival time over a window", of_tag=pace.of_tag, traits=Traits(
        Symptom.OTHER_PACE, words=Words(
            "rate change", "integration",
            "{tag} arrives from {source} at another rate than configured",
            "check the sampling or publishing interval at {source}, its load and the network", 4,
        ))),
    _row(late, "OPC UA Part 4, SourceTimestamp and ServerTimestamp", of_tag=late.of_tag,
         traits=Traits(Symptom.LATE, learns=True, words=Words(
            "late data", "integration",
            "{tag} arrives late: its time stamps from {source} have fallen behind",
            "check the network to {source}, its buffer and its clock: the model sees the past", 7,
        ))),
    _row(source_zone, "OPC UA Part 4, SourceTimestamp", of_tag=source_zone.of_tag, traits=Traits(
        Symptom.ZONE, learns=True, words=Words(
            "source clock moved", "integration",
            "the time stamps of {tag} from {source} went by whole quarters of an hour at once",
            "check the clock and time zone of {source}; approve the change if it is to stay so", 8,
        ))),
)  # fmt: skip

_RELATION = Words(
    "relations changed", "unknown", "the inputs no longer relate as in training{named}",
    "look at these inputs first: a sensor of them or the process changed", 3,
)  # fmt: skip

JOINT_CHARTS: tuple[JointChart, ...] = (
    JointChart(
        "t2", T2, "t2", told_apart=False, reference="Hotelling 1931",
        words=Words(
            "new operating region", "process",
            "the inputs moved together out of the trained region{named}",
            "the plant did something the model did not see; decide whether it is a new normal", 3,
        ),
        traits=Traits(Symptom.REGION),
    ),
    JointChart(
        "spe", SPE, "spe", told_apart=False, reference="Hawkins 1974, T_H^2",
        words=_RELATION, traits=Traits(Symptom.RELATION),
    ),
    JointChart(
        "change", T2_AND_SPE, "change", told_apart=True,
        reference="Hawkins 1991; Montgomery & Mastrangelo 1991",
        words=Words(
            "sudden change", "unknown",
            "the inputs moved faster together than they did in training{named}",
            "look at these inputs first: what happened just before?", 2,
        ),
        traits=Traits(Symptom.CHANGE, on_delay_agreed=1, passing=True),
    ),
    JointChart(
        "spe_smooth", SPE, "spe", told_apart=False, reference="EWMA of SPE, Roberts 1959",
        words=_RELATION, traits=Traits(Symptom.RELATION, on_delay_agreed=1),
    ),
)  # fmt: skip

_ROWS: tuple[Detector | JointChart, ...] = (
    *DETECTORS, *TAG_DETECTORS, *OUTPUT_CHARTS, *JOINT_CHARTS,
)  # fmt: skip
TRAITS: dict[str, Traits] = {row.name: row.traits for row in _ROWS}
"""What judgement must know of each detector's findings, by its name."""
