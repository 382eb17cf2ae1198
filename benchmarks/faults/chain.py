"""The whole chain as processes of its own: publisher -> broker -> agent -> broker -> central.

Every message of the publisher carries the next number. What the plant's broker acknowledged to
the publisher is *accepted*; each such number must stand in the agent's journal once, and each event
that the agent stored must reach central once. `Chain.audit` reads both sides.
"""

from __future__ import annotations

import contextlib
import csv
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _load import free_port  # noqa: E402
from proxy import Proxy  # noqa: E402

from agent.errors import StoreError  # noqa: E402
from agent.forward.json_payload import time_of  # noqa: E402
from agent.runtime.outgoing import LOCAL  # noqa: E402
from agent.store import Reader  # noqa: E402
from agent.types import Block, Quality  # noqa: E402
from simulators.children import Children  # noqa: E402

T = TypeVar("T")

PERIOD_S = 0.1
MODE_S = 3.0
PATIENCE_S = 60.0
_BROKERS = ("plant", "central")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
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


def values(number: int) -> dict[str, float]:
    """What the plant says in message `number`, from 1: two inputs, and a mode that changes."""
    rng = np.random.default_rng(number)
    mode = int(number * PERIOD_S / MODE_S) % 2
    common = rng.standard_normal()
    return {
        "mode": mode, "a": 20.0 + 5 * mode + common,
        "b": 7.0 - mode + 0.5 * common + 0.3 * rng.standard_normal(),
    }  # fmt: skip


def wait(what: str, ready: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """The first true answer of `ready`.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout_s:g} s")
        time.sleep(0.05)
    return answer


def train(folder: Path) -> Path:
    """Fit the model once; returns the baseline's path."""
    record, baseline = folder / "train.csv", folder / "m.json"
    with record.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["time", "mode", "a", "b"])
        for number in range(1, 6001):
            moment = datetime.fromtimestamp(1_700_000_000 + number * PERIOD_S, UTC)
            said = values(10_000_000 + number)
            rows.writerow([moment.isoformat(), said["mode"], said["a"], said["b"]])
    config = folder / "train.toml"
    ports = dict.fromkeys(("plant", "central", "status"), 9)
    config.write_text(_CONFIG.format(state="state", baseline=baseline, journal_mb=64, **ports))
    children = Children(folder / "log")
    command = [sys.executable, "-m", "agent.cli", "fit", str(config), "--model", "m"]
    children.start("fit", [*command, "--data", str(record)], _environment())
    wait("baseline", baseline.is_file, 300)
    children.stop("fit")
    return baseline


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


class Publisher:
    """Publishes with QoS 1, and remembers which numbers the broker acknowledged."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.acknowledged: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="publisher")
        self._client.on_publish = self._published
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _published(self, _client: Any, _data: Any, mid: int, *_more: Any) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is not None:
                self.acknowledged.add(number)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due = max(due + PERIOD_S, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))
            if not self._pause.is_set():
                self.publish()

    def publish(self) -> int:
        """One message, now; returns its number."""
        with self._lock:
            self.sent += 1
            moment = datetime.now(UTC).isoformat()
            said = {"number": self.sent, "time": moment, **values(self.sent)}
            info = self._client.publish("plant/line", json.dumps(said), qos=1)
            self._numbers[info.mid] = self.sent
            return self.sent

    def rest(self) -> None:
        """Pause, and wait until the broker has acknowledged all."""
        self._pause.set()
        wait("PUBACK of every message", lambda: not self._numbers)

    def go_on(self) -> None:
        """End the pause."""
        self._pause.clear()

    def stop(self) -> None:
        """End the thread and the connection."""
        self._stop.set()
        self._thread.join(5)
        self._client.disconnect()
        self._client.loop_stop()


class Broker:
    """mosquitto that keeps what it acknowledged, also through its own SIGKILL.

    Args:
        folder: for its configuration, its data and its log.
        name: of both.
        port: on loopback.
    """

    def __init__(self, folder: Path, name: str, port: int) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SystemExit("install mosquitto: it stands between publisher, agent and central")
        (folder / name).mkdir()
        settings = folder / f"{name}.conf"
        settings.write_text(
            f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
            f"persistence true\npersistence_location {folder / name}/\n"
            "autosave_interval 1\nautosave_on_changes true\nmax_queued_messages 0\n"
        )
        self._children = Children(folder / "log")
        self._name, self._port = name, port
        self._command = [program, "-c", str(settings)]

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._children.start(self._name, self._command)
        wait("broker", self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False

    def stop(self, *, kill: bool = False) -> None:
        """End it."""
        self._children.stop(self._name, kill=kill)


class Log:
    """The JSON lines of a growing file, each read once."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self.messages: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """All messages so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._offset += len(whole) + 1
            lines = (json.loads(line) for line in whole.splitlines() if line.startswith(b"{"))
            self.messages += [one for one in lines if "stream" in one]
        return self.messages


@dataclass
class Audit:
    """Both sides of the chain, since the audit before."""

    accepted: int = 0
    delivered: int = 0
    duplicates_after_key: int = 0
    stored_twice: int = 0
    lost: int = 0
    reported_dropped: int = 0
    recovery_s: float | None = None
    notes: list[str] = field(default_factory=list)
    extra: dict[str, int] = field(default_factory=dict)


class Chain:
    """One gateway between its two brokers.

    Args:
        folder: for all that it writes.
        baseline: of `train`.
        state: the state directory, where it is not below `folder`.
        journal_mb: the journal's limit.
        environment: more environment variables of the agent.
    """

    def __init__(
        self, folder: Path, baseline: Path, *, state: Path | None = None, journal_mb: int = 64,
        **environment: str,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True)
        self.folder, self.state = folder, state or folder / "state"
        self.store = self.state / "fieldwarden.db"
        self.children = Children(folder / "log")
        self.environment = environment
        self._ports = {name: free_port() for name in ("plant", "central", "uplink", "status")}
        self.config = folder / "config.toml"
        ports = {"plant": self._ports["plant"], "central": self._ports["uplink"]}
        self.config.write_text(
            _CONFIG.format(state=self.state, baseline=baseline, journal_mb=journal_mb,
                           status=self._ports["status"], **ports)
        )  # fmt: skip
        self.brokers = {
            name: Broker(folder, f"{name}-broker", self._ports[name]) for name in _BROKERS
        }
        for one in self.brokers.values():
            one.start()
        self.uplink = Proxy(self._ports["central"], self._ports["uplink"]).start()
        self._log = Log(self.children.log_path("central"))
        self.agent_pid = self.central_pid = 0
        self.start_central()
        self.start_agent()
        wait("the agent's page", self.live)
        self.publisher = Publisher(self._ports["plant"])
        self._audited_number = 0
        self._audited: set[str] = set()
        self._told_twice = self._told_dropped = self._heard = 0
        self.recovered()

    # --- processes --------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """`fieldwarden run`."""
        command = [sys.executable, "-m", "agent.cli", "run", str(self.config)]
        self.agent_pid = self.children.start("agent", command, _environment(**self.environment))

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
        command = [sys.executable, "-m", "agent.cli", "central", "--json", "--client-id", "central"]
        command += ["--port", str(self._ports["central"])]
        command += ["--store", str(self.folder / "central.db")]
        self.central_pid = self.children.start("central", command, _environment())

    def stop_central(self, *, kill: bool = False) -> None:
        """End central."""
        self.children.stop("central", kill=kill)

    def close(self) -> None:
        """End everything, each by its own process id."""
        self.publisher.stop()
        self.children.stop_all()
        self.uplink.stop()
        for one in self.brokers.values():
            one.stop()

    # --- looking ----------------------------------------------------------------------------------

    def live(self) -> dict[str, Any]:
        """The status document; empty while the page does not answer."""
        url = f"http://127.0.0.1:{self._ports['status']}/api/v1/status"
        try:
            with _OPENER.open(url, timeout=5) as answer:
                document: dict[str, Any] = json.load(answer)
                return document
        except (OSError, ValueError):
            return {}

    def status(self) -> dict[str, Any]:
        """What `fieldwarden status --json` prints, also of a dead agent; empty where it fails."""
        command = [sys.executable, "-m", "agent.cli", "status", str(self.config), "--json"]
        done = subprocess.run(command, capture_output=True, env=_environment(), check=False)
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

    def received(self) -> list[dict[str, Any]]:
        """Every message that central printed: each once, by its key."""
        return self._log.read()

    # --- the books --------------------------------------------------------------------------------

    def audit(self) -> Audit:
        """What became of everything since the audit before; the publisher rests meanwhile."""
        self.publisher.rest()
        wanted = {n for n in self.publisher.acknowledged if n > self._audited_number}
        made = Audit()
        try:
            wait("every number in the journal", lambda: self._has(wanted), 30)
            wait("every event at central", lambda: not self._owed(), 60)
        except TimeoutError as error:
            made.notes.append(str(error))
        self._numbers(made, wanted)
        self._events(made)
        self._audited_number = self.publisher.sent
        self._heard = len(self.received())
        self.publisher.go_on()
        return made

    def _has(self, wanted: set[int]) -> bool:
        return wanted <= self._journaled().keys() or self._told_of_loss()

    def _numbers(self, made: Audit, wanted: set[int]) -> None:
        journaled = self._journaled()
        made.accepted += len(wanted)
        made.delivered += len(wanted & journaled.keys())
        self._note_gone(made, len(wanted - journaled.keys()))
        made.stored_twice += sum(1 for n in wanted if journaled[n] > 1)

    def _note_gone(self, made: Audit, count: int) -> None:
        """What is nowhere is lost, or, where the gateway said what its store lost, reported."""
        if self._told_of_loss():
            made.reported_dropped += count
        else:
            made.lost += count

    def _events(self, made: Audit) -> None:
        stored, arrived = self._stored_events(), self._arrived()
        fresh = stored - self._audited
        made.accepted += len(fresh)
        made.delivered += len(fresh & arrived.keys())
        self._note_gone(made, len(fresh - arrived.keys()))
        twice = sum(count - 1 for count in arrived.values())
        dropped = sum(m["data"]["count"] for m in self.received() if m["stream"] == "gap")
        made.duplicates_after_key = twice - self._told_twice
        made.reported_dropped += dropped - self._told_dropped
        self._told_twice, self._told_dropped = twice, dropped
        self._audited |= stored

    def _told_of_loss(self) -> bool:
        """Whether the gateway said, since the audit before, that its store lost something."""
        told = [one for one in self.received()[self._heard :] if one["stream"] == "event"]
        return any(one["type"].endswith(".gap") for one in told)

    def _journaled(self) -> Counter[int]:
        """number -> how often it stands in the journal and counts."""
        found: Counter[int] = Counter()
        try:
            reader = Reader(self.store)
        except StoreError:
            return found
        try:
            tag = reader.tag_ids()["number"]
            for entry in reader.journal(1):
                if isinstance(entry, Block):
                    mine = (entry.tag == tag) & (entry.quality & Quality.REPEATED == 0)
                    mine &= np.isfinite(entry.value)
                    found.update(int(v) for v in entry.value[mine])
        except StoreError:
            pass
        finally:
            reader.close()
        return found

    def _stored_events(self) -> set[str]:
        """Every event in the store that concerns central: store, cause, time."""
        try:
            reader = Reader(self.store)
        except StoreError:
            return set()
        try:
            store, events = reader.store_id, reader.events(limit=1_000_000, after=(0, -1))
            told = (e for e in events if e["kind"] not in LOCAL)
            return {f"{store} {e['sequence']}.{e['position']} {e['time_ns']}" for e in told}
        except StoreError:
            return set()
        finally:
            reader.close()

    def _arrived(self) -> Counter[str]:
        """Every event at central -> in how many messages, after the key."""
        events = (one for one in self.received() if one["stream"] == "event")
        return Counter(f"{e['store']} {e['cause']} {time_of(e['time'])}" for e in events)

    def _owed(self) -> set[str]:
        return self._stored_events() - self._audited - self._arrived().keys()


# --- one agent and one device, without the chain --------------------------------------------------

_DEVICE_CONFIG = """
schema = 1
[gateway]
site = "faults"
name = "device"
state_directory = "{folder}/state"
[sources.device]
{source}
{tags}
[models.m]
version = "1"
owner = {{ team = "faults", contact = "faults@plant.example" }}
baseline = "{folder}/m.json"
scan = "{scan_ms}ms"
inputs = {inputs}
[status]
listen = "127.0.0.1:{status}"
"""


class Device:
    """An agent that reads one device, as a context.

    Args:
        folder: for all that it writes.
        source: the lines of the source's table.
        tags: name -> address; the first three are the model's inputs.
        record: float64[n, inputs], what the model was trained on; without it, noise that is wider
            than whatever the device says, so that nothing is found.
        interval_s: of the record.
    """

    def __init__(
        self, folder: Path, source: str, tags: dict[str, str], *,
        record: np.ndarray | None = None, interval_s: float = 0.25,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True)
        self._folder, self._status = folder, free_port()
        self._children = Children(folder / "log")
        inputs = list(tags)[:3]
        text = "\n".join(
            f'[tags."{name}"]\nsource = "device"\naddress = "{address}"\n'
            f'interval = "{round(interval_s * 1e3)}ms"\n'
            for name, address in tags.items()
        )
        self._config = folder / "config.toml"
        self._config.write_text(
            _DEVICE_CONFIG.format(folder=folder, source=source, tags=text, status=self._status,
                                  inputs=json.dumps(inputs), scan_ms=round(interval_s * 1e3))
        )  # fmt: skip
        if record is None:
            record = np.random.default_rng(1).uniform(0, 65_535, (2_000, len(inputs)))
        self._fit(record, inputs, interval_s)

    def _fit(self, record: np.ndarray, inputs: list[str], interval_s: float) -> None:
        data = self._folder / "train.csv"
        with data.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["time", *inputs])
            for number, row in enumerate(record.tolist()):
                moment = datetime.fromtimestamp(1_700_000_000 + number * interval_s, UTC)
                rows.writerow([moment.isoformat(), *row])
        command = [sys.executable, "-m", "agent.cli", "fit", str(self._config), "--model", "m"]
        self._children.start("fit", [*command, "--data", str(data)], _environment())
        wait("baseline", (self._folder / "m.json").is_file, 300)
        self._children.stop("fit")

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "agent.cli", "run", str(self._config)]
        self._children.start("agent", command, _environment())
        return self

    def __exit__(self, *_: object) -> None:
        self._children.stop("agent", patience_s=30)

    def good(self) -> set[str]:
        """The tags whose latest value is good."""
        url = f"http://127.0.0.1:{self._status}/api/v1/status"
        try:
            with _OPENER.open(url, timeout=5) as answer:
                tags = json.load(answer)["tags"]
        except (OSError, ValueError):
            return set()
        return {one["name"] for one in tags if one["quality"] == 0}

    def journaled(self) -> Iterator[Block]:
        """All blocks."""
        with contextlib.closing(self._reader()) as reader:
            yield from (entry for entry in reader.journal(1) if isinstance(entry, Block))

    def ids(self) -> dict[str, int]:
        """Tag -> its number in blocks."""
        with contextlib.closing(self._reader()) as reader:
            return reader.tag_ids()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The stored events of a kind."""
        with contextlib.closing(self._reader()) as reader:
            return reader.events(limit=100_000, kind=kind, after=(0, -1))

    def _reader(self) -> Reader:
        return Reader(self._folder / "state" / "fieldwarden.db")
