"""A PostgreSQL server of its own on loopback, for tests and benchmarks; gone with its parent.

The programs are those of the machine (Debian keeps them out of PATH). `postgres` refuses to run as
root; started by root it runs as the user `postgres`, in a folder of that user's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from agent.errors import FieldwardenError
from simulators.children import end_with_parent
from simulators.ports import free_port

USER: Final = "fieldwarden"
_DEBIAN: Final = Path("/usr/lib/postgresql")
_START_S: Final = 120.0  # on a disk that others write, too
_QUICK: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_COMMON: Final = (
    "max_connections=60", "logging_collector=off", "log_lock_waits=on", "shared_buffers=128MB",
    "max_wal_size=1GB",
)  # fmt: skip


def programs() -> Path | None:
    """Folder of `initdb` and `postgres`, the newest version; None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = [one for one in _DEBIAN.glob("*/bin/initdb") if one.parent.parent.name.isdigit()]
    newest = max(versions, key=lambda one: int(one.parent.parent.name), default=None)
    return newest.parent if newest else None


class Postgres:
    """One server; `start`, `url`, `stop`.

    Args:
        durable: whether a commit is on the disk, as in service; tests do without.
        settings: further ``name=value`` of postgresql.conf.

    Raises:
        FieldwardenError: PostgreSQL is not installed.
    """

    def __init__(self, *, durable: bool = False, settings: Sequence[str] = ()) -> None:
        found = programs()
        if found is None:
            raise FieldwardenError(
                "starting", "PostgreSQL", "it is not installed", "apt-get install postgresql"
            )
        self._programs = found
        self._as: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="fieldwarden-postgres-"))
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self._settings = [*_COMMON, *(() if durable else _QUICK), *settings]
        self._process: subprocess.Popen[bytes] | None = None
        self._made = False

    @property
    def pid(self) -> int | None:
        """Of the server; None while it does not run."""
        return self._process.pid if self._process else None

    def url(self, name: str = "postgres") -> str:
        """Of a database of it, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{name}"

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers; after `stop` or `kill` with what it had.

        Raises:
            FieldwardenError: it did not start; with its log.
        """
        if not self._made:
            self._make()
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        for one in (
            "listen_addresses=127.0.0.1", f"port={self.port}",
            f"unix_socket_directories={self.folder}", *self._settings,
        ):  # fmt: skip
            command += ["-c", one]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - programs of the machine
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, ending=signal.SIGINT),  # noqa: PLW1509
                **self._as,
            )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        raise FieldwardenError("starting", "PostgreSQL", self.log()[-2000:])

    def _make(self) -> None:
        password = self.folder / "password"
        password.write_text(self.password, encoding="utf-8")
        if self._as:
            os.chown(password, self._as["user"], self._as["group"])
        made = subprocess.run(  # noqa: S603 - programs of the machine
            [str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", USER,
             "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C",
             "--no-sync"],
            cwd=self.folder, capture_output=True, check=False, **self._as,
        )  # fmt: skip
        if made.returncode:
            raise FieldwardenError(
                "making", "a PostgreSQL cluster", made.stderr.decode("utf-8", "replace")
            )
        self._made = True

    def _answers(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0  # noqa: S603

    def kill(self) -> None:
        """As when the machine loses its power: nothing is said to anybody."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it, and its connections; what it had stays until `remove`."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)

    def remove(self) -> None:
        """End it and delete what it had."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.remove()
