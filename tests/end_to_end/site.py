"""A whole site as processes of its own: two brokers, plant, soft sensor, agent, central ops.

Everything listens on free loopback ports and writes below one folder; everything is ended by its
own process id. Nothing is waited for by time: `Site.wait` asks for a condition, and fails with the
logs when it does not come or a process ended by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import StoreError
from agent.store import Reader
from simulators.children import Children
from simulators.demo_setup import (
    HISTORY_ROWS,
    PORTS,
    Place,
    copy_configuration,
    environment,
    prepare,
)
from simulators.plant import PlantSettings
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import SETTLED_S, START_S

T = TypeVar("T")

PATIENCE_S = max(START_S, SETTLED_S)
END_S = 30.0  # `TimeoutStopSec` of the unit: then the service manager kills it
_LOOK_S = 0.05
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy


def train(folder: Path) -> None:
    """The simulator's history, its soft sensor and the baseline fitted on it, into `folder`."""
    prepare(Place(folder, PORTS, PlantSettings()), HISTORY_ROWS, print)


class Site:
    """One plant with its gateway and its central ops.

    Args:
        folder: for all that it writes; must be there and empty.
        trained: where `train` wrote.
    """

    def __init__(self, folder: Path, trained: Path) -> None:
        self.folder = folder
        self.ports = {purpose: free_port() for purpose in PORTS}
        self.place = Place(folder, self.ports, PlantSettings())
        copy_configuration(self.place)
        self.config = folder / "agent.toml"
        shutil.copy(self.place.config, self.config)
        shutil.copytree(trained / "baselines", folder / "baselines")
        self._soft_sensor = trained / "soft-sensor.json"
        self.store = folder / "state" / "fieldwarden.db"
        self.children = Children(folder / "log")
        self.pids: dict[str, int] = {}
        for name in ("plant-broker", "uplink-broker"):
            (folder / name).mkdir()
        self.plant_broker = Mosquitto(
            folder / "plant-broker", port=self.ports["the plant's broker"]
        )
        # With persistence, what it acknowledged outlives its own SIGKILL.
        self.uplink_broker = Mosquitto(
            folder / "uplink-broker",
            port=self.ports["the broker of central ops"],
            persistence=True,
        )

    # --- processes -------------------------------------------------------------------------------

    def start_plant(self, faults: str = "") -> None:
        """The plant's broker, the plant (its script is held until `begin_faults`), the sensor."""
        self.plant_broker.start()
        script = self.folder / "faults.toml"
        script.write_text(faults, encoding="utf-8")
        plant = ["-m", "simulators", "plant", "--config", str(self.place.config), "--hold"]
        plant += ["--faults", str(script), "--truth", str(self.place.truth)]
        self._start("plant", *plant, "--skip", str(HISTORY_ROWS))
        sensor = ["-m", "simulators", "model", "--soft-sensor", str(self._soft_sensor)]
        self._start("soft-sensor", *sensor, "--port", str(self.plant_broker.port))
        self.wait("the plant", lambda: "plant runs" in self.children.tail("plant"))

    def begin_faults(self) -> None:
        os.kill(self.pids["plant"], signal.SIGUSR1)

    def start_agent(self, more: Mapping[str, str] | None = None) -> None:
        """`more` of its environment, beside the usual."""
        command = [sys.executable, "-m", "agent.cli", "run", str(self.config)]
        self.pids["agent"] = self.children.start("agent", command, environment() | (more or {}))

    def start_central(self) -> None:
        """With a session of its own, so that the broker keeps messages while it is not there."""
        command = ["-m", "agent.cli", "central", "--json", "--client-id", "central-ops"]
        command += ["--store", str(self.folder / "central.db")]
        self._start("central", *command, "--port", str(self.uplink_broker.port))
        self.wait("central", lambda: "SUBSCRIBE from central-ops" in self.uplink_broker.log())

    def _start(self, name: str, *arguments: str) -> None:
        self.pids[name] = self.children.start(name, [sys.executable, *arguments], environment())

    def signal_agent(self, number: signal.Signals) -> None:
        os.kill(self.pids["agent"], number)

    def kill_agent(self) -> None:
        assert self.children.stop("agent", kill=True) == -signal.SIGKILL

    def stop_agent(self) -> int | None:
        """SIGTERM; its exit code, or that of SIGKILL after `END_S`."""
        return self.children.stop("agent", patience_s=END_S)

    def close(self) -> None:
        """End all that was started, each by its own process id."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.plant_broker.stop)
            stack.callback(self.uplink_broker.stop)
            stack.callback(self.children.stop_all)

    # --- waiting ---------------------------------------------------------------------------------

    def wait(self, what: str, ready: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
        """The first true answer of `ready`; fails when a process ends or the time is over."""
        deadline = time.monotonic() + timeout_s
        while not (answer := ready()):
            self.children.require()
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {timeout_s:g} s\n{self.logs()}")
            time.sleep(_LOOK_S)
        return answer

    def logs(self) -> str:
        names = ("plant", "soft-sensor", "agent", "central")
        lines = [f"{name}: {line}" for name in names
                 for line in self.children.tail(name).splitlines()]  # fmt: skip
        return "\n".join(textwrap.shorten(line, 300) for line in lines)

    # --- what the agent stored -------------------------------------------------------------------

    @contextlib.contextmanager
    def reader(self) -> Iterator[Reader]:
        reader = Reader(self.store)
        try:
            yield reader
        finally:
            reader.close()

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every event in the store, in order; none before there is a store."""
        try:
            with self.reader() as reader:
                return reader.events(limit=100_000, kind=kind, after=(0, -1))
        except StoreError:  # the agent is still making it
            return []

    def stored(self) -> dict[str, Any]:
        """The status document as the agent stored it last; empty before the first."""
        try:
            with self.reader() as reader:
                return reader.document("status") or {}
        except StoreError:
            return {}

    def pending(self) -> int:
        """Messages that wait for central."""
        with self.reader() as reader:
            return int(reader.outbox()["pending"])

    def verdict(self) -> str:
        """The model's verdict by the last event that told of one."""
        told = self.events("verdict")
        return str(told[-1]["data"]["verdict"]) if told else ""

    def condition(self, subject: str, *changes: str, kind: str = "") -> dict[str, Any] | None:
        """The first event that says so of a condition on `subject`."""
        return next(
            (
                event
                for event in self.events("condition")
                if event["subject"] == subject
                and event["data"]["change"] in changes
                and (not kind or event["data"]["kind"] == kind)
            ),
            None,
        )

    # --- what the running agent says -------------------------------------------------------------

    def live(self) -> dict[str, Any]:
        """The status document from its API; empty while it does not answer."""
        url = f"http://127.0.0.1:{self.ports['the status page']}/api/v1/status"
        try:
            with _OPENER.open(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return {}

    def model(self) -> dict[str, Any]:
        """The one model in it."""
        return next(iter(self.live().get("models", ())), {})

    def source_states(self) -> dict[str, str]:
        return {one["name"]: one["state"] for one in self.live().get("sources", ())}

    def status(self) -> dict[str, Any]:
        """What `fieldwarden status --json` prints, as people run it."""
        command = [sys.executable, "-m", "agent.cli", "status", str(self.config), "--json"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(),
            timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    # --- what arrived at central, and what was done to the plant ---------------------------------

    def received(self) -> list[dict[str, Any]]:
        """The messages that `fieldwarden central --json` printed."""
        return [one for one in _documents(self.children.log_path("central")) if "stream" in one]

    def wait_for_goodbye(self) -> None:
        """The agent's last words arrive after everything that it sent before them."""

        def said() -> bool:
            last = next(reversed(self.received()), {"stream": ""})
            return last["stream"] == "state" and last["data"]["reason"] == "stopped"

        self.wait("goodbye at central", said)

    def stop_central(self) -> dict[str, Any]:
        """End it; what it prints at last: all that it knows."""
        assert self.children.stop("central", patience_s=END_S) == 0
        return _documents(self.children.log_path("central"))[-1]["central"]

    def truth(self) -> list[dict[str, Any]]:
        return _documents(self.place.truth)

    def under_way(self) -> list[str]:
        """Subjects, as events name them, of the faults that began and did not end yet."""
        begun: dict[str, str] = {}
        for record in self.truth():
            if record["phase"] == "start":
                place = "tag" if record["tag"] else "source"
                begun[record["subject"]] = f"{place}/{record['subject']}"
            else:
                del begun[record["subject"]]
        return list(begun.values())

    # --- the agent's configuration ---------------------------------------------------------------

    def change_config(self, pattern: str, replacement: str) -> None:
        """Replace the one place of the agent's configuration that `pattern` matches."""
        text = self.config.read_text(encoding="utf-8")
        changed, count = re.subn(pattern, replacement, text, flags=re.DOTALL)
        assert count == 1, f"{pattern} is there {count} times"
        self.config.write_text(changed, encoding="utf-8")


def _documents(path: Path) -> list[dict[str, Any]]:
    """Whole lines of JSON; the last may still be written, and others are log lines."""
    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
