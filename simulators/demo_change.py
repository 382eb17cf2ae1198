"""The end of a long demonstration: a transmitter is exchanged, and the new one tells another unit.

The source tells so before the first value in that unit; its samples are held, the model says that
it can not be assessed, and a person approves the change with the map that converts it back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from agent.clock import monotonic_ns, wall_ns
from agent.errors import FieldwardenError, StoreError
from agent.store import Reader
from agent.types import Block, Quality
from simulators.children import Children
from simulators.demo_course import NOT_YET, Step
from simulators.demo_log import DemoLog
from simulators.demo_report import Reported
from simulators.demo_setup import PERSON, Place, environment
from simulators.demo_steward import Act, Steward
from simulators.service import EXCHANGED, EXCHANGED_UNIT

CHANGE_S = 240.0
"""From so many seconds on a demonstration ends with this."""

_SOURCE = '[sources.reactor]\nprotocol = "opcua"\n'
_REASON = f"the new transmitter serves {EXCHANGED_UNIT}"
_AGAIN_NS = 60_000_000_000  # from the approval to a trusted model, on a machine that is busy
_ABOVE = 100.0  # jacket outlet: 65 degC, which is 149 degF


def govern(place: Place) -> None:
    """Have what breaks at the reactor's source held from the first day on."""
    text = place.config.read_text(encoding="utf-8")
    text = text.replace(_SOURCE, f'{_SOURCE}hold = "hold"\n')
    place.config.write_text(text, encoding="utf-8")


def agree(place: Place) -> None:
    """Write down what the plant serves now, which runs already.

    Raises:
        FieldwardenError: it could not be done.
    """
    command = [sys.executable, "-m", "agent.cli", "contract", "snapshot", str(place.config)]
    done = subprocess.run(  # noqa: S603 - this very interpreter
        command, capture_output=True, text=True, check=False, env=environment()
    )
    if done.returncode != 0:
        raise FieldwardenError("writing the contract of", str(place.config), done.stderr.strip())


def acts_of(place: Place) -> tuple[Act, ...]:
    """What the person does, in order."""
    config = str(place.config)
    return (
        Act("looked at", f"{PERSON} sees what is different, and which models it touches",
            ("change", "show", config, "{id}"), "detected", kind="change"),
        Act("approved", f"{PERSON} takes it, with the map from {EXCHANGED_UNIT} to degC",
            ("change", "approve", config, "{id}", "--tag", EXCHANGED, "--unit", EXCHANGED_UNIT,
             "--reason", _REASON), "assessed", kind="change"),
    )  # fmt: skip


class Exchange:
    """Has the transmitter exchanged, once it is time, and follows what comes of it.

    Args:
        place: of the demonstration.
        tasks: where the person's commands run.
        log: what happens goes there.
    """

    def __init__(self, place: Place, tasks: Children, log: DemoLog) -> None:
        self._place, self._log = place, log
        self._person = Steward(acts_of(place), tasks, log, place.config)
        self._told: list[Reported] = []
        self._done_ns = 0
        self.at_ns = 0

    def look(self, told: Sequence[Reported], plant_pid: int, *, due: bool) -> None:
        """Go on; `due`: the transmitter may be exchanged."""
        if not self.at_ns:
            if due:
                self.at_ns = wall_ns()
                os.kill(plant_pid, signal.SIGUSR2)
                text = f"the transmitter of {EXCHANGED} is exchanged: it serves {EXCHANGED_UNIT}"
                self._log.say(self.at_ns, "plant", text, "bold")
            return
        self._told = [
            one for one in told
            if one.time_ns >= self.at_ns
            and (one.kind != "change" or EXCHANGED in one.data.get("tags", ()))
        ]  # fmt: skip
        self._person.look(self._told)
        if self._person.over and not self._done_ns:
            self._done_ns = monotonic_ns()

    @property
    def over(self) -> bool:
        """Whether nothing more is to come."""
        if not self._done_ns:
            return False
        again = _again(self._told)
        return again is not None or monotonic_ns() - self._done_ns > _AGAIN_NS

    def explains(self, told: Reported) -> bool:
        """Whether an alarm is of the tag whose transmitter was exchanged."""
        return 0 < self.at_ns <= told.time_ns and told.subject == f"tag/{EXCHANGED}"

    def steps(self, start_ns: int) -> list[Step]:
        """What was expected, and what came."""
        if not self.at_ns:
            return []
        person = self._person.steps(start_ns)
        return [
            self._step("detected", "the source tells it, before the first value in that unit",
                       self._first("change", "detected"), "text", start_ns),
            self._held(start_ns),
            *person[:1],
            self._step("assessed", "how much it would change, by replay of what was recorded",
                       self._first("change", "assessed"), "assessed_text", start_ns),
            *person[1:],
            self._step("trusted again", "converted at the edge, the model sees what it was trained "
                       "on", _again(self._told), "verdict", start_ns),
        ]  # fmt: skip

    def _first(self, kind: str, change: str) -> Reported | None:
        found = (one for one in self._told if one.kind == kind and one.data["change"] == change)
        return next(found, None)

    @staticmethod
    def _step(
        name: str, expected: str, one: Reported | None, said: str, start_ns: int
    ) -> Step:
        if one is None:
            return Step(name, expected, None, NOT_YET, came=False)
        data: dict[str, Any] = dict(one.data)
        data["assessed_text"] = (data.get("assessment") or {}).get("text", data.get("text", ""))
        return Step(name, expected, (one.time_ns - start_ns) / 1e9, str(data[said]), came=True)

    def _held(self, start_ns: int) -> Step:
        expected = f"not one value in {EXCHANGED_UNIT} counts; the model can not be assessed"
        verdicts = (one for one in self._told if one.kind == "verdict")
        first = next((one for one in verdicts if one.data["verdict"] == "unassessable"), None)
        held, counted = self._samples()
        said = f"{held} samples held, {counted} counted"
        if first is None:
            return Step("held", expected, None, f"{said}; the model was not unassessable", False)
        why = str(next((one["text"] for one in first.data.get("reasons", ())), ""))
        came = held > 0 and counted == 0
        at_s = (first.time_ns - start_ns) / 1e9
        return Step("held", expected, at_s, f"{said}; unassessable: {why}", came=came)

    def _samples(self) -> tuple[int, int]:
        """Values of the exchanged transmitter, as served: (held, that counted)."""
        with contextlib.suppress(StoreError, IndexError):
            store = list((self._place.folder / "state").glob("*.db"))[0]  # noqa: RUF015
            with contextlib.closing(Reader(store)) as reader:
                tag = reader.tag_ids()[EXCHANGED]
                blocks = [one for one in reader.journal(1) if isinstance(one, Block)]
            held = counted = 0
            for block in blocks:
                mine = (block.tag == tag) & (block.value > _ABOVE)
                marked = (block.quality & int(Quality.CONTRACT_BROKEN)) != 0
                held += int((mine & marked).sum())
                counted += int((mine & ~marked).sum())
            return held, counted
        return 0, 0


def _again(told: Sequence[Reported]) -> Reported | None:
    """The model trusted again, behind the approval."""
    approved = next(
        (one for one in told if one.kind == "change" and one.data["change"] == "approved"), None
    )
    if approved is None:
        return None
    after = (
        one for one in told
        if one.kind == "verdict" and one.time_ns >= approved.time_ns
        and one.data["verdict"] == "trusted"
    )  # fmt: skip
    return next(after, None)
