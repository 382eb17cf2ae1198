"""Delivery by central's word: any acknowledgements, any losses, exact sums, nothing forgotten."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.store import Acknowledgement, ranges
from agent.store import acknowledge as acknowledge_module
from agent.store import outbox as outbox_module
from agent.store import schema as schema_module
from tests.store.helpers import MB, Batch, Reader, assert_accounts, message, open_store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fieldwarden.sqlite"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(acknowledge_module, "AGAIN_S", 0)
    monkeypatch.setattr(acknowledge_module, "TAIL_AGAIN_S", 0)
    monkeypatch.setattr(acknowledge_module, "ASKED_MOST", 1_000)


class Central:
    """What arrived, by (boot, stream), and what it says of it."""

    def __init__(self):
        self.has: dict = {}

    def take(self, row):
        seqs = self.has.setdefault((row.boot, row.stream), set())
        seqs.add(row.seq)
        if row.stream == "gap":
            gap = json.loads(row.payload)
            for first, last in gap["ranges"]:
                self.has.setdefault((gap["boot"], gap["of"]), set()).update(range(first, last + 1))

    def says(self, known):
        said = []
        for boot, stream in known:
            seqs = self.has.get((boot, stream), set())
            through = max(seqs, default=0)
            have = ranges.union((n, n) for n in seqs)
            missing = ranges.without([(1, through)] if through else [], have)
            said.append(Acknowledgement(boot, stream, through, tuple(missing)))
        return said


steps = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 6)),
        st.tuples(st.just("puback, and central has it"), st.integers(1, 8)),
        st.tuples(st.just("puback, and it is lost"), st.integers(1, 8)),
        st.tuples(st.just("central has it, puback lost"), st.integers(1, 4)),
        st.tuples(st.just("reject"), st.just(1)),
        st.tuples(st.just("central speaks"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=steps,
    limit=st.sampled_from([3_000, MB]),
    delivery=st.sampled_from(["auto", "central"]),
)
@example(steps=[("tell", 1), ("reject", 1), ("reject", 1)], limit=MB, delivery="central")
@example(steps=[("tell", 2), ("reject", 1), ("restart", 0), ("reject", 1), ("reject", 1)],
         limit=MB, delivery="auto")  # fmt: skip
async def test_whatever_is_lost_central_has_all_in_the_end(  # noqa: C901 - one case a step
    tmp_path_factory, steps, limit, delivery
):
    """After any sequence of losses, restarts and answers, a few exchanges leave nothing pending;
    every number of every run is with central, or told in a gap record; the sums were exact.
    """
    path = tmp_path_factory.mktemp("acks") / "s.sqlite"
    store = open_store(path, outbox=limit, delivery=delivery)
    central, boots, at = Central(), [store.boot], 0

    def known():
        return [(boot, stream) for boot in boots for stream in ("event", "gap")]

    async def work(batch):
        await store.commit(batch)
        assert_accounts(path)

    for what, count in [*steps, ("central speaks", 0)]:
        reader = Reader(path)
        rows = reader.pending(limit=count)
        reader.close()
        batch = Batch()
        if what == "tell":
            batch.messages = [message(time_ns=at + n) for n in range(count)]
            at += count
        elif what == "reject":
            batch.rejected = {row.id: "no" for row in rows}
        elif what == "central speaks":
            batch.acknowledged = central.says(known())
        elif what == "restart":
            await store.close()
            store = open_store(path, outbox=limit, delivery=delivery)
            boots.append(store.boot)
        if "central has" in what:
            for row in rows:
                central.take(row)
        if what.startswith("puback"):
            batch.delivered = [row.id for row in rows]
        await work(batch)
    for _ in range(6):
        reader = Reader(path)
        rows = reader.pending(limit=1_000)
        reader.close()
        for row in rows:
            central.take(row)
        await work(Batch(delivered=[row.id for row in rows], acknowledged=central.says(known())))
    books = assert_accounts(path)
    rows = Reader(path)._all("SELECT boot, stream, last FROM numbers")
    numbers = {(boot, stream): last for boot, stream, last in rows}
    numbers[store.boot, "event"] = Reader(path).counters().get("seq:event", 0)
    await store.close()
    if not books["confirmed"]:
        assert not any(numbers.values())  # nothing was ever sent, so nobody could answer
        return
    assert books["pending"] == 0
    for (boot, stream), last in numbers.items():
        if stream == "event":
            assert central.has.get((boot, stream), set()) == set(range(1, last + 1))


async def test_before_any_central_puback_counts_and_rows_are_kept_within_bounds(path):
    """Sent rows count as delivered and are kept for a central that comes later, the oldest of them
    going first; what it asks for and is gone is told in a gap record.
    """
    store = open_store(path, outbox=20_000)
    for number in range(100):
        await store.commit(Batch(messages=[message(text="x" * 100, time_ns=number + 1)]))
        ids = [row.id for row in Reader(path).pending()]
        await store.commit(Batch(delivered=ids))
    books = assert_accounts(path)
    assert (books["delivered"], books["pending"], books["dropped"]) == (100, 0, {})
    assert 3_000 < books["kept_bytes"] <= 5_000
    (held,) = Reader(path).unacknowledged(9)
    assert (held["stream"], held["last"]) == ("event", 100)
    await store.commit(
        Batch(acknowledged=[Acknowledgement(store.boot, "event", 100, ((1, 99),))])
    )
    books = assert_accounts(path)
    assert books["confirmed"]
    rows = Reader(path).pending(limit=1_000)
    (gap,) = [json.loads(row.payload) for row in rows if row.stream == "gap"]
    assert (gap["reason"], gap["boot"]) == ("no_longer_kept", store.boot)
    assert gap["ranges"] == [[1, held["first"] - 1]]
    again = [row.seq for row in rows if row.stream == "event"]
    assert again == list(range(held["first"], 100))
    await store.close()


async def test_a_gap_record_that_is_too_large_for_the_broker_goes_in_parts(path):
    """Whatever a broker takes at most, all that was lost is told, exactly, in finitely many tries;
    one that can not be told in fewer ranges is put aside.
    """
    store = open_store(path)
    await store.commit(Batch(messages=[message() for _ in range(200)]))
    lost = {row.id: "no" for row in Reader(path).pending(limit=500) if row.seq % 2}
    await store.commit(Batch(rejected=lost))
    arrived, tries = [], 0
    while gaps := [row for row in Reader(path).pending(limit=500) if row.stream == "gap"]:
        tries += 1
        large = [row for row in gaps if len(row.payload) > 250]
        arrived += [json.loads(row.payload) for row in gaps if row not in large]
        small = [row.id for row in gaps if row not in large]
        batch = Batch(delivered=small, rejected={row.id: "Packet too large" for row in large})
        await store.commit(batch)
        assert_accounts(path)
    assert tries < 8
    told = [n for gap in arrived for first, last in gap["ranges"] for n in range(first, last + 1)]
    assert sorted(told) == list(range(1, 200, 2))
    assert all(gap["count"] == len(gap["ranges"]) for gap in arrived)
    await store.close()


async def test_numbers_that_were_never_given_are_refused(path):
    """An answer beyond the last number, or of an unknown run, changes nothing and is counted."""
    store = open_store(path, delivery="central")
    await store.commit(Batch(messages=[message()] * 3))
    false = [
        Acknowledgement(store.boot, "event", 4),
        Acknowledgement(7, "event", 1),
        Acknowledgement(store.boot, "verdict", 1),
        Acknowledgement(store.boot, "event", -1),
    ]
    await store.commit(Batch(acknowledged=false))
    books = assert_accounts(path)
    assert (books["pending"], books["acknowledgements_refused"]) == (3, 4)
    await store.close()


async def test_a_copy_of_a_store_is_another_run(path, tmp_path):
    """Two machines that go on from one image never give the same number of a run."""
    await open_store(path).close()
    copy = tmp_path / "copy.sqlite"
    shutil.copy(path, copy)
    one, two = open_store(path), open_store(copy)
    assert one.boot != two.boot
    assert one.boot // 1_000_000 == two.boot // 1_000_000 == 2
    await one.close()
    await two.close()


async def test_an_old_store_goes_on(path, monkeypatch):
    """Rows of runs before numbers were by run keep theirs, are sent, and central is told that
    what lies below them had been delivered.
    """
    store = open_store(path)
    await store.commit(Batch(messages=[message()] * 5))
    await store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE outbox SET boot = 3, seq = seq + 20")
        db.execute("DELETE FROM counter WHERE name LIKE 'seq:%' OR name = 'boot'")
        db.execute("INSERT INTO counter VALUES ('boot', 3), ('seq:event', 25)")
        for name in ("0004_delivery", "0014_acknowledged"):
            db.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (name,))
        db.execute("DROP TABLE dead_letter")
        db.execute("DROP TABLE numbers")
        for name in ("number", "waiting", "waits_since", "sent", "kept"):
            db.execute(f"DROP INDEX outbox_{name}")
        for name in ("time_quality", "sent", "tries"):
            db.execute(f"ALTER TABLE outbox DROP COLUMN {name}")
    db.close()
    assert "0004_delivery" in schema_module.NAMES
    store = open_store(path)
    assert store.boot // 1_000_000 == 4
    await store.commit(Batch(messages=[message()]))
    reader = Reader(path)
    rows = reader.pending()
    assert [(r.boot, r.seq) for r in rows] == [*((3, n) for n in range(21, 26)), (store.boot, 1)]
    assert reader.acknowledged(9) == [{"boot": 3, "stream": "event", "through": 20}]
    await store.commit(Batch(acknowledged=[Acknowledgement(3, "event", 25, ((1, 20),))]))
    assert [(r.boot, r.seq) for r in Reader(path).pending() if r.stream == "event"] == [
        (store.boot, 1)
    ]
    assert_accounts(path)
    await store.close()


async def test_dead_letters_are_bounded(path, monkeypatch):
    """The newest are kept, within rows and bytes; all are counted."""
    monkeypatch.setattr("agent.store.dead_letters.ROWS_KEPT", 10)
    monkeypatch.setattr("agent.store.dead_letters.BYTES_KEPT", 2_000)
    store = open_store(path)
    for number in range(30):
        await store.commit(Batch(messages=[message(text="x" * 50 * (number % 9))]))
        ids = {r.id: f"because {number}" for r in Reader(path).pending() if r.stream == "event"}
        await store.commit(Batch(rejected=ids))
    letters = Reader(path).dead_letters()
    assert 4 < len(letters) <= 10
    assert sum(len(letter["payload"]) for letter in letters) <= 2_000
    assert letters[0]["reason"] == "because 29"
    assert assert_accounts(path)["dead_letters"]["count"] == 30
    await store.close()


async def test_each_further_time_takes_twice_as_long(path, monkeypatch):
    """A central that is behind has them at its broker: more and more of them would not help it."""
    monkeypatch.setattr(acknowledge_module, "TAIL_AGAIN_S", 30)
    now = [100 * 10**9]
    monkeypatch.setattr(outbox_module, "monotonic_ns", lambda: now[0])
    store = open_store(path, delivery="central")
    await store.commit(Batch(messages=[message()]))
    sent_after = []
    for _ in range(4):
        reader = Reader(path)
        (row,) = reader.pending()
        reader.close()
        await store.commit(Batch(delivered=[row.id]))
        began = now[0]
        while True:
            now[0] += 10**9
            asked = Acknowledgement(store.boot, "event", 0)
            await store.commit(Batch(acknowledged=[asked]))
            reader = Reader(path)
            waits = reader.pending()
            reader.close()
            if waits:
                break
        sent_after.append((now[0] - began) // 10**9)
    assert sent_after == [30, 60, 120, 240]
    await store.close()
