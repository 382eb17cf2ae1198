"""The person of the demonstration: what a process engineer does about a request for retraining.

Each step is a command that anybody may type in another terminal; it waits for what the agent tells
before it, and runs as a process of its own. Nothing is done in another way than by these commands.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.clock import monotonic_ns, wall_ns
from simulators.children import Children
from simulators.demo_course import NOT_YET, Step
from simulators.demo_log import DemoLog
from simulators.demo_report import Reported
from simulators.demo_setup import CANDIDATE, PERSON, Place, environment

MODEL = "yield"
REASON = "the site runs its steam header at 3.5 bar from now on"
PAUSE_NS = 3_000_000_000
"""A person reads before deciding."""

FIELDWARDEN, SIMULATORS = "fieldwarden", "python -m simulators"
_PROGRAMS = {FIELDWARDEN: "agent.cli", SIMULATORS: "simulators"}
_NICE = 10
_LIMIT_NS = 600_000_000_000
"""Of one command, on a machine that has much else to do."""


@dataclass(frozen=True, slots=True)
class Act:
    """One command.

    Attributes:
        name: of the step in the final table.
        expected: what is to come of it, in plain words.
        command: without the program's name.
        after: the `change` of an event of its `kind` that has to come before.
        unless: the `change` after which it can not come any more.
        program: `FIELDWARDEN`, or another of `_PROGRAMS`.
        kind: of events.
    """

    name: str
    expected: str
    command: tuple[str, ...]
    after: str = ""
    unless: str = ""
    program: str = FIELDWARDEN
    kind: str = "retraining"

    def about(self, name: str) -> Act:
        """The same about a thing of this name, where the command has ``{id}``."""
        return replace(self, command=tuple(word.replace("{id}", name) for word in self.command))


def acts_of(place: Place) -> tuple[Act, ...]:
    """What the person does, in order."""
    config, folder = str(place.config), place.folder
    bundle, data = str(folder / "yield.zip"), str(folder / "training.parquet")
    return (
        Act("declared", f"{PERSON} declares the shift the new normal",
            ("retraining", "declare", config, MODEL, "--reason", REASON), "requested"),
        Act("data taken", "clean samples since the shift, in one file",
            ("retraining", "bundle", config, MODEL, "--out", bundle), "declared"),
        Act("trained anew", f"version {CANDIDATE} of the model, on its record and on that data",
            ("retrain", "--record", str(place.history), "--labels", str(place.labels),
             "--bundle", bundle, "--data", data, "--soft-sensor", str(place.new_sensor)),
            program=SIMULATORS),
        Act("fitted anew", "a baseline for that version, on the same rows",
            ("fit", str(place.candidate), "--model", MODEL, "--data", data, "--labels", data)),
        Act("tried", f"version {CANDIDATE} beside the one in service, by criteria fixed before",
            ("retraining", "trial", config, MODEL, "--baseline", str(place.new_baseline),
             "--version", CANDIDATE, "--reason", "new normal")),
        Act("accepted", f"{PERSON} takes it into service, once it met all of them",
            ("retraining", "accept", config, MODEL, "--reason", "it met all criteria"),
            "passed", "rejected"),
    )  # fmt: skip


class Steward:
    """Carries the acts out, one after the other, without ever waiting itself.

    Args:
        acts: in order.
        tasks: where the commands run.
        log: what is typed and answered goes there.
        config: path that is told as ``$CONFIG``.
    """

    def __init__(self, acts: Sequence[Act], tasks: Children, log: DemoLog, config: Path) -> None:
        self._acts, self._tasks, self._log, self._config = list(acts), tasks, log, config
        self._next = 0
        self._due_ns = 0
        self._running = ""
        self._since_ns = 0
        self._done: list[tuple[Act, int, str, bool]] = []

    @property
    def over(self) -> bool:
        """Whether all is done, or something failed: then nothing more is tried."""
        failed = any(not came for _, _, _, came in self._done)
        return failed or (self._next >= len(self._acts) and not self._running)

    @property
    def waits_for(self) -> str:
        """What is still to come, for people."""
        return "" if self.over else self._acts[self._next].expected

    def steps(self, start_ns: int) -> list[Step]:
        """All that was to be done, and what came; `start_ns`: wall ns of the script's begin."""
        done = [
            Step(act.name, act.expected, (at_ns - start_ns) / 1e9, said, came=came)
            for act, at_ns, said, came in self._done
        ]
        left = self._acts[len(done) :]
        return done + [Step(act.name, act.expected, None, NOT_YET, came=False) for act in left]

    def look(self, told: Sequence[Reported]) -> None:
        """Go on as far as what was told, and what has ended, allow."""
        if self._running:
            self._follow()
        elif not self.over and self._is_due(self._acts[self._next], told):
            self._start(self._acts[self._next])

    def _is_due(self, act: Act, told: Sequence[Reported]) -> bool:
        changes = {str(one.data.get("change")): one for one in told if one.kind == act.kind}
        if act.unless in changes:
            event = changes[act.unless]
            self._end(act, event.time_ns, f"{act.unless}: {event.data.get('text')}", came=False)
            return False
        if act.after and act.after not in changes:
            return False
        if act.after:
            about = str(changes[act.after].data.get("id"))
            self._acts[self._next] = act.about(about)
        now_ns = monotonic_ns()
        self._due_ns = self._due_ns or now_ns + PAUSE_NS
        return now_ns >= self._due_ns

    def _start(self, act: Act) -> None:
        command = [sys.executable, "-m", _PROGRAMS[act.program], *act.command]
        self._running, self._due_ns, self._since_ns = act.name, 0, monotonic_ns()
        self._log.say(wall_ns(), PERSON.split()[0], f"$ {typed(act, self._config)}")
        self._tasks.start(act.name, command, environment(), niceness=_NICE)

    def _follow(self) -> None:
        act = self._acts[self._next]
        code = self._tasks.code(act.name)
        if code is None and monotonic_ns() - self._since_ns < _LIMIT_NS:
            return
        self._tasks.stop(act.name, kill=code is None)
        said, came = answer(self._tasks.log_path(act.name)), code == 0
        if code is None:
            said = f"nothing came of it within {_LIMIT_NS / 1e9:g} s"
        self._end(act, wall_ns(), said, came=came)
        self._log.say(wall_ns(), PERSON.split()[0], f"  {said}", "" if came else "red")


    def _end(self, act: Act, at_ns: int, said: str, *, came: bool) -> None:
        self._running = ""
        self._next += 1
        self._done.append((act, at_ns, said, came))


def typed(act: Act, config: Path) -> str:
    """A command as a person types it, beside the configuration."""
    folder = f"{config.parent}/"
    words = (
        "$CONFIG" if word == str(config) else shlex.quote(word.removeprefix(folder))
        for word in act.command
    )
    return " ".join([act.program, *words])


def answer(log: Path) -> str:
    """What a command answered: why not, or the first line that is no table and no advice."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return str(error)
    said = [line.strip() for line in lines if line.strip()]
    wrong = [line for line in said if line.startswith("Error")]
    written = [line for line in said if ".json: " in line]  # below the table of `fit`
    plain = [line for line in said if not line.startswith(_ADVICE)]
    return next(iter(wrong or written or plain), "it said nothing")


_ADVICE = ("next:", "to do:", "note:")


def by_hand(place: Place) -> list[str]:
    """What a person may type once there is a request, in the folder of the demonstration."""
    show = Act("", "", ("retraining", "show", str(place.config), MODEL))
    lines = [typed(act, place.config) for act in (show, *acts_of(place))]
    return [f"cd {shlex.quote(str(place.folder))}; export CONFIG=$PWD/demo.toml", *lines]
