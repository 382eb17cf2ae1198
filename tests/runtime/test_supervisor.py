"""A part that fails is started again, counted and told; nothing else stops for it."""

from __future__ import annotations

import asyncio

import pytest

from agent.errors import FieldwardenError
from agent.runtime import supervisor as module
from agent.runtime.supervisor import Supervisor
from tests.waiting import until


@pytest.fixture
def supervisor(monkeypatch):
    monkeypatch.setattr(module.Backoff, "next_s", lambda _self: 0.001)
    return Supervisor(lambda: 42)


async def test_a_part_that_raises_is_started_again(supervisor, caplog):
    """Each failure counts; the reason stands in the report; the log says it once."""
    begun = 0

    async def part():
        nonlocal begun
        begun += 1
        if begun <= 5:
            raise KeyError("x")
        await asyncio.Event().wait()

    task = asyncio.create_task(supervisor.run("uplink", part))
    await until(lambda: begun == 6)
    (told,) = supervisor.report()
    assert told == {"name": "uplink", "state": "unsteady", "restarts": 5,
                    "reason": "KeyError: 'x'", "since_ns": 42}  # fmt: skip
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1 and "uplink failed" in errors[0].getMessage()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_was_foreseen_is_told_with_its_hint_and_no_traceback(supervisor, caplog):
    """As a port that is taken; what nobody foresaw has one, for those who mend the program."""
    supervisor.failed("page", FieldwardenError("opening", "the page", "in use", "take another"))
    supervisor.failed("engine", KeyError("x"))
    foreseen, other = caplog.records
    assert "opening the page: in use; hint: take another" in foreseen.getMessage()
    assert foreseen.exc_info is None and other.exc_info is not None
    assert [one["reason"] for one in supervisor.report()] == ["KeyError: 'x'", "in use"]


async def test_a_part_that_ends_by_itself_is_done(supervisor):
    """Where there is no watchdog its part has nothing to do."""

    async def part():
        return

    await supervisor.run("watchdog", part)
    assert supervisor.report() == []


def test_a_call_that_fails_gives_what_was_to_be_given_instead(supervisor):
    """It counts until the next one that does not fail."""

    def bad():
        raise RecursionError

    assert supervisor.call("status document", bad, {"old": 1}) == {"old": 1}
    assert supervisor.report()[0]["state"] == "failing"
    assert supervisor.call("status document", lambda: {"new": 1}, {}) == {"new": 1}
    assert supervisor.report()[0]["state"] == "unsteady"
