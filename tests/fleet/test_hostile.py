"""Odd and hostile messages never stop a batch: they are unreadable, and the rest goes on."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.errors import StoreError
from agent.fleet import ledger as ledgers
from agent.fleet import saving
from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from agent.fleet.words import json_of, key_of, text_of
from tests.fleet import messages as m
from tests.fleet import worlds as w

NUL, LONE = "\\u0000", "\\ud800"
FAR = 253_402_300_799  # seconds: the last of the year 9999


def edited(payload, *path, to):
    """A message in which one value is replaced by JSON text that no encoder would write."""
    document = json.loads(payload)
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "@@@"
    return json.dumps(document).replace('"@@@"', to).encode()


def summary(**more):
    return m.sent(m.summary(m.window(m.NOW, 3, **more)), 2)


def column(name, to):
    return edited(summary(), "data", "common", name, to=to)


def deep(depth):
    return "[" * depth + "]" * depth


# Refused, counted, its number noted.
UNREADABLE = {
    "a count beyond 64 bits": column("count", "99999999999999999999999"),
    "a sum beyond any gateway's": column("sum", "1" + "0" * 80),
    "an infinite centre": column("centre", "1e999"),
    "a centre that is no number": column("centre", "NaN"),
    "a time that no calendar has": column("start_ns", str(10**30)),
    "a time before 1970": column("start_ns", "-1"),
    "a histogram of texts": column("histogram", '["a"]'),
    "a bin beyond 64 bits": column("histogram", "[1, 18446744073709551616]"),
    "a tag with NUL": edited(summary(), "data", "columns", "tag", to=f'["a{NUL}b"]'),
    "a tag with half a character": edited(summary(), "data", "columns", "tag", to=f'["{LONE}"]'),
    "a tag that is too long": edited(summary(), "data", "columns", "tag", to=f'["{"x" * 9000}"]'),
    "a condition without end": edited(m.sent(m.condition(2, "c"), 2), "data", "id",
                                      to=f'"{"c" * 9000}"'),
    "a condition with NUL": edited(m.sent(m.condition(2), 2), "data", "id", to=f'"c{NUL}"'),
    "a verdict on NUL": edited(m.sent(m.verdict(), 2), "data", "model", to=f'"{NUL}"'),
    "a verdict without reasons": edited(m.sent(m.verdict(), 2), "data", "reasons", to="1"),
    "an event without a kind": edited(m.sent(m.event(2), 2), "type", to="{}")
        .replace(b'"subject"', b'"other"'),
}  # fmt: skip

# Kept, with what a database can not hold replaced.
KEPT = {
    "a text with NUL": edited(m.sent(m.event(2), 2), "data", "change", to=f'"a{NUL}b"'),
    "half a character": edited(m.sent(m.event(2), 2), "data", "change", to=f'"{LONE}"'),
    "a name with NUL within data": edited(m.sent(m.event(2), 2), "data",
                                          to=f'{{"a{NUL}": "{LONE}"}}'),
    "a number beyond a float": edited(m.sent(m.event(2), 2), "data", "change", to="1e999"),
    "a number beyond 64 bits": edited(m.sent(m.event(2), 2), "data", "change", to="9" * 400),
    "no number": edited(m.sent(m.event(2), 2), "data", "change", to="NaN"),
    "much depth": edited(m.sent(m.event(2), 2), "data", "change", to=deep(200)),
    "a subject with NUL": edited(m.sent(m.event(2), 2), "subject", to=f'"tag/{NUL}"'),
    "the last moment there is": edited(m.sent(m.event(2), 2), "time",
                                       to='"9999-12-31T23:59:59.999999999Z"'),
    "the first year": edited(m.sent(m.event(2), 2), "time", to='"0001-01-01T00:00:00Z"'),
    "10,000 tags": m.sent(m.summary_of_many(10_000), 2),
    "a reason with NUL": edited(m.sent(m.verdict(reasons=[{"text": "x"}]), 2), "data", "reasons",
                                to=f'[{{"text": "{NUL}{LONE}"}}]'),
    "a condition raised never": edited(m.sent(m.condition(2), 2), "data", "raised_ns",
                                       to="1" + "0" * 40),
    "a gap for a reason with NUL": edited(
        m.wire(m.gap([[8, 9]]), m.who(), m.NOW).payload.replace(b'"seq":1', b'"seq":2'),
        "data", "reason", to=f'"{NUL}{"x" * 9000}"'),
}  # fmt: skip


@pytest.fixture
def ledger(database):
    return Ledger(database)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_can_not_be_kept_is_unreadable_once_and_the_rest_goes_on(database, ledger, name):
    """Its number is noted, so that it is acknowledged and does not come again and again."""
    batch = [m.sent(m.event(1), 1), UNREADABLE[name], m.sent(m.event(3), 3)]
    settled = m.settle(ledger, *batch)
    assert (settled.rows, settled.messages, settled.unreadable) == (2, 2, 1)
    assert settled.reasons
    assert [one[3] for one in w.events(database, "north")] == [1, 3]
    again = m.settle(ledger, UNREADABLE[name])
    assert (again.rows, again.messages, again.duplicates) == (0, 0, 1)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_odd_is_kept_with_what_no_database_holds_replaced(database, ledger, name):
    """A finding is worth more than a character of it; every view can be read afterwards."""
    settled = m.settle(ledger, m.sent(m.event(1), 1), KEPT[name], m.sent(m.event(3), 3))
    assert (settled.messages, settled.unreadable, settled.reasons) == (3, 0, [])
    for view in ("model_now", "incident_now", "gateway_now", "change_now", "request_now"):
        assert isinstance(w.selected(database, view, "north"), list)
    assert len(w.rows(database, "SELECT * FROM event")) >= 2


def test_a_birth_of_nonsense_leaves_every_view_readable(database, ledger):
    """Numbers beyond 64 bits, NULs and lists of anything in what it says of changes and streams."""
    change = {"id": "\x00", "since_ns": 10**30, "tags": -1, "models": [1, None], "needs": "x"}
    contract = {"hash": 7, "held_tags": 10**40, "open_changes": 2**63, "changes": [change, 4]}
    odd = m.state(
        seq=1, contract=contract, promise={"raised": "\x00"}, reason="\x00" * 9000,
        acknowledged=[{"boot": 1, "stream": "event", "through": 10**300}],
        unacknowledged=[{"boot": 1, "stream": "summary", "first": 1, "last": 2**53 - 1}],
    )  # fmt: skip
    settled = m.settle(ledger, odd, m.sent(m.event(1), 1))
    assert (settled.messages, settled.unreadable) == (2, 0)
    (gateway,) = w.selected(database, "gateway_now", "north")
    assert gateway["online"] and gateway["awaited"] == 2**53 - 1
    (told,) = w.selected(database, "change_now", "north")
    assert (told["since_ns"], told["tags"], told["models"]) == (0, 0, ["1", ""])
    assert ledger.owed([("north", "gw", "00000001")])


def test_sums_beyond_64_bits_add_up_exactly(database, ledger):
    """Squares of 1/1024 standard deviations pass 2**63 where a value is far enough out."""
    big = 2**63 - 1
    windows = [m.window(m.NOW + n * 300 * m.S, 3, sum_sq=big, sum=-big) for n in range(5)]
    m.settle(ledger, *(m.sent(m.summary(one), n) for n, one in enumerate(windows[:3], 1)))
    m.settle(ledger, *(m.sent(m.summary(one), n) for n, one in enumerate(windows[3:], 4)))
    assert w.totals(database, "north")["yield", "a"][3:5] == (-5 * big, 5 * big)
    m.settle(ledger, m.sent(m.coarse(*windows[:3]), 6, covers=[[1, 3]]))
    assert w.totals(database, "north")["yield", "a"][3:5] == (-5 * big, 5 * big)
    assert w.summed(database, "north")["yield", "a"][3:5] == (-5 * big, 5 * big)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PATHS = (
    ("data",), ("data", "common"), ("data", "columns"), ("data", "common", "sum"), ("covers",),
    ("time",), ("subject",), ("type",), ("data", "reasons"), ("data", "valid_for_s"), ("store",),
    ("data", "model"), ("data", "online"), ("data", "contract"), ("data", "acknowledged"),
    ("data", "ranges"), ("data", "of"), ("data", "raised_ns"), ("data", "models"), ("seq",),
    ("boot",), ("historical",), ("time_quality",), ("data", "incident"), ("data", "reason"),
    ("data", "version"), ("data", "owner"), ("data", "since"), ("data", "unacknowledged"),
)  # fmt: skip


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip
@given(
    odd=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(PATHS), JSON), min_size=1, max_size=6)
)
def test_no_message_of_whatever_content_stops_a_batch(database, odd):
    """Any JSON in any place of any message, between two good ones, on both databases."""
    ledger = Ledger(database)
    kinds = [
        m.sent(m.event(2), 2), m.sent(m.condition(2), 2), summary(), m.sent(m.verdict(), 2),
        m.state(seq=5), m.wire(m.gap([[8, 9]]), m.who(), m.NOW).payload, m.sent(m.event(4), 4),
    ]  # fmt: skip
    batch = [m.sent(m.event(1), 1)]
    for kind, path, value in odd:
        document = json.loads(kinds[kind])
        place = document
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
        batch.append(json.dumps(document).encode())
    settled = m.settle(ledger, *batch, m.sent(m.event(3), 3))
    assert settled.messages + settled.duplicates + settled.unreadable == len(batch) + 1
    found = {one[3] for one in w.events(database, "north") if one[:3] == ("gw", "00000001", 1)}
    assert {1, 3} <= found


def test_a_message_that_nobody_foresaw_is_found_by_halving(
    database, ledger, monkeypatch
):
    """What nobody foresaw: its number is noted, it is told why, and the others are kept."""
    known = saving.text_of

    def refusing(value, most=2_000):
        if value == "tag/poison":
            raise RuntimeError("boom")
        return known(value, most)

    monkeypatch.setattr("agent.fleet.settle.text_of", refusing)
    batch = [m.sent(m.event(n), n) for n in range(1, 9)]
    batch[4] = m.sent(m.event(5, subject="tag/poison"), 5)
    settled = m.settle(ledger, *batch)
    assert (settled.rows, settled.messages, settled.unreadable) == (7, 7, 1)
    assert any("boom" in one for one in settled.reasons)
    assert w.marks(database, "north")["gw", "00000001", 1, "event"][0] == [(1, 8)]


def test_where_nothing_at_all_can_be_stored_no_message_is_given_up(
    database, ledger, monkeypatch
):
    """Then it is a fault of ours: nothing is noted, so nothing is acknowledged."""
    batch = [m.sent(m.event(n), n) for n in range(1, 5)]

    def refusing(*_):
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr("agent.fleet.settle.text_of", refusing)
        with pytest.raises(StoreError, match="none can be stored: RuntimeError: a fault of ours"):
            m.settle(ledger, *batch)
    assert w.marks(database, "north") == {}
    assert m.settle(ledger, *batch).messages == 4


def test_what_is_kept_of_a_gateway_is_bounded(database, ledger, monkeypatch):
    """Stores, runs, models, conditions, requests, reasons of gaps, series, and gateways."""
    for where, name, most in (
        ("agent.central.gateway", "STORES_KEPT", 3), ("agent.central.gateway", "LIVES_KEPT", 4),
        ("agent.central.gateway", "DROPPED_KEPT", 2), ("agent.fleet.saving", "MODELS_KEPT", 5),
        ("agent.fleet.saving", "CONDITIONS_KEPT", 6), ("agent.fleet.saving", "REQUESTS_KEPT", 7),
        ("agent.fleet.summing", "SERIES_KEPT", 8), ("agent.fleet.ledger", "GATEWAYS_KEPT", 2),
    ):  # fmt: skip
        monkeypatch.setattr(f"{where}.{name}", most)
    for n in range(1, 12):
        store = f"{n:08x}"
        sender = m.who(store=store)
        request = {"id": f"r{n}", "state": "open", "model": "m"}
        m.settle(
            ledger, m.state(seq=1, boot=n, sender=sender),
            m.sent(m.verdict(model=f"m{n}"), n), m.sent(m.condition(n, f"c{n}"), n),
            m.sent(m.event(n, "retraining", **request), 100 + n),
            m.sent(m.summary(m.window(m.NOW, 1, tag=f"t{n}")), n),
            m.wire(m.gap([[50, 51]], reason=f"why {n}"), m.who(), m.NOW).payload.replace(
                b'"seq":1', b'"seq":%d' % n),
            m.sent(m.event(1), 1, sender=m.who(f"gateway-{n}")),
        )  # fmt: skip
    counts = {
        table: w.rows(database, f"SELECT count(*) AS n FROM {table} t JOIN gateway g"
                      " ON g.id = t.gateway_id WHERE g.gateway = 'gw'")[0]["n"]
        for table in ("presence", "life", "gap", "model", "condition", "request", "series")
    }  # fmt: skip
    assert counts == {"presence": 3, "life": 4, "gap": 2, "model": 5, "condition": 6,
                      "request": 7, "series": 8}  # fmt: skip
    assert len(w.rows(database, "SELECT * FROM gateway")) == ledgers.GATEWAYS_KEPT == 2
    newest = {one["id"] for one in w.rows(database, "SELECT id FROM condition")}
    assert "c11" in newest and "c1" not in newest


def test_a_database_that_goes_away_is_told_and_the_batch_settles_when_it_is_back(postgres_url):
    """Nothing of it is kept meanwhile, and nothing twice afterwards."""
    database = Database(postgres_url)
    ledger = Ledger(database)
    m.settle(ledger, m.sent(m.event(1), 1))
    away = Ledger(Database(postgres_url.replace("/test_", "/no_such_")))
    with pytest.raises(StoreError) as told:
        m.settle(away, m.sent(m.event(2), 2))
    assert told.value.operation and told.value.cause and told.value.hint
    with database.engine.connect() as connection:  # as when the server is started anew
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    settled = m.settle(ledger, m.sent(m.event(2), 2))
    assert settled.rows == 1
    assert [one[3] for one in w.events(database, "north")] == [1, 2]
    database.close()


@given(st.text(st.characters()))
def test_texts_are_what_a_database_takes(text):
    """No NUL, no half of a character; and a text that is fine is left alone."""
    kept = text_of(text)
    assert "\x00" not in kept and kept.encode().decode() == kept
    fine = "\x00" not in text and not any(0xD800 <= ord(one) < 0xE000 for one in text)
    assert (kept == text[:2_000]) or not fine
    if fine and len(text.encode()) <= 500:
        assert key_of(text) == text
    assert "\\u0000" not in json_of({"a": text}) or "\\\\u0000" in json_of({"a": text})
