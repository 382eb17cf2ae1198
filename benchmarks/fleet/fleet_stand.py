"""What the benchmark of a fleet starts: broker, PostgreSQL, central as a service, gateways.

Each is a process of its own on loopback, ends with this one, and is ended by its own process id.
"""

from __future__ import annotations

import getpass
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

import psutil  # noqa: E402
import psycopg  # noqa: E402

from agent.errors import FieldwardenError  # noqa: E402
from simulators.broker import mosquitto_path  # noqa: E402
from simulators.children import Children, end_with_parent  # noqa: E402
from simulators.ports import free_port, port_is_free  # noqa: E402
from simulators.postgres import Postgres  # noqa: E402

PATIENCE_S = 60.0
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

# What is queued for a worker that was killed must find room; gateways send the rest again.
_BROKER = """\
user {user}
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 60
max_inflight_messages 0
max_queued_messages 200000
log_type error
log_type warning
"""
_CENTRAL = """\
schema = 1
[central]
database = "{database}"
database_password_env = "FLEET_DATABASE_PASSWORD"
workers = {workers}
[broker]
host = "127.0.0.1"
port = {broker}
tls = false
[http]
listen = "127.0.0.1:{page}"
"""
_POSTGRES = ("shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=15min")
_DATABASE = "fleet"


def wait(what: str, ready: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """The first true answer of `ready`.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout_s:g} s")
        time.sleep(0.1)
    return answer


class Gateways:
    """The simulated fleet: a process that tells each 2 s what it did.

    Args:
        port: of the broker.
        log: what it says when it fails.
        options: of `python -m simulators.fleet`.

    Attributes:
        told: the latest report.
    """

    def __init__(self, port: int, log: Path, options: dict[str, object]) -> None:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulators.fleet", "--port", str(port), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=environment(), preexec_fn=end_with_parent,  # noqa: PLW1509
        )
        self.told: dict[str, Any] = {"connected": 0, "open": 0, "rows": 0}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.told = {**self.told, **json.loads(line)}

    def order(self, words: str) -> None:
        """`stop`, or `truth PATH`."""
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def truth(self, path: Path) -> None:
        """Have it write what central must have."""
        self.order(f"truth {path}")
        wait("truth", lambda: self.told.get("truth"))

    def end(self) -> None:
        """End it."""
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


class Stand:
    """Everything but the gateways.

    Args:
        folder: for all files.
        workers: of central.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.children = Children(folder / "log")
        self.port, self.page = free_port(), free_port()
        program = mosquitto_path()
        if program is None:
            raise FieldwardenError("starting", "the broker", "mosquitto is not installed")
        (folder / "broker").mkdir(exist_ok=True)
        settings = folder / "mosquitto.conf"
        settings.write_text(_BROKER.format(
            user=getpass.getuser(), port=self.port, folder=folder / "broker"
        ))  # fmt: skip
        self._broker = [program, "-c", str(settings)]
        self.postgres = Postgres(durable=True, settings=_POSTGRES)
        self.config = folder / "central.toml"
        self._workers = workers

    def start(self) -> None:
        """Broker, database, service; until its page answers."""
        allow_files()
        self.start_broker()
        self.postgres.start()
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {_DATABASE}")
        url = self.postgres.url(_DATABASE).replace(f":{self.postgres.password}@", "@")
        self.config.write_text(_CENTRAL.format(
            database=url, workers=self._workers, broker=self.port, page=self.page
        ))  # fmt: skip
        secret = {"FLEET_DATABASE_PASSWORD": self.postgres.password}
        words = [sys.executable, "-m", "agent.cli", "central", str(self.config)]
        self.central_pid = self.children.start("central", words, environment(**secret))
        wait("page of central", self._serves)

    def _serves(self) -> bool:
        self.children.require()
        try:
            with OPENER.open(f"http://127.0.0.1:{self.page}/api/v1/fleet", timeout=5):
                return True
        except OSError:
            return False

    # --- the broker -------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """Start it, again where it was killed."""
        self.broker_pid = self.children.start("broker", self._broker)
        wait("broker", lambda: not port_is_free(self.port))
        self.children.require()

    def kill_broker(self) -> None:
        """SIGKILL, and start it again."""
        self.children.stop("broker", kill=True)
        self.start_broker()

    # --- the service ------------------------------------------------------------------------------

    def processes(self) -> dict[str, list[psutil.Process]]:
        """By role; what ended meanwhile is left out."""
        found: dict[str, list[psutil.Process]] = {
            "broker": tree(self.broker_pid), "postgres": tree(self.postgres.pid),
        }
        for one in tree(self.central_pid):
            try:
                words = one.cmdline()
            except psutil.Error:
                continue
            role = next((name for name in ("worker", "front") if name in words), "supervisor")
            found.setdefault(role, []).append(one)
        return found

    def kill_worker(self, chosen: Callable[[list[psutil.Process]], psutil.Process]) -> None:
        """SIGKILL one of the workers."""
        workers = self.processes().get("worker", [])
        if workers:
            chosen(workers).kill()

    def connect(self) -> psycopg.Connection[Any]:
        """To central's database."""
        return psycopg.connect(self.postgres.url(_DATABASE), autocommit=True)

    def stop(self) -> None:
        """End everything, the service first."""
        self.children.stop("central", patience_s=30)
        self.children.stop_all()
        self.postgres.remove()


def tree(pid: int | None) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def environment(**more: str) -> dict[str, str]:
    """Of every process of ours."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def allow_files() -> int:
    """As many open files as this user may have, for the broker too; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def ended_by_signal() -> None:
    """SIGTERM ends this process as Ctrl-C does, so that what it started is ended in order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
