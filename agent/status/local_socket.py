"""The Unix socket beside the store: made so that nobody else can use it for a moment, and removed.

Invariants:
- the file has mode 0600 until its group is set, then 0660; whoever connects writes to it.
- what is there and is no socket, or is one that somebody serves, is left alone.
- only the very file that was made is removed.
- two that begin at the same time take turns, so that neither takes the other's for a stale one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.errors import FieldwardenError

_LONGEST: Final = 107  # bytes of a socket's path: unix(7)
_PROBE_S: Final = 0.5
_TRIES: Final = 40  # 2 s


class LocalSocket:
    """A listening Unix stream socket, from construction until `close`.

    Args:
        path: where.
        group: name of the Unix group whose members may connect; empty: the process's own.

    Raises:
        FieldwardenError: it can not be had; nothing is left behind.
    """

    def __init__(self, path: Path, group: str = "") -> None:
        self.path = path
        gid = _gid(group) if group else -1
        self._identity: tuple[int, int] | None = None
        with _turn(path.parent):
            self._remove_stale()
            self._make(group, gid)

    def _make(self, group: str, gid: int) -> None:
        path = self.path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            os.fchmod(self.socket.fileno(), 0o600)  # bind gives the file this mode
            with _address(path) as address:
                self.socket.bind(address)
            found = path.lstat()
            self._identity = found.st_dev, found.st_ino
            if group:
                os.chown(path, -1, gid)
            path.chmod(0o660)
            self.socket.listen(64)
            self.socket.setblocking(False)
        except OSError as error:
            self.close()
            raise _error(path, error.strerror or str(error), _hint(error, group)) from error

    def _remove_stale(self) -> None:
        """A socket that nobody serves any more, as a kill leaves it, makes room."""
        try:
            found = self.path.lstat()
        except OSError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            cause = "there is a file of another kind"
            raise _error(self.path, cause, "move it away, or change `socket` under [status]")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_S)
            try:
                with _address(self.path) as address:
                    probe.connect(address)
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    self.path.unlink()
                return
            except OSError as error:
                raise _error(self.path, error.strerror or str(error), _hint(error, "")) from error
        cause = "another process serves it"
        raise _error(self.path, cause, "end the other agent, or change `socket` under [status]")

    def close(self) -> None:
        """Stop listening and remove the file; may be called more than once."""
        self.socket.close()
        if self._identity is None:
            return
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._identity:
                self.path.unlink()
        self._identity = None


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Keep other agents' sockets out of a folder; whoever else may hold its lock is not waited for
    for ever.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield  # what is wrong with it, binding says
        return
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_PROBE_S / 10)
            else:
                break
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """`path` as an address: the kernel takes 107 bytes only, so a long folder goes by number."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def connected(path: Path, timeout_s: float) -> socket.socket:
    """A socket connected to a running agent's.

    Raises:
        OSError: nobody serves it, or this user may not.
    """
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(timeout_s)
        with _address(path) as address:
            link.connect(address)
    except BaseException:
        link.close()
        raise
    return link


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise FieldwardenError(
            "opening the agent's socket for group",
            group,
            "there is no such Unix group",
            f"groupadd --system {group}, or change `socket_group` under [status]",
        ) from error


def _hint(error: OSError, group: str) -> str:
    if error.errno == errno.EPERM and group:
        return f"the agent's user must be in group {group}: SupplementaryGroups= of the unit"
    if error.errno == errno.ENOENT:
        return "make its folder, or change `socket` under [status]"
    return "change `socket` under [status], or the rights of its folder"


def _error(path: Path, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError("opening the agent's socket", str(path), cause, hint)
