"""Reading files that people name: regular ones, up to a size, without ever waiting for one.

A configuration may name anything: a device that never ends, a pipe that nobody writes to, a folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.errors import FieldwardenError

_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
    (stat.S_ISSOCK, "it is a socket"),
)


def read_bounded(path: Path | str, limit_bytes: int, operation: str, hint: str = "") -> bytes:
    """The whole content of a regular file.

    Args:
        path: of the file.
        limit_bytes: a larger one is refused.
        operation: for the error, such as ``"reading baseline"``.
        hint: for the error.

    Raises:
        FieldwardenError: missing, not readable, not a regular file, or too large.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits for its other end.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise FieldwardenError(operation, str(path), cause, hint) from error
    try:
        mode = os.fstat(handle).st_mode
        for is_kind, cause in _KINDS:
            if is_kind(mode):
                raise FieldwardenError(operation, str(path), cause, "give a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise FieldwardenError(operation, str(path), str(error.strerror), hint) from error
    finally:
        os.close(handle)
    if len(data) > limit_bytes:
        size = f"{limit_bytes >> 20} MiB" if limit_bytes >= 1 << 20 else f"{limit_bytes} bytes"
        cause = f"it is larger than {size}"
        raise FieldwardenError(operation, str(path), cause, "is this the right file?")
    return data
