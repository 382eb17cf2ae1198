"""A simulated fleet at a real broker and the reference central: totals are exact, come what may."""

from __future__ import annotations

import asyncio
import json

import jsonschema
import pytest

from agent.central.memory import Memory
from agent.central.run import Subscriber
from agent.core.summary import merge
from agent.forward.json_payload import schema
from agent.store.packing import unpack
from simulators.fleet.content import ADDED
from simulators.fleet.fleet import Course, Fleet
from simulators.fleet.gateway import DAY_NS
from simulators.fleet.truth import truth_of
from tests.mosquitto import Mosquitto
from tests.waiting import SETTLED_S, until

COURSE = Course(
    gateways=40, window_s=1.0, event_s=1.0, ramp_s=0.5, seed=5, outages=0.3, outage_windows=2.5,
    restarts=0.2, backlog=0.2, trouble_s=2.0,
)  # fmt: skip
SUMMED = ("min", "max", *ADDED)


class Consumer:
    """What central accepted: windows by message, and which of them another message covers."""

    def __init__(self):
        self.windows, self.covered, self.events, self.streams = {}, set(), set(), set()
        self.gone = 0  # windows that were there before the message that covers them

    def take(self, accepted):
        told = accepted.document
        run = (told["site"], told["gateway"], told["store"], told["boot"])
        if told["seq"] == 1:
            jsonschema.validate(told, schema(told["stream"]))
        self.streams.add(told["stream"])
        if told["stream"] == "event":
            self.events.add((*run, told["seq"]))
        elif told["stream"] == "summary":
            self.windows[*run, told["seq"]] = unpack(told["data"])
            for first, last in told.get("covers", ()):
                some = {(*run, seq) for seq in range(first, last + 1)}
                self.gone += len(some & self.windows.keys())
                self.covered |= some

    def totals(self):
        found = {}
        for key, windows in self.windows.items():
            for one in () if key in self.covered else windows:
                place = (*key[:2], one["model"], one["tag"], one["start_ns"] // DAY_NS)
                found[place] = merge(found[place], one) if place in found else one
        return {
            place: [*(one[name] for name in SUMMED), *one["histogram"]]
            for place, one in found.items()
        }


def settled(fleet):
    """All are there, and nothing is open."""
    return all(one.sender.connected and not one.outbox.open() for one in fleet.gateways)


@pytest.mark.slow
async def test_what_central_has_in_the_end_is_what_the_gateways_said(tmp_path):
    """Links lost, runs begun anew, windows added together, and the broker killed: all exact."""
    broker = Mosquitto(tmp_path)
    broker.start()
    consumer, memory, stop = Consumer(), Memory(tmp_path / "central.db"), asyncio.Event()
    central = Subscriber(
        "127.0.0.1", broker.port, on_accepted=consumer.take, client_id="central", memory=memory
    )
    running = asyncio.create_task(central.run(stop.is_set, lambda: None))
    fleet = Fleet("127.0.0.1", broker.port, COURSE)
    fleet.begin()
    try:
        await until(lambda: fleet.made.windows > 3_000)
        broker.kill()
        broker.start()
        await until(lambda: fleet.made.windows > 8_500)
        fleet.stop()
        await until(lambda: settled(fleet), SETTLED_S)
        truth = json.loads(json.dumps([truth_of(one, fleet.pool) for one in fleet.gateways]))
        report = fleet.report()
    finally:
        await fleet.end()
        stop.set()
        await running
        memory.close()
        broker.stop()
    assert consumer.totals() == {
        (one["site"], one["gateway"], *row[:3]): row[3:] for one in truth for row in one["totals"]
    }
    assert consumer.events == {
        (one["site"], one["gateway"], one["store"], run["boot"], seq)
        for one in truth for run in one["runs"] if run["stream"] == "event"
        for seq in range(1, run["last"] + 1)
    }  # fmt: skip
    assert consumer.streams == {"state", "verdict", "event", "summary", "gap"}
    assert consumer.gone and len(consumer.covered) > consumer.gone
    assert all(one["online"] for one in truth)
    assert not (report["given_up"] or report["refused"] or report["answers_refused"])
    days = {row[2] for one in truth for row in one["totals"]}
    assert len(days) > 1, "no day ended in an outage"


async def test_several_gateways_share_a_connection(tmp_path):
    """Where a process may not open a file for each of them."""
    broker = Mosquitto(tmp_path)
    broker.start()
    memory, stop = Memory(tmp_path / "central.db"), asyncio.Event()
    central = Subscriber(
        "127.0.0.1", broker.port, on_accepted=lambda _: None, client_id="central", memory=memory
    )
    running = asyncio.create_task(central.run(stop.is_set, lambda: None))
    fleet = Fleet("127.0.0.1", broker.port, Course(gateways=10, ramp_s=0.1, carried=4))
    fleet.begin()
    try:
        await until(lambda: sum(one.sender.connected for one in fleet.gateways) == 10)
        fleet.stop()
        await until(lambda: settled(fleet), SETTLED_S)
        await until(lambda: len(central.central.gateways) == 10)
        assert fleet.report()["connections"] == 3
    finally:
        await fleet.end()
        stop.set()
        await running
        memory.close()
        broker.stop()
