"""A broker for demos and tests: mosquitto where it is installed, else the embedded amqtt.

Both listen on loopback only, keep nothing on disk and let anyone in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.clock import monotonic_ns
from agent.errors import FieldwardenError
from simulators.children import end_with_parent
from simulators.ports import port_is_free

# As root it would become another user, and by that lose the wish to end with its parent.
MOSQUITTO_CONFIG = """\
user root
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest none
max_inflight_messages 1000
max_queued_messages 10000
"""


def mosquitto_path() -> str | None:
    """Where mosquitto is, also in the system directories that ordinary users lack in PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("mosquitto", path=path)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def require_free(port: int, purpose: str) -> None:
    """Raise unless a server could listen on this loopback port.

    Raises:
        FieldwardenError: the port is taken; says what to do.
    """
    if not port_is_free(port):
        raise FieldwardenError(
            f"starting {purpose} at",
            f"127.0.0.1:{port}",
            "the port is taken",
            f"end the program that uses it (ss -ltnp 'sport = :{port}'), or choose another port",
        )


def run_broker(port: int, stop_after: float | None = None, *, embedded: bool = False) -> None:
    """Run a broker in the foreground until interrupted, or for `stop_after` seconds.

    Raises:
        FieldwardenError: the port is taken, or there is neither mosquitto nor amqtt.
    """
    require_free(port, "the MQTT broker")
    if embedded or mosquitto_path() is None:
        asyncio.run(_run_amqtt(port, stop_after))
        return
    broker = BrokerProcess(port)
    broker.start()
    try:
        broker.wait(stop_after)
    finally:
        broker.stop()


async def _run_amqtt(port: int, stop_after: float | None) -> None:
    try:
        from amqtt.broker import Broker  # noqa: PLC0415 - an extra
        from amqtt.contexts import BrokerConfig, ListenerConfig  # noqa: PLC0415
    except ImportError as error:
        raise FieldwardenError(
            "starting the MQTT broker at",
            f"127.0.0.1:{port}",
            "neither mosquitto nor the embedded broker (amqtt) is installed",
            "apt install mosquitto, or pip install 'fieldwarden[demo]'",
        ) from error
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    logging.getLogger("transitions").setLevel(logging.ERROR)
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"127.0.0.1:{port}")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
    broker = Broker(config)
    await broker.start()
    try:
        await asyncio.sleep(stop_after if stop_after is not None else float(10**9))
    finally:
        await broker.shutdown()


class BrokerProcess:
    """A broker as a child process of its own.

    Args:
        port: on loopback.
        embedded: use amqtt even where mosquitto is installed.

    Attributes:
        embedded: it is amqtt: MQTT 3.1.1 only, and a session lasts no longer than its process.
    """

    def __init__(self, port: int, *, embedded: bool = False) -> None:
        self.port = port
        self.embedded = embedded or mosquitto_path() is None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self, timeout_s: float = 15.0) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            FieldwardenError: the port is taken, or the broker did not start.
        """
        require_free(self.port, "the MQTT broker")
        path = None if self.embedded else mosquitto_path()
        if path is None:
            command = [sys.executable, "-m", "simulators", "broker", "--port", str(self.port)]
            command.append("--embedded")
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="fieldwarden-broker-")
            config = Path(self._folder.name, "mosquitto.conf")
            config.write_text(MOSQUITTO_CONFIG.format(port=self.port), encoding="utf-8")
            command = [path, "-c", str(config)]
        self._process = subprocess.Popen(  # noqa: S603 - mosquitto or this very interpreter
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - only libc between fork and exec
        )
        deadline = monotonic_ns() + round(timeout_s * 1e9)
        while monotonic_ns() < deadline and self._process.poll() is None:
            if _listens(self.port):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        self.stop()
        raise FieldwardenError(
            "starting the MQTT broker at", f"127.0.0.1:{self.port}", "it did not begin to listen"
        )

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it ends by itself, at most `timeout_s` seconds."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)

    def stop(self, *, kill: bool = False) -> None:
        """End it by its own process id; `kill` gives it no chance to say goodbye."""
        if self._process is not None:
            process, self._process = self._process, None
            if process.poll() is None:
                process.kill() if kill else process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
