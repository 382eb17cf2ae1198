"""A file that holds disk space back, so that a full disk can still commit a deletion.

SQLite needs room to delete: the write-ahead log grows before anything shrinks. When the disk is
full the reserve is given up, old rows go, and it is taken again once there is room.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from agent.store.connection import share_of

RESERVE_BYTES = 16 * 1024 * 1024
SHARE = 0.03  # of the file system, where that is less
NEEDED = 4  # times its size must be free before it is taken again


class Reserve:
    """The reserve beside a store.

    Args:
        path: of the reserve file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = min(RESERVE_BYTES, share_of(path.parent, SHARE))

    @property
    def held(self) -> bool:
        """Whether the space is held back now."""
        try:
            return self._path.stat().st_blocks * 512 >= self.size
        except OSError:
            return False

    def take(self) -> bool:
        """Hold the space back where the disk has plenty; returns whether it is held."""
        if self.held:
            return True
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < NEEDED * self.size:
                return False
            handle = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size)
            except OSError:
                self._path.unlink()
                raise
            finally:
                os.close(handle)
        return self.held

    def give(self) -> None:
        """Give the space up."""
        self._path.unlink(missing_ok=True)
