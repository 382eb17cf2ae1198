"""The relay within the service: from a gateway's message to a webhook, whatever is killed."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.fleet.relay import LEASE_S
from simulators.ports import free_port
from tests.central.fake_gateway import FakeGateway, Online, running
from tests.fleet.serving import Serving, rows
from tests.hooks.endpoint import Endpoint
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, START_S, until

GATEWAYS, EACH = 4, 10


@pytest.fixture
def broker(tmp_path):
    made = Mosquitto(tmp_path, "max_queued_messages 0")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def endpoint(tmp_path):
    made = Endpoint(tmp_path / "endpoint", free_port())
    made.start()
    yield made
    made.stop()


async def test_every_event_reaches_the_webhook_whatever_is_killed(
    database_url, broker, endpoint, tmp_path
):
    """A worker, the front, and a target that errs meanwhile: each event comes, as it was made."""
    relay = f'[[relay]]\nname = "desk"\nurl = "{endpoint.url}"\nevents = ["engine"]\n'
    gateways = [FakeGateway(f"gw-{one}", f"{one:08x}") for one in range(1, GATEWAYS + 1)]
    online = [Online(one, broker.port) for one in gateways]

    def told():
        return {(one["source"], one["id"]) for one in endpoint.taken()}

    with Serving(tmp_path, broker.port, database_url, more=relay) as service:
        async with running(*(one.link.run() for one in online)):
            await until(lambda: all(one.link.connected for one in online))
            async def made(count):
                for _ in range(count):
                    for one in online:
                        one.send(one.gateway.make(7))
                    await asyncio.sleep(0.05)

            await made(EACH)
            await until(told, START_S, service.log)
            assert await asyncio.to_thread(service.kill_child, "worker 1")
            endpoint.answers(503)
            await made(EACH)
            await until(lambda: endpoint.requests(503))
            assert await asyncio.to_thread(service.kill_child, "front")
            endpoint.answers(204)
            await made(EACH)
            # Nobody else sends before the lease of the front that was killed has ended.
            seconds = LEASE_S + PATIENCE_S
            await until(lambda: len(told()) == 3 * GATEWAYS * EACH, seconds, service.log)
        assert told() == {
            (f"/fieldwarden/north/gw-{one}", f"{one:08x}-7-{seq}")
            for one in range(1, GATEWAYS + 1) for seq in range(1, 3 * EACH + 1)
        }  # fmt: skip
        assert service.stop() == 0
    bodies = {payload for one in gateways for payload in one.made.values()}
    assert {one["body"].encode() for one in endpoint.requests(204)} == bodies
    ((waits, delivered, dropped, holder),) = rows(
        database_url,
        "SELECT (SELECT count(*) FROM relay), delivered, dropped, holder FROM relay_target",
    )
    assert (waits, delivered, json.loads(dropped), holder) == (0, 3 * GATEWAYS * EACH, {}, "")
