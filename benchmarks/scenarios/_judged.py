"""One scenario through the very engine, and what is said of it."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _guarded import (
    LABEL,
    NS,
    OUTPUT,
    SITES,
    Guarded,
    configuration_of,
    guarded,
    ns_of,
    record_of,
    run_frame,
    runs_of,
)
from _kinds import KINDS, NONE, Case, case_of
from _outcome import diagnosis, lacks, named, requests
from _scenes import Scene, entries

from agent.core.engine import Engine
from agent.core.retraining_request import OPEN
from agent.core.spec import EngineSpec
from agent.records.replay import recorded_spec
from agent.types import Command, Event


@lru_cache(maxsize=1)
def opened(site: str, data: Path, work: Path) -> Guarded:
    """A plant, read once by each process."""
    return guarded(SITES[site], data, work)


def spec_of(plant: Guarded) -> EngineSpec:
    """What the engine guards."""
    site = plant.site
    step_ns = site.step_s * NS
    intervals = dict.fromkeys((*plant.names, OUTPUT), step_ns) | {LABEL: site.every * step_ns}
    return recorded_spec(configuration_of(plant.config), [*intervals], intervals)


def folded(spec: EngineSpec, plant: Guarded, case: Case) -> tuple[Engine, list[Event]]:
    """The engine after all of it, and its events; in the end somebody declares what was asked."""
    engine, events = Engine(spec), list[Event]()
    for entry in entries(spec, plant, case.scene):
        events += engine.step(entry).events
    for name in [one.id for one in engine.retraining.requests.values() if one.state == OPEN]:
        events += engine.step(declaration(engine, name)).events
    return engine, events


def declaration(engine: Engine, request: str) -> Command:
    """A named person says that the shift is the plant's new normal."""
    data = {"request": request, "by": "ann", "note": "the plant runs so from now on"}
    return Command(engine.sequence + 1, engine.time_ns + NS, "declare", data)


def judged(data: Path, work: Path, task: tuple[str, str, str, int]) -> dict[str, Any]:
    """The line of a scenario."""
    site, family, name, seed = task
    plant = opened(site, data, work)
    kind = next(one for one in KINDS if (one.family, one.name) == (family, name))
    case = case_of(plant, record_of(plant.site, data), kind, seed)
    began = time.process_time()
    engine, events = folded(spec_of(plant), plant, case)
    return {
        "scenario": f"{site}: {name}", "plant": site, "family": family, "seed": seed,
        **said(plant, case, events, engine.time_ns, kind.causes, (kind.requests, kind.requests)),
        "cpu_s": round(time.process_time() - began, 2),
    }  # fmt: skip


def said(
    plant: Guarded, case: Case, events: list[Event], now: int, causes: frozenset[str],
    requests_wanted: tuple[int, int],
) -> dict[str, Any]:
    """What was found, how it was named, and what was asked for."""
    onset_ns, step_ns = int(case.scene.time_ns[case.at]), plant.site.step_s * NS
    names = named(events, onset_ns)
    asked = requests(events)
    told = [event for event in events if event.kind == "retraining"]
    left = told[-1].data["left_out"] if told else []
    lacking = lacks(left, case.excluded, now) if case.excluded else []
    least, most = requests_wanted
    return {
        "truth": sorted(causes), "tags": case.tags if len(case.tags) < 4 else len(case.tags),
        "diagnosis": diagnosis(names, causes, case.tags),
        "rows_until": (names[0].raised_ns - onset_ns) // step_ns if names else None,
        "named": [[one.subject, one.kind, one.cause] for one in names[:4]],
        "conditions": len(names),
        "requests": len(asked), "requests_least": least, "requests_most": most,
        "asked_for": [text for event in asked for text in event.data["criteria"]],
        "rows_until_asked": (asked[0].time_ns - onset_ns) // step_ns if asked else None,
        "not_left_out": lacking,
        "reached": least <= len(asked) <= most and not lacking,
    }  # fmt: skip


# --- runs that come with their truth --------------------------------------------------------------

LOOP_KINDS: dict[str, tuple[str, frozenset[str], tuple[int, int]]] = {
    "sensor": ("sensor", frozenset({"sensor"}), (0, 0)),
    "integration": ("integration", frozenset({"integration"}), (0, 0)),
    "process": ("process", frozenset({"process"}), (1, 1)),
    "actuator": ("process", frozenset({"process", "actuator"}), (0, 1)),
    "operator": ("operator", frozenset({"process", "operator"}), (0, 1)),
    "none": ("clean", NONE, (0, 0)),
}
"""Truth's cause -> family, causes that are right, requests: least and most.

An actuator that fails is mended, and an operator's move is announced: one request at most.
"""

_CONCEPT = ("concept", frozenset({"model"}), (1, 1))


def loop_tasks(site: str, data: Path) -> list[tuple[str, str]]:
    """(plant, run) of all runs that come with their truth."""
    folder = data / "closed_loop" / site
    return [(site, name) for name in runs_of(folder)] if folder.exists() else []


def loop_judged(data: Path, work: Path, task: tuple[str, str]) -> dict[str, Any]:
    """The line of a run of `closed_loop`."""
    site, name = task
    plant, truth = opened(site, data, work), runs_of(data / "closed_loop" / site)[name]
    frame = run_frame(plant.site, data, name)
    concept = truth["kind"] == "concept_shift" or (
        truth["cause"] == "process" and not set(truth["tags"]) & set(plant.names)
    )  # what moves is no input of the model
    family, causes, wanted = _CONCEPT if concept else LOOP_KINDS[truth["cause"]]
    if truth.get("visible") is False and not concept:
        causes, wanted = NONE, (0, wanted[1])
    at = int(np.searchsorted(frame.time_ns, ns_of(truth["onset"]))) if truth["onset"] else 0
    rng = np.random.default_rng(7)
    case = Case(plant, record_of(plant.site, data), Scene.of(frame), rng, at, len(frame.time_ns))
    case.tags = list(plant.names) if family == "process" else list(truth["tags"])
    case.scene.labelled(plant, case.record, rng)
    began = time.process_time()
    engine, events = folded(spec_of(plant), plant, case)
    return {
        "scenario": f"{site}: run {name}", "plant": site, "family": family, "seed": None,
        **said(plant, case, events, engine.time_ns, causes, wanted),
        "cpu_s": round(time.process_time() - began, 2),
    }  # fmt: skip
