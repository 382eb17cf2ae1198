"""Reading files that people name: regular ones, up to a size, without ever waiting for one; and
writing them so that nobody ever finds half of one.

A configuration may name anything: a device that never ends, a pipe that nobody writes to, a folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.errors import FieldwardenError, cause_of

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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path` to be written to; it takes its place once all went well.

    Raises:
        FieldwardenError: it could not be written; what was there before is there still.
    """
    draft = path.with_name(path.name + ".new")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise FieldwardenError("writing", str(path), cause_of(error)) from error
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        FieldwardenError: it could not be written.
    """
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write several texts, each whole, in their order, and all of them or none.

    All stand beside their places before the first takes it. Only a crash between two of these
    renames leaves some new and some old, each of them whole.

    Raises:
        FieldwardenError: one could not be written; all are as they were.
    """
    drafts = {path: path.with_name(path.name + ".new") for path in texts}
    before: dict[Path, bytes | None] = {}
    at = next(iter(texts), Path())
    try:
        for at, text in texts.items():
            drafts[at].write_text(text, encoding="utf-8")
        for at, draft in drafts.items():
            before[at] = at.read_bytes() if at.exists() else None
            draft.replace(at)
    except OSError as error:
        for path, content in before.items():
            _put_back(path, content)
        raise FieldwardenError("writing", str(at), cause_of(error)) from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        draft = path.with_name(path.name + ".new")
        draft.write_bytes(content)
        draft.replace(path)
