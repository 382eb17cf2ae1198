"""`check` says of each tag what came and whether it can be right, not only that something came."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import struct
import subprocess
import sys

import pytest
from asyncua import Server, ua
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.checking.check import check
from agent.checking.tags import Expected, tag_items
from agent.cli import cli
from agent.configuration.load import load
from agent.configuration.schema import Tag
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.core.baseline_file import write_baseline
from agent.mqtt import MqttLink
from agent.sources import TagProbe
from agent.types import Quality
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S

HEAD = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1s"
inputs = ["temp"]
"""
TRAINED = (60.0, 80.0)
NOW = 1_790_000_000 * 10**9


@pytest.mark.parametrize("key", ["interval", "max_silence"])
def test_what_comes_seldom_is_not_taken_for_a_wrong_key(key):
    """A laboratory's value is in one message of many: a warning that says to wait, also with
    --strict; a tag of every second that is in no message is a fault.
    """
    probe = TagProbe("lab", said="no message had it", keys=("a", "b"), nearest="a")
    for span, level in (("12h", "warning"), ("1s", "fault")):
        tag = Tag.model_validate({"source": "s", "address": "t /lab", key: span})
        (item,) = tag_items([probe], {"lab": tag}, {}, NOW, strict=True)
        assert item.level == level and "no message had it" in item.text
        assert ("wait for longer: --timeout" in item.hint) is (level == "warning")
        assert "a as address" in item.hint


@pytest.fixture
def report(tmp_path):
    """Check a configuration of this text, with a baseline of tag temp in degC, of 60 to 80."""

    async def _report(text, *, strict=False, offline=False, timeout_s=10.0):
        path = tmp_path / "config.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        row = InputBaseline(
            tag="temp", unit="degC", centre=70.0, scale=3.0, noise=0.1, interval_ns=10**9, tau=2.0,
            n_eff=1000.0, trained=TRAINED, edges=(70.0,), longest_gap=1, r2=0.0,
            provisional=False, detectors={},
        )  # fmt: skip
        baseline = Baseline(
            model="m", model_version="1", interval_ns=10**9,
            modes=(ModeBaseline("", None, (row,), {}),), provisional=False, provisional_text="",
            mask_ns=0,
        )  # fmt: skip
        write_baseline(tmp_path / "m.json", baseline)
        return await check(load(path), offline=offline, timeout_s=timeout_s, strict=strict)

    return _report


def of(items, tag="temp"):
    (item,) = [item for item in items if item.subject == f"tag {tag}"]
    return item


# --- Modbus: the word order ----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def device(words):
    port = free_port()
    blocks = [SimData(100, values=list(words), datatype=DataType.REGISTERS)]
    rest = [SimData(0, values=[0], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[False] * 8, datatype=DataType.BITS)]
    server = ModbusTcpServer(SimDevice(1, (bits, bits, blocks, rest)), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield port
    finally:
        await server.shutdown()


def modbus(port, address, more=""):
    return (
        f'[sources.s]\nprotocol = "modbus"\nhost = "127.0.0.1"\nport = {port}\n'
        f'[tags.temp]\nsource = "s"\nunit = "degC"\naddress = "{address}"\n{more}\n'
    )


@pytest.mark.parametrize("order", ["CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize("value", [72.3, 66.0])
async def test_a_wrong_word_order_is_a_fault_that_names_the_right_one(report, order, value):
    """The device answers and the value decodes: yet it is told what it would be otherwise."""
    data = struct.pack(">f", value)
    swapped = {"CDAB": data[2:] + data[:2], "DCBA": data[::-1]}
    swapped["BADC"] = bytes([data[1], data[0], data[3], data[2]])
    async with device(struct.unpack(">2H", swapped[order])) as port:
        item = of(await report(modbus(port, "holding 100 float32")))
        right = of(await report(modbus(port, f"holding 100 float32 {order}")))
    assert item.level == "fault"
    assert f"as {order} it would be {value:.4g}: inside the trained range" in item.text
    assert (right.level, right.tag["inside_trained"]) == ("ok", True)
    assert f"{value:.6g} degC, good" in right.text
    assert f"raw 0x{swapped[order][:2].hex()} {swapped[order][2:].hex()}" in right.text


async def test_a_wrong_type_is_told_as_a_wrong_order_is(report):
    """A signed register read unsigned, or an integer read as a float."""
    async with device([0, 71]) as port:
        item = of(await report(modbus(port, "holding 100 float32")))
    assert item.level == "fault"
    assert "as int32 ABCD it would be 71: inside the trained range" in item.text


@pytest.mark.parametrize("value", [59.0, 85.0, 200.0])
async def test_a_value_that_the_models_never_saw_is_a_warning(report, value):
    """Where no other reading of the bytes helps: another address, or the plant runs elsewhere."""
    async with device(struct.unpack(">2H", struct.pack(">f", value))) as port:
        item = of(await report(modbus(port, "holding 100 float32")))
        far = of(await report(modbus(port, "holding 100 float32", "physical = [0.0, 50.0]")))
    assert item.level == "warning"
    assert "outside the trained range 60 to 80" in item.text
    assert far.level == "warning"
    assert "outside the physical range 0 to 50" in far.text
    assert (far.tag["inside_physical"], far.tag["inside_trained"]) == (False, False)


@given(value=st.floats(60.0, 80.0, width=32))
def test_a_value_in_the_trained_range_is_never_called_misread(value):
    """Whatever its bytes would mean otherwise."""
    probe = TagProbe("temp", value, 0, "0x", others=(("CDAB", 70.0), ("int32", 71.0)))
    tags = {"temp": Tag(source="s", address="a")}
    (item,) = tag_items([probe], tags, {"temp": TRAINED}, NOW, strict=True)
    assert item.level == "ok"


@pytest.mark.parametrize("value", [4.17e-08, -3.2e31, 1e-20])
def test_before_the_fit_an_absurd_size_is_told(value):
    """Without any range: what no instrument shows, where the bytes give an ordinary value."""
    probe = TagProbe("temp", value, 0, "0x", others=(("BADC", 1e20), ("CDAB", 72.3)))
    (item,) = tag_items([probe], {"temp": Tag(source="s", address="a")}, {}, NOW, strict=False)
    assert item.level == "warning"
    assert "as CDAB it would be 72.3: an ordinary value" in item.text
    assert not Expected(Tag(source="s", address="a"), None).strange(0.0)


# --- MQTT: topics and keys -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def broker(folder, messages):
    """A mosquitto that keeps these messages."""
    server = Mosquitto(folder)
    server.start()
    connected = asyncio.Event()
    link = MqttLink(
        host="127.0.0.1", port=server.port, client_id="p", on_state=lambda *_: connected.set()
    )
    task = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(connected.wait(), PATIENCE_S)
        for topic, payload in messages.items():
            await link.publish(topic, payload, retain=True)
        yield server.port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        server.stop()


def mqtt(port, address):
    return (
        f'[sources.s]\nprotocol = "mqtt"\nhost = "127.0.0.1"\nport = {port}\n'
        f'[tags.temp]\nsource = "s"\nunit = "degC"\naddress = "{address}"\n'
    )


async def test_a_topic_that_was_never_heard_fails_strictly(report, tmp_path):
    """"Never arrived" is not "stopped": with how long it was listened to."""
    async with broker(tmp_path, {"plant/line": b'{"temp": 71}'}) as port:
        plain = of(await report(mqtt(port, "plant/lime /temp"), timeout_s=2.0))
        strict = of(await report(mqtt(port, "plant/lime /temp"), timeout_s=2.0, strict=True))
    assert (plain.level, strict.level) == ("warning", "fault")
    assert "never arrived: nothing was heard on plant/lime for 2 s" in plain.text
    assert plain.tag["never_arrived_s"] == 2.0


async def test_a_key_that_the_message_does_not_have_is_a_fault(report, tmp_path):
    """With the keys that it has, and the one that is most like it."""
    payload = b'{"Temp": 71, "inner": {"flow": 3}}'
    async with broker(tmp_path, {"plant/line": payload}) as port:
        item = of(await report(mqtt(port, "plant/line /temp"), timeout_s=2.0))
    assert item.level == "fault"
    assert "the message has no /temp; it has /Temp, /inner/flow; the nearest is /Temp" in item.text
    assert "plant/line /Temp" in item.hint


async def test_a_time_that_gives_none_is_told(report, tmp_path):
    """The agent would take the time of arrival in its stead."""
    stamp = b'{"temp": 71, "ts": "soon"}'
    async with broker(tmp_path, {"plant/line": stamp}) as port:
        item = of(await report(mqtt(port, "plant/line /temp time /ts")))
        absent = of(await report(mqtt(port, "plant/line /temp time /time")))
    assert (item.level, absent.level) == ("fault", "fault")
    assert 'unreadable: /ts is "soon"' in item.text
    assert "absent: the message has no /time" in absent.text


async def test_a_text_where_a_number_is_configured_is_told(report, tmp_path):
    """With what came."""
    async with broker(tmp_path, {"plant/line": b'{"temp": "OFF"}'}) as port:
        item = of(await report(mqtt(port, "plant/line /temp")))
    assert item.level in {"warning", "fault"}
    assert 'raw "OFF"' in item.text


def test_what_many_tags_have_in_common_is_one_line_for_people(tmp_path):
    """Names are bounded; each tag keeps its own line for programs, and where it has a value."""
    folder = Mosquitto(tmp_path)
    folder.start()
    try:
        path = tmp_path / "config.toml"
        more = "".join(
            f'[tags.t{n}]\nsource = "s"\naddress = "plant/line /t{n}"\n' for n in range(7)
        )
        path.write_text(HEAD + mqtt(folder.port, "plant/line /temp") + more, encoding="utf-8")
        arguments = ["check", str(path), "--timeout", "2"]
        told = CliRunner().invoke(cli, arguments).output
        lines = CliRunner().invoke(cli, [*arguments, "--json"]).output.splitlines()
    finally:
        folder.stop()
    assert told.count("never arrived") == 1
    assert "8 tags, temp, t0, t1, t2, t3 and 3 more: never arrived" in " ".join(told.split())
    assert sum("never arrived" in json.loads(line)["text"] for line in lines) == 8


async def test_a_message_of_many_tags_is_not_shown_once_for_each(report, tmp_path):
    """Its part is raw; of the keys of a message that lacks one, the first few are named."""
    payload = json.dumps({"temp": 71.5} | {f"key{n}": n for n in range(25)}).encode()
    async with broker(tmp_path, {"plant/line": payload}) as port:
        good = of(await report(mqtt(port, "plant/line /temp")))
        bad = of(await report(mqtt(port, "plant/line /tenp")))
    assert "71.5 degC, good; retained by the broker; raw 71.5; inside" in good.text
    assert "it has /temp, /key0, /key1, /key2, /key3 and 21 more; the nearest is /temp" in bad.text
    assert len(bad.tag["keys"]) == 26


# --- OPC UA --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def server(value):
    port = free_port()
    made = Server()
    await made.init()
    made.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    made.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await made.register_namespace("urn:test")
    node = await made.nodes.objects.add_variable(
        ua.NodeId("T", index), ua.QualifiedName("T", index), value
    )
    await node.set_writable()
    await made.start()
    try:
        yield port, node
    finally:
        await made.stop()


def opcua(port, address):
    return (
        f'[sources.s]\nprotocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:{port}/plant"\n'
        f'[tags.temp]\nsource = "s"\nunit = "degC"\naddress = "{address}"\n'
    )


async def test_the_status_of_a_node_is_told_in_words(report):
    """Good with type and time; the server's own reason where there is none."""
    async with server(72.5) as (port, node):
        good = of(await report(opcua(port, "ns=2;s=T")))
        gone = of(await report(opcua(port, "ns=2;s=U")))
        await node.write_value(ua.DataValue(
            ua.Variant(72.5), StatusCode=ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData)
        ))  # fmt: skip
        waiting = of(await report(opcua(port, "ns=2;s=T")))
    assert good.level == "ok"
    assert "72.5 degC, good; raw Double 72.5; inside the trained range 60 to 80" in good.text
    assert "s old" in good.text
    assert gone.level == "fault"
    assert "the server refuses ns=2;s=U: BadNodeIdUnknown" in gone.text
    assert waiting.level == "warning"
    assert "no value there; BadWaitingForInitialData" in waiting.text


async def test_no_security_is_called_insecure(report):
    """On paper already."""
    items = await report(opcua(1, "ns=2;s=T"), offline=True)
    (item,) = [item for item in items if 'security "None"' in item.text]
    assert item.level == "warning"


async def test_it_never_says_what_the_agent_will_not_do(report, tmp_path):
    """Without the server's certificate the agent makes no connection: a fault, and said so."""
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    text = opcua(1, "ns=2;s=T").replace(
        "[tags.temp]",
        'security = "Basic256Sha256"\ncertificate = "c.pem"\nprivate_key = "k.pem"\n[tags.temp]',
    )
    items = await report(text, offline=True)
    assert not [item for item in items if "any server certificate" in item.text]
    assert any("it will not connect" in item.text for item in items if item.level == "fault")


# --- units ---------------------------------------------------------------------------------------


async def test_a_unit_that_was_changed_after_the_fit_is_a_fault(report):
    """With both units, and both ways out."""
    text = modbus(1, "holding 100 float32").replace('unit = "degC"', 'unit = "degF"')
    items = await report(text, offline=True)
    (item,) = [item for item in items if item.level == "fault"]
    assert item.subject == "model m"
    assert "temp was fitted in degC, configured is degF" in item.text
    assert "put the unit back" in item.hint
    assert "fieldwarden fit" in item.hint


# --- everything ----------------------------------------------------------------------------------

anything = st.builds(
    TagProbe,
    st.just("temp"),
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    st.integers(0, 32_767),
    st.text(max_size=20),
    st.text(max_size=20),
    st.integers(0, 2**63 - 1),
    st.sampled_from(["", "absent: x", "implausible: y"]),
    st.none() | st.floats(0.1, 9.0),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.text(max_size=5),
    st.lists(st.tuples(st.text(max_size=4), st.floats(allow_nan=False)), max_size=3).map(tuple),
)


@given(
    probe=anything, trained=st.none() | st.just(TRAINED),
    physical=st.none() | st.just((-10.0, 300.0)),
)  # fmt: skip
def test_whatever_a_source_gives_is_one_line(probe, trained, physical):
    """With a text, facts that JSON can carry, and a hint where it is no good news."""
    tags = {"temp": Tag(source="s", address="a b", unit="degC", physical=physical)}
    ranges = {"temp": trained} if trained else {}
    (item,) = tag_items([probe], tags, ranges, NOW, strict=True)
    assert item.text
    assert item.level == "ok" or item.hint
    json.dumps(dict(item.tag))
    usable = not probe.quality & ~Quality.UNCERTAIN and probe.waited_s is None and not probe.keys
    if not usable:
        assert item.level != "ok"
    elif isinstance(probe.value, float) and trained and not math.isnan(probe.value):
        inside = TRAINED[0] <= probe.value <= TRAINED[1]
        assert inside or item.level != "ok"


def test_json_carries_the_facts_of_a_tag(tmp_path):
    """One object a line; a tag's line has its facts for programs."""
    folder = Mosquitto(tmp_path)
    folder.start()
    try:
        path = tmp_path / "config.toml"
        path.write_text(HEAD + mqtt(folder.port, "plant/line /temp"), encoding="utf-8")
        arguments = ["check", str(path), "--json", "--timeout", "2", "--strict"]
        result = CliRunner().invoke(cli, arguments)
    finally:
        folder.stop()
    lines = [json.loads(line) for line in result.output.splitlines()]
    (line,) = [line for line in lines if line["subject"] == "tag temp"]
    assert line["level"] == "fault"
    assert (line["tag"]["unit"], line["tag"]["value"]) == ("degC", None)
    assert result.exit_code == 1


def test_offline_needs_no_opc_ua_library(tmp_path):
    """What is on paper is read without the largest library of all."""
    path = tmp_path / "config.toml"
    path.write_text(HEAD + opcua(1, "ns=2;s=T"), encoding="utf-8")
    program = (
        "import sys\nfrom agent.cli import cli\n"
        f"cli(['check', {str(path)!r}, '--offline'], standalone_mode=False)\n"
        "assert 'asyncua' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
