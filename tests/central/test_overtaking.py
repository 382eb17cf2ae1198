"""Answers of processes of central overtake each other, and its database may be an older one.

A gateway is silent about what was acknowledged, whoever says later that it is missing; a central
that does lack it is told so by the birth, and nothing that is lost stays untold.
"""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.central.answers import Answers
from agent.central.pace import PACE_NS
from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.store import Batch, Reader
from agent.store.acknowledge import NOT_KEPT
from tests.central.test_exchange import MOST_EXCHANGES, Pair, at_once

__all__ = ["at_once"]

MINUTE_NS = 60 * 10**9


class Fleet(Pair):
    """A pair of which central's answers are on their way for any time, in any order.

    Attributes:
        flying: answers that central gave, each of which may come, more than once, or never.
        acknowledged: (run, number) of events that an answer which came said are had.
        dropped: (run, number) of events that were given up here, or lost with a damaged store.
        wrong: (run, number) told as no longer kept that was acknowledged, or never lost.
    """

    def __init__(self, path):
        self.flying, self.births = [], 0
        self.acknowledged, self.dropped, self.wrong = set(), set(), set()
        self.retained = None
        super().__init__(path)
        self.kept = copy.deepcopy(self.central)

    def start(self):
        super().start()
        self.lacked = self.asked("lacked")

    def asked(self, what, *values):
        reader = Reader(self._path)
        found = getattr(reader, what)(*values)
        reader.close()
        return found

    def connect(self, *, again=False):
        """The birth, under its number where it is said again."""
        self.connections -= again
        super().connect()

    def _say(self, birth):
        self.retained = birth
        super()._say(birth)

    def speak(self):
        """Central stores and answers; what it says is on its way."""
        self.now += PACE_NS
        self.central.settled()
        answers = [one.payload for one in self.answers.due(self.now)]
        self.flying += answers
        return bool(answers)

    async def come(self, which, *, stays, alone=True):
        """One of the answers comes, whatever came before; `alone`: a commit follows at once."""
        if not self.flying:
            return
        place = which % len(self.flying)
        payload = self.flying[place] if stays else self.flying.pop(place)
        if self.heard.hear(payload):
            self._note(json.loads(payload)["received"])
        if alone:
            await self.commit(Batch(acknowledged=self.heard.take()))

    def _note(self, received):
        for one in received:
            missing = {n for first, last in one["missing"] for n in range(first, last + 1)}
            if one["stream"] == "event":
                self.acknowledged |= {
                    (one["boot"], n) for n in range(1, one["through"] + 1) if n not in missing
                }

    async def commit(self, batch):
        """Then the sender says the birth again where central turned out to lack something."""
        rows = {row.id: row for row in self.asked("pending", 0, 10_000)}
        self.dropped |= {
            (rows[one].boot, rows[one].seq) for one in batch.rejected if rows[one].stream == "event"
        }
        before = self.not_kept(rows.values())
        await self.store.commit(batch)
        told = self.not_kept(self.asked("pending", 0, 10_000)) - before
        self.wrong |= (told & self.acknowledged) | (told - self.dropped)
        if (lacked := self.asked("lacked")) != self.lacked:
            self.lacked = lacked
            self.births += 1
            self.connect(again=True)

    def not_kept(self, rows):
        """(run, number) that gap records tell as no longer kept."""
        gaps = [json.loads(row.payload) for row in rows if row.stream == "gap"]
        return {
            (gap["boot"], n) for gap in gaps if gap["reason"] == NOT_KEPT
            for first, last in gap["ranges"] for n in range(first, last + 1)
        }  # fmt: skip

    async def lose_rows(self, stream):
        if stream == "event":
            rows = self.asked("_all", "SELECT boot, seq FROM outbox WHERE stream = 'event'")
            self.dropped |= set(rows)
        await super().lose_rows(stream)

    def keep(self):
        """A copy of central's database is made."""
        self.central.settled()
        self.kept = copy.deepcopy(self.central)

    def restore(self, *, empty):
        """It is put in the place of the database, or an empty one; births are at the broker."""
        self.central = Central() if empty else copy.deepcopy(self.kept)
        self.answers = Answers(self.central, "ops")
        if self.retained is not None:
            topic, payload = self.retained
            self.central.take(payload, Receipt(self.now, topic, retained=True))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 6)),
        st.tuples(st.just("arrives"), st.integers(1, 8)),
        st.tuples(st.just("arrives, puback lost"), st.integers(1, 4)),
        st.tuples(st.just("is lost"), st.integers(1, 8)),
        st.tuples(st.just("reject"), st.integers(1, 2)),
        st.tuples(st.just("central speaks"), st.just(0)),
        st.tuples(st.just("an answer comes"), st.integers(0, 20)),
        st.tuples(st.just("an answer comes, and once more later"), st.integers(0, 20)),
        st.tuples(st.just("an answer comes, then another, once more"), st.integers(0, 20)),
        st.tuples(st.just("connect"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("gap records are damaged"), st.just(0)),
        st.tuples(st.just("events are damaged"), st.just(0)),
        st.tuples(st.just("a backup"), st.just(0)),
        st.tuples(st.just("an older database"), st.just(0)),
        st.tuples(st.just("an empty database"), st.just(0)),
    ),
    max_size=30,
)


async def play(fleet, what, count):
    if what == "tell":
        await fleet.tell(count)
    elif what.startswith("arrives"):
        await fleet.send(count, arrives=True, taken="lost" not in what)
    elif what == "is lost":
        await fleet.send(count, arrives=False, taken=True)
    elif what == "reject":
        await fleet.reject(count)
    elif what == "central speaks":
        fleet.speak()
    elif what.startswith("an answer comes"):
        await fleet.come(count, stays="once more" in what, alone="another" not in what)
    elif what == "connect":
        fleet.connect()
    elif what == "restart":
        await fleet.restart()
    elif what == "a backup":
        fleet.keep()
    elif "database" in what:
        fleet.restore(empty="empty" in what)
    else:
        await fleet.lose_rows("gap" if "gap" in what else "event")


ARRIVED = [("tell", 4), ("arrives", 4), ("central speaks", 0), ("an answer comes", 0)]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, reconnects=st.booleans())
# The second arrives before the first; the answer to it, that asks for the first, comes last.
@example(
    steps=[("tell", 2), ("is lost", 1), ("arrives", 1), ("central speaks", 0),
           ("an answer comes, and once more later", 0), ("arrives", 2), ("central speaks", 0),
           ("an answer comes", 1), ("an answer comes", 0)],
    reconnects=False,
)  # fmt: skip
# The answer that says that a gap record came, and an older one, are heard with one commit.
@example(
    steps=[("central speaks", 0), ("an answer comes", 0), ("tell", 2), ("reject", 1),
           ("arrives", 1), ("central speaks", 0), ("arrives", 1), ("central speaks", 0),
           ("an answer comes, then another, once more", 1),
           ("an answer comes, and once more later", 0), ("an answer comes", 0)],
    reconnects=False,
)  # fmt: skip
# What is acknowledged above a hole is so too.
@example(
    steps=[("tell", 3), ("is lost", 1), ("is lost", 1), ("arrives", 1), ("central speaks", 0),
           ("an answer comes, and once more later", 0), ("is lost", 1), ("arrives", 1),
           ("central speaks", 0), ("an answer comes", 1), ("an answer comes", 0)],
    reconnects=False,
)  # fmt: skip
@example(steps=[*ARRIVED, ("a backup", 0), *ARRIVED, ("an older database", 0)], reconnects=False)
@example(steps=[*ARRIVED, ("an empty database", 0)], reconnects=False)
@example(steps=[*ARRIVED, ("restart", 0), ("an empty database", 0)], reconnects=False)
async def test_whatever_overtakes_what_nothing_is_told_that_central_has_and_nothing_untold(
    tmp_path_factory, steps, reconnects
):
    """In the end central knows of every number that it arrived, was there before, or is lost; what
    it ever acknowledged was never told as gone; and neither side says anything more.
    """
    fleet = Fleet(tmp_path_factory.mktemp("fleet") / "s.sqlite")
    fleet.connect()
    for what, count in steps:
        await play(fleet, what, count)
        assert not fleet.wrong, what
    if reconnects:
        fleet.connect()
    await fleet.tell(1)
    newest, quiet = -1, 0
    for _ in range(MOST_EXCHANGES):
        await fleet.send(10_000, arrives=True, taken=True)
        fleet.now += MINUTE_NS
        said = fleet.speak()
        while fleet.flying:
            await fleet.come(0, stays=False)
        quiet = quiet + 1 if not said and fleet.newest() == newest else 0
        newest = fleet.newest()
        if quiet == 2:
            break
    rows = fleet.asked("_all", "SELECT boot, stream, last FROM numbers WHERE stream = 'event'")
    last = {boot: last for boot, _, last in rows}
    last[fleet.store.boot] = fleet.asked("counters").get("seq:event", 0)
    left = fleet.asked("_all", "SELECT stream, seq FROM outbox")
    await fleet.store.close()
    assert not fleet.wrong
    assert left == []
    assert quiet == 2, "the exchange does not end"
    (view,) = fleet.central.gateways.values()
    assert fleet.central.missing(view) == {}
    for (_, boot, name), stream in view.streams.items():
        if name == "event":
            assert stream.asked() == []
            lost = {n for first, end in stream.lost for n in range(first, end + 1)}
            earlier = {n for first, end in stream.earlier for n in range(first, end + 1)}
            assert {(boot, n) for n in lost} <= fleet.dropped
            assert {(boot, n) for n in earlier} <= fleet.acknowledged
    here = view.streams[fleet.store.store_id, fleet.store.boot, "event"]
    assert here.settled_through == last[fleet.store.boot]
    if reconnects:
        for boot, given_ in last.items():
            stream = view.streams.get((fleet.store.store_id, boot, "event"))
            through = stream.settled_through if stream else 0
            # Of a run that an empty database never heard of, and of which nothing is left to send.
            unheard = not any(life.boot == boot for life in view.lives)
            unknown = {(boot, n) for n in range(through + 1, given_ + 1)}
            assert not unknown or (unheard and unknown <= fleet.dropped)


@pytest.mark.parametrize("reconnects", [True, False])
async def test_a_restored_central_is_told_by_the_birth_alone(tmp_path, reconnects):
    """No gap record: the birth says up to where a central had acknowledged; once is enough."""
    fleet = Fleet(tmp_path / "s.sqlite")
    fleet.connect()
    for what, count in ARRIVED:
        await play(fleet, what, count)
    fleet.keep()
    for what, count in ARRIVED:
        await play(fleet, what, count)
    fleet.restore(empty=False)
    if reconnects:
        fleet.connect()
    await fleet.tell(1)
    await fleet.send(9, arrives=True, taken=True)
    (view,) = fleet.central.gateways.values()
    assert fleet.central.missing(view) == ({} if reconnects else {"event": [(5, 8)]})
    for _ in range(4):
        fleet.now += MINUTE_NS
        fleet.speak()
        while fleet.flying:
            await fleet.come(0, stays=False)
    assert fleet.central.missing(view) == {}
    assert fleet.births == (0 if reconnects else 1)
    stream = view.streams[fleet.store.store_id, fleet.store.boot, "event"]
    assert (stream.received, stream.earlier) == ([(1, 4), (9, 9)], [(5, 8)])
    assert view.dropped == {}
    await fleet.store.close()
