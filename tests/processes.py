"""Other processes as tests see them: each may end, also while it is looked at."""

from __future__ import annotations

import contextlib

import psutil


def alive(pid: int) -> bool:
    """Whether a process is there, and no mere entry that nobody has asked for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def children(pid: int | None = None) -> list[tuple[psutil.Process, list[str]]]:
    """Each child of a process, its own where none is named, with the words it was started by."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # what a zombie raises is one, too
                found.append((child, child.cmdline()))
    return found
