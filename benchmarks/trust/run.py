"""Trust on real plant records: false alarms, lost time, names of faults, closed loops, files.

Rows (JSON lines on stdout), each from what `fieldwarden init` and `fit` make of the data:

- `real`: each record fitted on its first 60 %, the rest judged by the engine;
- `injected`: 19 kinds of faults put into those held-back parts, one a run;
- `closed_loop`: simulated plants with control loops, a truth for each run;
- `tep`: Tennessee Eastman, the shared faults;
- `files`: exports that people have, through `init` and `fit`.

`python benchmarks/trust/run.py [--only real,injected] [--quick] [--seed N] [--data FOLDER]`.
Two processes work. `--work FOLDER` keeps the fits for another run of the same source; `--runs FILE`
gets a line for each single run. Data is read from ../shared beside the repository; what is not
there is said and left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any, TextIO

import _files
import _injected
import _loops
import _process
import _real
from _recorded import note, say
from _records import LOOPS, RECORDS, ROOT, Record, fitted

from agent.workers import pool

SHARED = ROOT.parent / "shared"
ROWS = ("real", "injected", "closed_loop", "tep", "files")
PROCESSES = 2
QUICK_LOOPS = ("bias_1", "stuck_1", "valve_stuck_1", "load_1", "unit_1", "set_point_1", "clean_1")


@dataclasses.dataclass(frozen=True)
class Job:
    """Something to do for a row in a process of its own; `weight` is a guess of its seconds."""

    row: str
    what: str
    weight: float
    call: Callable[..., Any]
    arguments: tuple[Any, ...]


class Progress:
    """Tells on stderr what was done and how long the rest may take."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs, self._done, self._weight = len(jobs), 0, 0.0
        self._total = sum(job.weight for job in jobs)
        self._began = time.monotonic()

    def done(self, job: Job) -> None:
        self._done += 1
        self._weight += job.weight
        gone = time.monotonic() - self._began
        left = gone * (self._total - self._weight) / max(self._weight, 1e-9)
        note(f"[{self._done}/{self._jobs}] {job.row}: {job.what}; {gone:.0f} s gone, "
             f"about {left:.0f} s left")  # fmt: skip


# --- jobs, each in one of the processes -----------------------------------------------------------


def fit_job(record: Record, data: Path, work: Path) -> None:
    fitted(record, data, work)


def real_job(record: Record, data: Path, work: Path) -> dict[str, Any]:
    return _real.real(fitted(record, data, work))


def injected_job(record: Record, data: Path, work: Path, place: int, seed: int) -> list[Any]:
    return _injected.runs_at(fitted(record, data, work), place, seed)


def loop_job(record: Record, data: Path, work: Path, name: str) -> _loops.Run:
    return _loops.judge(fitted(record, data, work), (data / record.path).parent, name)


def tep_own_job(record: Record, data: Path, work: Path) -> dict[str, Any]:
    return _process.tennessee((data / record.path).parent, fitted(record, data, work))


def tep_table_job(record: Record, data: Path, work: Path) -> dict[str, Any]:
    return _process.tennessee((data / record.path).parent, None)


def planned(only: list[str], args: argparse.Namespace, data: Path, work: Path) -> list[Job]:
    """The jobs of all rows; a record whose data is not there is said and left out."""
    jobs: list[Job] = []
    places = _injected.QUICK_PLACES if args.quick else _injected.PLACES
    of_records = [row for row in ("real", "injected") if row in only]
    for record in [item for item in RECORDS if of_records and _there(item, data, of_records[0])]:
        where = (record, data, work)
        if "real" in only:
            jobs.append(Job("real", record.name, 8.0, real_job, where))
        if "injected" in only and record.injected:
            heavy = 30.0 if record.name == "plant record" else 8.0
            jobs += [
                Job("injected", f"{record.name}, place {place + 1}", heavy, injected_job,
                    (*where, place, args.seed))
                for place in range(places[record.name])
            ]  # fmt: skip
    loops = LOOPS if "closed_loop" in only else ()
    for record in [item for item in loops if _there(item, data, "closed_loop")]:
        for name in _loops.runs_of((data / record.path).parent):
            if not args.quick or name in QUICK_LOOPS:
                jobs.append(Job("closed_loop", f"{record.name}, {name}", 2.0, loop_job,
                                (record, data, work, name)))  # fmt: skip
    return jobs


def others(only: list[str], args: argparse.Namespace, work: Path) -> list[Job]:
    """The jobs of the rows `tep` and `files`."""
    jobs: list[Job] = []
    tep = next(record for record in RECORDS if record.name == "tep")
    if "tep" in only and _there(tep, args.data, "tep"):
        where = (tep, args.data, work)
        jobs += [
            Job("tep", "as init and fit set it", 20.0, tep_own_job, where),
            Job("tep", "as in the detection tables", 30.0, tep_table_job, where),
        ]
    if "files" in only:
        if (args.cases / "files").exists():
            jobs.append(Job("files", "all", 10.0, _files.file_rows, (args.cases, work)))
        else:
            say(table="trust", row="files", skipped=f"no {args.cases / 'files'}", reached=None)
    return jobs


def needed(only: list[str], data: Path, work: Path) -> list[Job]:
    """The fits that the rows share."""
    wanted = [
        item for item in RECORDS
        if "real" in only or (item.injected and "injected" in only)
        or (item.name == "tep" and "tep" in only)
    ]  # fmt: skip
    wanted += LOOPS if "closed_loop" in only else []
    weight = {"plant record": 60.0, "tep": 20.0}
    return [
        Job("fit", item.name + (", whole" if item.whole else ""), weight.get(item.name, 10.0),
            fit_job, (item, data, work))
        for item in wanted if (data / item.path).exists()
    ]  # fmt: skip


def _there(record: Record, data: Path, row: str) -> bool:
    if (data / record.path).exists():
        return True
    say(table="trust", row=row, skipped=f"no {data / record.path}", reached=None)
    return False


def work_through(processes: Executor, jobs: list[Job]) -> dict[str, list[Any]]:
    """All jobs, the longest first; what each row's gave."""
    progress = Progress(jobs)
    waiting = {
        processes.submit(job.call, *job.arguments): job
        for job in sorted(jobs, key=lambda job: -job.weight)
    }
    done: dict[str, list[Any]] = defaultdict(list)
    for future in as_completed(waiting):
        job = waiting[future]
        try:
            done[job.row].append(future.result())
        except Exception as error:  # noqa: BLE001 - hours of other rows must not be lost with it
            say(table="trust", row=job.row, failed=job.what, error=repr(error)[:400], reached=False)
        else:
            tell_at_once(job.row, done[job.row][-1])
        progress.done(job)
    return done


# --- rows -----------------------------------------------------------------------------------------


def tell_at_once(row: str, result: Any) -> None:
    """The rows that need no other, as soon as they are there."""
    if row == "real":
        say(table="trust", row=row, **result, reached=_real.reached(result))
    elif row == "tep":
        say(table="trust", row=row, **result)
    elif row == "files":
        for one in result:
            say(table="trust", row=row, **one)


def tell(done: dict[str, list[Any]]) -> None:
    """The rows of all records, kinds and plants together."""
    order = {record.name: i for i, record in enumerate(RECORDS)}
    if rows := done["real"]:
        say(table="trust", row="real", all=True, **_real.summary(rows))
    if runs := [run for some in done["injected"] for run in some]:
        runs.sort(key=lambda run: (order[run.record], run.place))
        for row in _injected.summaries(runs):
            say(table="trust", row="injected", **row)
    if loops := sorted(done["closed_loop"], key=lambda run: (run.plant, run.run)):
        for row in _loops.by_kind(loops):
            say(table="trust", row="closed_loop", **row)
        say(table="trust", row="closed_loop", all=True, **_loops.summary(loops))


def keep(file: TextIO, done: dict[str, list[Any]]) -> None:
    """A line for each single run."""
    runs = [*(run for some in done["injected"] for run in some), *done["closed_loop"]]
    file.writelines(json.dumps(dataclasses.asdict(run)) + "\n" for run in runs)


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="fewer places and runs")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--cases", type=Path, default=SHARED / "cases")
    parser.add_argument("--work", type=Path, help="folder that keeps the fits")
    parser.add_argument("--runs", type=Path, help="file for a line of each run")
    args = parser.parse_args()
    only = args.only.split(",")
    if unknown := sorted(set(only) - set(ROWS)):
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    note(f"trust: {', '.join(only)}; seed {args.seed}{', quick' if args.quick else ''}")
    with tempfile.TemporaryDirectory() as temporary, pool(PROCESSES) as processes:
        work = args.work or Path(temporary)
        jobs = planned(only, args, args.data, work)
        jobs += others(only, args, work)
        work_through(processes, needed(only, args.data, work))
        done = work_through(processes, jobs)
    tell(done)
    if args.runs:
        with args.runs.open("w", encoding="utf-8") as file:
            keep(file, done)


if __name__ == "__main__":
    sys.exit(main())
