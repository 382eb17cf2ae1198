"""The relay: events go on to webhooks, at least once, in order, whatever dies; bounded, counted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from agent.backoff import Backoff
from agent.configuration.relay import Relay
from agent.fleet import relay as sending
from agent.fleet import relay_queue as queue
from agent.fleet.bulk import us
from agent.fleet.columns import us_of
from agent.fleet.relay import Relays, Target
from agent.fleet.relay_check import asked
from agent.fleet.schema import RELAY_TARGET
from simulators.ports import free_port
from tests.hooks.endpoint import Endpoint
from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]


@dataclass
class Event:
    """What the ledger hands over of an event."""

    number: int
    kind: str = "condition"
    site: str = "north"
    gateway: str = "gw-1"
    historical: bool = False

    @property
    def document(self):
        return {
            "specversion": "1.0", "id": f"0badcafe-1-{self.number}",
            "source": f"/fieldwarden/{self.site}/{self.gateway}", "subject": "gateway",
            "type": f"fieldwarden.event.{self.kind}", "historical": self.historical,
            "data": {"text": "größer"},
        }  # fmt: skip

    @property
    def payload(self):
        return json.dumps(self.document, ensure_ascii=False).encode()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sending, "IDLE_S", 0.05)


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path / "endpoint", free_port())
    yield made
    made.stop()


def table(endpoint, **more):
    return Relay.model_validate({"name": "desk", "url": endpoint.url, **more})


def put(database, relays, *events):
    """In a transaction of its own, as the ledger does."""
    def work(connection):
        return queue.Queue(relays).put(connection, events, database.now(connection))

    return database.repeated(work)


def counts(database, name="desk"):
    with database.reading() as connection:
        found = queue.counts(connection, database.now(connection))
    return next((one for one in found if one["name"] == name), None)


def target(database, relay, holder="front", lease_s=20.0):
    return Target(database, relay, holder, backoff=Backoff(0.05, 0.1), lease_s=lease_s)


@contextlib.asynccontextmanager
async def running(*targets):
    stop = asyncio.Event()
    tasks = [asyncio.create_task(one.run(stop)) for one in targets]
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*tasks)


def numbers(endpoint, status=204):
    return [int(json.loads(one["body"])["id"].split("-")[2]) for one in endpoint.requests(status)]


async def test_events_go_on_as_they_came_once_in_order_and_signed(database, endpoint, tmp_path):
    """The body is the gateway's own, to the byte; the id of the delivery names its sender too."""
    (tmp_path / "secret").write_text("a secret of the desk\n")
    relay = table(endpoint, secret_file=str(tmp_path / "secret"))
    endpoint.start()
    events = [Event(number) for number in range(1, 6)]
    assert put(database, [relay], *events) == 5
    async with running(target(database, relay)):
        await until(lambda: counts(database)["delivered"] == 5)
    told = endpoint.requests()
    assert [one["body"].encode() for one in told] == [event.payload for event in events]
    for one, event in zip(told, events, strict=True):
        headers = {name.lower(): value for name, value in one["headers"].items()}
        assert headers["content-type"] == "application/cloudevents+json"
        assert headers["webhook-id"] == f"/fieldwarden/north/gw-1/0badcafe-1-{event.number}"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{one['body']}".encode()
        digest = hmac.new(b"a secret of the desk", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert counts(database) == {
        "name": "desk", "waiting": 0, "dead": 0, "oldest_s": 0.0, "delivered": 5, "dropped": {},
        "attempts": 0, "trouble": "",
    }  # fmt: skip


def test_each_target_is_told_of_what_it_asked_for(database, endpoint):
    """By kind, site, gateway and age; nothing is queued for nobody."""
    relays = [
        table(endpoint, name="all", events=["condition", "verdict", "finding"]),
        table(endpoint, name="north", sites=["north"], gateways=["gw-1"]),
        table(endpoint, name="news", historical=False),
    ]
    put(
        database, relays, Event(1), Event(2, kind="finding"), Event(3, site="south"),
        Event(4, gateway="gw-2"), Event(5, historical=True),
    )  # fmt: skip
    with database.reading() as connection:
        waits = {
            one.name: [int(row.name.rpartition("-")[2])
                       for row in queue.waiting(connection, one.name, 100)]
            for one in relays
        }  # fmt: skip
    assert waits == {"all": [1, 2, 3, 4, 5], "north": [1, 5], "news": [1, 3, 4]}
    assert put(database, [], Event(6)) == 0


def test_what_is_not_committed_is_not_told(database, endpoint):
    """A batch that fails leaves nothing in the queue."""
    relay = table(endpoint)

    def fails(connection):
        queue.Queue([relay]).put(connection, [Event(1)], database.now(connection))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.repeated(fails)
    assert counts(database) is None


async def test_what_fails_is_tried_again_and_nothing_overtakes_it(database, endpoint, monkeypatch):
    """A target that is not there, errs, hangs, and then takes it; why is told meanwhile."""
    relay = table(endpoint)
    put(database, [relay], Event(1), Event(2))
    one = target(database, relay, lease_s=1.0)  # half of it for one message
    async with running(one):
        await until(lambda: (counts(database) or {}).get("trouble"))
        assert counts(database)["attempts"] >= 1 and counts(database)["waiting"] == 2
        endpoint.answers(503)
        endpoint.start()
        await until(lambda: len(endpoint.requests(503)) >= 2)
        assert "503" in counts(database)["trouble"]
        endpoint.answers(500, 1.0)
        await until(lambda: len(numbers(endpoint, 500)) >= 1)
        endpoint.answers(204)
        await until(lambda: counts(database)["delivered"] == 2)
    assert set(numbers(endpoint, 503)) | set(numbers(endpoint, 500)) == {1}
    assert numbers(endpoint)[-1] == 2 and set(numbers(endpoint)) == {1, 2}
    assert counts(database)["trouble"] == "" and counts(database)["attempts"] == 0


async def test_a_target_that_asks_for_time_is_not_told_before(database, endpoint):
    """Retry-After counts beside the backoff; a redirect is told of, and not followed."""
    relay = table(endpoint)
    put(database, [relay], Event(1))
    endpoint.answers(429, retry_after="3000")
    endpoint.start()
    async with running(target(database, relay)):
        await until(lambda: (counts(database) or {}).get("trouble"))
        with database.reading() as connection:
            (next_at,) = connection.execute(select(RELAY_TARGET.c.next_at)).one()
            now = database.now(connection)
    assert 2_000 < (us(next_at) - us_of(now)) / 1e6 <= 3_000
    assert len(endpoint.requests(429)) == 1

    endpoint.answers(307, location="https://elsewhere.example/hook")
    database.repeated(lambda one: queue.failed(one, "desk", 0, None, ""))
    async with running(target(database, relay)):
        await until(lambda: "elsewhere.example" in counts(database)["trouble"])
    assert counts(database)["waiting"] == 1


async def test_what_is_refused_or_too_old_is_a_dead_letter_and_can_be_sent_again(
    database, endpoint
):
    """It holds up nothing behind it, is counted by reason, and is kept for who mends the target."""
    relay = table(endpoint, max_age="1h")
    endpoint.answers(422)
    endpoint.start()
    put(database, [relay], Event(1))
    with database.writing() as connection:
        long_ago = database.now(connection) - timedelta(hours=2)
        queue.Queue([relay]).put(connection, [Event(2)], long_ago)
    async with running(target(database, relay)):
        await until(lambda: counts(database)["dead"] == 2)
        endpoint.answers(204)
        put(database, [relay], Event(3))
        await until(lambda: counts(database)["delivered"] == 1)
    assert numbers(endpoint, 422) == [1] and numbers(endpoint) == [3]
    assert counts(database)["dropped"] == {"refused": 1, "too old": 1}
    page = (ROOT / "docs" / "central-relay.md").read_text(encoding="utf-8")
    again = page.split("```sql\n")[1].split("```")[0]
    with database.writing() as connection:
        connection.execute(text(again))
    async with running(target(database, table(endpoint))):
        await until(lambda: counts(database)["delivered"] == 3)
    assert numbers(endpoint) == [3, 1, 2] and counts(database)["dead"] == 0


async def test_several_fronts_send_each_message_once_between_them(database, endpoint):
    """Who holds the lease sends; the other goes on where it ends in order."""
    relay = table(endpoint)
    endpoint.start()
    put(database, [relay], *(Event(number) for number in range(1, 21)))
    second = target(database, relay, "second")
    async with running(second):
        async with running(target(database, relay, "first")):
            await until(lambda: counts(database)["delivered"] == 20)
        put(database, [relay], *(Event(number) for number in range(21, 31)))
        await until(lambda: counts(database)["delivered"] == 30)
    assert numbers(endpoint) == list(range(1, 31))


async def test_the_lease_of_a_front_that_died_ends(database, endpoint):
    """Until then nobody else sends, and then the next one does."""
    relay = table(endpoint)
    endpoint.start()
    put(database, [relay], Event(1))
    with database.writing() as connection:
        now = database.now(connection)
        assert queue.take(connection, "desk", "dead", now, timedelta(minutes=5)) == 0
    with database.writing() as connection:
        assert queue.take(connection, "desk", "front", now, timedelta(minutes=5)) is None
    async with running(target(database, relay)):
        await asyncio.sleep(0.3)
        assert not endpoint.requests()
        with database.writing() as connection:
            past = database.now(connection) - timedelta(seconds=1)
            connection.execute(update(RELAY_TARGET).values(until=past))
        await until(lambda: counts(database)["delivered"] == 1)


FRONT = """
import asyncio, sys
from agent.configuration.relay import Relay
from agent.fleet import relay
from agent.fleet.database import Database

relay.IDLE_S = 0.05
relays = [Relay(name="desk", url=sys.argv[2])]
asyncio.run(relay.Relays(Database(sys.argv[1]), relays, lease_s=1.0).run(asyncio.Event()))
"""


async def test_fronts_that_are_killed_lose_nothing(database, database_url, endpoint):
    """kill -9 in the middle of it, again and again, while more comes: each comes, in order."""
    relay, sent = table(endpoint), 0
    endpoint.answers(204, 0.005)
    endpoint.start()
    for _round in range(2):
        put(database, [relay], *(Event(number) for number in range(sent + 1, sent + 81)))
        sent += 80
        before = len(endpoint.requests())
        command = [sys.executable, "-c", FRONT, database_url, endpoint.url]
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        try:
            await until(lambda before=before: len(endpoint.requests()) > before + 20)
        finally:
            process.kill()
            await process.wait()
    async with running(target(database, relay)):
        await until(lambda: counts(database)["waiting"] == 0)
    came = numbers(endpoint)
    assert list(dict.fromkeys(came)) == list(range(1, sent + 1))
    assert counts(database)["delivered"] == sent and counts(database)["dropped"] == {}


async def test_more_than_may_wait_are_dropped_the_oldest_first_and_counted(database, endpoint):
    """Who sends makes room; where nobody does, the workers stop queueing at twice as many."""
    relay = table(endpoint, most=100)
    for start in range(1, 401, 50):
        put(database, [relay], *(Event(number) for number in range(start, start + 50)))
    assert counts(database)["waiting"] == 200
    assert counts(database)["dropped"] == {"too many wait": 200}
    endpoint.start()
    async with running(target(database, relay)):
        await until(lambda: counts(database)["delivered"] == 100)
    assert numbers(endpoint) == list(range(101, 201))
    assert counts(database)["dropped"] == {"too many wait": 300}


async def test_what_waits_for_a_relay_that_is_gone_goes_after_a_day(database, endpoint):
    """Not at once: a service with another list of relays may write the same database."""
    endpoint.start()
    gone, relay = table(endpoint, name="gone"), table(endpoint)
    put(database, [gone], Event(1))
    with database.writing() as connection:
        long_ago = database.now(connection) - timedelta(days=2)
        queue.Queue([gone]).put(connection, [Event(2)], long_ago)
    put(database, [relay], Event(3))
    stop = asyncio.Event()
    task = asyncio.create_task(Relays(database, [relay]).run(stop))
    await until(lambda: (counts(database) or {"delivered": 0})["delivered"] == 1)
    await until(lambda: counts(database, "gone")["waiting"] == 1)
    stop.set()
    await task
    assert numbers(endpoint) == [3]


async def test_a_front_that_is_to_end_does_not_wait_for_a_target_that_hangs(
    database, endpoint, monkeypatch
):
    """The message stays in the queue, and the lease is given back."""
    monkeypatch.setattr(sending, "GRACE_S", 0.1)
    relay = table(endpoint)
    endpoint.answers(204, 15.0)
    endpoint.start()
    put(database, [relay], Event(1))
    async with asyncio.timeout(10):
        async with running(target(database, relay, lease_s=60.0)):
            held = RELAY_TARGET.select()
            await until(lambda: _row(database, held) is not None)
            await asyncio.sleep(0.2)
    assert counts(database)["waiting"] == 1 and _row(database, held)["holder"] == ""


def _row(database, query):
    with database.reading() as connection:
        return connection.execute(query).mappings().first()


async def test_what_may_come_is_told_before_it_does(endpoint, tmp_path):
    """`--check` asks each target, and tells it nothing."""
    endpoint.start()
    (tmp_path / "secret").write_text("a secret\n")
    closed = Endpoint(tmp_path / "other", free_port())
    lines = await asked([
        table(endpoint, secret_file=str(tmp_path / "secret")), table(closed, name="other"),
        table(endpoint, name="third", secret_file=str(tmp_path / "none")),
    ], 5.0)  # fmt: skip
    assert [(one.level, one.subject) for one in lines] == [
        ("ok", "relay desk"), ("warning", "relay other"), ("warning", "relay third"),
    ]  # fmt: skip
    assert "signed" in lines[0].text and "none" in lines[2].text
    assert not endpoint.requests()
