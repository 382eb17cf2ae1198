"""`fieldwarden demo`: a plant with scripted faults, the agent, and what central ops sees of it.

Every part is a process of its own, as in service: two brokers (the plant's and central's), the
plant behind its three servers, the soft sensor, the agent. This process only starts them, watches
the agent's store and central's broker, kills the uplink when the script says so, and ends what it
started. Detection times are those of the agent's own events.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from agent.central.view import table_of as central_table
from agent.client import request
from agent.clock import monotonic_ns, wall_ns
from agent.commands.lines import hanging
from agent.configuration.load import load
from agent.errors import FieldwardenError, StoreError
from agent.mqtt import Protocol
from agent.store import Reader
from simulators.broker import BrokerProcess
from simulators.children import Children
from simulators.demo_central import CentralView
from simulators.demo_log import DemoLog
from simulators.demo_report import (
    DELIVERED,
    Outage,
    Reported,
    Row,
    faults_of,
    rows_of,
    table_of,
    unexpected,
)
from simulators.demo_setup import (
    HISTORY_ROWS,
    Place,
    choose_ports,
    environment,
    prepare,
    shipped,
    working_folder,
)
from simulators.plant import PlantSettings

SCRIPT_PERIOD_S = 100.0  # without a bound the script begins again
_LOOK_S = 0.2
_DELIVERY_S = 60.0  # at most so long the end waits for what central has not yet
EMBEDDED = (
    "the brokers are the embedded ones: they keep no session over an outage, so what they forget "
    "central asks the gateway for, and the demo waits for it at the end"
)
_START_S = 240.0  # kernels that are compiled for the first time take a minute, or several
_STYLE = {
    "trusted": "green",
    "caution": "yellow",
    "untrusted": "red",
    "unassessable": "magenta",
}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demonstration runs.

    Attributes:
        seconds: from the moment that the agent trusts the model; None: until Ctrl-C.
        folder: where to work and leave everything; None: a temporary folder, removed at the end.
        seed: of the plant.
        free_ports: choose other ports where the configured ones are taken.
        rows: of the history that the baseline is fitted on.
        embedded: use the embedded brokers even where mosquitto is installed.
    """

    seconds: float | None = None
    folder: Path | None = None
    seed: int = 7
    free_ports: bool = False
    rows: int = HISTORY_ROWS
    embedded: bool = False


def run_demo(options: DemoOptions, console: Console | None = None) -> list[Row]:
    """Run it all; the rows of the final table.

    Raises:
        FieldwardenError: something it needs is missing, or a part ended by itself.
    """
    console = console or _console()
    ports = choose_ports(free=options.free_ports)
    with working_folder(options.folder) as folder, _interrupts():
        place = Place(folder, ports, PlantSettings(seed=options.seed))
        console.print(f"preparing in {folder}", markup=False)
        prepare(
            place, options.rows,
            lambda text: console.print(f"  {hanging(text, 2)}", markup=False),
        )  # fmt: skip
        demo = Demo(options, place, console)
        try:
            demo.start()
            demo.watch()
        except KeyboardInterrupt:
            console.print("interrupted: ending what was started")
        finally:
            demo.stop()
        return demo.report()


def _console() -> Console:
    """A terminal gets tables of its width, a pipe of 130 columns and lines that are not broken."""
    width = None if sys.stdout.isatty() else 130
    return Console(highlight=False, soft_wrap=True, width=width)


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demonstration as Ctrl-C does: in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Demo:
    """One run: the children, and what was seen of them.

    Args:
        options: bounds and seed.
        place: ports and folder, prepared.
        console: where to print.
    """

    def __init__(self, options: DemoOptions, place: Place, console: Console) -> None:
        self._options, self._place, self._console = options, place, console
        self._log = DemoLog(console)
        self._socket = load(place.config).socket_path
        self._children = Children(place.folder / "log")
        plant, uplink = place.ports["the plant's broker"], place.ports["the broker of central ops"]
        self._plant_broker = BrokerProcess(plant, embedded=options.embedded)
        self._uplink = BrokerProcess(uplink, embedded=options.embedded)
        self._at_end: Mapping[str, Any] | None = None
        self._central: CentralView | None = None
        self._reader: Reader | None = None
        self._told: list[Reported] = []
        self._after = (0, -1)
        self._truth: list[Mapping[str, Any]] = []
        self._truth_read = 0
        self._outages: list[Outage] = []
        self._uplink_down = False
        self._due: set[tuple[str, str, int, str]] | None = None  # once the time is over
        self._reasons: list[str] = []
        self._start_ns = 0
        self._began = 0

    # --- start and stop -----------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; returns when the plant runs and the agent answers."""
        place, python = self._place, sys.executable
        self._plant_broker.start()
        self._uplink.start()
        if self._uplink.embedded:
            self._console.print(hanging(EMBEDDED))
        protocol: Protocol = "3.1.1" if self._uplink.embedded else "auto"
        self._central = CentralView(self._uplink.port, place.central, protocol)
        plant = [python, "-m", "simulators", "plant", "--config", str(place.config), "--hold"]
        plant += ["--faults", str(shipped("demo-faults.toml")), "--truth", str(place.truth)]
        plant += ["--seed", str(self._options.seed), "--skip", str(self._options.rows)]
        plant += ["--repeat", f"{SCRIPT_PERIOD_S:g}"]
        plant_pid = self._children.start("plant", plant, environment())
        model = [python, "-m", "simulators", "model", "--soft-sensor", str(place.soft_sensor)]
        model += ["--port", str(self._plant_broker.port)]
        self._children.start("soft-sensor", model, environment())
        self._wait("the plant", lambda: "plant runs" in self._children.tail("plant"))
        agent = [python, "-m", "agent.cli", "run", str(place.config)]
        self._children.start("agent", agent, environment())
        speed = place.settings.speed
        self._console.print(
            f"status page: http://127.0.0.1:{place.ports['the status page']}/", style="bold"
        )
        self._console.print(
            hanging(
                f"the plant runs {speed:g} times as fast as the clock: one second here is "
                f"{speed:g} s of plant time"
            )
        )
        self._wait("the agent to trust the model", self._trusted)
        os.kill(plant_pid, signal.SIGUSR1)
        self._began = monotonic_ns()
        self._log.began_ns = wall_ns()
        self._log.say(self._log.began_ns, "plant", "the script of faults begins")

    def _trusted(self) -> bool:
        self._look()
        verdicts = [told for told in self._told if told.kind == "verdict"]
        return bool(verdicts) and verdicts[-1].data["verdict"] == "trusted"

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = monotonic_ns() + round(_START_S * 1e9)
        while not ready():
            self._children.require()
            if monotonic_ns() > deadline:
                logs = self._children.tail("agent")
                raise FieldwardenError(
                    "waiting for", what, f"nothing after {_START_S:g} s; the agent said:\n{logs}"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """End everything, by process id; the agent first, so that it sees nothing of the end."""
        if self._central is not None:  # before the agent is gone, and with it what it vouches for
            self._at_end = self._central.document()
        try:
            self._children.stop("agent")
            with contextlib.suppress(FieldwardenError):
                self._look()
        finally:
            self._log.flush()
            self._children.stop_all()
            if self._central is not None:
                self._central.close()
            if self._reader is not None:
                self._reader.close()
            self._uplink.stop()
            self._plant_broker.stop()

    # --- while it runs ------------------------------------------------------------------------

    def watch(self) -> None:
        """Print what happens until the time is over."""
        seconds = self._options.seconds
        while seconds is None or (monotonic_ns() - self._began) / 1e9 < seconds:
            self._children.require()
            self._look()
            time.sleep(_LOOK_S)
        self._await_central()

    def _await_central(self) -> None:
        """Wait until central has what the agent has told so far, and say so; no more faults."""
        self._due = due = {told.key for told in self._told if told.kind in DELIVERED}
        if self._uplink_down:
            return
        deadline, said = monotonic_ns() + round(_DELIVERY_S * 1e9), False
        while self._central is not None and (left := due - self._central.arrived.keys()):
            if monotonic_ns() > deadline:
                self._log.say(wall_ns(), "central", f"still without {len(left)} events", "red")
                return
            if not said:
                said = True
                text = f"the time is over; waiting until central has {len(left)} more events"
                self._log.say(wall_ns(), "central", text)
            self._children.require()
            self._look()
            time.sleep(_LOOK_S)

    def _look(self) -> None:
        if self._due is None:
            self._read_truth()
            self._read_agent()
        self._read_central()
        self._read_uplink()
        self._log.flush(wall_ns())

    def _read_truth(self) -> None:
        try:
            with self._place.truth.open(encoding="utf-8") as log:
                log.seek(self._truth_read)
                text = log.read()
        except OSError:
            return
        whole, _, _ = text.rpartition("\n")
        if not whole:
            return
        self._truth_read += len(whole.encode()) + 1
        for line in whole.splitlines():
            record = json.loads(line)
            self._truth.append(record)
            if not self._start_ns:
                self._start_ns = record["start_ns"] - round(record["start_s"] * 1e9)
                self._log.began_ns = self._start_ns
            done = "injected" if record["phase"] == "start" else "taken back"
            text = f"fault {done}: {record['title']} ({record['subject']})"
            self._log.say(record["at_ns"], "plant", text, "bold")
            if record["kind"] == "uplink_lost":
                self._cut_uplink(lost=record["phase"] == "start")

    def _cut_uplink(self, *, lost: bool) -> None:
        if lost and not self._uplink_down:
            self._uplink.stop(kill=True)
            self._outages.append(Outage())
        elif not lost and self._uplink_down:
            self._uplink.start()
        self._uplink_down = lost

    def _read_agent(self) -> None:
        if self._reader is None:
            stores = list((self._place.folder / "state").glob("*.db"))
            if not stores:
                return
            try:
                self._reader = Reader(stores[0])
            except StoreError:  # the agent is still making it
                return
        for row in self._reader.events(limit=1000, after=self._after):
            self._after = (row["sequence"], row["position"])
            told = Reported(row["kind"], row["time_ns"], row["subject"], row["data"])
            self._told.append(told)
            self._tell(told)

    def _tell(self, told: Reported) -> None:
        name = told.subject.partition("/")[2]
        if told.kind == "verdict":
            self._tell_verdict(name, told)
        elif told.kind == "condition" and told.data.get("change") == "cleared":
            text = f"cleared: {told.data.get('kind')} {name}"
            self._log.say(told.time_ns, "agent", text, "dim")

    def _tell_verdict(self, name: str, told: Reported) -> None:
        data = told.data
        verdict, was = str(data["verdict"]), str(data.get("was") or "nothing")
        reasons = [str(reason["text"]) for reason in data.get("reasons", ())]
        new = [text for text in reasons if text not in self._reasons] or reasons[:1]
        if verdict == was and set(reasons) <= set(self._reasons):
            new = []
        self._reasons = reasons
        if verdict != was or new:
            change = f"still {verdict}" if verdict == was else f"{was} -> {verdict}"
            text = f"model {name}: {change}" + (f": {'; '.join(new)}" if new else "")
            self._log.say(told.time_ns, "agent", text, _STYLE.get(verdict, ""))

    def _read_central(self) -> None:
        if self._central is None:
            return
        self._central.require()
        for told, historical in self._central.fresh():
            if self._due is not None and told.key not in self._due:
                continue
            if told.kind == "condition" and told.data.get("change") in {"raised", "updated"}:
                late = " (historical)" if historical else ""
                text = f"received{late}: {told.data.get('text')}"
                self._log.say(self._central.arrived[told.key], "central", text, "cyan")

    def _read_uplink(self) -> None:
        """Follow an outage by the agent's own status document."""
        if not self._outages or self._outages[-1].back_ns:
            return
        try:
            document = request(self._socket, "GET", "/api/v1/status?history=false", timeout_s=2.0)
        except FieldwardenError:  # it ends, or is busy: looked at again
            return
        outbox, outage, now_ns = document["outbox"], self._outages[-1], document["served_ns"]
        connected = bool(outbox.get("connected"))
        if outage.lost_ns is None and not connected:
            outage = replace(outage, lost_ns=now_ns, reason=str(outbox.get("reason") or "lost"))
            text = f"uplink lost: {outage.reason}; messages wait in the outbox"
            self._log.say(now_ns, "agent", text)
        elif outage.lost_ns is not None and connected and not self._uplink_down:
            outage = replace(outage, back_ns=now_ns)
            text = f"uplink back; {outage.waiting} messages had waited"
            self._log.say(now_ns, "agent", text)
        elif outage.lost_ns is not None:
            outage = replace(outage, waiting=max(outage.waiting, int(outbox.get("pending", 0))))
        self._outages[-1] = outage

    # --- the end ------------------------------------------------------------------------------

    def report(self) -> list[Row]:
        """Print and return the table."""
        if self._central is None or not faults_of(self._truth):
            self._console.print("no fault was injected yet")
            return []
        central = self._central
        rows = rows_of(self._truth, self._told, central.arrived, self._outages, self._start_ns)
        self._console.print()
        self._console.print(table_of(rows, self._console.width), soft_wrap=False)
        self._console.print(central_table(self._at_end or central.document()), soft_wrap=False)
        false = unexpected(self._told, self._truth, self._start_ns)
        for told in false:
            self._console.print(f"raised without a fault: {told.data.get('text')}", style="yellow")
        return rows
