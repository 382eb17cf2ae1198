"""The demonstration's parts: its report never flatters, its children never stay behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from agent.configuration.load import load
from agent.errors import FieldwardenError
from simulators.broker import BrokerProcess
from simulators.children import Children
from simulators.demo_central import CentralView, told_of
from simulators.demo_report import Outage, Reported, rows_of, table_of, unexpected
from simulators.demo_setup import PORTS, Place, choose_ports, copy_configuration
from simulators.faults import parse_faults, truth_record
from simulators.plant import PlantSettings
from simulators.ports import free_port
from simulators.service import addresses_of
from tests.central.fake_gateway import FakeGateway, Online, running
from tests.processes import alive
from tests.waiting import PATIENCE_S, until, wait_until

S = 1_000_000_000
START = 1_700_000_000 * S


def truth(*tables):
    return [
        truth_record(fault, phase, START, START + round(second * 1e9))
        for fault in parse_faults(tables)
        for phase, second in (("start", fault.start), ("end", fault.end))
    ]


def condition(second, subject, text="is stuck at 5", change="raised", kind="stuck"):
    data = {"change": change, "kind": kind, "text": text}
    return Reported("condition", START + round(second * S), subject, data)


def verdict(second, name, verdict, **reason):
    data = {"verdict": verdict, "was": "trusted", "reasons": [{"text": "x", **reason}]}
    return Reported("verdict", START + round(second * S), f"model/{name}", data)


STUCK = {"kind": "stuck", "tag": "feed.flow", "start": 10, "duration": 5, "title": "stuck"}


def test_detected_fault_has_delay_verdict_reason_and_arrival():
    """The first event on the fault's own tag counts; its last words and their verdict are shown."""
    told = [
        condition(11.5, "tag/feed.flow", "moved"),
        verdict(11.5, "yield", "caution", tag="feed.flow"),
        condition(13, "tag/feed.flow", "feed.flow is stuck at 5", "updated"),
        verdict(13, "yield", "untrusted", tag="feed.flow"),
        verdict(14, "yield", "unassessable", tag="reactor.level"),
    ]
    arrived = {event.key: 1 for event in told}
    (row,) = rows_of(truth(STUCK), told, arrived, [], START)
    assert row.injected_s == 10 and row.detected_s == 1.5
    assert (row.verdict, row.reason, row.central) == (
        "untrusted",
        "feed.flow is stuck at 5",
        True,
    )
    assert row.title == "stuck: feed.flow"


@pytest.mark.parametrize(
    "told",
    [
        [],
        [condition(11, "tag/reactor.level")],
        [condition(9, "tag/feed.flow")],
        [condition(21, "tag/feed.flow")],
        [condition(12, "tag/feed.flow", change="cleared")],
        [Reported("finding", START + 11 * S, "tag/feed.flow", {"detector": "stuck", "up": True})],
    ],
)
def test_what_does_not_name_the_fault_is_no_detection(told):
    """Another tag, before the fault, long after it, a clearing, a mere finding: not detected."""
    (row,) = rows_of(truth(STUCK), told, {event.key: 1 for event in told}, [], START)
    assert row.detected_s is None and row.reason == "not detected" and row.central is None


def test_event_that_did_not_arrive_is_shown_as_such():
    """Detected but not received at central says no."""
    told = [condition(11, "tag/feed.flow"), condition(12, "tag/feed.flow", "now", "updated")]
    (row,) = rows_of(truth(STUCK), told, {told[0].key: 1}, [], START)
    assert row.detected_s == 1 and row.central is False


def test_uplink_row_counts_what_was_made_during_the_outage():
    """An outage is complete only when it was noticed, ended, and all its events were delivered."""
    fault = {"kind": "uplink_lost", "start": 20, "duration": 20, "title": "uplink lost"}
    told = [condition(25, "tag/feed.flow"), verdict(30, "yield", "untrusted")]
    outage = Outage(START + 21 * S, "refused", START + 43 * S, 7)
    both = {event.key: 1 for event in told}
    (row,) = rows_of(truth(fault), told, both, [outage], START)
    assert row.detected_s == 1 and row.central is True and "2 of 2 events" in row.reason
    (row,) = rows_of(truth(fault), told, {told[0].key: 1}, [outage], START)
    assert row.central is False
    (row,) = rows_of(truth(fault), told, both, [Outage()], START)
    assert row.detected_s is None and row.reason == "not noticed" and row.central is False


def test_conditions_without_a_fault_are_shown_as_unexpected():
    """Raised outside every fault and its grace: a false alarm; within, or before all: none."""
    told = [condition(second, "tag/reactor.level") for second in (-2, 3, 12)]
    assert unexpected(told, truth(STUCK), START) == told[1:2]


def test_table_shows_every_row(capsys):
    """Title, times and words appear in the printed table."""
    told = [condition(11.5, "tag/feed.flow", "feed.flow is stuck at 5")]
    rows = rows_of(truth(STUCK), told, {}, [], START)
    console = Console(width=140, record=True)
    console.print(table_of(rows))
    text = console.export_text()
    for word in ("stuck: feed.flow", "10.0 s", "1.5 s", "feed.flow is stuck at 5", "no"):
        assert word in text


def test_received_message_has_the_key_of_the_stored_event():
    """The time survives the trip to RFC 3339 and back to the nanosecond."""
    stored = Reported("condition", START + 123_456_789, "tag/feed.flow", {"change": "raised"})
    message = {
        "specversion": "1.0",
        "type": "org.fieldwarden.condition",
        "subject": "tag/feed.flow",
        "time": "2023-11-14T22:13:20.123456789Z",
        "stream": "event",
        "data": {"change": "raised"},
    }
    assert told_of(message).key == stored.key


def test_copied_configuration_has_the_ports_in_use(tmp_path):
    """Every port of the copy is the chosen one, and the agent accepts the copy."""
    ports = {purpose: 20_000 + index for index, purpose in enumerate(PORTS)}
    place = Place(tmp_path, ports, PlantSettings())
    copy_configuration(place)
    configuration = load(place.config)
    where = addresses_of(place.config)
    assert where.opcua == "opc.tcp://127.0.0.1:20000/plant"
    assert (where.modbus_port, where.broker_port) == (20_001, 20_002)
    assert configuration.upstream.port == 20_003
    assert configuration.status.listen == "127.0.0.1:20004"


def test_taken_port_is_named_or_avoided():
    """A taken port is an error that says which and what to do; with `free` another is used."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", PORTS["the plant's broker"]))
        except OSError:
            pass  # somebody else holds it, which serves as well
        else:
            holder.listen()
        with pytest.raises(FieldwardenError) as caught:
            choose_ports(free=False)
        assert "the port is taken" in str(caught.value) and "--free-ports" in str(caught.value)
        chosen = choose_ports(free=True)
        assert chosen["the plant's broker"] != PORTS["the plant's broker"]
        assert len(set(chosen.values())) == len(PORTS)


async def test_what_the_embedded_broker_forgot_reaches_central(tmp_path):
    """It speaks 3.1.1 only and keeps no session over its end: the gateway is asked for the rest."""
    port, gateway = free_port(), FakeGateway()
    broker = BrokerProcess(port, embedded=True)
    await asyncio.to_thread(broker.start)
    view = CentralView(port, tmp_path / "central.db", "3.1.1")
    online = Online(gateway, port, protocol="3.1.1")
    try:
        async with running(online.link.run()):
            await until(lambda: online.answers)
            await asyncio.to_thread(broker.stop, kill=True)
            await until(lambda: not view.document()["link"]["connected"])
            for _ in range(5):
                gateway.make(7)
            await asyncio.to_thread(broker.start)
            await until(lambda: not gateway.held)
            view.require()
    finally:
        await asyncio.to_thread(view.close)
        await asyncio.to_thread(broker.stop)
    assert len(view.arrived) == len(view.fresh()) == 5
    (seen,) = view.document()["gateways"]
    assert (seen["missing"], seen["online"]) == ({}, True)


def sleeper():
    return [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]


def test_children_end_with_stop_all(tmp_path):
    """Each child runs until it is stopped, and is then gone."""
    children = Children(tmp_path)
    pids = [children.start(name, sleeper()) for name in ("one", "other")]
    children.require()
    assert all(alive(pid) for pid in pids)
    children.stop_all()
    assert not any(alive(pid) for pid in pids)


def test_child_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    """`require` names the child and shows the end of its log."""
    children = Children(tmp_path)
    pid = children.start("short", [sys.executable, "-c", "print('no such'); raise SystemExit(3)"])
    wait_until(lambda: not alive(pid))
    with pytest.raises(FieldwardenError, match="short") as caught:
        children.require()
    assert "ended with 3" in str(caught.value) and "no such" in str(caught.value)
    children.stop_all()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
@pytest.mark.parametrize(
    ("module", "start"),
    [
        ("children", "pid = children.Children(folder).start('one', {sleeper!r})"),
        # Another user, where it is mosquitto and begins as root.
        ("broker", "one = broker.BrokerProcess({port}); one.start(); pid = one.pid"),
    ],
)
def test_children_end_when_the_parent_is_killed_outright(tmp_path, module, start):
    """SIGKILL to the demonstration leaves nothing behind, whatever it had started."""
    code = (
        f"import time; from pathlib import Path; folder = Path({str(tmp_path)!r});"
        f"from simulators import {module};"
        f"{start.format(sleeper=sleeper(), port=free_port())}; print(pid, flush=True);"
        "time.sleep(600)"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait(PATIENCE_S)
        wait_until(lambda: not alive(pid))
