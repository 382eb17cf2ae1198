"""Changes upstream against real servers and real agents: what is held, found, named and foretold.

One JSON line for each change, one for each proposal that is assessed and then made, and one for
all. Every change has an agent of its own, with baselines that are fitted once, and a source of its
own; several run side by side, and the proposals beside them.

    python benchmarks/changes/run.py [--only PATTERN] [--lanes N] [--keep DIR]
"""

from __future__ import annotations

import argparse
import json
import queue
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from _upstream_foretold import PROPOSED, Proposed, foretold
from _upstream_judged import SCANS, Assessed, Judged, judged, passes, summary
from _upstream_lane import Lane, run
from _upstream_plants import MODELS, PROTOCOLS, SCAN_S, SERVED_ROWS, record
from _upstream_table import CHANGES, Change

from agent.errors import FieldwardenError

_LANES = 4
_LOOK_S = 0.25
_SAME_S = 40 * SCAN_S  # that a change which breaks nothing is watched
_VALUES_S = (SCANS + 10) * SCAN_S
_TOLD_S = 15.0  # until a change that the protocol shows is told of
_AFTER_S = 15 * SCAN_S  # that is watched after it was told
_ROWS_OF_A_RUN = 400
_ROWS_OF_A_PROPOSAL = 1_200


def watch(change: Change, lane: Lane, at_ns: int) -> None:
    """Look until a change is told of and a while has passed, or until it must have been."""
    same = change.grade != "breaking"
    limit_s = _SAME_S if same else _VALUES_S if change.by == "values" else _TOLD_S
    began = time.monotonic()
    seen_at: float | None = None
    while time.monotonic() - began < limit_s:
        time.sleep(_LOOK_S)
        if same:
            continue
        told = [one for one in lane.changes() if one["grade"] == "breaking"]
        named = {tag for one in told for tag in one["tags"]}
        if seen_at is None and named >= set(change.tags):
            seen_at = time.monotonic()
        if seen_at is not None and time.monotonic() - seen_at > _AFTER_S:
            return


class Suite:
    """Runs changes in lanes, each lane one after the other.

    Args:
        folder: for all that is written.
        lanes: that run side by side.
    """

    def __init__(self, folder: Path, lanes: int) -> None:
        self._folder, self._lanes = folder, lanes
        self.rows: list[Judged] = []
        self.assessed: list[Assessed] = []
        self._say = threading.Lock()

    def fit(self) -> None:
        """One record, and a baseline of each model: the plants differ in protocol only."""
        self._trained, self._served = record(self._folder)
        self._baselines = self._folder / "baselines"
        self._baselines.mkdir()
        lane = self._lane("modbus", "fit")
        for model in MODELS:
            note(f"fitting {model.name}")
            run("fit", str(lane.config), "--model", model.name, "--data", str(self._trained))

    def _lane(self, protocol: str, name: str, hold: str = "hold") -> Lane:
        return Lane(protocol, self._folder / name, self._served, self._baselines, hold)

    def run(self, changes: list[Change], proposed: list[Proposed]) -> None:
        """All of them; results in `rows` and `assessed`."""
        waiting: queue.Queue[tuple[int, Change]] = queue.Queue()
        # Protocols in turn, so that the slow servers of one do not all start together.
        for at, change in enumerate(_in_turn(changes)):
            waiting.put((at, change))
        count = waiting.qsize()
        threads = [
            threading.Thread(target=self._work, args=(number, waiting, count))
            for number in range(min(self._lanes, count))
        ]
        for protocol in sorted({one.protocol for one in proposed}):
            own = [one for one in proposed if one.protocol == protocol]
            threads.append(threading.Thread(target=self._foretell, args=(protocol, own)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int, waiting: queue.Queue[tuple[int, Change]], count: int) -> None:
        lanes: dict[str, Lane] = {}
        try:
            while True:
                try:
                    at, change = waiting.get_nowait()
                except queue.Empty:
                    return
                if change.protocol not in lanes:
                    name = f"lane-{number}-{change.protocol}"
                    lanes[change.protocol] = self._lane(change.protocol, name)
                row = self._one(lanes[change.protocol], at, change)
                with self._say:
                    self.rows.append(row)
                    print(json.dumps(row.to_json()), flush=True)
                    bad = f": {'; '.join(row.why)}" if row.why else ""
                    note(f"{len(self.rows)} of {count}: {change.key}{bad}")
        finally:
            for lane in lanes.values():
                lane.close()

    def _foretell(self, protocol: str, proposed: list[Proposed]) -> None:
        lane = self._lane(protocol, f"foretold-{protocol}", "report")
        try:
            for at, one in enumerate(proposed):
                try:
                    row = foretold(lane, one, at * _ROWS_OF_A_PROPOSAL)
                except FieldwardenError as error:
                    row = Assessed(one.key, {}, {}, str(error))
                with self._say:
                    self.assessed.append(row)
                    print(json.dumps(row.to_json()), flush=True)
                    note(f"{one.key}: {'agreed' if row.agreed else row.to_json()}")
        finally:
            lane.close()

    def _one(self, lane: Lane, at: int, change: Change) -> Judged:
        first = at * 97 % (SERVED_ROWS - _ROWS_OF_A_RUN)
        try:
            seen = lane.run(change, first, lambda own, at_ns: watch(change, own, at_ns))
        except FieldwardenError as error:
            breaking = change.grade == "breaking"
            return Judged(change, False if breaking else None, not breaking,
                          False if breaking else None, None, [str(error)])  # fmt: skip
        (lane.folder / "seen.jsonl").open("a", encoding="utf-8").write(
            json.dumps({"change": change.key, "at_ns": seen.at_ns, "changes": seen.changes}) + "\n"
        )
        return judged(change, seen.at_ns, seen.samples, seen.changes)


def _in_turn(changes: list[Change]) -> list[Change]:
    parts = [[one for one in changes if one.protocol == name] for name in PROTOCOLS]
    turns = sorted(
        (at / len(part), one.protocol, at) for part in parts for at, one in enumerate(part)
    )
    by_name = dict(zip(PROTOCOLS, parts, strict=True))
    return [by_name[name][at] for _, name, at in turns]


def note(text: str) -> None:
    """Progress, for who watches."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Exit code 0 where all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of 'PROTOCOL: NAME' (regular expression)")
    parser.add_argument("--lanes", type=int, default=_LANES, help="agents side by side")
    parser.add_argument("--keep", type=Path, help="folder for all that is written")
    parser.add_argument("--list", action="store_true", help="print the table and end")
    asked = parser.parse_args()
    changes = [one for one in CHANGES if re.search(asked.only, one.key)]
    proposed = [one for one in PROPOSED if re.search(asked.only, one.key)]
    if asked.list:
        for one in changes:
            touched = ", ".join(sorted(model[0] for model in one.touched)) or "none"
            print(f"{one.key:60} {one.grade:10} by {one.by:8} touches {touched}")
        for plan in proposed:
            print(f"{plan.key:60} proposed, assessed, then made")
        return 0
    if not changes and not proposed:
        note(f"no change fits {asked.only!r}")
        return 1
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="fieldwarden-changes-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        suite = Suite(folder, asked.lanes)
        suite.fit()
        suite.run(changes, proposed)
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    told = summary(suite.rows, suite.assessed)
    for row in suite.rows:
        if row.why:
            note(f"not as it must be: {row.change.key}: {'; '.join(row.why)}")
    print(json.dumps(told), flush=True)
    whole = len(suite.rows) == len(changes) and len(suite.assessed) == len(proposed)
    return 0 if whole and passes(told) else 1


if __name__ == "__main__":
    sys.exit(main())
