"""A new store in the place of one that is damaged, was removed or was replaced.

It is made beside its place and moved there when it is whole, so that a start in between finds
either of the two.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

from agent.store.connection import connect
from agent.store.damaged import opened
from agent.store.head import Mark
from agent.store.salvage import set_aside, take_over
from agent.store.schema import migrate

logger = logging.getLogger(__name__)

Identity = tuple[int, int]


def renew(
    path: Path, mark: Mark | None, cause: str, live: sqlite3.Connection | None = None,
    *, running: bool = False,
) -> dict[str, Any]:
    """Put a new store at `path`; returns what was lost, see `salvage.take_over`.

    Args:
        path: of the store.
        mark: how far the old one was committed.
        cause: what happened to it, for people.
        live: the writer's connection where it still reads, closed here: a file that was removed is
            there until then.
        running: see `salvage.take_over`.

    Raises:
        OSError, sqlite3.Error: the new one could not be made; what is at `path` may be set aside.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    for end in ("", "-wal", "-shm"):
        draft.with_name(draft.name + end).unlink(missing_ok=True)
    aside = set_aside(path) if live is None and _anything(path) else None
    target = connect(draft)
    try:
        migrate(target, str(path))
        damaged = live
        if damaged is None and aside is not None:
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # its pages are asked for
            damaged = opened(aside, draft)
        name = aside.name if aside is not None else ""
        told = take_over(target, damaged, mark, cause, name, running=running)
    finally:
        target.close()
        if live is not None:  # before the new one is in its place, for it removes its log by name
            with contextlib.suppress(sqlite3.Error):
                live.close()
    if live is None and damaged is not None:
        damaged.close()
    if aside is not None:
        aside.with_name(aside.name + "-shm").unlink(missing_ok=True)
    if live is not None and _anything(path):
        told["set_aside"] = set_aside(path).name
    draft.rename(path)
    _sync_folder(path.parent)
    kept = "all that a start needs" if told["complete"] else "what could be read"
    place = told["set_aside"] or "it was gone"
    logger.error("the store was set aside (%s) and begins anew: %s; %s is kept", place, cause, kept)
    return told


def identity_of(path: Path) -> Identity | None:
    """Which file is there: a removed or replaced one has another, or none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _anything(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return path.is_symlink() or path.exists() or wal.exists()


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
