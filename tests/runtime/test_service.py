"""The service manager hears the truth, and its watchdog is fed only by real progress."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from agent.runtime.service import Progress, ServiceManager
from tests.programs import needed

UNIT = Path(__file__).parents[2] / "systemd" / "fieldwarden.service"


class Listener:
    """The other end of NOTIFY_SOCKET: a real Unix datagram socket."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def listener(tmp_path):
    end = Listener(str(tmp_path / "notify"))
    yield end
    end.socket.close()


@pytest.fixture
def manager(listener, tmp_path):
    return ServiceManager(
        {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000", "OTHER": "x"}
    )


def test_each_message_is_what_sd_notify_specifies(listener, manager):
    """READY, RELOADING with the monotonic time, STATUS on one line, STOPPING, WATCHDOG."""
    before = time.monotonic_ns() // 1000
    manager.ready("2 models\nguarded")
    manager.reloading()
    manager.status("one line")
    manager.feed_watchdog()
    manager.stopping()
    ready, reloading, status, watchdog, stopping = listener.received()
    assert ready == "READY=1\nSTATUS=2 models guarded"
    assert status == "STATUS=one line"
    assert (watchdog, stopping) == ("WATCHDOG=1", "STOPPING=1")
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_reached():
    """The address may be in the abstract namespace: "@" stands for its NUL."""
    name = f"fieldwarden-test-{os.getpid()}"
    end = Listener("\0" + name)
    try:
        ServiceManager({"NOTIFY_SOCKET": "@" + name}).ready()
        assert end.received() == ["READY=1"]
    finally:
        end.socket.close()


def test_without_a_service_manager_nothing_is_sent_and_nothing_fails(tmp_path, caplog):
    """No NOTIFY_SOCKET: silence. A socket that is gone: one warning, no exception."""
    ServiceManager({}).ready()
    assert not caplog.records
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_kept_only_if_it_is_meant_for_this_process(environment, seconds):
    """WATCHDOG_PID of another process (a parent's environment) means: not ours."""
    assert ServiceManager(environment).watchdog_s == seconds


def test_progress_needs_every_part_anew_each_time():
    """One part that stands still starves the watchdog, whatever the others do."""
    progress = Progress("intake", "engine", "store")
    assert not progress.take()
    for part in ("intake", "engine", "engine"):
        progress.moved(part)
    assert not progress.take()
    assert progress.stuck() == ["store"]
    progress.moved("store")
    assert progress.take()
    assert not progress.take()
    assert progress.stuck() == ["intake", "engine", "store"]
    with pytest.raises(KeyError):
        progress.moved("storage")


async def test_the_watchdog_starves_when_one_part_hangs(listener, manager, caplog):
    """Fed while all move; after the store hangs no feeding follows, and the log says who hangs."""
    progress = Progress("intake", "engine", "store")
    keeper = asyncio.create_task(manager.keep_watchdog(progress))
    for _ in range(12):
        for part in ("intake", "engine", "store"):
            progress.moved(part)
        await asyncio.sleep(0.02)
    assert listener.received().count("WATCHDOG=1") >= 2
    await asyncio.sleep(0.06)  # what was moved before may feed it once more
    listener.received()
    for _ in range(12):
        progress.moved("intake")
        progress.moved("engine")
        await asyncio.sleep(0.02)
    assert listener.received() == []
    assert any("no progress in store" in record.message for record in caplog.records)
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper


@needed("systemd-analyze")
def test_the_unit_verifies():
    """The service manager itself finds no fault in the unit, neither by exit code nor by a word."""
    result = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "fieldwarden" not in result.stderr, result.stderr


def test_the_unit_promises_what_the_design_asks_for():
    """Notify type, watchdog, state directory, reload by SIGHUP and an unprivileged user."""
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    for line in (
        "Type=notify",
        "WatchdogSec=60",
        "StateDirectory=fieldwarden",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
    ):
        assert line in lines


def test_the_unit_lets_people_reach_the_socket_and_be_known():
    """A folder that all may enter, users as the kernel knows them, and the call that gives the
    socket to a group: each of them forbidden, nobody but root could act.
    """
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    assert {"RuntimeDirectory=fieldwarden", "RuntimeDirectoryMode=0755"} <= set(lines)
    assert "PrivateUsers=yes" not in lines
    filters = [line for line in lines if line.startswith("SystemCallFilter=")]
    assert filters.index("SystemCallFilter=@chown") > filters.index("SystemCallFilter=~@privileged")
