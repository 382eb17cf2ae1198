"""A PgBouncer of the tests' own before a PostgreSQL of the tests' own, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

from simulators.children import end_with_parent
from simulators.ports import free_port
from simulators.postgres import USER
from tests.programs import program
from tests.waiting import PATIENCE_S, wait_until


class PgBouncer:
    """Started and ended with the block; gives each transaction the next session of the server."""

    def __init__(self, server, mode="transaction", settings=()):
        self._server = server
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="fieldwarden-pgbouncer-"))
        self._as = {}
        if os.geteuid() == 0:  # which it refuses to run as
            account = pwd.getpwnam("postgres")
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._folder.chmod(0o755)
        (self._folder / "users").write_text(f'"{USER}" "{server.password}"\n', encoding="utf-8")
        lines = [
            "[databases]", f"* = host=127.0.0.1 port={server.port}", "[pgbouncer]",
            "listen_addr = 127.0.0.1", f"listen_port = {self.port}", "unix_socket_dir =",
            "auth_type = plain", f"auth_file = {self._folder}/users", f"pool_mode = {mode}",
            "default_pool_size = 4", "server_round_robin = 1", *settings,
        ]  # fmt: skip
        (self._folder / "ini").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def url(self, name="postgres"):
        return f"postgresql://{USER}:{self._server.password}@127.0.0.1:{self.port}/{name}"

    def _answers(self):
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def __enter__(self):
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("pgbouncer"), str(self._folder / "ini")], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, **self._as,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - only libc between fork and exec
            )  # fmt: skip
        wait_until(self._answers, told=(self._folder / "log").read_text)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        shutil.rmtree(self._folder)
