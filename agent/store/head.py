"""The head: a small file beside the store that says how far it was committed.

SQLite takes a write-ahead log up to the first frame whose checksum is wrong, and says nothing of
the committed ones behind it; an empty or missing database is new to it. With the head a start
knows better, and a store that has to begin anew goes on counting where the old one ended.

The head is never ahead of the store: it is written after each commit. After a power cut it may be
some commits behind, which does no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

_SIZE = 256  # bytes, within one sector, so that it is written whole
_WRITES_PER_SYNC = 10


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a store was committed: `tags` is the highest id that was given to a tag."""

    store_id: str
    boot: int
    sequence: int
    time_ns: int
    tags: int


class Head:
    """The head of one store.

    Args:
        path: of the head file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._writes = 0

    def read(self) -> Mark | None:
        """The last mark; None where there is none, or none that can be read."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            handle = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                checksum, _, text = os.read(handle, _SIZE).partition(b" ")
            finally:
                os.close(handle)
            text = text.rstrip()
            if int(checksum, 16) == zlib.crc32(text):
                return Mark(**json.loads(text))
        return None

    def write(self, mark: Mark) -> None:
        """Replace the mark; a disk that can not take it is no reason to stop."""
        text = json.dumps(asdict(mark), separators=(",", ":")).encode()
        line = b"%08x %s" % (zlib.crc32(text), text)
        with contextlib.suppress(OSError):
            if self._handle is None:
                flags = os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
                self._handle = os.open(self._path, flags, 0o640)
            os.pwrite(self._handle, line.ljust(_SIZE - 1) + b"\n", 0)
            if self._writes % _WRITES_PER_SYNC == 0:
                os.fdatasync(self._handle)
            self._writes += 1

    def close(self) -> None:
        """Sync and close; it can be written again."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.fdatasync(self._handle)
            os.close(self._handle)
            self._handle = None
