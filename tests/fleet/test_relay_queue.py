"""The relay's queue by itself: whatever dies at whatever moment, each message is sent, in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from agent.configuration.relay import Relay
from agent.fleet import relay_queue as queue
from agent.fleet.schema import RELAY, RELAY_TARGET
from tests.fleet.test_relay import Event

RELAY_TABLE = Relay(name="desk", url="https://desk.example/")
SPAN = timedelta(seconds=10)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 4)),
        st.tuples(st.just("later"), st.integers(1, 12)),
        # a front takes the lease, sends some of what waits, and says so, or dies before
        st.tuples(
            st.just("send"), st.sampled_from(["first", "second"]), st.integers(0, 5),
            st.lists(st.sampled_from(["taken", "refused"]), min_size=5, max_size=5),
            st.booleans(),
        ),
        st.tuples(st.just("release"), st.sampled_from(["first", "second"])),
    ),
    max_size=25,
)  # fmt: skip


class World:
    """What a target saw, beside what the queue should hold."""

    def __init__(self, database):
        self.database, self.now = database, BEGIN
        self.put_so_far = 0
        self.saw: list[int] = []
        self.taken: set[int] = set()
        self.dead: set[int] = set()
        self.until = {"first": BEGIN, "second": BEGIN}

    def put(self, count):
        events = [Event(self.put_so_far + one) for one in range(1, count + 1)]
        self.put_so_far += count
        with self.database.writing() as connection:
            assert queue.Queue([RELAY_TABLE]).put(connection, events, self.now) == count

    def later(self, seconds):
        self.now += timedelta(seconds=seconds)

    def send(self, holder, most, answers, dies):
        other = "second" if holder == "first" else "first"
        with self.database.writing() as connection:
            given_up = queue.take(connection, "desk", holder, self.now, SPAN)
            rows = queue.waiting(connection, "desk", most)
        assert (given_up is None) == (self.until[other] > self.now)
        if given_up is None:
            return
        self.until[holder] = self.now + SPAN
        taken, dead = [], {}
        for row, answer in zip(rows, answers, strict=False):
            number = int(row.name.rpartition("-")[2])
            self.saw.append(number)
            if answer == "taken":
                taken.append(row.id)
            else:
                dead[row.id] = "refused: it answered 422"
            if not dies:
                (self.taken if answer == "taken" else self.dead).add(number)
        if not dies:
            with self.database.writing() as connection:
                queue.settle(connection, "desk", taken, dead)

    def release(self, holder):
        with self.database.writing() as connection:
            queue.release(connection, "desk", holder, self.now)
        self.until[holder] = min(self.until[holder], self.now)

    def check(self):
        first = list(dict.fromkeys(self.saw))
        assert first == list(range(1, len(first) + 1))  # in order, and none left out
        with self.database.reading() as connection:
            waits = [
                int(row.name.rpartition("-")[2])
                for row in queue.waiting(connection, "desk", 1_000)
            ]
            found = queue.counts(connection, self.now)
        known = self.taken | self.dead
        assert waits == [one for one in range(1, self.put_so_far + 1) if one not in known]
        if found:
            assert (found[0]["waiting"], found[0]["dead"]) == (len(waits), len(self.dead))
            assert found[0]["delivered"] == len(self.taken)
            assert sum(found[0]["dropped"].values()) == len(self.dead)


@settings(max_examples=60, deadline=None, suppress_health_check=[
    HealthCheck.function_scoped_fixture,
])  # fmt: skip
@given(steps=STEPS)
def test_each_message_is_sent_in_order_whoever_dies(database, steps):
    """Two fronts that take turns, die between answer and commit, or come back too late."""
    with database.writing() as connection:
        connection.execute(delete(RELAY))
        connection.execute(delete(RELAY_TARGET))
    world = World(database)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
        world.check()


@pytest.mark.parametrize("times", [1, 2])
def test_what_was_said_twice_counts_once(database, times):
    """A front whose lease had ended says what another one said before."""
    world = World(database)
    world.put(3)
    with database.reading() as connection:
        ids = [row.id for row in queue.waiting(connection, "desk", 10)]
    for _ in range(times):
        with database.writing() as connection:
            queue.settle(connection, "desk", ids[:2], {ids[2]: "too old: nobody was there"})
    with database.reading() as connection:
        (found,) = queue.counts(connection, world.now)
    assert (found["delivered"], found["dropped"], found["dead"]) == (2, {"too old": 1}, 1)
