"""The ledger settles as a central in memory does: any order, any batches, any number of workers."""

from __future__ import annotations

import functools
import itertools
import random
import threading

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.errors import StoreError
from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from tests.fleet import messages as m
from tests.fleet import worlds as w

_SITES = itertools.count(1)
S, NOW = m.S, m.NOW
both = settings(  # a failing case here is as clear as a smaller one, which takes minutes to find
    max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@pytest.fixture
def ledger(database):
    return Ledger(database)


def a_site():
    return f"site-{next(_SITES)}"


def world(site, order, *, stores=("00000001", "00000002"), gateways=("a", "b")):
    """Messages of two gateways with a store each and two runs, as (payload, facts of its receipt).

    Everything that the protocol has is among them: births with what was acknowledged before, wills,
    verdicts of two models, conditions, requests, windows of two days and coarse ones that cover,
    gap records that count, join and name an earlier run.
    """
    made = []
    for gateway, store in zip(gateways, stores, strict=True):
        sender = m.who(gateway, store, site)
        for boot in (11, 12):
            say = functools.partial(m.sent, sender=sender, boot=boot)
            windows = [m.window(NOW + n * 6 * 3_600 * S, 2**n + boot) for n in range(6)]
            windows += [m.window(NOW + n * 6 * 3_600 * S, 3**n, tag="b", model="x")
                        for n in range(3)]  # fmt: skip
            singles = [say(m.summary(one), n) for n, one in enumerate(windows, 1)]
            made += singles
            made.append(say(m.coarse(*windows[:3]), 10, covers=[[1, 3]]))
            made.append(say(m.coarse(*windows[:4]), 11, covers=[[1, 4], [10, 10]]))
            made.append(say(m.coarse(*windows[6:8]), 12, covers=[[boot, 7, 8]]))
            made += [say(m.event(n), n) for n in (1, 2, 4)]
            made.append(say(m.condition(5, "c1"), 5))
            made.append(say(m.condition(6, "c2", incident="c1", models=["x", "yield"]), 6))
            made.append(say(m.condition(7, "c1", change="cleared"), 7))
            made.append(say(_request(8, "r1", "open"), 8))
            made.append(say(_request(9, "r1", "withdrawn"), 9))
            made.append(say(_request(10, "r2", "open", boot), 10))
            made += [say(m.verdict(name, model), n) for n, (name, model) in enumerate(
                (("trusted", "x"), ("untrusted", "yield"), ("caution", "x")), 1)]  # fmt: skip
            made.append(m.state(seq=1, boot=boot, sender=sender, acknowledged=[
                {"boot": 11, "stream": "event", "through": 3}], unacknowledged=[
                {"boot": boot, "stream": "summary", "first": 5, "last": 13}],
                promise={"raised": boot}, contract=_contract(boot)))  # fmt: skip
            made.append(m.state(online=False, seq=2, boot=boot, sender=sender))
            made.append(m.state(seq=3, boot=boot, sender=sender))
            made.append(say(m.gap([[11, 12]], boot=boot), 1))
            made.append(say(m.gap([[14, 20]], boot=boot, count=3), 2))
            made.append(say(m.gap([[3, 3]], boot=11, reason="too_large"), 3))
            made.append(say(m.gap([[13, 13]], of="summary", boot=boot), 4))
    made += order.sample(made, len(made) // 3)
    order.shuffle(made)
    kinds = [{}] * 8 + [{"retained": True}, {"retained": True, "expiry_s": 30}, {"expiry_s": 20}]
    return [(one, order.choice(kinds)) for one in made]


def _request(seq, name, state, boot=0):
    data = {
        "id": name, "state": state, "model": "yield", "owner": f"team {boot}", "text": "retrain",
        "criteria": ["errors"], "since_ns": NOW,
    }  # fmt: skip
    return m.event(seq, "retraining", subject="model/yield", **data)


def _contract(boot):
    change = {"id": "c", "source": "s", "state": "detected", "grade": "breaking", "hold": "held",
              "since_ns": NOW, "tags": 2, "models": ["x"], "needs": ["ot"],
              "text": "t"}  # fmt: skip
    return {"hash": f"{boot:064x}", "made": "2026", "held_tags": 2, "open_changes": 3,
            "changes": [change]}  # fmt: skip


def same(database, site, central, now_ns=0):
    """Everything that both know is the same."""
    assert w.marks(database, site) == w.marks_of(central)
    _same_gateways(database, site, central, now_ns)
    _same_models(database, site, central, now_ns)
    _same_incidents(database, site, central, now_ns)


def _same_gateways(database, site, central, now_ns):
    told = {one["gateway"]: one for one in w.selected(database, "gateway_now", site)}
    for view in central.gateways.values():
        gateway, presence = told[view.gateway], view.presence
        assert gateway["store"] == view.store and gateway["online"] == view.online
        assert gateway["reason"] == (presence.reason if presence else "")
        assert gateway["boot"] == (presence.place.boot if presence else None)
        assert gateway["time_quality"] == view.time_quality
        contract = view.contracts.get(view.store)
        assert gateway["contract_hash"] == (contract.hash if contract else "")
        assert gateway["changes"] == (list(contract.changes) if contract else [])
        assert (gateway["clash"] or []) == view.clash(now_ns)
        holes = central.missing(view)
        assert gateway["missing"] == sum(b - a + 1 for some in holes.values() for a, b in some)
        incidents = view.open_incidents(now_ns)
        assert gateway["open_incidents"] == len(incidents)
        assert gateway["open_requests"] == len(view.open_requests(now_ns))


def _same_models(database, site, central, now_ns):
    models = {
        (one["gateway"], one["store"], one["model"]): one
        for one in w.selected(database, "model_now", site)
    }
    shown = {
        (view.gateway, store, one.data["model"]): (*view.worth(store, one, now_ns), one)
        for view in central.gateways.values() for store, one in view.shown(now_ns)
    }  # fmt: skip
    assert models.keys() == shown.keys()
    for key, (verdict, why, one) in shown.items():
        row = models[key]
        told = one.data["verdict"]
        assert (row["why"], row["verdict"], row["told"]) == (why, verdict, told)
        assert (row["boot"], row["seq"], row["data"]) == (*one.place, dict(one.data))


def _same_incidents(database, site, central, now_ns):
    found = {
        (one["gateway"], one["store"], one["incident"]):
            (one["cause"], one["text"], one["models"], one["conditions"])
        for one in w.selected(database, "incident_now", site)
    }  # fmt: skip
    known = {
        (view.gateway, one["store"], one["incident"]):
            (one["cause"], one["text"], one["models"], one["conditions"])
        for view in central.gateways.values() for one in view.open_incidents(now_ns)
    }  # fmt: skip
    assert found == known
    dropped = {
        (one["gateway"], one["store"], one["boot"], f"{one['of']}: {one['reason']}"):
            w.ranges(one["ranges"])
        for one in w.rows(database, "SELECT g.gateway, x.* FROM gap x JOIN gateway g"
                          " ON g.id = x.gateway_id WHERE g.site = :site", site=site)
    }  # fmt: skip
    assert dropped == {
        (view.gateway, store, boot, reason): some
        for view in central.gateways.values()
        for (reason, store, boot), some in view.dropped.items()
    }


@both
@given(
    order=st.randoms(use_true_random=False), sizes=st.lists(st.integers(1, 60), min_size=1),
    names=st.sampled_from([("a", "b"), ("a", "a")]),
)  # fmt: skip
def test_any_order_and_any_batches_settle_as_in_memory(database, order, sizes, names):
    """Marks, verdicts and their worth, presence, incidents, requests, gaps, contracts, totals;
    of two gateways, or of two that have one name and speak by turns.
    """
    site, central, ledger = a_site(), Central(), Ledger(database)
    given_ = world(site, order, gateways=names)
    settled = []
    for some in m.cut(given_, sizes):
        arrivals = [m.arrival(payload, **facts) for payload, facts in some]
        for one in arrivals:
            central.apply(one.reading, one.receipt)
        settled.append(ledger.settle(arrivals))
    same(database, site, central, now_ns=arrivals[-1].receipt.now_ns)
    for (model, tag), found in w.totals(database, site).items():
        total = central.windows.merged(model, tag, "b")
        assert found[1:] == tuple(total[key] for key in ("count", "good", "sum", "sum_sq",
                                                         "min", "max"))  # fmt: skip
    assert w.totals(database, site) == w.summed(database, site)
    assert set(w.totals(database, site)) == {(a, b) for a, b, _ in central.windows.inputs()}
    assert len(w.events(database, site)) == len(set(w.events(database, site)))
    assert sum(one.unreadable for one in settled) == 0


@both
@given(order=st.randoms(use_true_random=False))
def test_what_is_owed_is_what_the_marks_say(database, order):
    """After each batch, and whenever it is asked: through and missing, all streams of a run."""
    site, central, ledger = a_site(), Central(), Ledger(database)
    for some in m.cut(world(site, order), [40]):
        arrivals = [m.arrival(payload) for payload, _ in some]
        for one in arrivals:
            central.apply(one.reading, one.receipt)
        for owed in ledger.settle(arrivals).owed:
            view = central.gateways[site, owed.gateway]
            for told in owed.received:
                stream = view.streams.get((owed.store, told["boot"], told["stream"]))
                expected = (stream.settled_through, stream.asked()) if stream else (0, [])
                assert (told["through"], told["missing"]) == expected
            if owed.born:
                boots = {life.boot for life in view.lives if life.store == owed.store}
                assert {(one["boot"], one["stream"]) for one in owed.received} == {
                    (boot, name) for boot in boots for name in ("event", "summary", "gap")
                }
    names = [(site, "a", "00000001"), (site, "b", "00000002"), (site, "c", "00000003")]
    online = [
        one for one in names[:2] if central.gateways[one[:2]].stores[one[2]].online
    ]
    found = {(one.site, one.gateway, one.store): one for one in ledger.owed(names)}
    assert sorted(found) == online
    for name, owed in found.items():
        view = central.gateways[name[:2]]
        for told in owed.received:
            stream = view.streams.get((owed.store, told["boot"], told["stream"]))
            expected = (stream.settled_through, stream.asked()) if stream else (0, [])
            assert (told["through"], told["missing"]) == expected
    unexplained = {
        name for name in online
        if any(stream.unexplained() for key, stream in central.gateways[name[:2]].streams.items()
               if key[2] in {"event", "summary"})
    }  # fmt: skip
    assert {one for one in ledger.unsettled() if one[0] == site} == unexplained


class Dying:
    """A relay that ends the transaction now and then, as a worker that dies before its commit."""

    def __init__(self, order):
        self.order, self.deaths = order, 0

    def put(self, connection, events, now):
        if self.order.random() < 0.2:
            self.deaths += 1
            raise StoreError("queueing", "events", "the worker died")


def known_of(given_):
    """What a central in memory makes of it, in one go."""
    central = Central()
    for payload, _ in given_:
        central.take(payload, Receipt(1))
    return central


@pytest.mark.parametrize("seed", range(4))
def test_workers_at_once_that_die_lose_nothing_and_count_nothing_twice(database_url, seed):
    """Four workers with their own connections; each message goes to one of them, some to two."""
    order = random.Random(seed)
    site = a_site()
    given_ = world(site, order)
    shares = [[] for _ in range(4)]
    for one in given_ + order.sample(given_, 30):
        order.choice(shares).append(one)
    database = Database(database_url)
    done = []

    def work(share, own):
        found = Database(database_url)
        dying = Dying(own)
        ledger = Ledger(found, relay=dying)
        try:
            for some in m.cut(share, [own.randint(1, 20) for _ in range(5)]):
                while not settled(ledger, some):
                    pass
            done.append(True)
        finally:
            found.close()

    def settled(ledger, some):
        try:
            return ledger.settle([m.arrival(payload, **facts) for payload, facts in some])
        except StoreError as error:
            if error.cause != "the worker died":
                raise

    threads = [
        threading.Thread(target=work, args=(share, random.Random(seed * 10 + n)))
        for n, share in enumerate(shares)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    central = known_of(given_)
    # How many messages that were depends on whether a coarse one came before what it covers.
    received = {key: one[0] for key, one in w.marks(database, site).items()}
    assert received == {key: one[0] for key, one in w.marks_of(central).items()}
    found = w.totals(database, site)
    assert found == w.summed(database, site)
    for (model, tag), one in found.items():
        total = central.windows.merged(model, tag, "b")
        assert one[1:] == tuple(total[key] for key in ("count", "good", "sum", "sum_sq",
                                                       "min", "max"))  # fmt: skip
    assert w.events(database, site) == sorted(
        (view.gateway, store, boot, seq)
        for view in central.gateways.values()
        for (store, boot, name), stream in view.streams.items() if name == "event"
        for first, last in stream.received for seq in range(first, last + 1)
    )  # fmt: skip
    database.close()


def test_a_gateway_that_was_deleted_begins_anew(database, ledger):
    """With its rows gone its numbers count again, also for a worker that remembers it."""
    other = Ledger(database)
    for one in (ledger, other):
        m.settle(one, m.sent(m.event(1), 1), m.sent(m.summary(m.window(NOW, 1)), 1))
    with database.writing() as connection:
        connection.execute(text("DELETE FROM gateway WHERE site = 'north' AND gateway = 'gw'"))
    for table in ("mark", "series", "life"):
        assert w.rows(database, f"SELECT * FROM {table}") == []
    for one, new in ((ledger, 2), (other, 0)):
        settled = m.settle(one, m.sent(m.event(1), 1), m.sent(m.summary(m.window(NOW, 1)), 1))
        assert settled.messages == new
    assert w.totals(database, "north")["yield", "a"][:4] == (1, 10, 9, 1)


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
def test_what_others_stood_in_the_way_of_is_tried_again_whole(postgres_url, state):
    """Deadlocks, serialisation failures and locks that were not had; what fails always is told."""
    database, tries = Database(postgres_url), []

    def work(connection):
        connection.execute(text("INSERT INTO worker (name, heard_at) VALUES ('w', now())"))
        tries.append(1)
        if len(tries) < 3:
            connection.exec_driver_sql(
                f"DO $$ BEGIN RAISE EXCEPTION 'others' USING ERRCODE = '{state}'; END $$"
            )
        return "done"

    assert database.repeated(work) == "done"
    assert len(tries) == 3 and len(w.rows(database, "SELECT * FROM worker")) == 1
    with pytest.raises(StoreError, match="others"):
        database.repeated(lambda one: one.exec_driver_sql(
            f"DO $$ BEGIN RAISE EXCEPTION 'others' USING ERRCODE = '{state}'; END $$"))  # fmt: skip
    database.close()


def test_a_verdict_expires_by_the_databases_clock_and_not_the_workers(database, ledger):
    """What waited in the worker is so much older; a clock that was set back believes nothing."""
    m.settle(ledger, m.sent(m.verdict(span_s=60), 1), ago_ns=58 * S)
    (told,) = w.selected(database, "model_now", "north")
    left = (told["expires_at"] - database.now()).total_seconds()
    assert told["verdict"] == "trusted" and 0 < left <= 2
    m.settle(ledger, m.sent(m.verdict(span_s=60), 2), ago_ns=61 * S)
    (told,) = w.selected(database, "model_now", "north")
    assert (told["verdict"], told["why"]) == (
        "unassessable", "no longer valid: nothing heard in time"
    )  # fmt: skip
    m.settle(ledger, m.sent(m.verdict(), 3))
    with database.writing() as connection:
        hour = 3_600_000_000 if database.sqlite else "interval '1 hour'"
        connection.execute(text(
            f"UPDATE model SET heard_at = heard_at + {hour}, expires_at = expires_at + {hour}"
        ))  # fmt: skip
    (told,) = w.selected(database, "model_now", "north")
    assert (told["verdict"], told["why"]) == (
        "unassessable", "the clock of the database was set back"
    )  # fmt: skip


def test_a_model_that_is_no_longer_watched_goes(database, ledger):
    """Its retained verdict is taken back; what was told of another one stays."""
    m.settle(ledger, m.sent(m.verdict(model="a/b"), 1), m.sent(m.verdict(model="c"), 2))
    ledger.settle([m.arrival(b"", topic="fieldwarden/1/north/gw/verdict/a%2Fb", retained=False)])
    assert [one["model"] for one in w.selected(database, "model_now", "north")] == ["c"]
    ledger.settle([
        m.arrival(b"", topic="fieldwarden/1/north/gw/verdict/c"),
        m.arrival(m.sent(m.verdict("caution", model="c"), 3)),
        m.arrival(b"", topic="fieldwarden/1/north/nobody/verdict/c"),
    ])  # fmt: skip
    assert [one["told"] for one in w.selected(database, "model_now", "north")] == ["caution"]


def swapped(database, table, column, one, other):
    """As where a database came back from an older state, and gave its numbers anew."""
    with database.writing() as connection:
        for old, new in ((one, "between"), (other, one), ("between", other)):
            statement = f"UPDATE {table} SET {column} = :new WHERE {column} = :old"
            connection.execute(text(statement), {"old": old, "new": new})


def test_numbers_that_came_to_mean_something_else_are_not_written_to(database, ledger):
    """A restore, or a standby that had not all, while workers go on: rows are found by name."""
    senders = {name: m.who(name, f"0000000{at}") for at, name in enumerate(("one", "other"), 1)}
    for sender in senders.values():
        windows = m.summary(m.window(NOW, 3, tag="a")), m.summary(m.window(NOW, 5, tag="b"))
        m.settle(ledger, *(m.sent(one, at, sender=sender) for at, one in enumerate(windows, 1)))
    swapped(database, "gateway", "gateway", "one", "other")
    m.settle(ledger, m.sent(m.event(1), 1, sender=senders["one"]))
    told = "SELECT g.gateway FROM event e JOIN gateway g ON g.id = e.gateway_id"
    assert [one["gateway"] for one in w.rows(database, told)] == ["one"]
    swapped(database, "gateway", "gateway", "one", "other")

    swapped(database, "series", "tag", "a", "b")
    m.settle(ledger, m.sent(m.summary(m.window(NOW + 300 * S, 7, tag="a")), 3,
                            sender=senders["other"]))  # fmt: skip
    told = "SELECT s.tag FROM summary w JOIN series s ON s.id = w.series_id WHERE w.seq = 3"
    assert [one["tag"] for one in w.rows(database, told)] == ["a"]
    m.settle(ledger, m.sent(m.event(2), 2, sender=senders["one"]))  # and all goes on


def test_what_was_lost_with_an_older_state_of_the_database_is_asked_for(database, ledger):
    """Its workers remember numbers that it has no more; gateways are told what it lacks."""
    sender = m.who("gw", "00000001")
    m.settle(ledger, m.sent(m.summary(m.window(NOW, 3)), 1, sender=sender))
    with database.writing() as connection:  # the state before
        for table in ("total", "summary", "series", "mark", "life", "gateway"):
            connection.execute(text(f"DELETE FROM {table}"))
    settled = m.settle(ledger, m.sent(m.summary(m.window(NOW + 300 * S, 4)), 2, sender=sender))
    (owed,) = settled.owed
    (told,) = [one for one in owed.received if one["stream"] == "summary"]
    assert list(map(tuple, told["missing"])) == [(1, 1)]
    assert [one["count"] for one in w.rows(database, "SELECT count FROM total")] == [10]
