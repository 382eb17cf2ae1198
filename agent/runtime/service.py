"""What the service manager is told (sd_notify), and the gate in front of its watchdog.

The protocol is one datagram of `NAME=value` lines to the Unix socket in `$NOTIFY_SOCKET`
(sd_notify(3)); it is short enough that a library would only add a dependency. Without a service
manager nothing is sent and nothing fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

from agent import clock

_LOG = logging.getLogger(__name__)
_FEEDINGS = 4  # a watchdog interval; systemd advises at least two


class Progress:
    """Knows whether every part has moved since the last time it was asked.

    Args:
        parts: names of what must move: intake sealed a batch, the engine folded it, the store
            committed it. A tick counts, so a silent plant moves all three.
    """

    def __init__(self, *parts: str) -> None:
        if not parts:
            raise ValueError("at least one part must make progress")
        self._moved = dict.fromkeys(parts, False)

    def moved(self, part: str) -> None:
        """Note progress of one part; KeyError for a part that was not named at the start."""
        if part not in self._moved:
            raise KeyError(part)
        self._moved[part] = True

    def take(self) -> bool:
        """True when all parts have moved since the last True; then all must move again."""
        if not all(self._moved.values()):
            return False
        self._moved = dict.fromkeys(self._moved, False)
        return True

    def stuck(self) -> list[str]:
        """The parts that have not moved since the last feeding."""
        return [part for part, moved in self._moved.items() if not moved]


class ServiceManager:
    """Speaks to systemd; every method is a no-op where there is none.

    Args:
        environment: where `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are looked up.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the NUL that begins a name in the abstract namespace.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog_us = _watchdog_us(environment)

    @property
    def watchdog_s(self) -> float | None:
        """Seconds within which the watchdog must be fed; None where there is no watchdog."""
        return self._watchdog_us / 1e6 if self._watchdog_us else None

    def ready(self, status: str = "") -> None:
        """Start-up, or a reload, is done."""
        self._send("READY=1", *_status(status))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={clock.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """The agent is on its way out."""
        self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> None:
        """One line that `systemctl status` shows."""
        self._send(*_status(text))

    def feed_watchdog(self) -> None:
        """Tell the watchdog that all is well."""
        self._send("WATCHDOG=1")

    async def keep_watchdog(self, progress: Progress) -> None:
        """Feed the watchdog whenever all parts have made progress, until cancelled."""
        if self.watchdog_s is None:
            return
        hungry = 0
        while True:
            await asyncio.sleep(self.watchdog_s / _FEEDINGS)
            stuck = progress.stuck()
            if progress.take():
                self.feed_watchdog()
                hungry = 0
                continue
            hungry += 1
            if hungry == _FEEDINGS - 1:
                _LOG.error("no progress in %s; the watchdog is about to act", ", ".join(stuck))

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.connect(self._address)
                link.send("\n".join(lines).encode())
        except OSError as error:
            # A full or absent socket must not stop the agent; the watchdog says the rest.
            _LOG.warning("the service manager was not told %s: %s", lines[0], error)


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())}"] if text else []


def _watchdog_us(environment: Mapping[str, str]) -> int:
    text = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", "")
    if not text.isdigit() or (meant_for and meant_for != str(os.getpid())):
        return 0
    return int(text)
