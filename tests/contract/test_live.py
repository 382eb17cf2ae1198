"""Contracts read from real servers: what they tell, and what is different after a change there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import math
import struct

import pytest
from asyncua import Server, ua
from click.testing import CliRunner
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from rich.console import Console

from agent.cli import cli
from agent.commands.contract_table import table_of
from agent.contract.document import Contract, SourceTerms
from agent.mqtt import MqttLink
from agent.sources.modbus_identity import identity_in
from agent.status.terminal import plain
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S

HEAD = """\
schema = 1
[gateway]
site = "north"
name = "gw"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1s"
inputs = ["temp"]
[tags.temp]
source = "s"
unit = "degC"
"""


@pytest.fixture
def command(tmp_path):
    """Run `fieldwarden contract ...` on a configuration; (exit code, what it printed)."""
    path = tmp_path / "config.toml"

    async def _command(name, text, *more):
        path.write_text(HEAD + text, encoding="utf-8")
        arguments = ["contract", name, str(path), *more]
        result = await asyncio.to_thread(CliRunner().invoke, cli, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return _command


def document(tmp_path):
    """The contract as it stands in its file."""
    return json.loads((tmp_path / "config.contract.json").read_text("utf-8"))


# --- OPC UA --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def opcua(port, *, uri="urn:test:server", kind=ua.VariantType.Float, unit="degC", high=100.0,
                low=0.0, before=()):  # fmt: skip
    """A server with the node T, its engineering unit and range; `before`: namespaces before it."""
    made = Server()
    await made.init()
    made.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    made.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await made.set_application_uri(uri)
    for other in before:
        await made.register_namespace(other)
    index = await made.register_namespace("urn:plant")
    node = await made.nodes.objects.add_variable(
        ua.NodeId("T", index), ua.QualifiedName("T", index), ua.Variant(20, kind)
    )
    told = ua.EUInformation(DisplayName=ua.LocalizedText(unit))
    await node.add_property(0, "EngineeringUnits", told)
    await node.add_property(0, "EURange", ua.Range(low, high))
    await made.start()
    try:
        yield
    finally:
        await made.stop()


def at(port):
    """Its source and address."""
    return (
        'address = "nsu=urn:plant;s=T"\n[sources.s]\nprotocol = "opcua"\n'
        f'endpoint = "opc.tcp://127.0.0.1:{port}/plant"\n'
    )


async def test_what_an_opcua_server_tells_is_in_the_contract(command, tmp_path):
    """Server, namespaces, node class, type, rank, access, unit and range."""
    port = free_port()
    async with opcua(port):
        code, told = await command("snapshot", at(port))
        assert code == 0, told
        source = document(tmp_path)["sources"]["s"]
        assert source["served"]["server_uri"] == "urn:test:server"
        assert source["served"]["namespaces"][-1] == "urn:plant"
        assert source["tags"]["temp"]["served"] == {
            "data_type": "Float", "node_class": "Variable", "range": [0.0, 100.0],
            "readable": True, "unit": "degC", "value_rank": -1, "namespace": "urn:plant",
            "variant": "Float",
        }  # fmt: skip
        code, told = await command("diff", at(port))
        assert code == 0 and "nothing differs from contract" in told
        shown = await command("show", at(port))
        assert shown[0] == 0 and "nsu=urn:plant" in shown[1] and "Float" in shown[1]


@pytest.mark.parametrize(
    ("change", "code", "term"),
    [
        ({"unit": "K"}, 1, "engineering unit was degC, is K"),
        ({"kind": ua.VariantType.Int16}, 1, "data type was Float, is Int16"),
        ({"kind": ua.VariantType.Double}, 0, "data type was Float, is Double"),
        ({"high": 50.0}, 1, "engineering range was [0.0, 100.0], is [0.0, 50.0]"),
        ({"high": 200.0}, 0, "engineering range was [0.0, 100.0], is [0.0, 200.0]"),
        ({"uri": "urn:another"}, 1, "server URI was urn:test:server, is urn:another"),
        ({"before": ("urn:new",)}, 0, "namespaces was"),
    ],
)
async def test_a_change_at_an_opcua_server_is_graded(command, change, code, term):
    """Exit 1 where it breaks; the model is named."""
    port = free_port()
    async with opcua(port):
        assert (await command("snapshot", at(port)))[0] == 0
    async with opcua(port, **change):
        found, told = await command("diff", at(port))
        lines = (await command("diff", at(port), "--json"))[1].splitlines()
        line = json.loads(lines[0])  # what breaks stands first
    assert found == code, told
    assert term in " ".join(told.split())
    assert line["models"] == ["m"]
    assert (line["grade"] == "breaking") is (code == 1)


async def test_a_snapshot_is_not_replaced_unseen(command, tmp_path):
    """What differs is shown, and --replace is asked for."""
    port = free_port()
    async with opcua(port):
        await command("snapshot", at(port))
    before = document(tmp_path)
    async with opcua(port, unit="K"):
        code, told = await command("snapshot", at(port))
        assert code == 1 and "engineering unit was degC, is K" in told and "--replace" in told
        assert document(tmp_path) == before
        assert (await command("snapshot", at(port), "--replace"))[0] == 0
    assert document(tmp_path)["hash"] != before["hash"]


async def test_a_source_that_does_not_answer_gives_no_contract(command, tmp_path):
    """And what it served is not compared then, which is said."""
    port = free_port()
    async with opcua(port):
        await command("snapshot", at(port))
    code, told = await command("diff", at(port), "--timeout", "0.5")
    assert code == 0 and "source s does not answer" in told
    before = document(tmp_path)
    assert (await command("snapshot", at(port), "--timeout", "0.5"))[0] == 1
    assert document(tmp_path) == before


@pytest.mark.parametrize(
    "told", [{"high": math.inf}, {"low": math.nan}, {"unit": "[/red] \x1b[2Jx"}]
)
async def test_whatever_a_server_tells_is_kept_and_shown(command, told):
    """Infinite and missing ends of a range, markup, control characters: all are only terms."""
    port = free_port()
    async with opcua(port):
        assert (await command("snapshot", at(port)))[0] == 0
    async with opcua(port, **told):
        code, changed = await command("diff", at(port))
        assert "engineering" in changed and "\x1b" not in changed, changed
        assert (await command("snapshot", at(port), "--replace"))[0] == 0
        code, same = await command("diff", at(port))
        assert code == 0 and "nothing differs" in same


@pytest.mark.parametrize("name", ["[/red]", "\x1b[2J", "[bold]", ""])
def test_what_a_server_calls_itself_is_shown_as_it_is(name):
    """No markup, and nothing that steers a terminal."""
    sources = {"s": SourceTerms({"protocol": "opcua"}, {"product": name}, {})}
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=200).print(
        table_of(Contract("x", "y", sources, {}))
    )
    assert plain(f"product {name}").strip() in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


# --- Modbus --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def device(port, vendor, first=100):
    """A device that tells who it is, with one register block."""
    words = struct.unpack(">2H", struct.pack(">f", 20.0))
    blocks = [SimData(first, values=list(words), datatype=DataType.REGISTERS)]
    rest = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 8, datatype=DataType.BITS)]
    identity = ModbusDeviceIdentification(
        info_name={"VendorName": vendor, "ProductCode": "P1", "MajorMinorRevision": "2.0"}
    )
    made = ModbusTcpServer(
        SimDevice(1, (bits, bits, blocks, rest)), identity=identity, address=("127.0.0.1", port)
    )
    await made.serve_forever(background=True)
    try:
        yield
    finally:
        await made.shutdown()


def registers(port):
    """Its source and address."""
    return (
        'address = "holding 100 float32"\n[sources.s]\nprotocol = "modbus"\nhost = "127.0.0.1"\n'
        f"port = {port}\n"
    )


async def test_another_device_at_the_same_address_is_told(command, tmp_path):
    """Where it tells who it is; and a register that it refuses."""
    port = free_port()
    async with device(port, "Acme"):
        assert (await command("snapshot", registers(port)))[0] == 0
        served = document(tmp_path)["sources"]["s"]["served"]
        assert served == {"vendor": "Acme", "product_code": "P1", "revision": "2.0"}
    async with device(port, "Other", first=300):
        code, told = await command("diff", registers(port))
    assert code == 1
    assert "vendor was Acme, is Other" in told
    assert "refusal was not told, is illegal data address (exception 2)" in " ".join(told.split())


@pytest.mark.parametrize(
    "pdu", [b"", b"\xab\x01", b"\x2b\x0e\x01\x01\x00\x00\x03\x00\x04ab", bytes(7), b"\x2b" * 40]
)
def test_an_answer_that_is_cut_or_none_tells_nothing_wrong(pdu):
    """What is whole of it counts."""
    assert identity_in(pdu) == {}


# --- MQTT ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def broker(folder, payload):
    """A mosquitto that keeps one message."""
    folder.mkdir(exist_ok=True)
    server = Mosquitto(folder)
    server.start()
    connected = asyncio.Event()
    link = MqttLink(
        host="127.0.0.1", port=server.port, client_id="p", on_state=lambda *_: connected.set()
    )
    task = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(connected.wait(), PATIENCE_S)
        await link.publish("plant/line", payload, retain=True)
        yield server.port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        server.stop()


def topic(port):
    """Its source and address."""
    return (
        'address = "plant/line /temp"\n[sources.s]\nprotocol = "mqtt"\nhost = "127.0.0.1"\n'
        f"port = {port}\n"
    )


@pytest.mark.parametrize(
    ("payload", "terms"),
    [
        (b'{"temp": "71.5", "flow": 3}', {"served json_type": "breaking", "served keys": None}),
        (b'{"temp": 71.5, "flow": 3, "level": 1}', {"served keys": "additive"}),
        (b'{"temp": 71, "flow": 3}', {}),
        (b'{"temp": true, "flow": 3}', {"served json_type": "breaking", "served keys": None}),
        (b'{"inner": {"temp": 71.5}, "flow": 3}', {"served json_type": "breaking"}),
    ],
)
async def test_the_shape_of_a_message_is_in_the_contract(command, tmp_path, payload, terms):
    """A type that changed, a key more, a number that became whole, a payload that was nested."""
    async with broker(tmp_path / "a", b'{"temp": 71.5, "flow": 3}') as port:
        assert (await command("snapshot", topic(port)))[0] == 0
    async with broker(tmp_path / "b", payload) as port:
        _, told = await command("diff", topic(port), "--json")
    found = {one["term"]: one["grade"] for one in map(json.loads, told.splitlines())}
    for term, grade in terms.items():
        assert term in found
        assert grade in (None, found[term])
    assert found["place"] == "compatible"


async def test_a_tag_of_which_nothing_came_is_not_compared(command, tmp_path):
    """It is only sent now and then: that is said, and breaks nothing."""
    async with broker(tmp_path / "a", b'{"temp": 71.5}') as port:
        assert (await command("snapshot", topic(port)))[0] == 0
    async with broker(tmp_path / "b", b"") as port:  # no message is kept
        code, told = await command("diff", topic(port), "--timeout", "3")
    assert code == 0 and "nothing came of temp in 3 s" in told, told
    assert "JSON type" not in told


async def test_keys_that_are_no_utf8_are_kept_too(command, tmp_path):
    """Half of a surrogate pair, as some programs write it."""
    async with broker(tmp_path / "a", b'{"temp": 71.5, "\\ud800": 1}') as port:
        assert (await command("snapshot", topic(port)))[0] == 0
        assert (await command("diff", topic(port)))[0] == 0
