"""One plant at a time: a simulator, an agent and perhaps a broker, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _upstream_plants import MODELS, ROOT, configuration, definition
from _upstream_table import Change

from agent.errors import FieldwardenError
from agent.sources.mqtt_replay import LONGEST_BURST_S
from agent.store import Reader
from agent.types import Block
from simulators.broker import BrokerProcess
from simulators.children import Children
from simulators.ports import free_port

_RUNNING_S = LONGEST_BURST_S
"""For so long all was as agreed before a change: what a broker may have kept is through by then."""

READY_S = 240.0  # until every model is trusted; a first start may compile the kernels
_STARTED_S = 180.0  # until a source serves, on a machine that is busy
_POLL_S = 0.25
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
Document = Mapping[str, Any]


class NotSeenError(FieldwardenError):
    """What must come first did not come: says what."""

    def __init__(self, cause: str) -> None:
        super().__init__("trying", "a change", cause)


@dataclass
class Seen:
    """What an agent made of a change.

    Attributes:
        at_ns: wall ns of the first row that was served changed.
        samples: tag -> (source_ns, value, quality), float64 and int64, of all that was journaled.
        changes: the changes that it told, as in its status document, latest state of each.
        verdicts: model -> [(time_ns, verdict)], in order.
        until_ns: wall ns at which the watch ended.
    """

    at_ns: int
    samples: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    changes: list[Document]
    verdicts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    until_ns: int = 0


class Simulator:
    """A source of its own process that obeys.

    Args:
        told: its definition.
        folder: for its files.
    """

    def __init__(self, told: Any, folder: Path) -> None:
        self._file, self._log = folder / "source.json", (folder / "source.log").open("ab")
        self._file.write_text(json.dumps(told.to_json()), encoding="utf-8")
        words = [sys.executable, "-m", "simulators", "upstream", str(self._file)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            cwd=ROOT,
        )  # fmt: skip
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._answer(_STARTED_S)
        except NotSeenError:
            self.close()
            raise

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self._answers.put(json.loads(line))

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        try:
            told = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            log = self._file.with_suffix(".log")
            raise NotSeenError(f"no answer of the source; see {log}") from None
        if "error" in told:
            raise NotSeenError(f"the source: {told['error']}")
        return told

    def obey(self, orders: Sequence[Document]) -> int:
        """Change; wall ns of the first row that is served so."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([dict(one) for one in orders]) + "\n")
        self._process.stdin.flush()
        return min(int(self._answer(60.0)["at_ns"]) for _ in orders)

    def close(self) -> None:
        """End it: its stdin ends."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()


class Lane:
    """One plant of one protocol, at ports of its own, for one change after the other.

    Args:
        protocol: of the plant.
        folder: for all that it writes.
        rows: of the record that is served.
        baselines: folder of the models' baselines.
        hold: of the source's policy.
    """

    def __init__(
        self, protocol: str, folder: Path, rows: Path, baselines: Path, hold: str = "hold"
    ) -> None:
        folder.mkdir(parents=True)
        self.protocol, self.folder = protocol, folder
        self._rows, self._hold = rows, hold
        self._port, self.status = free_port(), free_port()
        self.config = folder / "config.toml"
        self._state = folder / "state"
        text = configuration(protocol, self._port, self.status, self._state, baselines, hold)
        self.config.write_text(text, encoding="utf-8")
        self._contracts: dict[str, str] = {}
        self._broker = BrokerProcess(self._port) if protocol == "mqtt" else None
        if self._broker is not None:
            self._broker.start()

    def close(self) -> None:
        """End the broker."""
        if self._broker is not None:
            self._broker.stop()

    @contextlib.contextmanager
    def plant(self, source: Document, first: int = 0) -> Iterator[Simulator]:
        """The source as a process, serving from row `first`."""
        told = definition(self.protocol, self._port, self._rows, first, **source)
        simulator = Simulator(told, self.folder)
        try:
            yield simulator
        finally:
            simulator.close()

    @contextlib.contextmanager
    def agent(self) -> Iterator[Children]:
        """An agent without a past, whose models are all trusted and have been for a while."""
        shutil.rmtree(self._state, ignore_errors=True)
        children = Children(self.folder / "log")
        children.log_path("agent").unlink(missing_ok=True)
        children.start("agent", command("run", str(self.config)))
        try:
            self.wait("trust in all models", lambda: children.require() or self._trusted(), READY_S)
            time.sleep(_RUNNING_S)
            yield children
        finally:
            children.stop("agent", patience_s=30)

    def agree(self, source: Document) -> None:
        """The contract with the source as it is now; kept, for it is the same every time."""
        contract = self.config.with_suffix(".contract.json")
        key = json.dumps(source, sort_keys=True)
        if key not in self._contracts:
            contract.unlink(missing_ok=True)
            run("contract", "snapshot", str(self.config), "--timeout", "4")
            self._contracts[key] = contract.read_text(encoding="utf-8")
        contract.write_text(self._contracts[key], encoding="utf-8")

    def document(self) -> Document:
        """The status document; empty while nobody answers."""
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.status}/api/v1/status", timeout=5) as told:
                return dict(json.load(told))
        except (OSError, ValueError):
            return {}

    def wait(self, what: str, ready: Callable[[], Any], timeout_s: float) -> Any:
        """The first true answer.

        Raises:
            NotSeenError: it did not come in time.
        """
        deadline = time.monotonic() + timeout_s
        while not (answer := ready()):
            if time.monotonic() > deadline:
                raise NotSeenError(f"no {what} within {timeout_s:g} s")
            time.sleep(_POLL_S)
        return answer

    def _trusted(self) -> bool:
        models = self.document().get("models", [])
        return len(models) == len(MODELS) and all(one["verdict"] == "trusted" for one in models)

    def run(self, change: Change, first: int, watch: Callable[[Lane, int], None]) -> Seen:
        """Make a change, and tell what came.

        Args:
            change: to make.
            first: row that is served first.
            watch: waits for what it must see, given the lane and when the change was made.
        """
        with self.plant(change.source, first) as simulator:
            self.agree(change.source)
            with self.agent():
                at_ns = simulator.obey(change.orders)
                watch(self, at_ns)
                changes = self.changes()
                until_ns = time.time_ns()
        return self.seen(at_ns, changes, until_ns)

    def changes(self) -> list[Document]:
        """As the agent tells them now."""
        return [dict(one) for one in self.document().get("changes", [])]

    def seen(self, at_ns: int, changes: list[Document], until_ns: int) -> Seen:
        """With what stands in the store of an agent that has ended."""
        with contextlib.closing(Reader(self._state / "fieldwarden.db")) as reader:
            names = {number: name for name, number in reader.tag_ids().items()}
            blocks = [entry for entry in reader.journal(1) if isinstance(entry, Block)]
            events = reader.events(limit=1_000_000, kind="verdict", after=(0, -1))
        verdicts: dict[str, list[tuple[int, str]]] = {}
        for one in events:
            name = one["subject"].partition("/")[2]
            verdicts.setdefault(name, []).append((one["time_ns"], one["data"]["verdict"]))
        return Seen(at_ns, _samples(blocks, names), changes, verdicts, until_ns)


def _samples(
    blocks: Sequence[Block], names: Mapping[int, str]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All samples by tag."""
    columns = [
        np.concatenate([getattr(block, name) for block in blocks] or [np.zeros(0)])
        for name in ("tag", "source_ns", "value", "quality")
    ]
    tags = columns[0]
    return {
        name: (columns[1][tags == number], columns[2][tags == number], columns[3][tags == number])
        for number, name in names.items()
    }


def command(*words: str) -> list[str]:
    """`fieldwarden`, as a command of this interpreter."""
    return [sys.executable, "-m", "agent.cli", *words]


def run(*words: str) -> str:
    """Run `fieldwarden` to its end.

    Raises:
        NotSeenError: it failed; with what it said.
    """
    done = subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-800:]
        raise NotSeenError(f"fieldwarden {' '.join(words)} ended with {done.returncode}:\n{said}")
    return done.stdout
