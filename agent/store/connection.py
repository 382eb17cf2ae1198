"""How the store's file is opened for writing, and what an error of the disk means."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from pathlib import Path

WAL_LIMIT_BYTES = 64 * 1024 * 1024
WAL_SHARE = 0.05  # of the file system, where that is less
CHECKPOINT_PAGES = 4000  # of the log before it goes to the database: each page of it once, then
BUSY_S = 5.0  # how long another process may hold the store before a commit fails
_PAGE = 4096
_MODE = 0o640
_NO_ROOM = 256 * 1024  # bytes; less is none, for SQLite writes whole pages and an index of the log


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes: what it committed survives a power cut (FULL, WAL).

    The file, and with it its log, holds values of the plant, so not every user may read it.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, _MODE))
        if path.stat().st_mode & 0o027:
            path.chmod(_MODE)
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
    most = min(WAL_LIMIT_BYTES, share_of(path.parent, WAL_SHARE))
    pages = max(100, min(CHECKPOINT_PAGES, most // (4 * _PAGE)))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {most}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    return connection


def share_of(folder: Path, share: float) -> int:
    """Bytes that are a share of the size of a folder's file system; no limit where unknown."""
    try:
        return round(shutil.disk_usage(folder).total * share)
    except OSError:
        return 1 << 62


def disk_full(error: sqlite3.Error | OSError, folder: Path) -> bool:
    """Whether an error comes of a full disk; SQLite calls some of them errors of input/output."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    if code != sqlite3.SQLITE_IOERR:
        return False
    try:
        return shutil.disk_usage(folder).free < _NO_ROOM
    except OSError:
        return False
