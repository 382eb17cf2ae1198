"""The intake: cuts, order, times, limits and callbacks."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import EngineClock, monotonic_ns
from agent.intake import INTAKE_FULL, Intake
from agent.types import Block, Command

START_NS = 1_000_000_000


class StillClock(EngineClock):
    """A clock that stands, or moves as it is told: the hardest case for order."""

    def __init__(self) -> None:
        self.time_ns = START_NS

    def now_ns(self) -> int:
        return self.time_ns

    def look(self) -> None:
        """Nobody sets it."""

    def stood_still_ns(self) -> int:
        return 0


def columns(numbers):
    values = np.asarray(numbers, np.float64)
    return (
        np.arange(len(values), dtype=np.int32),
        np.full(len(values), 7, np.int64),
        values,
        np.zeros(len(values), np.uint16),
    )


def append(intake, numbers, **more):
    return intake.append(*columns(numbers), **more)


def check_invariants(entries, first_sequence, start_ns=0):
    """What `agent.types` promises about blocks, for a run of entries."""
    horizon = start_ns
    for position, entry in enumerate(entries):
        assert entry.sequence == first_sequence + position
        if isinstance(entry, Block):
            assert np.all(np.diff(entry.arrival_ns) >= 0)
            assert np.all(entry.arrival_ns < entry.sealed_ns)
            assert np.all(entry.arrival_ns >= horizon)
            assert len(entry.tag) == len(entry.source_ns) == len(entry.value) == len(entry.quality)
        assert entry.sealed_ns >= horizon
        horizon = entry.sealed_ns
    return horizon


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 9)),
        st.tuples(st.just("command"), st.integers(0, 0)),
        st.tuples(st.just("seal"), st.integers(0, 0)),
        st.tuples(st.just("clock"), st.integers(-5, 5)),
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_any_history_keeps_order_time_and_every_sample(steps, max_samples):
    """Whatever is appended, commanded and sealed: nothing is lost, reordered or mistimed."""
    clock = StillClock()
    intake = Intake(clock, max_samples=max_samples, max_pending=10_000)
    numbers = itertools.count()
    sent, entries, horizon, sequence = [], [], 0, 5
    for kind, amount in [*steps, ("seal", 0)]:
        if kind == "append":
            values = [float(next(numbers)) for _ in range(amount)]
            assert append(intake, values) == amount
            sent += values
        elif kind == "command":
            name = f"c{next(numbers)}"
            assert intake.command("text", {"text": name})
            sent.append(name)
        elif kind == "clock":
            clock.time_ns += amount  # also backwards: the intake must not follow
        else:
            batch = intake.seal(sequence)
            assert isinstance(batch.entries[-1], Block), "a batch ends with a block"
            horizon = check_invariants(batch.entries, sequence, horizon)
            sequence = batch.next_sequence
            entries += batch.entries
    received = []
    for entry in entries:
        if isinstance(entry, Command):
            received.append(entry.data["text"])
        else:
            assert len(entry) <= max_samples
            received += entry.value.tolist()
    assert received == sent
    assert intake.received == intake.sealed_samples and intake.pending == 0


def test_one_call_has_one_arrival_time_and_calls_differ():
    """All samples of a call share its arrival time; the next call is later, the clock standing."""
    intake = Intake(StillClock())
    append(intake, [1, 2, 3])
    append(intake, [4])
    (block,) = intake.seal(1).entries
    assert block.arrival_ns.tolist() == [START_NS, START_NS, START_NS, START_NS + 1]
    assert block.sealed_ns == START_NS + 2


def test_arrival_time_can_be_given_but_not_go_back():
    """A given arrival time counts, unless something later was already taken."""
    intake = Intake(StillClock())
    append(intake, [1], arrival_ns=5_000)
    append(intake, [2], arrival_ns=4_000)
    (block,) = intake.seal(1).entries
    assert block.arrival_ns.tolist() == [5_000, 5_001]


def test_no_source_time_means_the_arrival_time():
    """Sources without time of their own hand over None or 0, and get the time of arrival."""
    intake = Intake(StillClock())
    tag, _, value, quality = columns([1, 2])
    intake.append(tag, None, value, quality)
    intake.append(tag, np.array([0, 7]), value, quality)
    (block,) = intake.seal(1).entries
    assert block.source_ns.tolist() == [START_NS, START_NS, START_NS + 1, 7]


def test_columns_are_copied_both_ways():
    """A source may reuse its buffers, and a sealed block never changes afterwards."""
    intake = Intake(StillClock())
    tag, source_ns, value, quality = columns([1, 2])
    intake.append(tag, source_ns, value, quality)
    value[:] = 99
    (block,) = intake.seal(1).entries
    append(intake, [3, 4])
    assert block.value.tolist() == [1, 2]


def test_full_intake_drops_the_newest_and_counts_them():
    """Beyond max_pending the newest of the call are dropped, counted by source and reason."""
    intake = Intake(StillClock(), max_pending=5)
    assert append(intake, [1, 2, 3], source="a") == 3
    assert append(intake, [4, 5, 6], source="b") == 2
    assert append(intake, [7], source="b") == 0
    assert intake.dropped == {("b", INTAKE_FULL): 2}
    (block,) = intake.seal(1).entries
    assert block.value.tolist() == [1, 2, 3, 4, 5]
    assert intake.received == intake.sealed_samples + intake.pending + sum(intake.dropped.values())
    assert append(intake, [8], source="b") == 1


def test_commands_are_limited_too():
    """A flood of commands is refused and counted; those before it stay."""
    intake = Intake(StillClock(), max_commands=2)
    assert intake.command("text", {"n": 1}) and intake.command("text", {"n": 2})
    assert not intake.command("text", {"n": 3})
    assert intake.dropped["text", INTAKE_FULL] == 1
    assert [e.data["n"] for e in intake.seal(1).entries if isinstance(e, Command)] == [1, 2]


def test_a_command_keeps_its_place_and_cuts_a_block():
    """Samples before a command are sealed before it, samples after it come after."""
    intake = Intake(StillClock())
    append(intake, [1])
    intake.command("source_state", {"source": "a", "state": "failed"})
    append(intake, [2])
    before, command, after = intake.seal(10).entries
    assert before.value.tolist() == [1] and after.value.tolist() == [2]
    assert command == Command(
        11, command.sealed_ns, "source_state", {"source": "a", "state": "failed"}
    )
    assert before.sealed_ns <= command.sealed_ns <= after.arrival_ns[0]


def test_callbacks_come_once_with_the_batch_that_holds_their_data():
    """`committed` tells exactly those whose samples or commands are in the batch."""
    intake, told = Intake(StillClock(), max_pending=1), []
    append(intake, [1], on_commit=lambda: told.append("sample"))
    append(intake, [2], on_commit=lambda: told.append("dropped"))
    intake.command("text", {}, on_commit=lambda: told.append("command"))
    batch = intake.seal(1)
    append(intake, [3], on_commit=lambda: told.append("later"))
    assert told == []
    batch.committed()
    assert told == ["sample", "dropped", "command"]
    intake.seal(batch.next_sequence).committed()
    assert told[3:] == ["later"]


async def test_age_elapses_without_samples():
    """Nothing arrives: an empty block still comes, not before its age."""
    intake = Intake(EngineClock(), max_age_ns=60_000_000)
    started = monotonic_ns()
    (tick,) = (await intake.sealed(1)).entries
    assert len(tick) == 0 and tick.sequence == 1
    assert 50_000_000 < monotonic_ns() - started < 2_000_000_000
    (second,) = (await intake.sealed(2)).entries
    assert second.sealed_ns - tick.sealed_ns > 50_000_000


async def test_size_seals_before_the_age():
    """A full batch does not wait."""
    intake = Intake(EngineClock(), max_samples=4, max_age_ns=60_000_000_000)
    waiting = asyncio.create_task(intake.sealed(1))
    await asyncio.sleep(0)
    append(intake, [1, 2])
    await asyncio.sleep(0.01)
    assert not waiting.done()
    append(intake, [3, 4, 5])
    batch = await asyncio.wait_for(waiting, 2)
    assert np.concatenate([block.value for block in batch.entries]).tolist() == [1, 2, 3, 4, 5]
    assert all(len(block) <= 4 for block in batch.entries)


async def test_cancelled_wait_loses_nothing():
    """A wait that is cancelled (shutdown) leaves all samples for the final seal."""
    intake = Intake(EngineClock(), max_age_ns=60_000_000_000)
    waiting = asyncio.create_task(intake.sealed(1))
    append(intake, [1, 2])
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert intake.seal(1).entries[0].value.tolist() == [1, 2]


def test_growth_keeps_what_was_there():
    """More samples than the first capacity arrive in order."""
    intake = Intake(StillClock(), max_samples=100_000)
    for start in range(0, 5_000, 500):
        append(intake, np.arange(start, start + 500))
    (block,) = intake.seal(1).entries
    assert np.array_equal(block.value, np.arange(5_000))
