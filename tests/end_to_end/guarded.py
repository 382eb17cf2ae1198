"""A gateway that guards one model: an agent as a process of its own, and its device."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import signal
import socketserver
import struct
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from agent.core.baseline import Baseline
from agent.core.baseline_file import write_baseline
from tests import small_site
from tests.core import small
from tests.end_to_end.test_acting import OPENER, ROOT, Gateway

_GATEWAY = 'name = "gw-07"\nfalse_alarms = "1 per 1000 days"'
_SOURCE = 'protocol = "modbus"\nhost = "127.0.0.1"\nport = {}\nevery = "100ms"\ntimeout = "500ms"'
_STATUS = '[status]\nlisten = "127.0.0.1:{}"\nruntime_directory = "run"\n'


class Device(socketserver.ThreadingTCPServer):
    """A Modbus device whose three floats are noise, as `small.baseline` was trained on."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int) -> None:
        self.random = np.random.default_rng(5)
        super().__init__(("127.0.0.1", port), _Link)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Link(socketserver.BaseRequestHandler):
    server: Device

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the agent may be killed at any moment
            while request := self.request.recv(12):
                number, _, _, unit, code, start, count = struct.unpack(">HHHBBHH", request)
                values = self.server.random.standard_normal(3).astype(">f4").tobytes()
                content = values[2 * start : 2 * (start + count)]
                length = len(content)
                head = struct.pack(">HHHBBB", number, 0, 3 + length, unit, code, length)
                self.request.sendall(head + content)


class GuardedGateway(Gateway):
    """Model m with inputs a, b and c, scanned ten times a second; `model` stands behind these."""

    model = ""

    def __init__(self, folder: Path, more: dict[str, str] | None = None) -> None:
        self.more = more or {}
        super().__init__(folder)
        self.write_baseline(small.baseline(joint=True))
        self.served = Device(self.device)
        self.run_directory = folder / "run"

    def configure(self, people: str, host: str = "127.0.0.1") -> None:
        del host
        text = small_site.text(
            gateway=_GATEWAY, source=_SOURCE.format(self.device), scan="100ms",
            address=lambda _, place: f"holding {2 * place} float32 ABCD",
            of_tags="physical = [-1000.0, 1000.0]",
            model=self.model, tail=_STATUS.format(self.page) + people,
        )
        self.config.write_text(text, encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.page}"

    @property
    def ways(self) -> tuple[Any, ...]:
        """File, socket and HTTP."""
        return self.run_directory, self.socket, self.url

    def write_baseline(self, baseline: Baseline) -> str:
        return write_baseline(self.folder / "m.json", dataclasses.replace(baseline, digest=""))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "agent.cli", "run", str(self.config)]
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | self.more
            )
        self.wait("answer on the socket", lambda: self.socket.exists() and self.status(live=True))

    def limit_files(self, size: int) -> None:
        """From now on no file that the agent writes may grow beyond so many bytes."""
        assert self.process is not None
        most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, most))

    def ask(self, path: str, body: Any = None) -> dict[str, Any]:
        """An answer of the API, over the page."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1/models/{path}", data)
        with OPENER.open(request, timeout=10) as answer:
            return json.load(answer)

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.end(signal.SIGKILL)
        self.served.shutdown()
        self.served.server_close()
