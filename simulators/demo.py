"""`fieldwarden demo`: a plant with scripted faults, the agent, and what central ops sees of it.

Every part is a process of its own, as in service: two brokers (the plant's and central's), the
plant behind its three servers, the soft sensor, the agent. This process only starts them, watches
the agent's store and central's broker, kills the uplink when the script says so, and ends what it
started. Detection times are those of the agent's own events.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.central.table import table_of as central_table
from agent.client import request
from agent.clock import monotonic_ns, wall_ns
from agent.commands.lines import hanging
from agent.configuration.load import load
from agent.errors import FieldwardenError
from agent.mqtt import Protocol
from simulators.broker import BrokerProcess
from simulators.children import Children
from simulators.demo_central import CentralView
from simulators.demo_change import CHANGE_S, Exchange, agree, govern
from simulators.demo_course import Step, asked, course_table, in_one_line, late_labels, serves
from simulators.demo_log import DemoLog
from simulators.demo_report import DELIVERED, Outage, Row, faults_of, rows_of, table_of, unexpected
from simulators.demo_seen import Seen
from simulators.demo_setup import (
    ALL_S,
    CANDIDATE,
    HISTORY_ROWS,
    Place,
    choose_ports,
    environment,
    prepare,
    working_folder,
    write_script,
)
from simulators.demo_steward import MODEL, Steward, acts_of, by_hand
from simulators.demo_terminal import interrupts, terminal
from simulators.plant import PlantSettings

SCRIPT_PERIOD_S = 100.0  # the first half of the script begins again; the whole is played once
LAB_DELAY_S = 6.0  # from a sample to the laboratory's result
_LOOK_S = 0.2
_DELIVERY_S = 60.0  # at most so long the end waits for what central has not yet
_STEPS_S = 600.0  # and so long for what the person has begun: a loaded machine fits slowly
_TRUSTED_S = 30.0  # from an accepted version to its first verdict, after ten good scans
_ERRORS_S = 5.0  # how often it is asked what late labels say
EMBEDDED = (
    "the brokers are the embedded ones: they keep no session over an outage, so what they forget "
    "central asks the gateway for, and the demo waits for it at the end"
)
_START_S = 240.0  # kernels that are compiled for the first time take a minute, or several


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demonstration runs.

    Attributes:
        seconds: from the moment that the agent trusts the model; None: until Ctrl-C. From `ALL_S`
            on the whole script is played, and a scripted person decides on what the agent asks;
            without a bound the whole script is played, and that person is whoever watches.
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

    @property
    def whole(self) -> bool:
        """Whether the script's second half is played: a model that is trained anew."""
        return self.seconds is None or self.seconds >= ALL_S

    @property
    def changes(self) -> bool:
        """Whether it ends with a change upstream that is held, assessed and approved."""
        return self.seconds is not None and self.seconds >= CHANGE_S


def run_demo(options: DemoOptions, console: Console | None = None) -> list[Row]:
    """Run it all; the rows of the final table.

    Raises:
        FieldwardenError: something it needs is missing, or a part ended by itself.
    """
    console = console or terminal()
    ports = choose_ports(free=options.free_ports)
    with working_folder(options.folder) as folder, interrupts():
        place = Place(folder, ports, PlantSettings(seed=options.seed))
        console.print(f"preparing in {folder}", markup=False)
        write_script(place, whole=options.whole)
        prepare(
            place, options.rows,
            lambda text: console.print(f"  {hanging(text, 2)}", markup=False),
        )  # fmt: skip
        if options.changes:
            govern(place)
        demo = Demo(options, place, console)
        try:
            demo.start()
            demo.watch()
        except KeyboardInterrupt:
            console.print("interrupted: ending what was started")
        finally:
            demo.stop()
        return demo.report()


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
        self._seen = Seen(place.folder, place.truth, self._socket, self._log)
        self._children = Children(place.folder / "log")
        self._tasks = Children(place.folder / "log")  # these end by themselves
        acts = acts_of(place) if options.whole and options.seconds is not None else ()
        self._steward = Steward(acts, self._tasks, self._log, place.config)
        self._exchange = Exchange(place, self._tasks, self._log) if options.changes else None
        plant, uplink = place.ports["the plant's broker"], place.ports["the broker of central ops"]
        self._plant_broker = BrokerProcess(plant, embedded=options.embedded)
        self._uplink = BrokerProcess(uplink, embedded=options.embedded)
        self._at_end: Mapping[str, Any] | None = None
        self._central: CentralView | None = None
        self._uplink_down = False
        self._due: set[tuple[str, str, int, str]] | None = None  # once the time is over
        self._errors: Sequence[Mapping[str, Any]] = ()
        self._errors_due_ns = 0
        self._told_how = self._in_service = False
        self._model_pid = self._plant_pid = 0
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
        self._plant_pid = self._start_plant()
        self._wait("the plant", lambda: "plant runs" in self._children.tail("plant"))
        if self._exchange is not None:
            agree(place)
        agent = [python, "-m", "agent.cli", "run", str(place.config)]
        self._children.start("agent", agent, environment())
        speed = place.settings.speed
        self._console.print(
            f"status page: http://127.0.0.1:{place.ports['the status page']}/", style="bold"
        )
        self._console.print(f"in another terminal: export CONFIG={place.config}", markup=False)
        self._console.print(
            hanging(
                f"the plant runs {speed:g} times as fast as the clock: one second here is "
                f"{speed:g} s of plant time"
            )
        )
        self._wait("the agent to trust the model", self._trusted)
        os.kill(self._plant_pid, signal.SIGUSR1)
        self._began = monotonic_ns()
        self._log.began_ns = wall_ns()
        self._log.say(self._log.began_ns, "plant", "the script of faults begins")

    def _start_plant(self) -> int:
        """Start the plant and its soft sensor; the process id of the plant."""
        place, options = self._place, self._options
        simulators, seed = [sys.executable, "-m", "simulators"], ["--seed", str(options.seed)]
        script = ["--faults", str(place.faults), *seed]
        plant = [*simulators, "plant", "--config", str(place.config), "--hold", *script]
        plant += ["--truth", str(place.truth), "--skip", str(options.rows)]
        plant += ["--lab-delay", f"{LAB_DELAY_S:g}"]
        plant += [] if options.whole else ["--repeat", f"{SCRIPT_PERIOD_S:g}"]
        pid = self._children.start("plant", plant, environment())
        model = [*simulators, "model", "--soft-sensor", str(place.soft_sensor), *script]
        model += ["--port", str(self._plant_broker.port)]
        self._model_pid = self._children.start("soft-sensor", model, environment())
        return pid

    def _trusted(self) -> bool:
        self._look()
        return self._seen.verdict == "trusted"

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
            self._tasks.stop_all()
            self._children.stop("agent")
            with contextlib.suppress(FieldwardenError):
                self._look()
        finally:
            self._log.flush()
            self._children.stop_all()
            if self._central is not None:
                self._central.close()
            self._seen.close()
            self._uplink.stop()
            self._plant_broker.stop()

    # --- while it runs ------------------------------------------------------------------------

    def watch(self) -> None:
        """Print what happens until the time is over."""
        seconds = self._options.seconds
        while seconds is None or (monotonic_ns() - self._began) / 1e9 < seconds:
            self._pass()
        self._await_steps()
        self._await_central()

    def _pass(self) -> None:
        """Look at everything, and have the person do what is due."""
        self._children.require()
        self._look()
        self._steward.look(self._seen.told)
        if self._exchange is not None:
            due = self._steward.over and not self._waits_for_trust()
            self._exchange.look(self._seen.told, self._plant_pid, due=due)
        if self._options.seconds is None:
            self._tell_how()
        time.sleep(_LOOK_S)

    def _await_steps(self) -> None:
        """Wait until the person has done all that is possible, and say so."""
        deadline = monotonic_ns() + round(_STEPS_S * 1e9)
        if waits_for := self._steward.waits_for:
            text = f"the time is over; waiting until this is done: {waits_for}"
            self._log.say(wall_ns(), "demo", text)
        while not self._steward.over and monotonic_ns() < deadline:
            self._pass()
        deadline = monotonic_ns() + round(_TRUSTED_S * 1e9)
        while self._waits_for_trust() and monotonic_ns() < deadline:
            self._pass()
        deadline = monotonic_ns() + round(_STEPS_S * 1e9)
        while not (self._exchange is None or self._exchange.over) and monotonic_ns() < deadline:
            self._pass()

    def _waits_for_trust(self) -> bool:
        """Whether a version was accepted, and is not trusted yet."""
        last = serves(self._seen.told, self._seen.start_ns)
        return last is not None and not last.came

    def _await_central(self) -> None:
        """Wait until central has what the agent has told so far, and say so; no more faults."""
        self._due = due = {told.key for told in self._seen.told if told.kind in DELIVERED}
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
            self._seen.read_truth(self._cut_uplink)
            self._seen.read_agent()
            self._read_errors()
            self._put_in_service()
        if self._central is not None:
            self._seen.read_central(self._central, self._due)
        self._seen.read_uplink(down=self._uplink_down)
        self._log.flush(wall_ns())

    def _cut_uplink(self, lost: bool) -> None:  # noqa: FBT001 - the phase of a fault
        if lost and not self._uplink_down:
            self._uplink.stop(kill=True)
            self._seen.outages.append(Outage())
        elif not lost and self._uplink_down:
            self._uplink.start()
        self._uplink_down = lost

    def _read_errors(self) -> None:
        """Ask the agent now and then what late labels say of the model."""
        if not self._options.whole or not self._began or monotonic_ns() < self._errors_due_ns:
            return
        self._errors_due_ns = monotonic_ns() + round(_ERRORS_S * 1e9)
        with contextlib.suppress(FieldwardenError):  # it ends, or is busy: asked again
            answer = request(self._socket, "GET", f"/api/v1/models/{MODEL}/verdict", timeout_s=2.0)
            errors: Sequence[Mapping[str, Any]] = answer.get("errors") or ()
            if _labels(errors) >= _labels(self._errors):  # a model put in service counts anew
                self._errors = errors

    def _put_in_service(self) -> None:
        """Once a version was accepted the soft sensor predicts by it, as its owner has it do."""
        place, told = self._place, self._seen.told
        if self._in_service or not place.new_sensor.exists() or not any(
            one.kind == "retraining" and one.data.get("change") == "accepted" for one in told
        ):
            return
        self._in_service = True
        shutil.copyfile(place.new_sensor, place.soft_sensor)
        os.kill(self._model_pid, signal.SIGHUP)
        self._log.say(wall_ns(), "model", f"version {CANDIDATE} predicts from now on", "bold")

    def _tell_how(self) -> None:
        """Once there is a request: what whoever watches may type."""
        if self._told_how or not any(told.kind == "retraining" for told in self._seen.told):
            return
        self._told_how = True
        self._log.say(wall_ns(), "demo", "it is for you to decide now; in another terminal:")
        for command in by_hand(self._place):
            self._log.say(wall_ns(), "demo", f"  {command}")

    # --- the end ------------------------------------------------------------------------------

    def report(self) -> list[Row]:
        """Print and return the table."""
        seen, central = self._seen, self._central
        if central is None or not faults_of(seen.truth):
            self._console.print("no fault was injected yet")
            return []
        rows = rows_of(seen.truth, seen.told, central.arrived, seen.outages, seen.start_ns)
        false = unexpected(seen.told, seen.truth, seen.start_ns)
        if self._exchange is not None:
            false = [one for one in false if not self._exchange.explains(one)]
        steps = self._course()
        self._console.print()
        self._console.print(table_of(rows, self._console.width), soft_wrap=False)
        if steps:
            self._console.print(course_table(steps, self._console.width), soft_wrap=False)
        changed = self._exchange.steps(seen.start_ns) if self._exchange is not None else []
        if changed:
            title = "From a change upstream to a model that is trusted again"
            table = course_table(changed, self._console.width, title)
            self._console.print(table, soft_wrap=False)
        self._console.print(central_table(self._at_end or central.document()), soft_wrap=False)
        for told in false:
            self._console.print(f"raised without a fault: {told.data.get('text')}", style="yellow")
        for line in in_one_line(rows, false, steps, changed):
            self._console.print(line, markup=False)
        return rows

    def _course(self) -> list[Step]:
        """The steps of the script's second half, each as it came."""
        if not self._options.whole:
            return []
        seen = self._seen
        found = [
            late_labels(self._errors, LAB_DELAY_S), asked(seen.told, seen.truth, seen.start_ns)
        ]  # fmt: skip
        steps = [step for step in found if step is not None] + self._steward.steps(seen.start_ns)
        last = serves(seen.told, seen.start_ns)
        return [*steps, last] if last is not None else steps


def _labels(errors: Sequence[Mapping[str, Any]]) -> int:
    return sum(int(one.get("labels") or 0) for one in errors)
