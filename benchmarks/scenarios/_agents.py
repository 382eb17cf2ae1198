"""A real agent goes wrong, and a model asks what it is worth: `trusted` is never said.

Each scenario starts an agent as a process, with a device that it reads, waits until its model is
trusted by every way that there is (file, socket, HTTP), does something to it, and asks by every way
again and again. What must be found out first (a full disk, another baseline) has as long as a
verdict is believed at most; a process that is dead or stopped has none.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _guarded import ROOT

sys.path.append(str(ROOT / "benchmarks" / "faults"))

from agent.client import FRESH_NS, verdict
from tests.core import small
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_clock import HOUR_S, LIBRARY, WallClock
from tests.end_to_end.test_late_truth import Predicting

AT_ONCE_S, FOUND_S = 0.0, FRESH_NS / 1e9
LOOKS_S = 4.0
_PAUSE_S = 0.05
_PATIENCE_S = 120.0
Row = dict[str, Any]
_ASK = """\
import json, sys
from agent.client import verdict
print(json.dumps([verdict("m", way, timeout_s=0.3).trusted for way in sys.argv[1:]]))
"""


class Looks:
    """Asks by every way, and counts."""

    def __init__(self, gateway: GuardedGateway, environment: dict[str, str] | None = None) -> None:
        self.asked = self.trusted = 0
        self._gateway, self._environment = gateway, environment

    def once(self) -> None:
        """By every way; where a clock is set for who asks too, by a process of its own."""
        ways = self._gateway.ways
        if self._environment is None:
            told = [verdict("m", way, timeout_s=0.3).trusted for way in ways]
        else:
            command = [sys.executable, "-c", _ASK, *map(str, ways)]
            done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True,
                                  text=True, check=True)  # fmt: skip
            told = json.loads(done.stdout)
        self.asked += len(told)
        self.trusted += sum(told)

    def for_s(self, seconds: float = LOOKS_S) -> None:
        """Again and again; at least once."""
        until = time.monotonic() + seconds
        self.once()
        while time.monotonic() < until:
            time.sleep(_PAUSE_S)
            self.once()


def trusted(gateway: GuardedGateway) -> None:
    """Wait until every way says so."""
    for way in gateway.ways:
        gateway.wait(
            f"trust by {way}", lambda way=way: verdict("m", way).trusted, _PATIENCE_S
        )


@contextlib.contextmanager
def running(
    kind: type[GuardedGateway] = GuardedGateway, more: dict[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[GuardedGateway]:  # fmt: skip
    """An agent whose model is trusted."""
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        gateway = kind(place) if more is None else kind(place, more)  # type: ignore[call-arg]
        try:
            gateway.start()
            trusted(gateway)
            yield gateway
        finally:
            gateway.close()


def killed() -> Looks:
    """kill -9; what it left behind speaks for nobody."""
    with running() as gateway:
        gateway.end(signal.SIGKILL)
        looks = Looks(gateway)
        looks.for_s()
        return looks


def stopped() -> Looks:
    """SIGSTOP: it is there, and folds nothing."""
    with running() as gateway:
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGSTOP)
        time.sleep(_PAUSE_S)  # until the kernel has done so
        looks = Looks(gateway)
        looks.for_s(2.0 * FOUND_S)
        return looks


def clock(before_s: int, after_s: int) -> Callable[[], Looks]:
    """The wall clock is set before the kill and after it, for the agent and for who asks."""

    def scenario() -> Looks:
        with tempfile.TemporaryDirectory() as temporary:
            wall = WallClock(Path(temporary))
            wall.set(0)
            with running(more=wall.environment, folder=Path(temporary)) as gateway:
                wall.set(before_s)
                time.sleep(1.0)
                trusted(gateway)
                gateway.end(signal.SIGKILL)
                looks = Looks(gateway, wall.environment)
                looks.for_s(1.0)
                wall.set(after_s)
                looks.for_s()
                return looks

    return scenario


def no_file_grows() -> Looks:
    """Nothing can be written any more, as on a full disk."""
    with running() as gateway:
        gateway.limit_files(0)
        time.sleep(FOUND_S)
        looks = Looks(gateway)
        looks.for_s()
        return looks


def disk_full() -> Looks | None:
    """Somebody else takes all of a real file system, and what the agent's store gives back, too.

    The store has a reserve and goes on for a while; from when it says that it stores nothing, no
    way says trusted. None where no file system can be mounted.
    """
    from on_disk import Disk, can_mount

    with tempfile.TemporaryDirectory() as temporary:
        if not can_mount(Path(temporary)):
            return None
        disk, stop = Disk(Path(temporary) / "own", 24), threading.Event()
        hog = threading.Thread(target=_take_all, args=(disk.mount / "other", stop), daemon=True)
        try:
            with running(folder=disk.mount) as gateway:
                hog.start()
                gateway.wait("word that nothing is stored",
                             lambda: gateway.status(live=True).get("trouble"), _PATIENCE_S)
                time.sleep(FOUND_S)
                looks = Looks(gateway)
                looks.for_s(2.0 * LOOKS_S)
                return looks
        finally:
            stop.set()
            hog.join(10.0)
            with contextlib.suppress(SystemExit):
                disk.detach()


def _take_all(file: Path, stop: threading.Event) -> None:
    """Whatever is free, in pieces of a sector, until told to stop."""
    with file.open("ab", buffering=0) as other:
        while not stop.is_set():
            try:
                other.write(bytes(4_096))
            except OSError:
                time.sleep(0.01)


def baseline_replaced() -> Looks:
    """Another baseline lies in the file than the one that it judges by."""
    with running() as gateway:
        gateway.write_baseline(small.baseline(joint=True, centre=0.1))
        time.sleep(FOUND_S)
        looks = Looks(gateway)
        looks.for_s()
        return looks


def label_flood() -> Looks:
    """Labels say that the model errs three times as much; more come than can be judged at once."""
    with running(Predicting) as gateway:
        made = [{"id": str(number), "value": 0.0} for number in range(4_000)]
        for first in range(0, len(made), 250):
            gateway.tell("predictions", made[first : first + 250])
        truths = [{"id": str(number), "value": 3.0} for number in range(4_000)]
        gateway.tell("labels", truths[:250])
        time.sleep(FOUND_S)
        stop = threading.Event()
        flood = [
            threading.Thread(target=_pour, args=(gateway, truths[part::4], stop), daemon=True)
            for part in range(4)
        ]
        for one in flood:
            one.start()
        looks = Looks(gateway)
        looks.for_s(2.0 * LOOKS_S)
        gateway.end(signal.SIGKILL)
        looks.for_s()
        stop.set()
        return looks


def _pour(gateway: Predicting, truths: list[dict[str, Any]], stop: threading.Event) -> None:
    """The same labels and others without a prediction, for ever."""
    while not stop.is_set():
        for first in range(0, len(truths), 50):
            more = [{"time_ns": 1 + first + at, "value": 1e6} for at in range(50)]
            with contextlib.suppress(Exception):  # it is busy, or dead
                gateway.tell("labels", truths[first : first + 50] + more)


ROUNDS = 2
SCENARIOS: dict[str, Callable[[], Looks | None]] = {
    "killed": killed, "stopped": stopped,
    "clock on, killed, back": clock(HOUR_S, -HOUR_S),
    "clock back, killed, on": clock(-HOUR_S, HOUR_S),
    "killed, clock on": clock(0, HOUR_S), "killed, clock back": clock(0, -HOUR_S),
    "no file grows": no_file_grows, "disk full": disk_full,
    "baseline replaced": baseline_replaced, "label flood": label_flood,
}  # fmt: skip


def tasks() -> list[str]:
    """All of them that this machine can do."""
    return [
        name for name in SCENARIOS for _ in range(ROUNDS if name in {"killed", "stopped"} else 1)
        if LIBRARY is not None or not name.startswith(("clock", "killed, clock"))
    ]  # fmt: skip


def judged(name: str) -> Row:
    """The line of a scenario."""
    began = time.monotonic()
    row: Row = {"scenario": f"agent: {name}", "plant": "agent", "family": "agent", "seed": None}
    looks = SCENARIOS[name]()
    if looks is None:
        return row | {"skipped": "needs root and loop devices", "reached": True}
    return row | {
        "asked": looks.asked, "trusted": looks.trusted,
        "reached": looks.asked > 0 and looks.trusted == 0,
        "wall_s": round(time.monotonic() - began, 1),
    }  # fmt: skip
