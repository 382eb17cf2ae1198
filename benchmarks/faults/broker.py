"""mosquitto, as the plant's broker and as central's."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
from pathlib import Path

from common import wait

from simulators.children import Children


class Broker:
    """mosquitto, which may keep what it acknowledged, also through its own SIGKILL.

    Args:
        folder: for its configuration, its data and its log.
        name: of both.
        port: on loopback.
        keeps: it does, and writes all that it has at each message; else it forgets all.
    """

    def __init__(self, folder: Path, name: str, port: int, *, keeps: bool) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SystemExit("install mosquitto: it stands between publisher, agent and central")
        (folder / name).mkdir()
        settings = folder / f"{name}.conf"
        text = f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
        text += "max_queued_messages 0\n"
        if keeps:
            text += f"persistence true\npersistence_location {folder / name}/\n"
            text += "autosave_interval 1\nautosave_on_changes true\n"
        settings.write_text(text)
        self._children = Children(folder / "log")
        self._name, self._port = name, port
        self._command = [program, "-c", str(settings)]

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._children.start(self._name, self._command)
        wait("broker", self._listens)
        self._children.require()  # else it is another that listens

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False

    def stop(self, *, kill: bool = False) -> None:
        """End it."""
        self._children.stop(self._name, kill=kill)
