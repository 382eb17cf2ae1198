"""Engine time: it follows the wall clock, steps only where that was set, and never by noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import AWAY_NS, EARLIEST_NS, LATEST_NS, Clocks, EngineClock, boot_id, boottime_ns
from agent.intake import Intake
from agent.types import Block, Command, TimeQuality

SECOND = 1_000_000_000
WALL = EARLIEST_NS + 1000 * SECOND


@dataclass
class Hands:
    """A wall clock and a CLOCK_BOOTTIME to turn by hand; both run, one may be set."""

    wall_ns: int = WALL
    boottime_ns: int = 50 * SECOND
    told: bool | None = False
    clocks: Clocks = field(init=False)

    def __post_init__(self) -> None:
        self.clocks = Clocks(lambda: self.wall_ns, lambda: self.boottime_ns, lambda: "kernel",
                             lambda: self.told)

    def run(self, ns: int) -> None:
        self.wall_ns += ns
        self.boottime_ns += ns


def test_the_machine_has_these_clocks():
    """The kernel's boot id is a name, and CLOCK_BOOTTIME moves on."""
    first = boottime_ns()
    assert 0 < first <= boottime_ns()
    assert boot_id() == boot_id()
    assert EngineClock().look() is None or EngineClock().quality in TimeQuality


MOVES = st.lists(
    st.tuples(st.sampled_from(["run", "drift", "set"]), st.integers(-(10**12), 10**12)), max_size=40
)


@given(MOVES)
@settings(max_examples=200, deadline=None)
def test_engine_time_steps_only_where_the_wall_clock_was_set(moves):
    """Between two looks it never steps, and is off the real span by 1/1000 at most; after a look it
    is within a second of the wall clock; what is told sums up to what it stepped.
    """
    hands = Hands()
    clock = EngineClock(clocks=hands.clocks)
    for kind, amount in moves:
        before, start = clock.now_ns(), hands.boottime_ns
        if kind == "run":
            hands.run(abs(amount))
            passed = hands.boottime_ns - start
            assert abs(clock.now_ns() - before - passed) <= passed // 1000 + 1
        else:
            hands.wall_ns += amount if kind == "set" else amount % SECOND - SECOND // 2
        before = clock.now_ns()
        told = clock.look()
        assert clock.now_ns() - before == (told.shift_ns if told else 0)
        assert abs(hands.wall_ns - clock.now_ns()) < SECOND
        if told:
            assert told.before_ns == before
            offset = told.facts["offset_ns"]
            assert offset == clock.now_ns() - hands.boottime_ns


def test_a_small_difference_is_slewed_and_told_once_it_sums_up_to_a_second():
    """Half a second is gone after 500 s, in steps that nobody sees; two of them are told."""
    hands, told = Hands(), []
    clock = EngineClock(clocks=hands.clocks)
    for _ in range(4):
        hands.wall_ns += SECOND // 2
        for _ in range(600):
            hands.run(SECOND)
            told.append(clock.look())
        assert clock.now_ns() == hands.wall_ns
    assert [one.shift_ns for one in told if one] == [0, 0]


def test_a_process_that_was_held_up_between_two_clocks_does_not_step():
    """Stopped after it read one clock and before the other, it reads both again."""
    hands, reads = Hands(), iter([0, 400 * SECOND])

    def slow_wall():
        hands.run(next(reads, 0))
        return hands.wall_ns - 0

    clock = EngineClock(clocks=hands.clocks)
    clock._clocks = Clocks(slow_wall, lambda: hands.boottime_ns, lambda: "kernel", lambda: False)
    next(reads)
    assert clock.look() is None
    assert clock.now_ns() == hands.wall_ns


@pytest.mark.parametrize(
    ("wall_ns", "told", "trusted_ns", "quality"),
    [
        (WALL, True, 0, "synchronised"), (WALL, False, 0, "unsynchronised"),
        (WALL, None, 0, "unknown"), (5 * SECOND, True, 0, "implausible"),
        (LATEST_NS + SECOND, False, 0, "implausible"), (WALL, False, WALL + 1, "implausible"),
        (WALL, True, WALL + 1, "synchronised"),
    ],
)
def test_quality_of_time(wall_ns, told, trusted_ns, quality):
    """What the kernel says, unless the date can not be, or lies before a time that was sure."""
    hands = Hands(wall_ns=wall_ns, told=told)
    assert EngineClock(trusted_ns, hands.clocks).quality == quality


def test_a_change_of_quality_alone_is_told():
    """NTP came, and the clock was right: told once, without a shift."""
    hands = Hands()
    clock = EngineClock(clocks=hands.clocks)
    hands.told = True
    told = clock.look()
    assert (told.shift_ns, told.facts["quality"]) == (0, "synchronised")
    assert clock.look() is None


# --- what the intake makes of it --------------------------------------------------------------


def taken(intake, values):
    count = len(values)
    intake.append(np.arange(count, dtype=np.int32), None, np.array(values, np.float64),
                  np.zeros(count, np.uint16))


STEPS = st.lists(
    st.tuples(st.sampled_from(["samples", "run", "set", "stop", "seal", "command"]),
              st.integers(-5000, 5000)),
    max_size=40,
)


@given(STEPS, st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_times_step_only_at_a_clock_command(steps, most):
    """However clocks are set and the process stopped: between two clock commands times do not
    decrease, each says by how much the times before it are off, and no sample is lost.
    """
    hands = Hands()
    intake = Intake(EngineClock(clocks=hands.clocks), max_samples=most, max_pending=10_000)
    entries, sent = [], 0
    for kind, amount in [*steps, ("seal", 0)]:
        match kind:
            case "samples":
                taken(intake, [float(sent + i) for i in range(abs(amount) % 9)])
                sent += abs(amount) % 9
            case "run":
                hands.run(abs(amount) * 1_000_000)
            case "set":
                hands.wall_ns += amount * SECOND
            case "stop":
                hands.run(AWAY_NS + abs(amount) * SECOND)
            case "command":
                intake.command("text", {})
            case _:
                entries += intake.seal(1 + len(entries)).entries
    time_ns = 0
    for entry in entries:
        if isinstance(entry, Command) and entry.kind == "clock":
            before = entry.sealed_ns - entry.data["shift_ns"] - entry.data["away_ns"]
            assert before >= time_ns
        elif isinstance(entry, Block):
            times = np.array([time_ns, *entry.arrival_ns, entry.sealed_ns])
            assert (np.diff(times) >= 0).all()
        if not (isinstance(entry, Command) and entry.kind == "clock"):
            assert entry.sealed_ns >= time_ns
        time_ns = entry.sealed_ns
    values = [v for e in entries if isinstance(e, Block) for v in e.value.tolist()]
    assert values == [float(i) for i in range(sent)]
    told = [e.data for e in entries if isinstance(e, Command) and e.kind == "clock"]
    assert intake.shifted_ns == sum(one["shift_ns"] for one in told)


def test_a_standstill_is_told_before_what_waited_meanwhile():
    """SIGSTOP for minutes: the gap comes before the samples that waited in the sockets."""
    hands = Hands()
    intake = Intake(EngineClock(clocks=hands.clocks))
    taken(intake, [1.0])
    hands.run(300 * SECOND)
    taken(intake, [2.0])
    before, gap, after = intake.seal(1).entries
    assert gap.kind == "clock"
    assert 299 * SECOND < gap.data["away_ns"] <= 300 * SECOND
    assert before.sealed_ns < gap.sealed_ns - 299 * SECOND
    assert (before.value.tolist(), after.value.tolist()) == ([1.0], [2.0])


def test_a_time_of_before_the_clock_was_set_back_is_not_ahead():
    """A source that noted when a poll began, and hands it over after: it arrives now."""
    hands = Hands()
    clock = EngineClock(clocks=hands.clocks)
    intake = Intake(clock)
    noted = intake.now_ns()
    hands.wall_ns -= 3600 * SECOND
    intake.seal(1)
    intake.append(np.zeros(1, np.int32), None, np.ones(1), np.zeros(1, np.uint16),
                  arrival_ns=noted)
    (block,) = intake.seal(3).entries
    assert abs(int(block.arrival_ns[0]) - hands.wall_ns) < SECOND
