"""Central as a service in processes of its own, for tests: started, hurt, read, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from agent.fleet.database import Database
from simulators.children import end_with_parent
from simulators.ports import free_port
from tests.processes import children
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


class Serving:
    """`fieldwarden central CONFIG`, on loopback."""

    def __init__(self, folder, broker_port, database_url, *, name="central", workers=2, more=""):
        self.folder = folder
        self.name = name
        self.http = free_port()
        self.config = folder / f"{name}.toml"
        self._log = folder / f"{name}.log"
        self._process = None
        self.url = database_url
        # A password never stands in the file; this one is of a server that lives for one test.
        address, _, place = database_url.rpartition("@")
        user, _, password = address.rpartition(":")
        (folder / f"{name}.secret").write_text(password, encoding="utf-8")
        (folder / f"{name}.secret").chmod(0o600)
        postgresql = database_url.startswith("postgresql")
        database = f"{user}@{place}" if postgresql else database_url
        secret = f'database_password_file = "{name}.secret"\n' if postgresql else ""
        self.config.write_text(
            f'schema = 1\n[central]\nname = "{name}"\nworkers = {workers}\n'
            f'database = "{database}"\n{secret}'
            f'[broker]\nhost = "127.0.0.1"\nport = {broker_port}\n'
            f'[http]\nlisten = "127.0.0.1:{self.http}"\n{more}',
            encoding="utf-8",
        )

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "central", str(self.config)],
                cwd=ROOT, stdout=log, stderr=log,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - only libc between fork and exec
            )  # fmt: skip
        return self

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def children(self):
        """Pid of each child, by what it is: ``worker 1``, ``front``."""
        found = {}
        for child, words in children(self.pid):
            if "agent.fleet.child" in words:
                at = words.index("agent.fleet.child")
                what = " ".join(words[at + 2 : at + 4]).removesuffix(" fresh").strip()
                found[what] = child.pid
        return found

    def kill_child(self, what):
        """By SIGKILL; whether it was there."""
        with contextlib.suppress(ProcessLookupError, KeyError):
            os.kill(self.children()[what], signal.SIGKILL)
            return True
        return False

    def kill(self):
        """The supervisor, by SIGKILL."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def stop(self):
        """In order; its exit code."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(PATIENCE_S)

    def ended(self):
        return self._process.poll()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self._process.poll() is None:
            self.stop()


def rows(url, statement):
    """What a statement finds."""
    from sqlalchemy import text

    database = Database(url)
    try:
        with database.reading() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        database.close()
