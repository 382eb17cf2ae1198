"""The queue of assessments: one at a time, none for nothing, none outlives what it is for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.core.changes import Changes
from agent.errors import FieldwardenError
from agent.impact.process import assess
from agent.impact.replay import Progress
from agent.impact.task import Task
from agent.impact.worker import NICE
from agent.runtime.assessments import Assessments
from tests.core.small import SECOND, START, spec
from tests.impact.plant import process, record, write_site
from tests.processes import children

FOUND = {"models": {}, "basis": "replay", "notes": [], "text": "nothing changes"}


class Desk:
    """An agent's changes, and assessments that end when they are told to."""

    def __init__(self) -> None:
        self.changes = Changes(spec())
        self.engine = SimpleNamespace(judge=SimpleNamespace(changes=self.changes), time_ns=START)
        self.configuration = None
        self.governance = self
        self.journaled: list[dict] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.go_on = asyncio.Event()
        self.fails = ""
        self.assessments = Assessments(self, self.how, settled_s=0.0)

    def propose(self, tag: str = "a", text: str = "a new one") -> str:
        source = "one" if tag == "a" else "two"
        data = {"change": {"source": source, "tags": [tag], "text": text}, "by": "eva", "note": "x"}
        self.changes.command("propose", START, data, 1)
        return list(self.changes.known)[-1]

    async def how(self, _, task, told):
        self.begun.append(task.change)
        told(Progress(0.25, 30.0))
        try:
            await self.go_on.wait()
        finally:
            self.ended.append(task.change)
        if self.fails:
            raise FieldwardenError("assessing change", task.change, self.fails)
        return FOUND

    def decide(self, kind, data):
        self.journaled.append(dict(data))
        self.changes.command(kind, START + SECOND, data, 2)
        return True

    async def look(self, times: int = 4) -> None:
        for _ in range(times):
            await self.assessments.look()
            await asyncio.sleep(0)


async def test_each_is_assessed_once_one_after_the_other():
    """Progress is shown while it runs; what comes of it is journaled."""
    desk = Desk()
    first, second = desk.propose("a"), desk.propose("b")
    await desk.look()
    assert desk.begun == [first]
    told = desk.assessments.shown()[first]
    assert (told["progress"], told["since_ns"]) == (0.25, START)
    assert "about 30 seconds left" in told["text"]
    desk.go_on.set()
    await desk.look(8)
    assert desk.begun == [first, second]
    assert [one["change"] for one in desk.journaled] == [first, second]
    assert desk.changes.known[first].state == "assessed"
    await desk.look(8)
    assert len(desk.begun) == 2
    assert not desk.assessments.shown()


async def test_what_is_over_or_another_is_not_assessed_any_further():
    """The process of one that is decided ends; nothing of it is journaled."""
    desk = Desk()
    name = desk.propose()
    await desk.look()
    data = {"change": name, "by": "eva", "note": "no"}
    desk.changes.command("reject_change", START, data, 3)
    await desk.look()
    assert desk.ended == [name]
    assert not desk.journaled
    other = desk.propose(text="b")
    await desk.look()
    desk.changes.known[other].tags = ("a", "b")
    await desk.look(6)
    assert desk.begun == [name, other, other]


async def test_one_that_fails_is_told_and_not_tried_for_ever():
    """Only where the change is another by then."""
    desk = Desk()
    desk.fails = "there is no such file"
    desk.go_on.set()
    name = desk.propose()
    await desk.look(8)
    assert desk.begun == [name]
    assert "can not be assessed: there is no such file" in desk.assessments.shown()[name]["text"]
    desk.fails = ""
    desk.changes.known[name].suggested = {"a": {"factor": 2.0}}
    await desk.look(8)
    assert desk.begun == [name, name]
    assert len(desk.journaled) == 1


async def test_with_the_agent_it_ends():
    """No process is left."""
    desk = Desk()
    desk.propose()
    part = asyncio.create_task(desk.assessments.run())
    while not desk.begun:
        await asyncio.sleep(0)
    part.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await part
    assert desk.ended == desk.begun


async def test_what_was_assessed_before_a_restart_is_not_again():
    """The assessment is in the folded state."""
    desk = Desk()
    name = desk.propose()
    desk.changes.command("assessed", START, {"change": name, "assessment": FOUND}, 2)
    await desk.look()
    assert not desk.begun


# --- the real process -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    configuration = write_site(folder)
    record(configuration, process(600, 3))
    return configuration


TASK = Task(change="plc-1", proposal={
    "text": "t", "who": "w", "tags": {"p": {"removed": True}},
})  # fmt: skip


async def test_its_process_yields_to_all_others_and_answers(site):
    """Nice 15, idle I/O; the result is what the replay gives."""
    work, seen = asyncio.create_task(assess(site, TASK, lambda _: None)), set()
    while not work.done():
        await asyncio.sleep(0.01)
        for child, words in children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "agent.impact.worker" in words:
                    seen.add((child.nice(), child.ionice().ioclass))
    assert (await work)["models"]["soft"]["share"] == 1.0
    assert (min(19, os.nice(0) + NICE), psutil.IOPRIO_CLASS_IDLE) in seen


async def test_cancelled_its_process_is_gone(site):
    """At once, whatever it does."""
    work = asyncio.create_task(assess(site, TASK, lambda _: None))
    worker = None
    while worker is None:
        await asyncio.sleep(0.01)
        worker = next((one for one, words in children() if "agent.impact.worker" in words), None)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not worker.is_running()


async def test_too_little_memory_is_an_error_that_says_so(site):
    """The process ends; the agent does not."""
    with pytest.raises(FieldwardenError) as told:
        await assess(site, Task(change="plc-1", proposal=TASK.proposal, limit_mb=60),
                     lambda _: None)  # fmt: skip
    assert "memory" in told.value.cause


async def test_what_is_wrong_with_the_store_is_said(tmp_path):
    """The cause and the hint come through the process."""
    configuration = write_site(tmp_path)
    with pytest.raises(FieldwardenError) as told:
        await assess(configuration, TASK, lambda _: None)
    assert "start the agent once" in told.value.hint


def test_the_command_says_the_same_by_hand(site, tmp_path):
    """Without an agent, from the store; a table, or JSON."""
    file = tmp_path / "change.toml"
    file.write_text('text = "t"\nwho = "w"\n[tags.t1]\nunit = "degF"\n')
    config = str(Path(site.gateway.state_directory).parent / "config.toml")
    arguments = ["change", "assess", config, "--file", str(file)]
    shown = CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    assert "soft has another verdict in 9" in " ".join(shown.output.split())
    assert "process data <data@plant.example>" in shown.output
    assert "a map undoes it: t1: factor 0.5555" in shown.output
    told = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["models"]["soft"]["version"] == "3"
    dry = CliRunner().invoke(cli, ["change", "propose", config, str(file), "--dry-run"],
                             catch_exceptions=False)  # fmt: skip
    assert "model soft 3, of process data <data@plant.example>" in dry.output
    assert "model other is given y of these" in dry.output
