"""Acknowledgements: never of what is not stored, always enough that everything arrives once."""

from __future__ import annotations

import itertools
import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.central.answers import PACE_NS, Answers
from agent.central.memory import Memory
from agent.central.receipt import Receipt
from agent.central.streams import MISSING_ASKED, Stream, holes
from agent.central.subscriber import Central
from tests.central.fake_gateway import FakeGateway

S = 1_000_000_000


class Run:
    """One central over its restarts, its file, and what it printed."""

    def __init__(self, path):
        self.path = path
        self.now = 0
        self.printed: Counter = Counter()
        self.stored: set = set()
        self._unstored: set = set()
        self.memory = None
        self.starts = 0
        self.start()

    def start(self):
        """Anew from the file, as after a kill: what was not committed is forgotten."""
        if self.memory is not None:
            self.memory.close()
        self.starts += 1
        self.memory, self.central = Memory(self.path), Central()
        self._unstored.clear()
        self.memory.restore(self.central, self.now)
        self.answers = Answers(self.central, "ops")
        self.answers.everyone()

    def take(self, gateway, payload, topic=""):
        accepted = self.central.take(payload, Receipt(self.now, topic))
        if accepted is not None and accepted.stream == "event":
            one = (gateway.identity, accepted.document["boot"], accepted.document["seq"])
            self.printed[one] += 1
            self._unstored.add(one)

    def settle(self, gateways, lose=False):
        """Store, answer; returns what each gateway sends again."""
        self.now += PACE_NS
        self.memory.save(self.central)
        self.stored |= self._unstored
        self._unstored.clear()
        again = []
        for answer in self.answers.due(self.now):
            for gateway in gateways:
                if answer.topic == gateway.topic_of("central") and not lose:
                    again += [(gateway, row) for row in gateway.answered(answer.payload)]
        return again


STORES = ("00000001", "00000002")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.just("send"), st.integers(0, 3), st.integers(0, 40)),
        st.tuples(st.just("born"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.just("settle"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_everything_arrives_once_and_nothing_is_acknowledged_unstored(tmp_path_factory, script):
    """Any order, loss and repetition, over boots, stores, gateways and restarts of central.

    Each event of every gateway is printed exactly once unless central was killed before it was
    stored; a gateway never deletes what central has not stored; in the end nothing is missing.
    """
    run = Run(tmp_path_factory.mktemp("central") / "c.db")
    gateways = [FakeGateway(name, store) for name in ("a", "b") for store in STORES]
    try:
        for what, which, number in script:
            play(run, gateways, what, which, number)
            for gateway in gateways:
                for boot, seq in gateway.acknowledged:
                    assert (gateway.identity, boot, seq) in run.stored
        for gateway in gateways:
            run.take(gateway, gateway.born(3))
        for _ in range(2):
            for gateway in gateways:
                for payload in list(gateway.held.values()):
                    run.take(gateway, payload, gateway.topic)
            run.settle(gateways)
    finally:
        run.memory.close()
    made = {(one.identity, *row) for one in gateways for row in one.made}
    assert all(one.held == {} for one in gateways)
    assert run.printed.keys() == run.stored == made
    assert run.starts > 1 or set(run.printed.values()) <= {1}
    events = [
        stream
        for view in run.central.gateways.values()
        for (_, _, name), stream in view.streams.items()
        if name == "event"
    ]
    assert sum(stream.count for stream in events) == len(made)
    assert all(run.central.missing(view) == {} for view in run.central.gateways.values())


def play(run, gateways, what, which, number):
    """One step of a script; what is sent is held still, or a late repetition."""
    gateway = gateways[which]
    if what == "make":
        gateway.make(number)
    elif what == "send" and gateway.made:
        payloads = list(gateway.made.values())
        run.take(gateway, payloads[number % len(payloads)], gateway.topic)
    elif what == "born":
        run.take(gateway, gateway.born(number))
    elif what == "settle":
        run.settle(gateways, lose=which == 0)
    elif what == "restart":
        run.start()


def received(answers):
    return [one for answer in answers for one in json.loads(answer.payload)["received"]]


def test_an_answer_says_how_far_and_what_is_missing(tmp_path):
    """After a birth at once; then at most every 2 s; less and less often while nothing comes."""
    run, gateway = Run(tmp_path / "c.db"), FakeGateway()
    rows = [gateway.make(7) for _ in range(9)]
    run.take(gateway, gateway.born(7))
    for row in rows[:5] + rows[7:8]:
        run.take(gateway, gateway.held[row], gateway.topic)
    run.memory.save(run.central)
    (answer,) = run.answers.due(S)
    assert answer.topic == "fieldwarden/1/north/gw/central"
    document = json.loads(answer.payload)
    assert document == {
        "schema": 1, "store": "00000001", "central": "ops",
        "received": [
            {"boot": 7, "stream": "event", "through": 8, "missing": [[6, 7]]},
            {"boot": 7, "stream": "gap", "through": 0, "missing": []},
            {"boot": 7, "stream": "summary", "through": 0, "missing": []},
        ],
    }  # fmt: skip
    run.take(gateway, gateway.held[rows[5]], gateway.topic)
    assert run.answers.due(2 * S) == []
    (one,) = received(run.answers.due(3 * S))
    assert one["missing"] == [[7, 7]]
    assert [t for t in (11, 12, 13, 14, 15, 41, 43) if run.answers.due(t * S)] == [11, 41]
    times = [t for t in range(44, 400) if run.answers.due(t * S)]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses == sorted(pauses) and pauses[-1] == 60
    for row in (rows[6], rows[8]):
        run.take(gateway, gateway.held[row], gateway.topic)
    (one,) = received(run.answers.due(400 * S))
    assert one == {"boot": 7, "stream": "event", "through": 9, "missing": []}
    assert [t for t in range(401, 900) if run.answers.due(t * S)] == []
    run.memory.close()


def test_an_offline_gateway_is_told_when_it_is_back(tmp_path):
    """Nothing is published to nobody; the next birth is answered with all there is to say."""
    run, gateway = Run(tmp_path / "c.db"), FakeGateway()
    run.take(gateway, gateway.born(7))
    # There is a central, with nothing yet: of what was given up before, nobody else would tell.
    assert received(run.answers.due(0)) == [
        {"boot": 7, "stream": stream, "through": 0, "missing": []}
        for stream in ("event", "gap", "summary")
    ]
    run.take(gateway, gateway.held[gateway.make(7)], gateway.topic)
    offline = json.loads(gateway.born(7))
    offline["seq"] += 1
    offline["data"]["online"] = False
    run.take(gateway, json.dumps(offline).encode())
    assert [t for t in range(100) if run.answers.due(t * S)] == []
    gateway.connections += 1
    run.take(gateway, gateway.born(7))
    assert received(run.answers.due(101 * S))[0] == (
        {"boot": 7, "stream": "event", "through": 1, "missing": []}
    )
    run.memory.close()


@given(st.sets(st.integers(1, 400), min_size=1), st.integers(1, 12))
def test_what_is_asked_for_holds_all_that_is_not_there(seqs, most):
    """Whatever is forgotten for want of room, or joined for want of words, is asked for."""
    stream = Stream(most=most)
    for seq in sorted(seqs, key=lambda n: (n * 7919) % 401):
        stream.add(seq)
    assert len(stream.received) <= most
    acknowledged = {
        n
        for n in range(1, stream.through + 1)
        if not any(first <= n <= last for first, last in stream.asked())
    }
    assert acknowledged <= seqs


def test_thousands_of_holes_are_named_in_few_ranges():
    """More holes than an answer may name are joined: too much is asked for, never too little."""
    stream = Stream()
    for seq in range(2, 6_000, 2):
        stream.add(seq)
    asked = stream.asked()
    assert len(asked) == MISSING_ASKED
    assert set(holes(stream.received, stream.through)) == {(n, n) for n in range(1, 5_999, 2)}
    assert all(any(a <= n <= b for a, b in asked) for n in range(1, 5_999, 2))
