"""Whether a process writes the store, without taking its lock: that could fail a start."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_LOCKS: Final = Path("/proc/locks")


def is_written(path: Path) -> bool:
    """Whether a process that can be seen from here holds the lock of the store at `path`.

    The kernel tells the file by device and inode; devices of some file systems have two numbers,
    so the inode alone counts.
    """
    try:
        inode = path.with_suffix(".lock").stat().st_ino
        lines = _LOCKS.read_text("ascii", "replace").splitlines()
    except OSError:
        return False
    held = (line.split() for line in lines if " FLOCK " in line)
    return any(word.endswith(f":{inode}") for words in held for word in words[1:])
