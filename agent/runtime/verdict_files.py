"""Verdicts as small files, one for each model, for processes that share nothing but this machine.

Invariants:
- a file is replaced in one step, by a rename; whoever reads it sees the old or the new one.
- it is written after every fold, so once a second; one that is older than it says itself
  (`fresh_until_boottime_ns`) reads as not trusted, by the same clock for writer and reader.
- while a lock is held on ``.lock`` beside it, the process that writes lives; the kernel lets go of
  it whatever ends the process.
- what can not be replaced, as on a full disk, is removed; what can not be removed either loses the
  lock, and with it every reader's trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from agent.client import LOCK, verdict_file
from agent.errors import FieldwardenError, cause_of
from agent.mqtt.background import in_thread

logger = logging.getLogger(__name__)

_TRIES: Final = 20
_TRY_S: Final = 0.05  # a reader looks at the lock for less
_OPERATION: Final = "writing verdicts to"


class VerdictFiles:
    """The files of one run.

    Args:
        folder: for them; made where it is missing, readable for everybody.
        verdicts: gives what is to be written now: model -> document.
    """

    def __init__(
        self, folder: Path, verdicts: Callable[[], Mapping[str, Mapping[str, Any]]]
    ) -> None:
        self._folder, self._verdicts = folder, verdicts
        self._folded = asyncio.Event()
        self._lock: int | None = None
        self._written: set[str] = set()

    def folded(self) -> None:
        """There may be something new to write."""
        self._folded.set()

    async def run(self) -> None:
        """Write after each fold, until cancelled; then nothing is left that anybody could trust.

        Raises:
            FieldwardenError: the folder can not be had, or another agent writes there.
        """
        try:
            while True:
                await self._folded.wait()
                self._folded.clear()
                told = {name: json.dumps(one) for name, one in self._verdicts().items()}
                await in_thread(partial(self._write, told), "verdict files")
        finally:
            self.withdraw()

    def _write(self, told: Mapping[str, str]) -> None:
        """Replace the file of every model; those of models that are gone are removed."""
        try:
            if self._lock is None:
                self._lock = self._locked()
            for name in sorted(self._written - told.keys()):
                self._remove(name)
            for name, text in told.items():
                self._written.add(name)
                self._replace(verdict_file(self._folder, name), text)
        except (OSError, FieldwardenError) as error:
            self.withdraw()
            if isinstance(error, FieldwardenError):
                raise
            raise FieldwardenError(
                _OPERATION, str(self._folder), cause_of(error),
                "free space there, or change `runtime_directory` under [status]; meanwhile models "
                "that read the files trust nothing",
            ) from error

    def _replace(self, path: Path, text: str) -> None:
        draft = path.with_name(f".{path.name}.new")
        handle = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(handle, 0o644)  # whatever the umask says: a verdict is no secret
            with os.fdopen(handle, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
        finally:
            os.close(handle)
        draft.replace(path)

    def withdraw(self) -> None:
        """Take every verdict back: the files are removed, and the lock is let go."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        for name in sorted(self._written):
            with contextlib.suppress(OSError):
                self._remove(name)

    def _remove(self, name: str) -> None:
        path = verdict_file(self._folder, name)
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.new").unlink(missing_ok=True)
        self._written.discard(name)

    def _remove_of_others(self) -> None:
        """What a run before this one left, as a kill does, is nobody's verdict any more."""
        for pattern in ("*.json", ".*.json.new"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _locked(self) -> int:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o755)
        handle = os.open(self._folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        os.fchmod(handle, 0o644)
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._remove_of_others()
                return handle
            time.sleep(_TRY_S)
        os.close(handle)
        raise FieldwardenError(
            _OPERATION, str(self._folder), "another process writes verdicts there",
            "end the other agent, or give this one its own `runtime_directory` under [status]",
        )
