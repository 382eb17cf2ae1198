"""What is measured while the load runs: processor, memory, and how soon the page answers."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import psutil
from fleet_stand import OPENER, Stand

PATHS = (
    "/", "/api/v1/fleet", "/api/v1/gateways?limit=20", "/api/v1/sites?limit=10",
    "/api/v1/incidents?limit=10", "/api/v1/gateways/site-07/gw-0003",
)
PAUSE_S = 0.25
_MB = 1e6


class Page:
    """Asks the service's faces one after the other, and notes how long each took.

    Args:
        port: of the page.

    Attributes:
        took_s: seconds by path, of whole answers.
        failed: what went wrong otherwise, and how often.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self.took_s: dict[str, list[float]] = defaultdict(list)
        self.failed: dict[str, int] = defaultdict(int)
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(30)

    def _ask(self) -> None:
        for path in itertools.cycle(PATHS):
            if self._over.wait(PAUSE_S):
                return
            began = time.perf_counter()
            try:
                with OPENER.open(f"http://127.0.0.1:{self._port}{path}", timeout=30) as answer:
                    answer.read()
                self.took_s[path].append(time.perf_counter() - began)
            except OSError as error:
                self.failed[f"{path}: {error}"] += 1

    def p95_ms(self) -> float | None:
        """Of all answers."""
        return p95_ms(itertools.chain.from_iterable(self.took_s.values()))

    def by_path(self) -> dict[str, float | None]:
        """Of each path."""
        return {path: p95_ms(some) for path, some in self.took_s.items()}


def p95_ms(seconds: Iterable[float]) -> float | None:
    """Milliseconds; None of nothing."""
    some = list(seconds)
    return round(float(np.percentile(some, 95)) * 1e3, 1) if some else None


class Load:
    """Processor and memory by role, also of processes that are killed.

    Args:
        stand: whose processes.
        more: further ones by role.
    """

    def __init__(self, stand: Stand, **more: psutil.Process) -> None:
        self._stand, self._more = stand, more
        self._cpu: dict[tuple[str, int], float] = {}
        self._began: dict[tuple[str, int], float] = {}
        self._began_s = time.monotonic()
        self.rss: dict[str, list[float]] = defaultdict(list)

    def sample(self) -> None:
        """Once a second or so."""
        found = self._stand.processes()
        for role, one in self._more.items():
            found[role] = [one]
        for role, some in found.items():
            rss = 0.0
            for one in some:
                try:
                    times, memory = one.cpu_times(), one.memory_info()
                except psutil.Error:
                    continue
                key = (role, one.pid)
                self._cpu[key] = times.user + times.system
                # What began before the first look is counted from there.
                first = self._cpu[key] if len(self.rss[role]) == 0 else 0.0
                self._began.setdefault(key, first)
                # PostgreSQL's processes share most of what they hold.
                shared = memory.shared if role == "postgres" else 0
                rss += memory.rss - shared
            self.rss[role].append(rss / _MB)

    def cores(self) -> dict[str, float]:
        """Cores that each role took, on average."""
        took: dict[str, float] = defaultdict(float)
        for key, cpu_s in self._cpu.items():
            took[key[0]] += cpu_s - self._began[key]
        seconds = time.monotonic() - self._began_s
        return {role: round(cpu_s / seconds, 3) for role, cpu_s in sorted(took.items())}

    def peak_mb(self, *roles: str) -> float:
        """Most that these roles held at one time, in MB."""
        series = [self.rss[role] for role in roles if self.rss[role]]
        return round(max((sum(at) for at in zip(*series, strict=False)), default=0.0), 1)

    def peaks(self) -> dict[str, float]:
        """Of each role."""
        return {role: self.peak_mb(role) for role in sorted(self.rss)}


def counted(connection: Any) -> int:
    """Rows committed so far: events, windows, and verdicts as often as they were written."""
    (events,) = connection.execute("SELECT count(*) FROM event").fetchone()
    (windows,) = connection.execute("SELECT count(*) FROM summary").fetchone()
    (verdicts,) = connection.execute(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'model'"
    ).fetchone()
    return int(events + windows + verdicts)
