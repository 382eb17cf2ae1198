"""The running agent's time: the clock of a run that begins, and the heartbeat of its process."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from agent.clock import Clocks, EngineClock
from agent.core.engine import Engine
from agent.intake import Intake
from agent.types import TimeQuality

_HEARTBEAT_S: Final = 1.0


def clock_after(engine: Engine, clocks: Clocks | None = None) -> EngineClock:
    """Engine time of a run that goes on where `engine` ended."""
    sure = engine.time_quality is TimeQuality.SYNCHRONISED
    return EngineClock(engine.time_ns if sure else 0, clocks)


def boot_facts(engine: Engine, clock: EngineClock, boot: int) -> dict[str, Any]:
    """The data of the command ``boot``; see `agent.core.timeline`.

    For how long nobody watched is known where the kernel is still the same: its CLOCK_BOOTTIME ran
    on, whatever became of the wall clock.
    """
    known = engine.timeline
    away_ns: int | None = None
    if engine.time_ns and known.boot_id and known.boot_id == clock.boot_id:
        passed_ns = clock.boottime_ns() - (engine.time_ns - known.offset_ns)
        away_ns = passed_ns if passed_ns >= 0 else None
    return {"boot": boot, "away_ns": away_ns} | clock.facts()


async def heartbeat(intake: Intake) -> None:
    """Say every second that the process runs, until cancelled."""
    while True:
        await asyncio.sleep(_HEARTBEAT_S)
        intake.alive()
