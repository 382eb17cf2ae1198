"""The outbox of simulated gateways does what the real one does, whatever befalls both."""

from __future__ import annotations

import json
import sqlite3
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.summary import merge
from agent.forward.json_payload import summary_messages
from agent.store import outbox
from agent.store.acknowledge import Acknowledged
from agent.store.batch import Acknowledgement, OutboxMessage
from agent.store.counters import Counters
from agent.store.limit import Limiter
from agent.store.numbers import LACKED, Numbers
from agent.store.outbox import Outbox
from agent.store.reader import Reader
from agent.store.schema import migrate
from simulators.fleet.content import MODELS, Pool
from simulators.fleet.outbox import Outbox as Simulated

POOL = Pool(3)
WINDOW_NS = 600_000_000_000
BEGIN_NS = 1_790_000_000_000_000_000 // (24 * 6 * WINDOW_NS) * (24 * 6 * WINDOW_NS)


def told(kind, number):
    if kind == "summary":
        start_ns = BEGIN_NS + number * WINDOW_NS
        window = POOL.summaries(MODELS[0], number % len(POOL), start_ns, start_ns + WINDOW_NS)
        return summary_messages(window)
    key = "verdict/yield" if kind == "verdict" else None
    return [OutboxMessage(kind, kind, b'{"n":%d}' % number, BEGIN_NS, replace_key=key)]


class Real:
    """The store's own outbox on a database in memory."""

    def __init__(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, "memory")
        self.counters = Counters(self.connection)
        self.begin()

    def begin(self):
        self.boot = Numbers.begin(self.connection, self.counters)
        self.connection.execute("INSERT INTO boot VALUES (?, 1)", (self.boot,))
        self.outbox = Outbox(self.connection, self.counters, self.boot, "central")
        self.outbox.settle()
        self.acknowledged = Acknowledged(self.outbox, self.counters)
        self.limiter = Limiter(self.outbox, self.counters, 0, merge)

    def took(self, seqs, stream):
        rows = self.outbox.rows("WHERE boot = ? AND stream = ? AND sent = 0", (self.boot, stream))
        self.outbox.delivered([row.id for row in rows if row.seq in seqs])

    def acknowledge(self, one):
        self.acknowledged.take([one])
        self.acknowledged.work()

    def coarsen(self):
        self.limiter._coarsen(1)

    def rows(self):
        return [
            (row.boot, row.stream, row.seq, row.sent > 0, [list(p) for p in row.seqs()])
            for row in self.outbox.rows("ORDER BY boot, stream, seq")
        ]

    def books(self):
        reader = SimpleNamespace(_all=lambda q, *v: self.connection.execute(q, v).fetchall())
        return Reader.unacknowledged(reader, 100), by_run(Reader.acknowledged(reader, 100))


def by_run(told):
    return sorted(told, key=lambda one: (-one["boot"], one["stream"]))


def rows_of(simulated):
    return sorted(
        (one.row.boot, one.row.stream, one.row.seq, one.sent_s is not None,
         [list(pair) for pair in one.seqs()])
        for one in simulated.rows.values()
    )  # fmt: skip


NUMBERS = st.integers(0, 12)
STREAMS = st.sampled_from(["event", "summary", "gap"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.sampled_from(["event", "summary", "summary", "verdict"])),
        st.tuples(st.just("took"), st.sampled_from(["event", "summary", "verdict"]),
                  st.sets(st.integers(1, 12), min_size=1)),
        st.tuples(st.just("acknowledge"), STREAMS, NUMBERS, st.booleans(),
                  st.sets(st.integers(1, 11), max_size=3)),
        st.tuples(st.just("wait"), st.sampled_from([11, 31])),
        st.tuples(st.just("coarsen")),
        st.tuples(st.just("begin")),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=100)
@given(steps=STEPS)
def test_both_keep_the_same_rows_and_tell_the_same_books(steps):
    """Numbers, what waits, what is sent, covered, told to be gone, and what a birth says of it."""
    clock = SimpleNamespace(s=1_000)
    before, outbox.monotonic_ns = outbox.monotonic_ns, lambda: clock.s * 10**9
    try:
        _tell_both(steps, clock)
    finally:
        outbox.monotonic_ns = before


def _tell_both(steps, clock):
    real = Real()
    simulated = Simulated(real.boot)
    boots, number = [real.boot], 0
    for kind, *what in steps:
        if kind == "tell":
            number += 1
            real.outbox.enqueue(told(what[0], number))
            simulated.enqueue(told(what[0], number))
        elif kind == "took":
            stream, seqs = what
            real.took(seqs, stream)
            for held in list(simulated.rows.values()):
                row = held.row
                if (row.boot, row.stream) == (real.boot, stream) and row.seq in seqs:
                    _took(simulated, held, clock.s)
        elif kind == "acknowledge":
            stream, through, earlier, missing = what
            missing = tuple((n, n) for n in sorted(missing) if n <= through)
            boot = boots[-2 if earlier and len(boots) > 1 else -1]
            one = Acknowledgement(boot, stream, through, missing)
            real.acknowledge(one)
            simulated.acknowledge(one, clock.s)
        elif kind == "wait":
            clock.s += what[0]
        elif kind == "coarsen":
            real.coarsen()
            simulated.coarsen()
        else:
            real.begin()
            simulated.begin(real.boot)
            boots.append(real.boot)
        assert rows_of(simulated) == real.rows(), kind
        books = (simulated.unacknowledged(), by_run(simulated.acknowledged()))
        assert books == real.books(), kind
        assert simulated.lacked == real.counters.get(LACKED), kind
    assert simulated.refused == real.counters.get("acknowledgements_refused")


def _took(simulated, held, now_s):
    if held.sent_s is None:
        simulated.took(held, now_s)


def test_what_is_added_together_is_the_real_sum():
    """Six windows of an hour are one, which covers them, and is what `merge` makes of them."""
    real = Real()
    simulated = Simulated(real.boot)
    for number in range(8):
        real.outbox.enqueue(told("summary", number))
        simulated.enqueue(told("summary", number))
    real.coarsen()
    assert simulated.coarsen() == 5
    payload = next(one.row.payload for one in simulated.rows.values() if one.row.covers)
    (coarse,) = real.outbox.rows("WHERE covers IS NOT NULL", payload=True)
    assert json.loads(payload) == json.loads(coarse.payload)
