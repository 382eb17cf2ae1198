"""Upstream changes that no protocol shows: whether their values tell them, and nothing else does.

    python benchmarks/changes/values.py [--quick] [--plants N]

A JSON line a kind, and one of all at the end. Each plant (a seed) is fitted on its first part; each
kind then happens at random onsets in parts that it was not fitted on. *Found* is what is named an
integration change of a touched tag (or its source) within 30 scans of the onset; *false* what is
so named where none happened (clean time, moves of the process, faults of instruments).
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from _kinds import CHANGES, USUAL, Made, Run
from _plant import EVERY, Plant, Told, guarded

from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.types import Command

LEAD, AFTER, WITHIN = 300, 100, 30
_AGREED = {
    "how": "connected", "since_ns": 0, "contract": "c", "differences": [], "hold": "hold",
    "compatibility": "backward", "needs": ["owner"],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run: scans until it was named (-1: never), and what it was called last."""

    kind: str
    touched: tuple[str, ...]
    scans: int
    called: str
    other: str


def judged(kind: str, spec: EngineSpec, made: tuple[Told, tuple[str, ...]], onset: int) -> Outcome:
    """One run through the engine, its sources under a contract."""
    samples, touched = made
    engine = Engine(spec)
    start = int(samples.arrival[0]) - EVERY
    for number, source in enumerate(spec.sources):
        engine.step(Command(number + 1, start, "contract", {"source": source} | _AGREED))
    began = int(samples.arrival[0]) + onset * EVERY
    scans, called, other = -1, "", ""
    for block in samples.blocks():
        for event in engine.step(block).events:
            if event.time_ns < began or event.kind not in {"condition", "change"}:
                continue
            data = event.data
            if event.kind == "change" and data["change"] in {"detected", "updated"}:
                if scans < 0 and not set(touched).isdisjoint(data["tags"]):
                    scans = int((event.time_ns - began) // EVERY)
                    called = str(data["differences"][0]["now"])
                elif not touched:
                    called = f"{data['tags']} {data['text']}"
            elif event.kind == "condition" and data["active"]:
                other = f"{event.subject} {data['kind']} ({data['cause']})"
    return Outcome(kind, touched, scans, called, other)


def runs(plants: int, each: int, kinds: Iterable[str]) -> list[Outcome]:
    """Every kind `each` times in every plant."""
    found = []
    for seed in range(plants):
        plant = Plant.of(seed)
        spec = spec_of(plant)
        for kind in kinds:
            for number in range(each):
                rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
                onset = LEAD + int(rng.integers(60))
                part = 1 + int(rng.integers(1_000_000))
                run = Run(plant, plant.exact(onset + AFTER, part), onset, rng)
                made: Made = (CHANGES | USUAL)[kind](run)
                if made is not None:
                    found.append(judged(kind, spec, made, onset))
    return found


def spec_of(plant: Plant) -> EngineSpec:
    """Of a plant, fitted."""
    return guarded(plant)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two plants, twice each")
    parser.add_argument("--plants", type=int, default=6)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--kinds", nargs="*", default=[*CHANGES, *USUAL])
    options = parser.parse_args()
    plants, each = (2, 2) if options.quick else (options.plants, options.each)
    outcomes = runs(plants, each, options.kinds)
    for kind in options.kinds:
        own = [one for one in outcomes if one.kind == kind]
        if kind in USUAL:
            named = [one.other for one in own if "integration" in one.other]
            named += [one.called for one in own if one.called]
            told = {"false": len(named), "called": dict(Counter(named))}
        else:
            intime = [one for one in own if 0 <= one.scans <= WITHIN]
            told = {
                "found": len(intime),
                "scans": sorted(one.scans for one in own),
                "called": dict(Counter(one.called for one in own)),
                "missed": dict(Counter(
                    one.other for one in own if not 0 <= one.scans <= WITHIN
                ).most_common(4)),
            }
        print(json.dumps({"kind": kind, "n": len(own)} | told), flush=True)
    changed = [one for one in outcomes if one.kind in CHANGES]
    usual = [one for one in outcomes if one.kind in USUAL]
    found = sum(0 <= one.scans <= WITHIN for one in changed)
    false = sum(bool(one.called) or "(integration)" in one.other for one in usual)
    print(json.dumps({
        "suite": "changes in values", "n": len(changed), "found": found,
        "share": round(found / max(len(changed), 1), 3), "usual": len(usual), "false": false,
    }))


if __name__ == "__main__":
    main()
