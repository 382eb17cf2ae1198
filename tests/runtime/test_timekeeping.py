"""The time of a run that begins, and of the status that it shows."""

from __future__ import annotations

import asyncio

import pytest

from agent.clock import AWAY_NS, EARLIEST_NS, Clocks, EngineClock
from agent.configuration.schema import Configuration
from agent.core.steward import Steward
from agent.intake import Intake
from agent.runtime import timekeeping
from agent.runtime.document import Surroundings, status_document
from agent.types import Command
from tests.core.small import SECOND, block, normal, spec
from tests.runtime.test_document import CONFIGURATION

NOW = EARLIEST_NS + 7_000_000 * SECOND


def clocks(wall_ns=NOW, boottime_ns=1000 * SECOND, kernel="kernel", *, told=False):
    return Clocks(lambda: wall_ns, lambda: boottime_ns, lambda: kernel, lambda: told)


def ended(**facts):
    """An engine whose last run ended at CLOCK_BOOTTIME 900 s of the kernel, by the true clock."""
    engine = Steward(spec())
    at = NOW - 100 * SECOND
    boot = {"boot": 1, "boot_id": "kernel", "offset_ns": at - 900 * SECOND} | facts
    engine.step(Command(1, at, "boot", boot))
    return engine


@pytest.mark.parametrize("ahead_s", [0, -86_400, 3600, 14 * 365 * 86_400])
def test_the_gap_between_two_runs_is_that_of_the_kernel(ahead_s):
    """As long as it runs on, it is known, whatever the wall clock was set to meanwhile."""
    engine = ended()
    clock = timekeeping.clock_after(engine, clocks(NOW + ahead_s * SECOND))
    facts = timekeeping.boot_facts(engine, clock, 2)
    assert facts["away_ns"] == 100 * SECOND
    engine.step(Command(2, clock.now_ns(), "boot", facts))
    assert engine.time_ns == NOW + ahead_s * SECOND
    assert engine.timeline.offset_ns == engine.time_ns - 1000 * SECOND


@pytest.mark.parametrize(
    "later", [clocks(kernel="another"), clocks(kernel=""), clocks(boottime_ns=5 * SECOND)]
)
def test_after_a_start_of_the_machine_the_gap_is_not_known(later):
    """Another run of the kernel, or one that can not be the same."""
    engine = ended()
    clock = timekeeping.clock_after(engine, later)
    assert timekeeping.boot_facts(engine, clock, 2)["away_ns"] is None


def test_a_clock_behind_a_time_that_was_sure_is_implausible_until_it_is_synchronised():
    """A day back after a flat battery; where NTP says so, it is right all the same."""
    engine = ended(quality="synchronised")
    day_before = NOW - 86_400 * SECOND
    assert timekeeping.clock_after(engine, clocks(day_before)).quality == "implausible"
    sure = timekeeping.clock_after(engine, clocks(day_before, told=True))
    assert sure.quality == "synchronised"


def test_the_status_says_how_long_it_holds_in_real_time():
    """By CLOCK_BOOTTIME of the kernel that it names, beside the times that people read."""
    engine = Steward(spec())
    rows = block(normal(20))
    engine.step(rows)
    facts = {"quality": "unsynchronised", "boot_id": "kernel", "offset_ns": 77}
    engine.step(Command(2, engine.time_ns, "clock", facts))
    document = status_document(
        Configuration.model_validate(CONFIGURATION), engine, Surroundings(1, 0, [], {}, {}, {}),
        history=False,
    )
    assert document["time_quality"] == "unsynchronised"
    assert document["boot_id"] == "kernel"
    assert document["boottime_ns"] == engine.time_ns - 77
    model = document["models"][0]
    assert model["valid_until_boottime_ns"] == model["valid_until_ns"] - 77


async def test_the_heartbeat_tells_a_process_that_stood_still_from_a_silent_plant(monkeypatch):
    """Nothing arrives for long: no gap while it beats; one where it did not."""
    monkeypatch.setattr(timekeeping, "_HEARTBEAT_S", 0.001)
    moment = [1000 * SECOND]
    turning = Clocks(lambda: NOW + moment[0], lambda: moment[0], lambda: "kernel", lambda: False)
    intake = Intake(EngineClock(clocks=turning))
    beating = asyncio.create_task(timekeeping.heartbeat(intake))
    for _ in range(20):
        moment[0] += AWAY_NS // 2
        await asyncio.sleep(0.02)
    assert len(intake.seal(1).entries) == 1
    moment[0] += 3 * AWAY_NS
    await asyncio.sleep(0.05)
    gap, _ = intake.seal(2).entries
    assert gap.data["away_ns"] >= 3 * AWAY_NS - SECOND
    beating.cancel()
