"""What models are told, of a real engine; and the files that hold it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent import clock
from agent.client import verdict, verdict_file
from agent.configuration.schema import Configuration
from agent.core.steward import Steward
from agent.errors import FieldwardenError
from agent.runtime.baseline_watch import looked_at
from agent.runtime.model_answers import ModelAnswers
from agent.runtime.verdict_files import VerdictFiles
from agent.types import Command
from tests.core import small
from tests.core.small import SECOND, START
from tests.runtime.test_document import CONFIGURATION
from tests.waiting import until


def guarding(trained=None):
    """(an agent after 20 s of noise, its answers)."""
    engine = Steward(small.spec(trained=trained or small.baseline(joint=True)))
    facts = {"boot": 1, "quality": "synchronised", "boot_id": clock.boot_id()}
    offset = START + 20 * SECOND - clock.boottime_ns()
    engine.step(Command(1, START - SECOND, "boot", facts | {"offset_ns": offset}))
    engine.step(small.block(small.normal(20), sequence=2))
    agent = SimpleNamespace(
        configuration=Configuration.model_validate(CONFIGURATION), engine=engine, trouble={}
    )
    return agent, ModelAnswers(agent, 7)


def test_a_verdict_is_of_the_last_fold_and_says_by_which_clock_it_holds():
    """One document for file and API; another after the next fold; none of a model that is none."""
    agent, answers = guarding()
    told = answers.verdict("m")
    assert (told["verdict"], told["reasons"], told["causes"]) == ("trusted", [], [])
    assert (told["sequence"], told["boot"], told["baseline_hash"]) == (2, 7, "d" * 64)
    assert told["boot_id"] == clock.boot_id()
    assert abs(told["boottime_ns"] - clock.boottime_ns()) < 60 * SECOND
    assert told["fresh_until_boottime_ns"] - told["boottime_ns"] == 5 * SECOND
    holds_ns = told["valid_until_boottime_ns"] - told["boottime_ns"]
    assert 9 * SECOND <= holds_ns <= 10 * SECOND
    assert told["process"]["pid"] == os.getpid()
    assert answers.verdict("m") is told
    agent.engine.step(small.block(np.full((5, 3), np.nan), start=20, sequence=3))
    assert answers.verdict("m")["sequence"] == 3
    assert answers.verdict("other") is answers.inputs("other") is None
    assert answers.check("other", [{}], None) is None


def test_while_nothing_can_be_stored_no_verdict_is_given():
    """What was told then could not be shown afterwards; it is back with the store."""
    agent, answers = guarding()
    assert answers.verdict("m")["verdict"] == "trusted"
    agent.trouble = {"text": "committing to x.db: it is full", "hint": "free space"}
    told = answers.verdict("m")
    assert (told["verdict"], told["reasons"][0]["kind"]) == ("unassessable", "not stored")
    assert "it is full" in told["reasons"][0]["text"]
    agent.trouble = {}
    assert answers.verdict("m")["verdict"] == "trusted"


def test_a_baseline_that_was_replaced_takes_the_trust_until_it_is_taken_back():
    """Journaled, so that a replay says the same; other models are left alone."""
    agent, answers = guarding()
    time_ns = START + 21 * SECOND
    replaced = {"model": "m", "replaced": True}
    events = agent.engine.step(Command(3, time_ns, "baseline", replaced)).events
    assert [event.data["verdict"] for event in events] == ["untrusted"]
    told = answers.verdict("m")
    assert (told["causes"], told["reasons"][0]["kind"]) == (["model"], "baseline replaced")
    again = Steward(agent.engine.spec)
    again.resume(agent.engine.snapshot())
    for engine in (agent.engine, again):
        restored = Command(4, time_ns, "baseline", {"model": "m", "replaced": False})
        assert [e.data["verdict"] for e in engine.step(restored).events] == ["trusted"]
    other = Steward(small.spec(trained=small.baseline(digest="e" * 64)))
    agent.engine.step(Command(5, time_ns, "baseline", replaced))
    other.resume(agent.engine.snapshot())
    assert other.judge.worth.replaced == set()  # the new one is in force


def test_the_inputs_are_what_the_model_may_use():
    """In its order; nothing to use of what is silent, out of service, or bad."""
    agent, answers = guarding()
    found = answers.inputs("m")
    assert [one["tag"] for one in found] == ["a", "b", "c"]
    assert all(one["usable"] and one["value"] == one["latest"] for one in found)
    assert found[0]["unit"] == "degC" and found[0]["in_trained_range"] is True
    rows = small.normal(8, seed=3)
    rows[:, 2] = np.nan
    rows[-1, 0] = 5000.0  # beyond the physical range
    agent.engine.step(small.block(rows, start=20, sequence=3))
    out = {"tag": "b", "by": "Mara"}
    agent.engine.step(Command(4, START + 28 * SECOND, "out_of_service", out))
    a, b, c = answers.inputs("m")
    assert (a["value"], a["usable"]) == (None, False)
    assert (b["value"], b["usable"], b["latest"]) == (None, False, rows[-1, 1])
    assert (c["value"], c["usable"], "stale" in c["quality_names"]) == (None, False, True)
    assert c["age_s"] >= 8.0


def test_any_vector_is_answered_and_changes_nothing():
    """Within, outside, impossible, incomplete; not one bit of the engine moves."""
    agent, answers = guarding()
    before = agent.engine.snapshot()
    vectors = [
        {"a": 1.0, "b": 0.0, "c": -1.0}, {"a": 1.0, "b": 9.0, "c": 0.0},
        {"a": 1e9, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": None}, {},
    ]  # fmt: skip
    found = answers.check("m", vectors, None)
    assert agent.engine.snapshot() == before
    results = found["results"]
    overall = ["within", "extrapolating", "extrapolating", "unknown", "unknown"]
    assert [one["overall"] for one in results] == overall
    assert "b = 9 degC is above its trained range" in results[1]["reasons"][0]
    assert any("above its physical range" in reason for reason in results[2]["reasons"])
    assert results[2]["inputs"][0]["in_physical_range"] is False
    assert "b is not judged: no value" in results[3]["reasons"]
    assert results[0]["joint"]["within"] is True and results[3]["joint"]["within"] is None
    json.dumps(found, allow_nan=False)


def test_a_vector_that_is_none_of_the_model_is_refused_with_what_to_send():
    """A mistyped input, a mode that is not there, more than is answered at once."""
    _, answers = guarding()
    with pytest.raises(FieldwardenError, match="none of its inputs"):
        answers.check("m", [{"aa": 1.0}], None)
    with pytest.raises(FieldwardenError, match="no such mode"):
        answers.check("m", [{"a": 1.0}], "night")
    with pytest.raises(FieldwardenError, match="too many"):
        answers.check("m", [{}] * 1000, None)


# --- files ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def writing(folder: Path, told):
    """The files' part, running; `folded` has it write."""
    files = VerdictFiles(folder, lambda: told)
    task = asyncio.create_task(files.run())
    files.folded()
    try:
        yield files, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_files_come_with_the_fold_and_go_with_the_process_and_the_model(tmp_path):
    """What a run before left goes at once; a model that is gone takes its file along."""
    _, answers = guarding()
    folder = tmp_path / "verdicts"
    folder.mkdir()
    left = verdict_file(folder, "old")
    left.write_text("{}")
    told = {"m": answers.verdict("m"), "n": {**answers.verdict("m"), "model": "n"}}
    async with writing(folder, told) as (files, _):
        await until(lambda: verdict("m", tmp_path).trusted and verdict("n", tmp_path).trusted)
        assert not left.exists()
        del told["n"]
        files.folded()
        await until(lambda: not verdict_file(folder, "n").exists())
        async with writing(folder, told) as (_, second):  # another agent of the same folder
            with pytest.raises(FieldwardenError, match="another process"):
                await second
        assert verdict("m", tmp_path).trusted
    assert "no such file" in verdict("m", tmp_path).reason.lower()


async def test_what_can_not_be_replaced_is_not_left_to_be_trusted(tmp_path):
    """The new verdict finds no place: the old one goes, and comes back when there is room."""
    _, answers = guarding()
    told = {"m": answers.verdict("m")}
    folder = tmp_path / "verdicts"
    async with writing(folder, told) as (files, task):
        await until(lambda: verdict("m", tmp_path).trusted)
        blocked = folder / f".{verdict_file(folder, 'm').name}.new"
        blocked.mkdir()
        files.folded()
        with pytest.raises(FieldwardenError, match="writing verdicts"):
            await task
        assert not verdict("m", tmp_path).trusted
        blocked.rmdir()
    async with writing(folder, told):
        await until(lambda: verdict("m", tmp_path).trusted)


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path):
    """Missing says nothing; what is no baseline is another one than any."""
    path = tmp_path / "m.json"
    assert looked_at({"m": path}, {}) == {}
    path.write_text("{}")
    (seen,) = looked_at({"m": path}, {}).items()
    assert seen[1][1] is None
    marked = {seen[0]: (seen[1][0], "digest")}
    assert looked_at({"m": path}, marked) == marked
    path.write_text("{ }")
    assert looked_at({"m": path}, marked)[seen[0]][1] is None
