"""Scenarios: what is asked for, and what is not, when sensors, plants, models and labels go wrong.

Families: `clean`, `sensor`, `integration`, `process` (lasts), `passing` (does not), `concept` (the
truth leaves its relation, or the model's output does), `labels`, `mixed` (a sensor fails while the
process shifts), `operator` (moves that set points announce); `bundle` (through a real store),
`agent` (a real agent that is killed, stopped, set wrong or full), `estimate` (the loss that is
estimated without labels, on clean runs) and `chart` (the loss chart, through the engine).

`python benchmarks/scenarios/run.py [--only FAMILY,...] [--quick] [--data FOLDER] [--workers N]`
prints a JSON line a scenario, and the suite's figures as the last one. `--work FOLDER` keeps the
fits for another run of the same source. Data that is not there is said and left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

import _agents
import _bundles
import _losses
from _guarded import ROOT, SITES, guarded
from _judged import judged, loop_judged, loop_tasks
from _kinds import KINDS
from _outcome import summary

from agent.workers import each

SEEDS = {"simulator": 3, "gas turbine": 2, "tep": 1, "reactor": 1, "preheat": 1}
"""Scenarios of a kind. Those of `closed_loop` come on top of the runs that have their truth."""

FIRST_SEED = 1_000
FOLDERS = {"simulator": "", "gas turbine": "gas_turbine", "tep": "tep",
           "reactor": "closed_loop/reactor", "preheat": "closed_loop/preheat"}  # fmt: skip
LOOP_FAMILIES = ("clean", "sensor", "integration", "process", "operator", "concept")
FAMILIES = tuple(dict.fromkeys(
    [kind.family for kind in KINDS] + ["operator", "bundle", "agent", "estimate", "chart"]
))  # fmt: skip
Row = dict[str, Any]
Step = tuple[str, Callable[..., Row], tuple[Any, ...], list[Any]]


def say(row: Row) -> None:
    """A JSON line."""
    print(json.dumps({"suite": "scenarios", **row}, allow_nan=False), flush=True)


def note(text: str) -> None:
    """What is being done, for a person."""
    print(text, file=sys.stderr, flush=True)


def there(data: Path) -> list[str]:
    """The plants whose data is there."""
    found = [name for name, folder in FOLDERS.items() if not folder or (data / folder).exists()]
    for name in FOLDERS.keys() - set(found):
        note(f"scenarios: no {data / FOLDERS[name]}: {name} is left out")
    return found


def fitted(data: Path, work: Path, name: str) -> Row:
    """One plant's configuration and baseline."""
    guarded(SITES[name], data, work)
    return {}


def tasks(plants: list[str], only: list[str], *, quick: bool) -> list[tuple[str, str, str, int]]:
    """(plant, family, kind, seed), a plant's together: each process reads a plant once."""
    return [
        (name, kind.family, kind.name, FIRST_SEED + seed)
        for name in plants for kind in KINDS
        if kind.family in only and (not kind.plants or name in kind.plants)
        for seed in range(1 if quick else SEEDS[name])
    ]  # fmt: skip


def steps(args: argparse.Namespace, plants: list[str], only: list[str], work: Path) -> list[Step]:
    """(what, function, what its tasks share, tasks)."""
    where = (args.data, work)
    loops = [one for name in plants for one in loop_tasks(name, args.data)]
    wanted = [family for family in LOOP_FAMILIES if family in only]
    made: list[Step] = [
        ("scenarios", judged, where, tasks(plants, only, quick=args.quick)),
        ("runs with their truth", loop_judged, where, loops if wanted else []),
        ("bundles", _bundles.judged, where,
         _bundles.tasks(plants, quick=args.quick) if "bundle" in only else []),
        ("estimates", _losses.estimated, where,
         _losses.tasks(plants, quick=args.quick) if "estimate" in only else []),
        ("charts", _losses.chart, (), _losses.charts(quick=args.quick) if "chart" in only else []),
        ("agents", _agents.judged, (), _agents.tasks() if "agent" in only else []),
    ]
    return [one for one in made if one[3]]


def results(args: argparse.Namespace, only: list[str], work: Path) -> Iterator[Row]:
    """The line of every scenario, as they come."""
    plants = there(args.data)
    if set(only) - {"agent", "chart"}:
        note(f"scenarios: fitting {', '.join(plants)}; a minute or two each")
        list(each(fitted, (args.data, work), plants, args.workers, "fitting plants"))
    for what, function, shared, todo in steps(args, plants, only, work):
        began = time.monotonic()
        # agents run one after the other: each is a process of its own that needs its time
        workers = 1 if what == "agents" else args.workers
        for number, row in enumerate(each(function, shared, todo, workers, what), 1):
            if row["family"] in only:
                yield row
            gone = time.monotonic() - began
            note(f"[{number}/{len(todo)}] {what}: {row['scenario']}; {gone:.0f} s gone, about "
                 f"{gone * (len(todo) - number) / number:.0f} s left")  # fmt: skip


def by_family(rows: list[Row]) -> Iterator[Row]:
    """How many scenarios of a family went as they must, and what did not."""
    for family in FAMILIES:
        own = [row for row in rows if row["family"] == family]
        if own:
            yield {
                "family": family, "n": len(own), "reached": sum(row["reached"] for row in own),
                "not_reached": [
                    f"{row['scenario']}, seed {row['seed']}" for row in own if not row["reached"]
                ],
            }  # fmt: skip


def main() -> int:
    """Print every line; 1 where a scenario did not go as it must."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(FAMILIES), help=f"some of {','.join(FAMILIES)}")
    parser.add_argument("--quick", action="store_true", help="one seed a kind, short charts")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, help="folder that keeps the fits")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    only = args.only.split(",")
    if unknown := sorted(set(only) - set(FAMILIES)):
        parser.error(f"no family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for row in results(args, only, args.work or Path(temporary)):
            say(row)
            rows.append(row)
    for row in by_family(rows):
        say(row)
    judged_rows = [row for row in rows if "diagnosis" in row]
    print(json.dumps(summary(judged_rows) | {"n": len(rows)}), flush=True)
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
