"""The whole chain as processes of its own: publisher -> broker -> agent -> broker -> central.

Every message of the publisher carries the next number. What the plant's broker acknowledged to
the publisher is *accepted*; each such number must stand in the agent's journal once, and each event
that the agent stored must reach central once. `Chain.audit` reads both sides, see `books`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from books import Audit, Books, Log, Message
from broker import Broker
from common import FIRST_S, PATIENCE_S, command, environment, fit, free_port, page, wait
from plant import PERIOD_S, Publisher, values
from proxy import Proxy

from simulators.children import Children

_CONFIG = """
schema = 1
[gateway]
site = "faults"
name = "gw"
summary = "10s"
state_directory = "{state}"
journal_limit_mb = {journal_mb}
[sources.line]
protocol = "mqtt"
host = "127.0.0.1"
port = {plant}
[tags.number]
source = "line"
address = "plant/line /number time /time"
[tags.mode]
source = "line"
address = "plant/line /mode time /time"
[tags.a]
source = "line"
address = "plant/line /a time /time"
[tags.b]
source = "line"
address = "plant/line /b time /time"
[models.m]
version = "1"
owner = {{ team = "faults", contact = "faults@plant.example" }}
baseline = "{baseline}"
scan = "100ms"
mode = {{ tag = "mode", names = {{ "0" = "low", "1" = "high" }} }}
inputs = ["a", "b"]
[upstream]
host = "127.0.0.1"
port = {central}
[status]
listen = "127.0.0.1:{status}"
"""


def train(folder: Path) -> Path:
    """Fit the model once; returns the baseline's path."""
    config, baseline = folder / "train.toml", folder / "m.json"
    ports = dict.fromkeys(("plant", "central", "status"), 9)
    config.write_text(_CONFIG.format(state="state", baseline=baseline, journal_mb=64, **ports))
    columns = ("mode", "a", "b")
    said = (values(10_000_000 + number) for number in range(1, 6001))
    rows = ([one[name] for name in columns] for one in said)
    fit(config, "m", columns, rows, PERIOD_S, baseline)
    return baseline


class Chain:
    """One gateway between its two brokers.

    Args:
        folder: for all that it writes.
        baseline: of `train`.
        state: the state directory, where it is not below `folder`.
        journal_mb: the journal's limit.
        keeps: whether central's broker keeps what it acknowledged when it is killed.
        more: environment variables of the agent.
    """

    def __init__(
        self, folder: Path, baseline: Path, *, state: Path | None = None, journal_mb: int = 64,
        keeps: bool = False, **more: str,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True)
        self.folder, self.state = folder, state or folder / "state"
        self.store = self.state / "fieldwarden.db"
        self.children = Children(folder / "log")
        self._environment = more
        self._ports = {name: free_port() for name in ("plant", "central", "uplink", "status")}
        self.config = folder / "config.toml"
        ports = {"plant": self._ports["plant"], "central": self._ports["uplink"]}
        self.config.write_text(
            _CONFIG.format(state=self.state, baseline=baseline, journal_mb=journal_mb,
                           status=self._ports["status"], **ports)
        )  # fmt: skip
        self.brokers = {
            name: Broker(folder, f"{name}-broker", self._ports[name], keeps=kept)
            for name, kept in (("plant", False), ("central", keeps))
        }
        self.uplink = Proxy(self._ports["central"], self._ports["uplink"])
        self.publisher: Publisher | None = None
        self.agent_pid = self.central_pid = 0
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        for one in self.brokers.values():
            one.start()
        self.uplink.start()
        self._log = Log(self.children.log_path("central"))
        self.start_central()
        self.start_agent()
        wait("the agent's page", self.live, FIRST_S)
        self.publisher = Publisher(self._ports["plant"])
        self._books = Books(self.publisher, self.store, self._log)
        self.recovered()

    # --- processes --------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """`fieldwarden run`."""
        words = command("run", str(self.config))
        self.agent_pid = self.children.start("agent", words, environment(**self._environment))

    def stop_agent(self, *, kill: bool = False) -> int | None:
        """SIGTERM, or SIGKILL; the exit code."""
        return self.children.stop("agent", kill=kill, patience_s=30)

    def signal_agent(self, number: signal.Signals) -> None:
        """A signal to the agent."""
        os.kill(self.agent_pid, number)

    def agent_runs(self) -> bool:
        """Whether the process is there."""
        return Path(f"/proc/{self.agent_pid}/stat").is_file()

    def start_central(self) -> None:
        """`fieldwarden central`, which remembers what it has."""
        words = command("central", "--json", "--client-id", "central")
        words += ["--port", str(self._ports["central"])]
        words += ["--store", str(self.folder / "central.db")]
        self.central_pid = self.children.start("central", words, environment())

    def stop_central(self, *, kill: bool = False) -> None:
        """End central."""
        self.children.stop("central", kill=kill)

    def close(self) -> None:
        """End everything, each by its own process id."""
        if self.publisher is not None:
            self.publisher.stop()
        self.children.stop_all()
        self.uplink.stop()
        for one in self.brokers.values():
            one.stop()

    # --- looking ----------------------------------------------------------------------------------

    def live(self) -> dict[str, Any]:
        """The status document; empty while the page does not answer."""
        return page(self._ports["status"])

    def status(self) -> dict[str, Any]:
        """What `fieldwarden status --json` prints, also of a dead agent; empty where it fails."""
        words = command("status", str(self.config), "--json")
        done = subprocess.run(words, capture_output=True, env=environment(), check=False)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {}
        return document

    def number(self) -> int:
        """The latest number that the running agent has judged, 0 where it does not answer."""
        tags = self.live().get("tags", [])
        return int(next((one["value"] or 0 for one in tags if one["name"] == "number"), 0))

    def recovered(self, timeout_s: float = PATIENCE_S) -> float:
        """Seconds until a message that was published after this call is judged."""
        began = time.monotonic()
        after = self.publisher.sent
        wait("fresh message in the agent", lambda: self.number() > after, timeout_s)
        return time.monotonic() - began

    def received(self) -> list[Message]:
        """Every message that central printed: each once, by its key."""
        return self._log.read()

    def audit(self) -> Audit:
        """What became of everything since the audit before; the publisher rests meanwhile."""
        return self._books.audit()
