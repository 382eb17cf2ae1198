"""Sources that change themselves: real clients see each change, from the row told of on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest
from asyncua import Client, ua
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient

from agent.errors import FieldwardenError
from simulators.upstream.bent import Bent
from simulators.upstream.definition import Definition, SourceTag, read_definition
from simulators.upstream.serve import Service
from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]
URI = "urn:plant:reactor"
INTERVAL_S = 0.02
ROWS = np.array([[20.5 + at % 4, 3.25, 700.0] for at in range(40)])
COLUMNS = ("t", "p", "n")


def definition(protocol, port, tmp_path, addresses, **more):
    rows = tmp_path / "rows.npy"
    np.save(rows, ROWS)
    kinds = {"n": "Int32"}
    tags = tuple(
        SourceTag(name, address, name, "degC", (0.0, 100.0), kinds.get(name, "Double"))
        for name, address in addresses.items()
    )
    return Definition(protocol, "127.0.0.1", port, INTERVAL_S, tags, rows=str(rows),
                      columns=COLUMNS, **more)  # fmt: skip


OPCUA = {name: f"nsu={URI};s={name.upper()}" for name in COLUMNS}
MODBUS = {"t": "holding 10 float32 ABCD", "p": "holding 12 float32 ABCD", "n": "holding 14 int16"}
MQTT = {name: f"plant/line /{name}" for name in COLUMNS}


class Serving:
    """A source in the test's own loop, which ends with the block."""

    def __init__(self, told):
        self.said: asyncio.Queue = asyncio.Queue()
        self.service = Service(told, self.said.put_nowait)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.service.run(10 * PATIENCE_S))
        await self.answer()
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def answer(self):
        async with asyncio.timeout(PATIENCE_S):
            waiting = asyncio.create_task(self.said.get())
            await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
            if self.task.done():
                self.task.result()
            return await waiting

    async def obey(self, *orders):
        self.service.take(json.dumps(orders))
        told = [await self.answer() for _ in orders]
        assert all("error" not in one for one in told), told
        return told[0]["at_ns"]


# --- values ---------------------------------------------------------------------------------------


def bent(rows, *orders):
    made = Bent()
    for row in rows[:10]:
        made.row(row)
    for order in orders:
        assert made.order(order["do"], order)
    return [made.row(row) for row in rows[10:]]


NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=60, max_size=60)


@given(NUMBERS, st.floats(0.01, 100), st.floats(-300, 300))
def test_scales_add_up_and_are_taken_back(numbers, factor, offset):
    """Two orders are obeyed one after the other; ``as_before`` gives the values as they are."""
    rows = [{"a": number, "b": 1.0} for number in numbers]
    once = {"do": "rescale", "tag": "a", "factor": factor, "offset": offset}
    seen = bent(rows, once, {"do": "rescale", "tag": "a", "factor": -1})
    assert [row["a"] for row in seen] == [-(x * factor + offset) for x in numbers[10:]]
    assert bent(rows, once, {"do": "as_before"}) == rows[10:]


@given(NUMBERS)
def test_what_values_go_through(numbers):
    """Swapped, whole, repeated, resampled: each is what it says, and the other tag is as it was."""
    rows = [{"a": number, "b": 2 * number} for number in numbers]
    assert bent(rows, {"do": "swap", "tag": "a", "other": "b"}) == [
        {"a": row["b"], "b": row["a"]} for row in rows[10:]
    ]
    whole = bent(rows, {"do": "round", "tag": "a"})
    assert all(one["a"] == round(row["a"]) for one, row in zip(whole, rows[10:], strict=True))
    repeated = [row["a"] for row in bent(rows, {"do": "repeat", "tag": "a", "rows": 7})]
    assert repeated == [numbers[3 + at % 7] for at in range(50)]
    sampled = [row["a"] for row in bent(rows, {"do": "resample", "tag": "a", "every": 5})]
    assert all(len(set(sampled[at : at + 5])) == 1 for at in range(0, 50, 5))
    assert math.isclose(sampled[5], sum(numbers[11:16]) / 5, abs_tol=1e-3)


def test_what_values_go_through_slowly():
    """Filtered, late, clamped, kept, told by exception: each from the values that came before."""
    numbers = [float(at * at % 17) for at in range(60)]
    rows = [{"a": number, "b": 1.0} for number in numbers]

    def seen(what, **more):
        return [row["a"] for row in bent(rows, {"do": what, "tag": "a", **more})]

    own = numbers[10:]
    lagged = seen("lag", share=0.25)
    assert lagged[0] == numbers[9] + 0.25 * (own[0] - numbers[9])
    assert all(math.isclose(b - a, 0.25 * (x - a)) for a, b, x in
               zip(lagged, lagged[1:], own[1:], strict=False))  # fmt: skip
    assert seen("delay", rows=7) == numbers[3:53]
    assert seen("clamp", low=2, high=9) == [min(max(x, 2), 9) for x in own]
    assert seen("keep", every=5) == [own[at // 5 * 5] for at in range(50)]
    told = seen("deadband", band=6.0)
    assert all(abs(one - x) <= 6.0 for one, x in zip(told, own, strict=True))
    assert len(set(told)) < len(set(own))


def test_rate_of_all_or_of_one():
    """At a third of the rate two rows of three tell nothing, of one tag or of all."""
    rows = [{"a": float(at), "b": 1.0} for at in range(40)]
    assert [len(row) for row in bent(rows, {"do": "rate", "every": 3})[:6]].count(0) == 4
    one = bent(rows, {"do": "rate", "every": 3, "tag": "a"})
    assert sum("a" in row for row in one) == 10
    assert all("b" in row for row in one)


def test_an_order_that_is_none(tmp_path):
    """Unknown orders and definitions say what is wrong."""
    assert not Bent().order("no such", {})
    path = tmp_path / "source.json"
    path.write_text('{"protocol": "bacnet"}')
    with pytest.raises(FieldwardenError, match=r"source\.json"):
        read_definition(path)
    told = definition("mqtt", 1883, tmp_path, MQTT, added={"plant/line": {"x": 1}})
    path.write_text(json.dumps(told.to_json()))
    assert read_definition(path) == told


# --- OPC UA ---------------------------------------------------------------------------------------


class Handler:
    def __init__(self):
        self.values, self.events = [], []

    def datachange_notification(self, node, _value, data):
        self.values.append((node.nodeid.Identifier, data.monitored_item.Value))

    def event_notification(self, event):
        self.events.append(event)

    def status_change_notification(self, _status):
        pass


@contextlib.asynccontextmanager
async def subscribed(told, names=COLUMNS):
    handler = Handler()
    async with Client(f"opc.tcp://127.0.0.1:{told.port}/plant") as client:
        index = (await client.get_namespace_array()).index(URI)
        nodes = [client.get_node(f"ns={index};s={name.upper()}") for name in names]
        subscription = await client.create_subscription(20, handler)
        await subscription.subscribe_events(
            client.nodes.server,
            [ua.ObjectIds.GeneralModelChangeEventType, ua.ObjectIds.SemanticChangeEventType],
        )
        await subscription.subscribe_data_change(nodes)
        yield client, nodes, handler


async def served_of(client, nodes):
    """What the server tells of each node: attributes, unit and range; or why not."""
    told = []
    for node in map(client.get_node, nodes):
        try:
            found = {
                "data_type": ua.ObjectIdNames[(await node.read_data_type()).Identifier],
                "value_rank": int(await node.read_value_rank()),
                "readable": ua.AccessLevel.CurrentRead in await node.get_user_access_level(),
            }
        except ua.UaStatusCodeError as error:
            told.append({"refused": type(error).__name__})
            continue
        for one in await node.get_properties():
            value = await one.read_value()
            if isinstance(value, ua.Range):
                found["range"] = [value.Low, value.High]
            else:
                found["unit"] = value.DisplayName.Text
        told.append(found)
    return told


async def identity_of(client):
    """Who the server says it is."""
    ids = ua.ObjectIds
    numbers = {"server_uri": ids.Server_ServerArray, "namespaces": ids.Server_NamespaceArray,
               "product_uri": ids.Server_ServerStatus_BuildInfo_ProductUri,
               "version": ids.Server_ServerStatus_BuildInfo_SoftwareVersion}  # fmt: skip
    told = {name: await client.get_node(ua.NodeId(number)).read_value()
            for name, number in numbers.items()}  # fmt: skip
    return told | {"server_uri": told["server_uri"][0]}


def after(handler, name, at_ns):
    """Data values of a node from the first changed row on."""
    limit = at_ns / 1e9 - 0.001
    return [
        value for node, value in handler.values
        if node == name.upper() and value.SourceTimestamp
        and value.SourceTimestamp.timestamp() >= limit
    ]  # fmt: skip


async def test_opcua_terms_change_while_a_client_looks(port, tmp_path):
    """Type, rank, unit, range and access: the attribute, and each value from the told row on."""
    told = definition("opcua", port, tmp_path, OPCUA)
    async with Serving(told) as source, subscribed(told) as (client, nodes, handler):
        ids = [node.nodeid for node in nodes]
        before = await served_of(client, ids)
        assert before[0] == {
            "data_type": "Double", "value_rank": -1, "readable": True, "unit": "degC",
            "range": [0.0, 100.0],
        }  # fmt: skip
        at_ns = await source.obey(
            {"do": "terms", "tag": "t", "data_type": "Int32"},
            {"do": "terms", "tag": "p", "data_type": "Float", "array": True},
        )
        values = await until(lambda: after(handler, "t", at_ns))
        assert {one.Value.VariantType for one in values} == {ua.VariantType.Int32}
        values = await until(lambda: after(handler, "p", at_ns))
        assert all(one.Value.Value == [3.25, 3.25] for one in values)
        now = await served_of(client, ids)
        assert [one["data_type"] for one in now] == ["Int32", "Float", "Int32"]
        assert [one["value_rank"] for one in now] == [-1, 1, -1]
        await source.obey({"do": "as_before"})
        assert await served_of(client, ids) == before
        at_ns = await source.obey(
            {"do": "terms", "tag": "t", "unit": "degF", "span": [32, 212], "announce": True},
            {"do": "rescale", "tag": "t", "factor": 1.8, "offset": 32},
            {"do": "terms", "tag": "n", "readable": False},
        )
        first = (await until(lambda: after(handler, "t", at_ns)))[0]
        assert first.StatusCode.value == 0x4000, "semantics changed"
        assert first.Value.Value > 60
        affected = await until(lambda: [event.Changes for event in handler.events])
        assert affected[0][0].Affected.Identifier == "T"
        bad = await until(lambda: after(handler, "n", at_ns))
        assert bad[0].StatusCode.name == "BadNotReadable"
        now = await served_of(client, ids)
        assert (now[0]["unit"], now[0]["range"]) == ("degF", [32.0, 212.0])
        assert now[2]["readable"] is False


async def test_opcua_values_change_their_status_and_time(port, tmp_path):
    """Uncertain, without a source's time, with one that stands; units and ranges come and go."""
    told = definition("opcua", port, tmp_path, OPCUA)
    async with Serving(told) as source, subscribed(told) as (client, nodes, handler):
        await source.obey(
            {"do": "terms", "tag": "t", "status": "Uncertain", "span": None, "unit": ""},
            {"do": "terms", "tag": "p", "stamp": "none"},
            {"do": "terms", "tag": "n", "stamp": "-3600", "unit_id": 77},
        )
        await until(lambda: any(
            value.StatusCode.name == "Uncertain" for name, value in handler.values if name == "T"
        ))  # fmt: skip
        await source.obey({"do": "rescale", "tag": "p", "offset": 1.0})
        await until(lambda: any(value.SourceTimestamp is None and value.Value.Value == 4.25
                                for name, value in handler.values if name == "P"))  # fmt: skip
        told_of = await served_of(client, [node.nodeid for node in nodes])
        assert "range" not in told_of[0]
        n = await nodes[2].read_data_value()
        assert 3_590 < (n.ServerTimestamp - n.SourceTimestamp).total_seconds() < 3_610
        unit = await (await nodes[2].get_child("0:EngineeringUnits")).read_value()
        assert (unit.UnitId, unit.DisplayName.Text) == (77, "degC")
        at_ns = await source.obey({"do": "again", "tag": "t"}, {"do": "as_before"})
        assert at_ns
        now = await served_of(client, [node.nodeid for node in nodes])
        assert now[0]["range"] == [0.0, 100.0]


async def test_opcua_nodes_come_and_go(port, tmp_path):
    """A node that is gone says so to who looks at it; one renamed answers at its new name only."""
    told = definition("opcua", port, tmp_path, OPCUA)
    async with Serving(told) as source, subscribed(told) as (client, nodes, handler):
        await source.obey({"do": "remove", "tag": "p", "announce": True})
        await until(lambda: any(
            value.StatusCode.name == "BadNodeIdUnknown" for name, value in handler.values
            if name == "P"
        ))  # fmt: skip
        event = await until(lambda: handler.events[-1:])
        assert event[0].Changes[0].Affected.Identifier == "P"
        await source.obey({"do": "rename", "tag": "t", "to": f"nsu={URI};s=TT"},
                          {"do": "new", "address": f"nsu={URI};s=EXTRA"})  # fmt: skip
        ids = [node.nodeid for node in nodes]
        ids += [ua.NodeId(name, ids[0].NamespaceIndex) for name in ("TT", "EXTRA")]
        now = await served_of(client, ids)
        assert [one.get("refused", "") for one in now] == [
            "BadNodeIdUnknown", "BadNodeIdUnknown", "", "", "",
        ]  # fmt: skip


async def test_opcua_server_is_replaced(port, tmp_path):
    """Sessions end; who comes back finds another server, and the nodes by their URI."""
    told = definition("opcua", port, tmp_path, OPCUA)
    async with Serving(told) as source:
        async with Client(f"opc.tcp://127.0.0.1:{port}/plant") as client:
            was = await identity_of(client)
        identity = {"server_uri": "urn:other", "version": "2", "namespaces": ["urn:x", URI]}
        await source.obey({"do": "replace", "identity": identity, "away_s": 0})
        async with subscribed(told) as (client, _nodes, handler):
            now = await identity_of(client)
            await until(lambda: {name for name, _ in handler.values} == {"T", "P", "N"})
    assert was["server_uri"] == "urn:plant:server"
    assert was["product_uri"] == now["product_uri"]
    assert (now["server_uri"], now["version"]) == ("urn:other", "2")
    assert now["namespaces"][-2:] == ["urn:x", URI]


# --- Modbus ---------------------------------------------------------------------------------------


async def registers(port, count=6):
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    if not await client.connect():
        raise ConnectionError("nobody answers")
    try:
        return await client.read_holding_registers(10, count=count, device_id=1)
    finally:
        client.close()


async def device_identity(port):
    """What the device says of itself; empty where it does not know the function."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    assert await client.connect()
    try:
        told = await client.read_device_information(device_id=1)
    finally:
        client.close()
    if told.isError():
        return {}
    names = ("vendor", "product_code", "revision")
    return {name: told.information[at].decode() for at, name in enumerate(names)}


def number(told, at, dtype=">f4"):
    width = np.dtype(dtype).itemsize // 2
    return float(np.array(told.registers[at : at + width], ">u2").view(dtype)[0])


async def changed(source, port, *orders, count=6):
    """The registers of the first answer after the orders, which is what the order waits for."""
    obeyed = asyncio.create_task(source.obey(*orders))
    while not obeyed.done():
        with contextlib.suppress(OSError):  # it may be away for a moment
            told = await registers(port, count)
        await asyncio.sleep(0.01)
    await obeyed
    return told


async def test_modbus_registers_change(port, tmp_path):
    """Shifted, words and bytes swapped, another type or scale, refused, and all back again."""
    told = definition("modbus", port, tmp_path, MODBUS)
    async with Serving(told) as source:
        was = await registers(port)
        assert (number(was, 2), was.registers[4]) == (3.25, 700)
        shifted = await changed(source, port, {"do": "shift", "by": 1})
        assert (number(shifted, 3), shifted.registers[5]) == (3.25, 700)
        await changed(source, port, {"do": "as_before"})
        swapped = await changed(source, port, {"do": "words", "tag": "p"},
                                {"do": "bytes", "tag": "n"})  # fmt: skip
        assert swapped.registers[2:4] == was.registers[2:4][::-1]
        assert swapped.registers[4] == 700 % 256 * 256 + 700 // 256
        await changed(source, port, {"do": "as_before"})
        typed = await changed(source, port, {"do": "retype", "tag": "p", "to": "int32"},
                              {"do": "retype", "tag": "n", "to": "int16", "scale": 10})  # fmt: skip
        assert (number(typed, 2, ">i4"), typed.registers[4]) == (3.0, 70)
        refused = await changed(source, port, {"do": "refuse", "first": 14, "count": 1})
        assert refused.isError()
        assert refused.exception_code == 2
        assert not (await registers(port, count=4)).isError()
        await changed(source, port, {"do": "as_before"})
        moved = await changed(source, port, {"do": "insert", "first": 12, "by": 2}, count=8)
        assert (number(moved, 2), number(moved, 4)) == (0.0, 3.25)
        assert number(moved, 0) > 20
        await changed(source, port, {"do": "as_before"})
        elsewhere = await changed(source, port, {"do": "area", "tag": "p", "to": "input"})
        assert (number(elsewhere, 2), elsewhere.registers[4]) == (0.0, 700)


async def test_modbus_device_is_replaced(port, tmp_path):
    """Another device says who it is; one without function 43 does not, and answers all the same."""
    identity = {"vendor": "Plant Works", "product_code": "PW-20", "revision": "V1"}
    told = definition("modbus", port, tmp_path, MODBUS, identity=identity)
    async with Serving(told) as source:
        assert await device_identity(port) == identity
        other = {**identity, "vendor": "Other"}
        await changed(source, port, {"do": "replace", "identity": other, "away_s": 0})
        assert await device_identity(port) == other
        await changed(source, port, {"do": "replace", "identity": {}, "away_s": 0})
        assert await device_identity(port) == {}
        assert not (await registers(port)).isError()


# --- MQTT -----------------------------------------------------------------------------------------


async def test_mqtt_messages_change(broker, inbox, tmp_path):
    """Keys, types, nesting, what is added and dropped, topics: each in the message told of on."""
    more = {"added": {"plant/line": {"batch": 1}}, "units": "units"}
    told = definition("mqtt", broker.port, tmp_path, MQTT, **more)

    async def changed(*orders):
        at_ns = await source.obey(*orders)

        def ours():
            moment = np.datetime64(at_ns // 1_000_000, "ms")
            return [one for one in inbox.of("plant/line")
                    if np.datetime64(one["time"][:-1], "ms") >= moment]  # fmt: skip

        return (await until(ours))[0]

    async with Serving(told) as source:
        first = (await inbox.wait("plant/line"))[0]
        assert first == {
            "time": first["time"], "t": first["t"], "p": 3.25, "n": 700.0, "batch": 1,
            "units": {"t": "degC", "p": "degC", "n": "degC"},
        }  # fmt: skip
        now = await changed({"do": "key", "tag": "t", "to": "/values/temp"},
                            {"do": "key", "tag": "n"}, {"do": "type", "tag": "p", "to": "text"},
                            {"do": "unit", "tag": "p", "to": "bar"},
                            {"do": "drop", "topic": "plant/line", "key": "batch"},
                            {"do": "add", "topic": "plant/line", "key": "new", "value": [1]},
                            )  # fmt: skip
        assert set(now) == {"time", "values", "p", "units", "new"}
        assert now["p"] == "3.25"
        assert now["units"]["p"] == "bar"
        assert now["values"]["temp"] > 20
        now = await changed({"do": "as_before"}, {"do": "extra_topic", "topic": "plant/more"})
        assert set(now) == set(first)
        assert await inbox.wait("plant/more")
        await source.obey({"do": "topic", "topic": "plant/line", "to": "plant/other"})
        assert await inbox.wait("plant/other")


@pytest.mark.parametrize(("order", "start"), [
    ({"do": "payload", "to": "no_json"}, b"20"), ({"do": "payload", "to": "array"}, b"[{"),
    ({"do": "payload", "to": "list"}, b'["'), ({"do": "payload", "to": "turned"}, b'{\n "n": 7'),
    ({"do": "encoding", "to": "bom"}, b'\xef\xbb\xbf{"time"'),
    ({"do": "encoding", "to": "utf-16"}, b"\xff\xfe{\0"),
    ({"do": "encoding", "to": "gzip"}, b"\x1f\x8b"),
    ({"do": "stamp", "to": "none"}, b'{"t": '),
    ({"do": "stamp", "to": "ms"}, b'{"time": 1'), ({"do": "stamp", "to": "s"}, b'{"time": 1'),
    ({"do": "stamp", "to": "never_set"}, b'{"time": "1970-'),
])  # fmt: skip
async def test_mqtt_payload_of_another_form(broker, tmp_path, order, start):
    """A payload that is no JSON, of another form, encoding or time; retained, for who is late."""
    told = definition("mqtt", broker.port, tmp_path, MQTT)
    seen = []
    async with Serving(told) as source:
        await source.obey({**order, "topic": "plant/line"},
                          {"do": "retain", "topic": "plant/line", "to": True})  # fmt: skip
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _data, message: seen.append(message)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        try:  # each time anew, for the broker gives what it keeps to who begins to listen
            await until(lambda: client.subscribe("plant/line") and any(x.retain for x in seen))
        finally:
            client.disconnect()
            client.loop_stop()
    assert start in seen[-1].payload[:40]


# --- the process ----------------------------------------------------------------------------------


def test_a_process_obeys_and_ends_with_its_stdin(port, tmp_path):
    """Orders come on stdin; what is none is answered with an error; the end of stdin is the end."""
    path = tmp_path / "source.json"
    path.write_text(json.dumps(definition("modbus", port, tmp_path, MODBUS).to_json()))
    process = subprocess.Popen(
        [sys.executable, "-m", "simulators", "upstream", str(path), "--seconds", "60"], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    orders = 'no json\n{"id": 3, "do": "fly"}\n{"id": 4, "do": "swap", "tag": "no such"}\n'
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == {"ready": True}
    assert process.stdin is not None
    process.stdin.write(orders)
    process.stdin.flush()
    told = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [one["id"] for one in told] == [None, 3, 4]
    assert all(one["error"] for one in told)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
