"""A gateway whose clock is wrong, and set, in the middle of everything (libfaketime)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.programs import needed, program

LIBRARY = program("libfaketime")
HOUR_S = 3600
YEARS_S = 14 * 365 * 86_400
NS = 1_000_000_000
STOPPED_S = 12  # longer than a verdict of this model is valid


class WallClock:
    """The wall clock of the agent alone; CLOCK_MONOTONIC and CLOCK_BOOTTIME stay true."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall-clock"
        self.ahead_s = 0
        self.environment = {
            "LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip

    def set(self, ahead_s: int) -> None:
        self.ahead_s = ahead_s
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+d}\n", encoding="ascii")
        fresh.replace(self._file)

    def reads_ns(self, time_ns: int | None) -> bool:
        """Whether it is about this late now by it."""
        return abs((time_ns or 0) - time.time_ns() - self.ahead_s * NS) < 15 * NS


@pytest.mark.slow
@needed("libfaketime")
def test_times_follow_a_clock_that_is_set_and_the_dead_are_never_trusted(site):
    """2040, then true, an hour on, two back; kill -9 while trusted in 2040 and in 1970: what is
    told is right by the clock of then, a working agent is not said to stand still, and a dead one's
    verdict is not trusted, whatever the clock says when somebody asks.
    """
    clock = WallClock(site.folder)
    site.start_plant()

    def right():
        now, model = site.live(), site.model()
        return clock.reads_ns(now.get("time_ns")) and clock.reads_ns(model.get("valid_until_ns"))

    def start(ahead_s):
        clock.set(ahead_s)
        site.start_agent(clock.environment)
        site.wait(f"right times from {ahead_s:+d} s on", right)

    def trusted():
        stored = site.stored()
        return stored.get("boot", 0) > known_boot and stored["models"][0]["verdict"] == "trusted"

    start(YEARS_S)
    assert site.live()["time_quality"] == "implausible"
    for ahead_s in (0, HOUR_S, -HOUR_S):
        scans = site.wait("scans", lambda: site.model().get("scans"))
        clock.set(ahead_s)
        site.wait(f"right times at {ahead_s:+d} s", right)
        known = site.status()
        assert known["running"]
        assert known["age_s"] < 60
        # it went on, and did not begin anew
        assert site.wait("scans", lambda: site.model().get("scans")) >= scans
    known_boot = 0
    for ahead_s in (YEARS_S, -int(time.time()) + 60):
        clock.set(ahead_s)
        site.wait("trust on disk", trusted)
        site.kill_agent()
        time.sleep(STOPPED_S)
        dead = site.status()
        assert not dead["running"]
        assert dead["models"][0]["verdict"] == "unassessable"
        assert dead["models"][0]["last_known"]["verdict"] == "trusted"
        known_boot = dead["boot"]
        start(0)
    assert site.stop_agent() == 0
    with site.reader() as reader:
        sequences = [entry.sequence for entry in reader.journal(1)]
        assert sequences == list(range(1, reader.counters()["last_sequence"] + 1))
    sets = [one["data"]["shift_ns"] / NS for one in site.events("clock")]
    assert min(sets) < -YEARS_S + 1000
    assert max(sets) > YEARS_S - 1000
