"""The socket's file: its rights from the first moment on, its end, and what it leaves alone."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
import threading

import pytest

from agent.errors import FieldwardenError
from agent.status.local_socket import LocalSocket, connected


def mode_of(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_is_for_owner_and_group_only_and_goes_at_the_end(tmp_path):
    """0660 whatever the umask; gone after close, which may come twice."""
    path = tmp_path / "agent.sock"
    for umask in (0o000, 0o077):
        before = os.umask(umask)
        try:
            made = LocalSocket(path)
        finally:
            os.umask(before)
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert mode_of(path) == 0o660
        connected(path, 1).close()
        made.close()
        made.close()
        assert not path.exists()


def test_at_no_moment_may_others_connect(tmp_path, monkeypatch):
    """Between bind and the last right nobody but the owner has any."""
    seen = []
    path = tmp_path / "agent.sock"
    real = type(path).chmod

    def chmod(self, mode, **more):
        seen.append(mode_of(self))
        real(self, mode, **more)

    monkeypatch.setattr(type(path), "chmod", chmod)
    before = os.umask(0)
    try:
        LocalSocket(path).close()
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_it_is_given_to_the_configured_group(tmp_path):
    """One that the process is in: the only kind that it could be given to without privileges."""
    gid = os.getgroups()[-1] if os.getgroups() else os.getgid()
    made = LocalSocket(tmp_path / "s", grp.getgrgid(gid).gr_name)
    assert (tmp_path / "s").lstat().st_gid == gid
    made.close()
    with pytest.raises(FieldwardenError, match="no such Unix group"):
        LocalSocket(tmp_path / "t", "no-such-group-here")
    assert not (tmp_path / "t").exists()


def test_what_a_kill_left_behind_makes_room(tmp_path):
    """A socket that nobody serves is replaced."""
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = LocalSocket(path)
    connected(path, 1).close()
    made.close()


def test_a_file_or_a_served_socket_is_left_alone(tmp_path):
    """Neither is removed, and the error says what is there."""
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    with pytest.raises(FieldwardenError, match="file of another kind"):
        LocalSocket(tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"
    first = LocalSocket(tmp_path / "s")
    with pytest.raises(FieldwardenError, match="another process serves it"):
        LocalSocket(tmp_path / "s")
    connected(tmp_path / "s", 1).close()
    first.close()
    with pytest.raises(FieldwardenError, match="No such file"):
        LocalSocket(tmp_path / "none" / "s")


def test_only_the_own_file_is_removed(tmp_path):
    """Another agent's socket in the same place stays when this one ends."""
    path = tmp_path / "s"
    first = LocalSocket(path)
    path.unlink()
    second = LocalSocket(path)
    first.close()
    connected(path, 1).close()
    second.close()
    assert not path.exists()


def test_two_that_begin_at_once_do_not_take_each_other_for_stale(tmp_path, monkeypatch):
    """One is bound and does not listen yet when the other looks: that one waits its turn."""
    path, second = tmp_path / "s", []
    real = type(path).chmod

    def other():
        try:
            second.append(LocalSocket(path))
        except FieldwardenError as error:
            second.append(error.cause)

    thread = threading.Thread(target=other)

    def chmod(self, mode, **more):
        if not second and not thread.ident:
            thread.start()
            thread.join(0.7)
        real(self, mode, **more)

    monkeypatch.setattr(type(path), "chmod", chmod)
    first = LocalSocket(path)
    thread.join()
    assert second == ["another process serves it"]
    connected(path, 1).close()
    first.close()


def test_a_folder_that_somebody_keeps_locked_holds_nobody_up(tmp_path):
    """Everybody who may read the folder can lock it."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        LocalSocket(tmp_path / "s").close()
    finally:
        os.close(handle)


def test_a_long_path_works_too(tmp_path):
    """The kernel takes 107 bytes only; a state directory may be longer."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    made = LocalSocket(folder / "agent.sock")
    connected(folder / "agent.sock", 1).close()
    made.close()
    assert not list(folder.iterdir())
