"""A real mosquitto on a free loopback port, for tests."""

from __future__ import annotations

import contextlib
import getpass
import socket
import subprocess
import time
from pathlib import Path

import pytest

from simulators.children import end_with_parent
from simulators.ports import free_port
from tests.programs import program, why_not
from tests.waiting import PATIENCE_S

PROGRAM = program("mosquitto")


class Mosquitto:
    """Starts, kills and starts again on the same port; ends only what it started."""

    def __init__(
        self, folder: Path, *lines: str, persistence: bool = False, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self._config = folder / "mosquitto.conf"
        # Started by root, mosquitto would give up the right to read the test's own folder.
        text = [f"user {getpass.getuser()}", f"listener {self.port} 127.0.0.1", *lines]
        if not any(line.startswith("allow_anonymous") for line in lines):
            text.append("allow_anonymous true")
        if persistence:
            text += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
            text += ["autosave_on_changes true"]
        self._config.write_text("\n".join(text) + "\n", encoding="utf-8")
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not PROGRAM:
            pytest.skip(why_not("mosquitto"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-v", "-c", str(self._config)],
                stdout=log,
                stderr=log,
                # also when the tests themselves are killed; only libc between fork and exec
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1),
            ):
                return
            time.sleep(0.02)
        raise AssertionError(self._log.read_text(encoding="utf-8", errors="replace"))

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """SIGKILL: no goodbye to anybody, nothing saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None
