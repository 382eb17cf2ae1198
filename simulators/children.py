"""Child processes of the demonstration: started, watched and ended by their own process ids."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from agent.errors import FieldwardenError

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 12


def _libc() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None) if sys.platform == "linux" else None
    except OSError:
        return None


_LIBC = _libc()


def end_with_parent(niceness: int = 0, ending: signal.Signals = signal.SIGTERM) -> None:
    """In the child, before exec: have the kernel end it should the parent be killed outright."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, ending)
    if niceness:
        os.nice(niceness)


class Children:
    """The processes that one demonstration started.

    Args:
        folder: for one log file each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None,
        *, niceness: int = 0,
    ) -> int:  # fmt: skip
        """Start `command`; its output goes to the log. Returns the process id.

        It gets a session of its own, so that Ctrl-C reaches only the demonstration, which then
        ends its children in order.
        """
        log = (self._folder / f"{name}.log").open("ab")
        process = subprocess.Popen(  # noqa: S603 - this very interpreter, or mosquitto
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            preexec_fn=partial(end_with_parent, niceness),  # noqa: PLW1509 - only libc between fork and exec
        )
        self._running[name] = (process, log)
        return process.pid

    def log_path(self, name: str) -> Path:
        """Where the output of `name` goes."""
        return self._folder / f"{name}.log"

    def require(self) -> None:
        """Raise when one ended by itself.

        Raises:
            FieldwardenError: names it, with the last lines of its log.
        """
        for name, (process, _) in self._running.items():
            code = process.poll()
            if code is not None:
                raise FieldwardenError(
                    "running", name, f"it ended with {code}:\n{self.tail(name)}",
                    f"the whole output is in {self.log_path(name)}",
                )  # fmt: skip

    def code(self, name: str) -> int | None:
        """The exit code of one that ended by itself; None while it runs."""
        return self._running[name][0].poll()

    def tail(self, name: str) -> str:
        """The last lines of its log."""
        with contextlib.suppress(OSError):
            text = self.log_path(name).read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-_LAST_LINES:])
        return ""

    def stop(self, name: str, *, kill: bool = False, patience_s: float = 10.0) -> int | None:
        """End one: SIGTERM, and SIGKILL after `patience_s`; `kill` at once. Returns its code."""
        process, log = self._running.pop(name, (None, None))
        if process is None or log is None:
            return None
        if process.poll() is None:
            process.kill() if kill else process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(patience_s)
        finally:
            log.close()
        return process.returncode

    def stop_all(self) -> None:
        """End all, the last started first."""
        for name in reversed(list(self._running)):
            self.stop(name)
