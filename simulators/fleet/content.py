"""What simulated gateways have to say: windows of their inputs, verdicts, conditions and modes.

Contents come from a pool, so that what was said in all is known by numbers of the pool alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.kernels.tally import BINS, UNITS_PER_SD
from agent.core.seen import Seen
from agent.core.summary import summary_of
from agent.forward.json_payload import verdict_message
from agent.runtime.outgoing import VALID_NS
from agent.store.batch import OutboxMessage
from agent.types import Event

NOTHING = 2**62
"""Stands for `min` (and less than nothing for `max`) where nothing was good."""
ADDED = ("count", "good", "sum", "sum_sq", *Seen._fields)
"""What of windows is added; the bins of the histogram follow in `Pool.added`."""
REASON = {"text": "level is off by 4.1 sd", "cause": "sensor", "kind": "bias", "hint": "mend it"}
TOLD: Mapping[str, Any] = {
    "contract": {"hash": "ab" * 32, "made": "2026-01-31T12:00:00Z", "held_tags": 0,
                 "open_changes": 0, "changes": []},
    "promise": {"false_alarms": "1 per 30 days", "expected_per_30_days": 1.0, "watched_days": 12,
                "raised": 3, "acknowledged": 2, "false": 1, "exceeded": False},
}  # fmt: skip
"""What births tell besides: no change is open, and the promise of false alarms is kept."""
_SAMPLES = (240, 601)
_NOT_GOOD = 0.02  # of windows of an input
_WINDOWS = 256


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A model that every gateway has.

    Attributes:
        name: of the model.
        tags: its inputs.
        digest: of its baseline, 64 hex digits.
    """

    name: str
    tags: tuple[str, ...]
    digest: str

    @property
    def baseline(self) -> str:
        """As summaries and verdicts name it."""
        return self.digest[:12]


def _kind(name: str, tags: int) -> ModelKind:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ModelKind(name, tuple(f"{name}.{number:02d}" for number in range(tags)), digest)


MODELS = (_kind("yield", 10), _kind("purity", 8), _kind("energy", 7))
TAGS = sum(len(one.tags) for one in MODELS)
_MOST_TAGS = max(len(one.tags) for one in MODELS)


class Pool:
    """Windows that were closed, by number.

    Args:
        seed: of their values.

    Attributes:
        added: int64[windows, tags, len(ADDED) + BINS].
        least: int64[windows, tags], `NOTHING` where nothing was good.
        most: int64[windows, tags], `-NOTHING` where nothing was good.
    """

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self._windows = [_window(random) for _ in range(_WINDOWS)]
        columns = [*ADDED, "histogram"]
        self.added = np.array([
            [np.hstack([one[name] for name in columns]) for one in window]
            for window in self._windows
        ], np.int64)  # fmt: skip
        self.least, self.most = (
            np.array([[none if one[name] is None else one[name] for one in window]
                      for window in self._windows], np.int64)
            for name, none in (("min", NOTHING), ("max", -NOTHING))
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._windows)

    def summaries(
        self, model: ModelKind, number: int, start_ns: int, end_ns: int
    ) -> list[dict[str, Any]]:
        """The window of this number as one of all inputs of a model, as `core.summary` makes it."""
        told = {"model": model.name, "baseline": model.baseline, "scale": 2.5,
                "start_ns": start_ns, "end_ns": end_ns}  # fmt: skip
        content = self._windows[number]
        return [{**content[at], **told, "tag": tag, "centre": 100.0 + 10.0 * at}
                for at, tag in enumerate(model.tags)]  # fmt: skip


def _window(random: np.random.Generator) -> list[dict[str, Any]]:
    count = int(random.integers(*_SAMPLES))
    return [_summary(random, count) for _ in range(_MOST_TAGS)]


def _summary(random: np.random.Generator, count: int) -> dict[str, Any]:
    good = 0 if random.random() < _NOT_GOOD else count - int(random.random() < 0.1)
    z = random.standard_normal(good)
    q = np.rint(z * UNITS_PER_SD).astype(np.int64)
    counts = {"count": count, "good": good, "sum": q.sum(), "sum_sq": (q * q).sum(),
              "min": z.min() if good else 0.0, "max": z.max() if good else 0.0}  # fmt: skip
    edges = np.linspace(-2.1, 2.1, BINS - 1)
    histogram = np.bincount(np.searchsorted(edges, z), minlength=BINS)
    seen = Seen(count, int(random.integers(0, 3)), 0)
    return summary_of("", "", "", 0.0, 0.0, 0, 0, counts, histogram, seen, unit="degC")


def verdict(
    model: ModelKind, word: str, now_ns: int, since_ns: int, sequence: int
) -> OutboxMessage:
    """What a model is worth, as `agent.runtime.outgoing` says it."""
    reasons = [] if word == "trusted" else [{**REASON, "tag": model.tags[0]}]
    return verdict_message(
        model.name, word, reasons, time_ns=now_ns, since_ns=since_ns,
        valid_until_ns=now_ns + VALID_NS, version="3", provisional=False,
        baseline=model.baseline, baseline_hash=model.digest,
        causes=[one["cause"] for one in reasons], sequence=sequence,
        boot_id="6f1c1d9e-0000-4000-8000-000000000000", boottime_ns=now_ns % 10**15,
        valid_until_boottime_ns=now_ns % 10**15 + VALID_NS,
        owner={"team": "process", "contact": "process@plant.example"}, errors=[], retraining=[],
    )  # fmt: skip


def condition(model: ModelKind, number: int, change: str, now_ns: int, raised_ns: int) -> Event:
    """A condition of a model's first input that was raised or cleared."""
    name = f"tag/{model.tags[0]}@{number}"
    data: Mapping[str, Any] = {
        "id": name, "incident": name, "change": change, "kind": "bias", "cause": "sensor",
        "severity": "medium", "text": f"{model.tags[0]}: {REASON['text']}", "hint": "mend it",
        "models": [model.name], "raised_ns": raised_ns,
        "state": "active" if change == "raised" else "cleared", "detectors": ["level"],
        "score": 4.1,
    }  # fmt: skip
    return Event("condition", now_ns, f"tag/{model.tags[0]}", data)


def verdict_event(model: ModelKind, word: str, was: str, now_ns: int) -> Event:
    """A model's verdict changed."""
    reasons = [] if word == "trusted" else [{**REASON, "tag": model.tags[0]}]
    data = {"verdict": word, "was": was, "version": "3", "reasons": reasons}
    return Event("verdict", now_ns, f"model/{model.name}", data)


def mode(model: ModelKind, number: int, now_ns: int) -> Event:
    """A declared mode changed."""
    words = ("running", "cleaning")
    data = {"mode": words[number % 2], "was": words[(number + 1) % 2]}
    return Event("mode", now_ns, f"model/{model.name}", data)
