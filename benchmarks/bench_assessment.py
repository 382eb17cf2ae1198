"""The agent's loop while changes are assessed beside it: 1,000 tags at 1 Hz, four models.

The agent of `bench_agent.py` runs for a while, so that there is a past. Then, in turns: changes are
proposed, which are assessed one after the other, and rejected at the end of the turn; and nothing
is proposed. So both see the same machine, whatever else is done on it. How late the loop is, is
told three times (`_turns.py`): as it was, and by CPU alone, of its thread and of all threads.

`python benchmarks/bench_assessment.py [--quick] [--past SECONDS] [--limit SECONDS]` says on stderr
what it does, ends within the limit (170 s), and prints one JSON line: `with` and `without` an
assessment, and what the first has more than the second. A machine with nothing else to do is judged
by `lag_p99_ms` (`reached`). On any other that tells of the others; `own_reached` says whether what
the agent itself does leaves room for the goal (`most_lag_p99_ms`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _load import Bounded
from _turns import Turns
from bench_agent import ROWS, agent, until_ready

from agent.client import request, tell
from agent.configuration.load import load
from agent.errors import FieldwardenError

GOAL_MS = 20.0
ROW = next(row for row in ROWS if row.unit == "cpu_percent")
AT_ONCE = 4  # changes that wait, so that one is assessed all the time
_TRIES = 4
_ENDS_S = 20.0  # for what has been begun to end


@dataclass
class Told:
    """What was seen of changes in all turns."""

    proposed: int = 0
    done: list[dict[str, Any]] = field(default_factory=list)
    assessing_s: float = 0.0
    furthest: float = 0.0


def _runs(change: dict[str, Any]) -> bool:
    """Whether a change is assessed; one that can not be has no begin."""
    return bool(change["assessing"] and change["assessing"]["since_ns"])


class Proposer:
    """Proposes changes, and rejects them.

    Args:
        socket: of the agent.
        tags: an input of each model.
    """

    def __init__(self, socket: Path, tags: list[str]) -> None:
        self._socket, self._tags = socket, tags
        self._open: list[str] = []
        self.told = Told()

    def changes(self) -> list[dict[str, Any]]:
        """What the agent says of changes; on a machine that is full it may be long in coming."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(FieldwardenError):
                return request(self._socket, "GET", "/api/v1/status")["changes"]
        return request(self._socket, "GET", "/api/v1/status")["changes"]

    def propose(self) -> None:
        """One more."""
        number = self.told.proposed
        tag, factor = self._tags[number % len(self._tags)], round(1.1 + 0.1 * number, 1)
        document = {"text": f"{tag} x {factor}", "who": "bench", "tags": {tag: {"factor": factor}}}
        event = tell(self._socket, "propose", {"change": document, "note": "bench"})
        self._open.append(str(event["data"]["id"]))
        self.told.proposed += 1

    def look(self) -> bool:
        """Keep as many waiting as there should be; whether one is assessed now."""
        mine = [one for one in self.changes() if one["id"] in self._open]
        for one in mine:
            if one["assessment"]:
                self.told.done.append(one["assessment"])
                self._reject(one["id"])
        while len(self._open) < AT_ONCE:
            self.propose()
        running = [one["assessing"] for one in mine if _runs(one)]
        self.told.furthest = max([self.told.furthest, *(one["progress"] for one in running)])
        return bool(running)

    def _reject(self, name: str) -> None:
        tell(self._socket, "reject_change", {"change": name, "note": "bench"})
        self._open.remove(name)

    def end(self) -> None:
        """Reject what is not done, and wait until nothing is assessed."""
        for name in list(self._open):
            self._reject(name)
        end = time.monotonic() + _ENDS_S
        while time.monotonic() < end:
            if not any(_runs(one) for one in self.changes()):
                return
            time.sleep(0.5)


Spans = list[tuple[int, int]]


def alternate(
    proposer: Proposer, turn_s: float, turns: int, bounded: Bounded
) -> tuple[Spans, Spans]:
    """Turns with assessments and without, as spans of the monotonic clock, as time allows."""
    with_one: Spans = []
    without: Spans = []
    for turn in range(turns):
        if turn and bounded.left_s < 3.0 * turn_s:
            break
        begin = before = time.monotonic_ns()
        seen = False
        while not (seen and time.monotonic_ns() - begin >= turn_s * 1e9):
            looked = time.monotonic_ns()
            assessing = proposer.look()
            if not seen:  # what is known of a change has to settle before it is assessed
                begin, seen = before, assessing
            before = looked
            time.sleep(1.0)
            proposer.told.assessing_s += assessing * (time.monotonic_ns() - looked) / 1e9
        proposer.end()
        between = time.monotonic_ns()
        with_one.append((begin, between))
        while time.monotonic_ns() - between < turn_s * 1e9:  # looked at as before
            proposer.changes()
            time.sleep(1.0)
        without.append((between, time.monotonic_ns()))
        bounded.note(f"turn {turn + 1} of {turns}: {len(proposer.told.done)} assessed, "
                     f"{proposer.told.assessing_s:.0f} s of assessing")  # fmt: skip
    return with_one, without


def line(file: Path, spans: tuple[Spans, Spans], told: Told) -> dict[str, Any]:
    """The row."""
    first, second = (Turns.within(file, some).told() for some in spans)
    enough = told.assessing_s > 0.0
    return {
        "table": "assessment", "goal_ms": GOAL_MS, "proposed": told.proposed,
        "assessed": len(told.done), "assessing_s": round(told.assessing_s, 1),
        "furthest": round(told.furthest, 3),
        "took_s": [one["took_s"] for one in told.done],
        "with": first, "without": second,
        **{f"more_{name}": round(first[name] - second[name], 2)
           for name in ("lag_p99_ms", "own_lag_p99_ms", "most_lag_p99_ms")},
        "reached": first["lag_p99_ms"] <= GOAL_MS if enough else None,
        "own_reached": first["most_lag_p99_ms"] <= GOAL_MS if enough else None,
        "machine_load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def measured(bounded: Bounded, past_s: float, turn_s: float, turns: int) -> dict[str, Any]:
    """The row."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        file = folder / "turns"
        bounded.note("training, and starting 1,000 tags over three protocols")
        with agent(ROW, folder, file) as found:
            bounded.note("waiting for every source and verdict")
            until_ready(ROW, folder / "state" / "fieldwarden.db", found, bounded.left_s)
            configuration = load(folder / "config.toml")
            bounded.note(f"ready; {past_s:g} s of a past")
            time.sleep(past_s)
            bounded.note("waiting for an assessment to begin")
            tags = [model.inputs[0] for model in configuration.models.values()]
            proposer = Proposer(configuration.socket_path, tags)
            spans = alternate(proposer, turn_s, turns, bounded)
        return line(file, spans, proposer.told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short past, two turns")
    parser.add_argument("--limit", type=float, default=170.0, help="seconds, for all of it")
    parser.add_argument("--past", type=float, help="seconds that there are to replay [30]")
    asked = parser.parse_args()
    past_s, turn_s, turns = (10.0, 12.0, 2) if asked.quick else (30.0, 15.0, 4)
    Bounded("assessment", asked.limit).run(
        lambda bounded: measured(bounded, asked.past or past_s, turn_s, turns)
    )


if __name__ == "__main__":
    main()
