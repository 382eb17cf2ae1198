"""The end of a long demonstration: a transmitter is exchanged, and what is said of it."""

from __future__ import annotations

import asyncio
import signal

import numpy as np
import pytest
from asyncua import Client

from agent.configuration.load import load
from simulators import demo_change
from simulators.children import Children
from simulators.demo_change import EXCHANGED, Exchange, govern
from simulators.demo_log import DemoLog
from simulators.demo_report import Reported
from simulators.demo_setup import PORTS, Place, copy_configuration
from simulators.demo_steward import typed
from simulators.demo_terminal import terminal
from simulators.plant import PlantSettings
from simulators.service import PlantService
from simulators.tags import COLUMN, TAGS
from tests.simulators.test_servers import SETTINGS, Notifications
from tests.waiting import PATIENCE_S, until

S = 1_000_000_000


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path, dict(PORTS), PlantSettings())
    copy_configuration(made)
    return made


def test_what_breaks_at_the_reactor_is_held_from_the_first_day(place):
    """The copy of the configuration says so, of that source alone."""
    assert {source.hold for source in load(place.config).sources.values()} == {""}
    govern(place)
    sources = load(place.config).sources
    assert {name: source.hold for name, source in sources.items()} == {
        "reactor": "hold", "utilities": "", "line": "",
    }  # fmt: skip


class Person(Exchange):
    """Whose commands end at once."""

    def __init__(self, place, tmp_path, monkeypatch, now_ns):
        self.killed = []
        monkeypatch.setattr(demo_change.os, "kill", lambda *args: self.killed.append(args))
        monkeypatch.setattr(demo_change, "wall_ns", lambda: now_ns)
        super().__init__(place, Children(tmp_path / "log"), DemoLog(terminal()))


def change(at_s, what, **more):
    data = {"change": what, "id": "reactor-2", "tags": [EXCHANGED], "text": "unit is degF"}
    return Reported("change", at_s * S, "source/reactor", data | more)


def verdict(at_s, what, text=""):
    reasons = [{"text": text}] if text else []
    return Reported("verdict", at_s * S, "model/yield", {"verdict": what, "reasons": reasons})


def test_steps_follow_the_change_alone(place, tmp_path, monkeypatch):
    """What came before the exchange, and of other tags, is none of it; each step has its time."""
    one = Person(place, tmp_path, monkeypatch, 200 * S)
    assert one.steps(0) == []
    told = [change(50, "detected", tags=["jacket.inlet_temperature"]), verdict(60, "trusted")]
    one.look(told, 77, due=False)
    assert not one.killed
    one.look(told, 77, due=True)
    assert one.killed == [(77, signal.SIGUSR2)]
    monkeypatch.setattr(one, "_samples", lambda: (40, 0))
    monkeypatch.setattr(one._person, "look", lambda _told: None)
    told += [change(201, "detected"), verdict(202, "unassessable", "contract broken"),
             change(205, "assessed", assessment={"text": "all scans change"})]  # fmt: skip
    one.look(told, 77, due=True)
    assert len(one.killed) == 1
    alarms = [(201, EXCHANGED), (199, EXCHANGED), (201, "feed.flow")]
    assert [one.explains(Reported("condition", at * S, f"tag/{tag}", {})) for at, tag in alarms] \
        == [True, False, False]
    steps = {step.name: step for step in one.steps(100 * S)}
    assert list(steps) == ["detected", "held", "looked at", "assessed", "approved",
                           "trusted again"]  # fmt: skip
    assert (steps["detected"].at_s, steps["detected"].came) == (101.0, True)
    assert steps["held"].said == "40 samples held, 0 counted; unassessable: contract broken"
    assert steps["assessed"].said == "all scans change"
    assert [steps[name].came for name in ("looked at", "approved", "trusted again")] == [False] * 3
    one.look([*told, change(210, "approved"), verdict(214, "trusted")], 77, due=True)
    assert one.steps(100 * S)[-1].came
    monkeypatch.setattr(one, "_samples", lambda: (40, 1))
    assert not one.steps(100 * S)[1].came


def test_the_person_types_the_name_of_the_change(place):
    """``{id}`` of a command is that of the event that it waited for."""
    looked, approved = (act.about("reactor-2") for act in demo_change.acts_of(place))
    assert typed(looked, place.config) == "fieldwarden change show $CONFIG reactor-2"
    assert "approve $CONFIG reactor-2 --tag" in typed(approved, place.config)


def test_no_store_has_no_samples(place, tmp_path, monkeypatch):
    """Where nothing can be read nothing was held, and the step did not come."""
    assert Person(place, tmp_path, monkeypatch, 0)._samples() == (0, 0)


async def test_the_new_transmitter_tells_its_unit_with_the_first_value(addresses):
    """EngineeringUnits, then values in it; the other tags are as they were."""
    service = PlantService(SETTINGS, addresses)
    ready, seen = asyncio.Event(), Notifications()
    running = asyncio.create_task(service.run(10 * PATIENCE_S, ready.set))
    try:
        await ready.wait()
        async with Client(addresses.opcua) as client:
            node = client.get_node(TAGS[COLUMN[EXCHANGED]].address)
            unit = await node.get_child("0:EngineeringUnits")
            assert (await unit.read_value()).DisplayName.Text == "degC"
            subscription = await client.create_subscription(20, seen)
            await subscription.subscribe_data_change(node)
            await until(lambda: seen.seen)
            service.exchange()
            values = next(iter(seen.seen.values()))
            await until(lambda: values[-1].Value.Value > 120)
            assert (await unit.read_value()).DisplayName.Text == "degF"
            told = np.array([one.Value.Value for one in values])
            assert set(np.unique(told > 120)) == {False, True}
            assert np.all(np.diff((told > 120).astype(int)) >= 0), "once, and for good"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
