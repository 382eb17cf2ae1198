"""A webhook: told behind the commit, at least once, in order, signed; bounded where nobody is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json

import pytest

from agent.backoff import Backoff
from agent.configuration.schema import Configuration
from agent.errors import FieldwardenError, StoreError
from agent.forward.json_payload import schema
from agent.hooks import HOOKS, Sender
from agent.hooks.deliverer import Deliverer
from agent.runtime.outside import NOT_CONFIGURED, Outside, hook_messages
from agent.runtime.supervisor import Supervisor
from agent.store import Batch, Reader
from agent.store import hook_messages as stored
from agent.types import Event
from simulators.ports import free_port
from tests.hooks.endpoint import Endpoint
from tests.store.helpers import command, open_store
from tests.waiting import PATIENCE_S, until

HOUR = 3_600 * 10**9


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path / "endpoint", free_port())
    yield made
    made.stop()


def configured(**hooks):
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"}, "sources": {}, "tags": {},
        "hooks": hooks,
    })  # fmt: skip


class Told:
    """A store with events, and one hook's deliverer over it."""

    def __init__(self, folder, url, **hook):
        self.configuration = configured(ops={"kind": "webhook", "url": url, **hook})
        self.path = folder / "fieldwarden.db"
        self.store, self.number, self.now_ns = open_store(self.path), 0, 10
        self.reader = Reader(self.path)
        self.begin()

    def begin(self):
        """As after a start of the process."""
        table = self.configuration.hooks["ops"]
        sender = Sender("s", "g", "0badcafe")
        self.deliverer = Deliverer(
            "ops", table, HOOKS["webhook"].create(table, sender), sender, self.reader,
            lambda: self.now_ns, Backoff(0.05, 0.1),
        )  # fmt: skip

    async def happen(self, *events):
        """Events are committed, with what is due to the hook, and what was delivered so far."""
        self.number += 1
        placed = [(self.number, place, event) for place, event in enumerate(events)]
        batch = Batch(entries=[command(self.number)], events=placed)
        batch.hooks = hook_messages(self.configuration, placed)
        batch.hooks_done = self.deliverer.take()
        await self.store.commit(batch)
        self.deliverer.notify()

    async def settled(self):
        """What came of all of them is committed; the endpoint knows it before the agent does."""
        async with asyncio.timeout(PATIENCE_S):
            await self.happen()
            while self.counts["pending"]:
                await asyncio.sleep(0.02)
                await self.happen()

    @contextlib.asynccontextmanager
    async def delivering(self):
        task = asyncio.create_task(self.deliverer.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def end(self):
        self.reader.close()
        await self.store.close()

    @property
    def counts(self):
        return self.reader.hook_counts("ops")


def asked(number, model="m", kind="retraining"):
    return Event(kind, number, f"model/{model}", {"change": "requested", "id": f"{model}@{number}"})


async def test_events_come_once_in_order_as_signed_cloud_events(endpoint, tmp_path):
    """Only of the kinds and models that were asked for; who has the secret can verify each."""
    (tmp_path / "secret").write_text("a secret of the desk\n")
    told = Told(tmp_path, endpoint.url, models=["m"], secret_file=str(tmp_path / "secret"))
    endpoint.start()
    async with told.delivering():
        await told.happen(asked(5), asked(6, "other"), asked(7, kind="verdict"))
        await told.happen(asked(8))
        await until(lambda: len(endpoint.taken()) == 2)
        await told.settled()
    events = endpoint.taken()
    assert [event["data"]["id"] for event in events] == ["m@5", "m@8"]
    for request, event in zip(endpoint.requests(), events, strict=True):
        assert event["specversion"] == "1.0" and event["type"] == "fieldwarden.event.retraining"
        assert event["type"] in schema("event")["properties"]["type"]["enum"]
        headers = {name.lower(): value for name, value in request["headers"].items()}
        assert headers["content-type"] == "application/cloudevents+json"
        assert headers["webhook-id"] == event["id"]
        signed = f"{event['id']}.{headers['webhook-timestamp']}.{request['body']}".encode()
        digest = hmac.new(b"a secret of the desk", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert len({event["id"] for event in events}) == 2
    assert told.counts == {"pending": 0, "delivered": 2, "dropped": {}}
    await told.end()


async def test_what_fails_is_tried_again_and_nothing_overtakes_it(endpoint, tmp_path):
    """An endpoint that is not there, then errs, then takes it: the reason is told meanwhile."""
    told = Told(tmp_path, endpoint.url)
    async with told.delivering():
        await told.happen(asked(1), asked(2))
        await until(lambda: told.deliverer.reason)
        endpoint.answers(503)
        endpoint.start()
        await until(lambda: len(endpoint.requests(503)) >= 2)
        assert told.deliverer.report()["reason"] == "it answered 503"
        endpoint.answers(204)
        await until(lambda: len(endpoint.taken()) == 2)
    assert [event["data"]["id"] for event in endpoint.taken()] == ["m@1", "m@2"]
    assert {json.loads(one["body"])["data"]["id"] for one in endpoint.requests(503)} == {"m@1"}
    assert told.deliverer.reason == ""
    await told.end()


async def test_what_was_delivered_before_a_kill_comes_again_with_the_same_id(endpoint, tmp_path):
    """Where the commit that says so never was: at least once."""
    told = Told(tmp_path, endpoint.url)
    endpoint.start()
    async with told.delivering():
        await told.happen(asked(1), asked(2))
        await until(lambda: len(endpoint.taken()) == 2)
    told.begin()  # nothing of what the other knew was committed
    async with told.delivering():
        await until(lambda: len(endpoint.taken()) == 4)
        await told.settled()
    first, second, *again = [event["id"] for event in endpoint.taken()]
    assert [first, second] == again and first != second
    assert told.counts["delivered"] == 2
    await told.end()


async def test_what_is_refused_or_too_old_is_given_up_and_counted(endpoint, tmp_path):
    """And does not hold up what comes behind it; what somebody may mend is tried again."""
    told = Told(tmp_path, endpoint.url, max_age="1h")
    endpoint.answers(422)
    endpoint.start()
    async with told.delivering():
        await told.happen(asked(1))
        await until(lambda: endpoint.requests(422))
        await asyncio.sleep(0.2)
        assert len(endpoint.requests()) == 1
        endpoint.answers(401)
        await told.happen(asked(2))
        await until(lambda: len(endpoint.requests(401)) >= 2)
        told.now_ns += HOUR
        endpoint.answers(204)
        await told.happen(asked(HOUR))
        await until(endpoint.taken)
        await told.settled()
    assert [event["data"]["id"] for event in endpoint.taken()] == [f"m@{HOUR}"]
    dropped = {"refused": 1, "too old": 1}
    assert told.counts == {"pending": 0, "delivered": 1, "dropped": dropped}
    await told.end()


async def test_more_than_may_wait_are_dropped_the_oldest_first_and_counted(
    endpoint, tmp_path, monkeypatch
):
    """The store keeps its bound whatever the endpoint does."""
    monkeypatch.setattr(stored, "MOST", 3)
    told = Told(tmp_path, endpoint.url)
    for number in range(1, 6):
        await told.happen(asked(number))
    assert told.counts == {"pending": 3, "delivered": 0, "dropped": {"too many wait": 2}}
    endpoint.start()
    async with told.delivering():
        await until(lambda: len(endpoint.taken()) == 3)
    assert [event["time"][-2] for event in endpoint.taken()] == ["3", "4", "5"]
    await told.end()


async def test_an_event_that_was_there_is_not_told_again(endpoint, tmp_path):
    """A fold after a crash brings the same events: they are known by their entry and place."""
    told = Told(tmp_path, endpoint.url)
    await told.happen(asked(1))
    told.number -= 1
    batch = Batch(events=[(1, 0, asked(1))])
    batch.hooks = hook_messages(told.configuration, batch.events)
    await told.store.commit(batch)
    assert told.counts["pending"] == 1
    await told.end()


async def test_a_store_that_could_not_be_read_for_a_while_stops_no_hook(
    endpoint, tmp_path, monkeypatch
):
    """The deliverer fails, is started again by its supervisor, and delivers as before."""
    told = Told(tmp_path, endpoint.url)
    endpoint.start()
    read, failing = told.reader.hook_messages, []

    def hook_messages_or_error(*args):
        if failing:
            raise failing.pop()
        return read(*args)

    monkeypatch.setattr(told.reader, "hook_messages", hook_messages_or_error)
    supervisor = Supervisor(lambda: told.now_ns)
    task = asyncio.create_task(supervisor.run("hook ops", told.deliverer.run))
    await told.happen(asked(1))
    await until(lambda: len(endpoint.taken()) == 1)
    failing.append(StoreError("reading", "the store", "disk I/O error"))
    await told.happen(asked(2))
    await until(lambda: len(endpoint.taken()) == 2)
    assert supervisor.report()[0]["restarts"] == 1 and told.deliverer.reason == ""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await told.end()


async def test_a_store_that_begins_anew_leaves_nothing_untold(endpoint, tmp_path):
    """Its rows count from 1 again: what came of those of the old file says nothing of the new."""
    told = Told(tmp_path, endpoint.url)
    endpoint.start()
    async with told.delivering():
        await told.happen(*(asked(number) for number in range(1, 6)))
        await until(lambda: len(endpoint.taken()) == 5)
        await told.settled()
        for file in tmp_path.glob("fieldwarden.db*"):
            file.unlink()
        await told.happen(asked(7))
        await told.happen(asked(8))
        await until(lambda: len(endpoint.taken()) == 7)
        await told.settled()
    assert [event["data"]["id"] for event in endpoint.taken()][5:] == ["m@7", "m@8"]
    assert told.counts["pending"] == 0 and told.counts["dropped"] == {}
    await told.end()


async def test_a_clock_that_is_set_makes_nothing_too_old(endpoint, tmp_path):
    """A gateway that began in 1970, and then heard what time it is."""
    told = Told(tmp_path, endpoint.url, max_age="1h")
    await told.happen(asked(1))
    year = 365 * 24 * HOUR
    await told.happen(Event("clock", year, "gateway", {"change": "set", "shift_ns": year}))
    told.now_ns += year
    endpoint.start()
    async with told.delivering():
        await until(endpoint.taken)
        await told.settled()
    assert endpoint.taken()[0]["time"].startswith("1971-01-01")
    assert told.counts == {"pending": 0, "delivered": 1, "dropped": {}}
    await told.end()


async def test_what_waits_for_a_hook_that_is_gone_is_given_up(endpoint, tmp_path):
    """Else it would wait for ever; counted by the reason."""
    told = Told(tmp_path, endpoint.url)
    await told.happen(asked(1), asked(2))
    outside = Outside(configured(), told.reader, 1, lambda: 0)
    batch = Batch()
    outside.fill(batch)
    await told.store.commit(batch)
    assert told.counts == {"pending": 0, "delivered": 0, "dropped": {NOT_CONFIGURED: 2}}
    assert outside.report()["hooks"] == []
    await told.end()


async def test_check_asks_without_telling_anything(endpoint):
    """OPTIONS only; nothing there is an error with a hint."""
    table = configured(ops={"kind": "webhook", "url": endpoint.url}).hooks["ops"]
    with pytest.raises(FieldwardenError, match="asking"):
        await HOOKS["webhook"].probe(table, 5.0)
    endpoint.start()
    assert "204" in await HOOKS["webhook"].probe(table, 5.0)
    assert endpoint.requests() == []


@pytest.mark.parametrize(("hook", "cause"), [
    ({"kind": "webhook", "url": "http://ops.example/x"}, "not encrypted"),
    ({"kind": "webhook", "url": "ftp://127.0.0.1/x"}, "no address"),
    ({"kind": "webhook", "url": "https://h/x", "events": []}, "at least 1"),
    ({"kind": "webhook", "url": "https://h/x", "events": ["finding"]}, "finding"),
    ({"kind": "mlflow", "model": "m", "tracking_uri": "", "registered_model": "r"}, "at least 1"),
], ids=str)  # fmt: skip
def test_a_hook_that_can_not_be_told_is_refused(hook, cause):
    """What is said to somebody else leaves this machine only encrypted."""
    with pytest.raises(ValueError, match=cause):
        configured(ops=hook)
