"""The OPC UA source against an asyncua server: one notification at a time, bad nodes, losses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

import pytest
from asyncua import Server, ua
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.cli import cli
from agent.configuration.load import load
from agent.configuration.schema import OpcUaSource
from agent.decode.columns import text_code
from agent.errors import ConfigurationError, SourceError
from agent.sources import SOURCES, opcua_subscription
from agent.types import Quality
from simulators import ports

logging.getLogger("asyncua").setLevel(logging.CRITICAL)

LOST = int(Quality.COMMUNICATION_LOST)
BAD = int(Quality.BAD)
URI = "urn:test:plant"


def config(port, **more):
    settings = {"publishing": "50ms", "timeout": "10s", **more}
    return OpcUaSource(protocol="opcua", endpoint=f"opc.tcp://127.0.0.1:{port}/plant", **settings)


class Plant:
    """An asyncua server with writable variables `s=<name>` in one namespace."""

    def __init__(self, server, namespace):
        self.server = server
        self.namespace = namespace
        self.nodes = {}

    async def add(self, name, value):
        objects = self.server.nodes.objects
        node = await objects.add_variable(
            ua.NodeId(name, self.namespace), ua.QualifiedName(name, self.namespace), value
        )
        self.nodes[name] = node

    async def write(self, name, value, status=0, stamp=None):
        data = ua.DataValue(
            ua.Variant(value),
            StatusCode=ua.StatusCode(status),
            SourceTimestamp=stamp or datetime.now(UTC),
        )
        await self.nodes[name].write_value(data)


@contextlib.asynccontextmanager
async def plant(port, values, *, extra_namespaces=()):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    for uri in extra_namespaces:
        await server.register_namespace(uri)
    subject = Plant(server, await server.register_namespace(URI))
    for name, value in values.items():
        await subject.add(name, value)
    await server.start()
    try:
        yield subject
    finally:
        await server.stop()


def addresses(*names):
    return {name: f"ns=2;s={name}" for name in names}


async def test_values_times_and_qualities_arrive(harness, free_port):
    """First values, changes, source times and status codes come through the subscription."""
    stamp = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)
    async with (
        plant(free_port, {"a": 1.5, "b": 7, "c": True}) as server,
        harness.running(config(free_port), addresses("a", "b", "c")) as link,
    ):
        await harness.until(lambda: all(harness.values(name) for name in "abc"))
        await server.write("a", 2.5, stamp=stamp)
        await server.write("b", 8, status=ua.StatusCodes.UncertainSubNormal)
        await server.write("c", False, status=ua.StatusCodes.BadSensorFailure)
        await harness.until(lambda: all(len(harness.samples[name]) >= 2 for name in "abc"))
        assert link.describe().state == "live" and link.describe().received == 6
    assert harness.values("a") == [1.5, 2.5]
    assert harness.samples["a"][1] == (2.5, 0, 1_767_355_200_250_000_000)
    assert harness.samples["b"][1][:2] == (8.0, Quality.UNCERTAIN)
    assert harness.qualities("c")[1] == BAD and harness.values("c") == [1.0]
    assert harness.states == ["live"]


async def test_a_burst_arrives_whole_and_in_order(harness, free_port):
    """More changes between two publishes than asyncua's iterator would keep: none is lost."""
    async with (
        plant(free_port, {f"n{i}": -1.0 for i in range(20)}) as server,
        harness.running(
            config(free_port, publishing="500ms"), addresses(*(f"n{i}" for i in range(20)))
        ),
    ):
        await harness.until(lambda: harness.values("n19"))
        for number in range(90):
            for i in range(20):
                await server.write(f"n{i}", float(number))
        await harness.until(lambda: all(harness.values(f"n{i}")[-1] == 89 for i in range(20)))
    for i in range(20):
        assert harness.values(f"n{i}") == [-1.0, *map(float, range(90))]


async def test_bad_nodes_among_good_ones(harness, free_port):
    """Nodes and namespaces the server does not have are bad; the others are served."""
    wanted = {**addresses("a", "missing"), "far": "nsu=urn:nowhere;s=x", "by_uri": f"nsu={URI};s=b"}
    async with (
        plant(free_port, {"a": 1.0, "b": 2.0}) as server,
        harness.running(config(free_port), wanted) as link,
    ):
        await harness.until(lambda: harness.values("a") and harness.values("by_uri"))
        await server.write("a", 3.0)
        await harness.until(lambda: len(harness.values("a")) == 2)
        report = link.describe()
    refused = BAD | Quality.ADDRESS_REFUSED
    assert harness.qualities("missing") == [refused] and harness.qualities("far") == [refused]
    assert harness.states == ["live"] and report.reason == "2 nodes are refused"
    assert "refused: missing: BadNodeIdUnknown" in report.plan
    assert "refused: far: no such namespace" in report.plan
    (told,) = [c["tags"] for c in harness.commands if c["kind"] == "refused"]
    assert told == {
        "missing": "the server refuses ns=2;s=missing: BadNodeIdUnknown",
        "far": "the server refuses nsu=urn:nowhere;s=x: no such namespace",
    }


async def test_a_refused_node_is_asked_for_again(harness, free_port, monkeypatch):
    """A node that appears later (a PLC program loaded) is served without a reconnect."""
    monkeypatch.setattr(opcua_subscription, "_REFUSED_RETRY_S", 0.1)
    monkeypatch.setattr(opcua_subscription, "_KEEP_ALIVE_S", 0.2)
    async with (
        plant(free_port, {"a": 1.0}) as server,
        harness.running(config(free_port), addresses("a", "late")) as link,
    ):
        await harness.until(lambda: harness.qualities("late"))
        await server.add("late", 5.0)
        await harness.until(lambda: harness.values("late"))
        await harness.until(lambda: link.describe().reason == "")
    assert harness.states == ["live"]


async def test_namespaces_are_resolved_at_each_connect(harness, free_port):
    """A server that numbers its namespaces differently after a restart serves the same tags."""
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        await first.enter_async_context(plant(free_port, {"a": 1.0}))
        await stack.enter_async_context(harness.running(config(free_port), {"a": f"nsu={URI};s=a"}))
        await harness.until(lambda: harness.values("a"))
        await first.aclose()
        await harness.until(lambda: "failed" in harness.states)
        async with plant(free_port, {"a": 2.0}, extra_namespaces=["urn:new"]):
            await harness.until(lambda: 2.0 in harness.values("a"))


async def reordered(harness, port, addresses, after, *, extra=("urn:new",)):
    """Serve, restart the server with another namespace before ours, and give the report."""
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        await first.enter_async_context(plant(port, {"a": 1.0}))
        link = await stack.enter_async_context(harness.running(config(port), addresses))
        await harness.until(lambda: harness.values("a"))
        await first.aclose()
        await harness.until(lambda: "failed" in harness.states)
        async with plant(port, {}, extra_namespaces=extra) as server:
            await after(server)
            await harness.until(lambda: len(harness.states) >= 3)
            await harness.until(lambda: len(harness.samples["a"]) >= 3)
            return link.describe()


async def test_an_index_stays_the_namespace_that_it_was(harness, free_port):
    """The server numbers anew, and another device's node has the old name: ours is read on."""

    async def after(server):
        await server.add("a", 2.0)
        stranger = ua.NodeId("a", 2)
        await server.server.nodes.objects.add_variable(stranger, ua.QualifiedName("a", 2), 999.0)

    report = await reordered(harness, free_port, addresses("a"), after)
    assert harness.values("a") == [1.0, 2.0]
    (told,) = report.details
    assert told.startswith(f"namespace {URI} is ns=3 by now, and ns=2 is urn:new: a is read from")
    assert f"write ns=3 or nsu={URI} in the address" in told
    gap = next(command["gap"] for command in harness.commands if "gap" in command)
    assert gap["to_ns"] > gap["from_ns"]


async def test_a_node_of_another_type_is_refused(harness, free_port):
    """Same namespace and name, but a Double became a String: another node, and not read."""

    async def after(server):
        await server.add("a", "7")

    report = await reordered(harness, free_port, addresses("a"), after, extra=())
    assert harness.values("a") == [1.0]
    assert harness.qualities("a")[-1] == BAD | Quality.WRONG_TYPE
    assert "it was a Variable of data type Double" in report.details[0]
    assert "is a Variable of data type String" in report.details[0]


async def test_after_a_stall_what_was_kept_is_late_and_what_is_constant_is_told(
    harness, free_port, monkeypatch
):
    """A link frozen for 3 s: lost once, then late values are marked and the last ones count."""
    monkeypatch.setattr(opcua_subscription, "_KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(opcua_subscription, "_LOST_AFTER", 60)
    server_port = ports.free_port()
    async with (
        plant(server_port, {"moves": -1.0, "constant": 5.0}) as server,
        freezable_proxy(free_port, server_port) as flowing,
        harness.running(config(free_port), addresses("moves", "constant")),
    ):
        await harness.until(lambda: harness.values("moves") and harness.values("constant"))
        for number in range(3):
            await server.write("moves", float(number))
            await asyncio.sleep(0.1)
        await harness.until(lambda: 2.0 in harness.values("moves"))
        flowing.clear()
        for number in range(3, 30):
            await server.write("moves", float(number))
            await asyncio.sleep(0.1)
        await harness.until(lambda: "stale" in harness.states)
        assert harness.qualities("constant")[-1] == LOST
        flowing.set()
        await harness.until(lambda: harness.states[-1] == "live")
        await harness.until(lambda: harness.values("moves")[-1] == 29.0)
    assert harness.states == ["live", "stale", "live"]
    assert harness.samples["constant"][-1][:2] == (5.0, 0)
    rows = [row for row in harness.samples["moves"] if row[1] != LOST]
    late = {value for value, quality, _ in rows if quality & Quality.REPLAYED}
    good = {value for value, quality, _ in rows if quality == 0}
    assert late and max(late) < 28 and min(late) >= 3 and 29.0 in good
    assert not {float(number) for number in range(3, 12)} & good


async def test_the_operation_limits_of_a_server_are_kept(harness, free_port, monkeypatch):
    """MaxNodesPerRead 4 and MaxMonitoredItemsPerCall 3: no call names more."""
    from asyncua.server.internal_session import InternalSession

    reads, creates = [], []
    read = InternalSession.read

    async def limited(self, params):
        reads.append(len(params.NodesToRead))
        return await read(self, params)

    names = [f"n{i}" for i in range(10)]
    async with plant(free_port, dict.fromkeys(names, 1.0)) as server:
        for identifier, limit in ((11705, 4), (11714, 3)):
            node = server.server.get_node(ua.NodeId(identifier))
            await node.write_value(ua.Variant(limit, ua.VariantType.UInt32))
        service = server.server.iserver.subscription_service
        create = service.create_monitored_items

        async def counted(parameters):
            creates.append(len(parameters.ItemsToCreate))
            return await create(parameters)

        monkeypatch.setattr(service, "create_monitored_items", counted)
        monkeypatch.setattr(InternalSession, "read", limited)
        async with harness.running(config(free_port), addresses(*names)):
            await harness.until(lambda: all(harness.values(name) for name in names))
    assert max(reads) <= 4 and max(creates) <= 3


async def test_absent_at_start_then_there(harness, free_port):
    """No server: failed, with one lost sample a tag and the cause; then live by itself."""
    async with harness.running(config(free_port), addresses("a")) as link:
        await harness.until(lambda: harness.states == ["failed"])
        assert harness.qualities("a") == [LOST]
        assert "refused" in link.describe().reason and str(free_port) in link.describe().reason
        async with plant(free_port, {"a": 4.0}):
            await harness.until(lambda: harness.values("a"))
            # the state is told after the first values
            await harness.until(lambda: len(harness.states) >= 2)
    assert harness.states == ["failed", "live"]


async def test_dies_and_comes_back(harness, free_port):
    """A server that goes away is lost, one sample a tag, and subscribed again when back."""
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        await first.enter_async_context(plant(free_port, {"a": 1.0}))
        await stack.enter_async_context(harness.running(config(free_port), addresses("a")))
        await harness.until(lambda: harness.values("a"))
        await first.aclose()
        await harness.until(lambda: "failed" in harness.states)
        async with plant(free_port, {"a": 2.0}):
            await harness.until(lambda: 2.0 in harness.values("a"))
            # the state is told after the first values
            await harness.until(lambda: len(harness.states) >= 3)
    assert harness.states[:3] == ["live", "failed", "live"]
    assert harness.qualities("a") == [0, LOST, 0]


async def test_a_constant_value_stays_live_by_keep_alives(harness, free_port, monkeypatch):
    """Nothing changes for many keep-alive periods: the session is live, and says nothing more."""
    monkeypatch.setattr(opcua_subscription, "_KEEP_ALIVE_S", 0.5)
    async with (
        plant(free_port, {"a": 1.0}),
        harness.running(config(free_port), addresses("a")) as link,
    ):
        await harness.until(lambda: harness.values("a"))
        await asyncio.sleep(4)
        harness.collect()
        assert link.describe().state == "live"
    assert harness.states == ["live"] and harness.values("a") == [1.0]


@contextlib.asynccontextmanager
async def freezable_proxy(port, target_port):
    """A TCP proxy; clear `flowing` and both sides hear nothing more, with the connection open."""
    flowing = asyncio.Event()
    flowing.set()

    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await flowing.wait()
                writer.write(data)
        writer.close()

    async def serve(reader, writer):
        with contextlib.suppress(OSError):
            other = await asyncio.open_connection("127.0.0.1", target_port)
            await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield flowing
    finally:
        server.close()


async def test_silence_on_an_open_connection_is_noticed(
    harness, free_port, monkeypatch
):
    """No keep-alives although TCP stands: stale, then failed, then live when it flows again."""
    monkeypatch.setattr(opcua_subscription, "_KEEP_ALIVE_S", 0.1)
    server_port = ports.free_port()
    async with (
        plant(server_port, {"a": 1.0}),
        freezable_proxy(free_port, server_port) as flowing,
        harness.running(config(free_port, timeout="500ms"), addresses("a")) as link,
    ):
        await harness.until(lambda: harness.values("a"))
        flowing.clear()
        await harness.until(lambda: "failed" in harness.states)
        assert harness.states[:3] == ["live", "stale", "failed"]
        assert harness.qualities("a") == [0, LOST]
        flowing.set()
        await harness.until(lambda: link.describe().state == "live")
        await harness.until(lambda: len(harness.values("a")) == 2)


async def test_texts_become_journaled_codes(harness, free_port):
    """A tag of texts gives codes, and each new text a command before its first sample."""
    async with (
        plant(free_port, {"mode": "idle"}) as server,
        harness.running(config(free_port), addresses("mode"), data_type="text"),
    ):
        await harness.until(lambda: harness.values("mode"))
        await server.write("mode", "run")
        await server.write("mode", "idle")
        await harness.until(lambda: len(harness.values("mode")) == 3)
    idle, run = text_code("idle"), text_code("run")
    assert harness.values("mode") == [idle, run, idle]
    texts = [command for command in harness.commands if command["kind"] == "text"]
    assert [(text["code"], text["text"]) for text in texts] == [(idle, "idle"), (run, "run")]


async def test_a_server_that_takes_few_items_at_a_time(harness, free_port, monkeypatch):
    """BadTooManyOperations makes the calls smaller until the server takes them."""
    sizes = []
    names = [f"n{i}" for i in range(11)]
    async with plant(free_port, dict.fromkeys(names, 1.0)) as server:
        create = server.server.iserver.subscription_service.create_monitored_items

        async def limited(parameters):
            sizes.append(len(parameters.ItemsToCreate))
            if sizes[-1] > 3:
                raise ua.uaerrors.BadTooManyOperations
            return await create(parameters)

        service = server.server.iserver.subscription_service
        monkeypatch.setattr(service, "create_monitored_items", limited)
        async with harness.running(config(free_port), addresses(*names)):
            await harness.until(lambda: all(harness.values(name) for name in names))
    assert sizes[0] == 11 and max(sizes[2:]) <= 5 and harness.states == ["live"]


def test_bad_addresses_are_all_reported(harness):
    """Every address at fault before anything runs."""
    with pytest.raises(ConfigurationError) as caught:
        harness.create(config(4840), {"a": "ns=2;s=x", "b": "Reactor", "c": "ns=2;i=x"})
    assert len(caught.value.faults) == 2


async def test_security_without_certificates_is_a_reason(harness, free_port):
    """Security that lacks its files fails with what is missing, and does not fall back to none."""
    secured = config(free_port, security="Basic256Sha256")
    async with plant(free_port, {"a": 1.0}), harness.running(secured, addresses("a")) as link:
        await harness.until(lambda: harness.states == ["failed"])
        assert "needs certificate, private_key, server_certificate" in link.describe().reason


async def test_probe_shows_each_node(harness, free_port):
    """The variant and its type, the status by name, and why there is no value."""
    async with plant(free_port, {"a": 1.5, "text": "ERR", "off": 2.0}) as server:
        await server.write("off", 2.0, ua.StatusCodes.BadOutOfService)
        names = {**addresses("a", "text", "off", "no"), "far": "nsu=urn:x;s=a"}
        found = await SOURCES["opcua"].probe("s", config(free_port), harness.bind(names), 10.0)
    tags = {tag.name: tag for tag in found.tags}
    assert (tags["a"].value, tags["a"].raw, tags["a"].quality) == (1.5, "Double 1.5", 0)
    assert tags["a"].source_ns > 0
    assert tags["text"].quality & Quality.WRONG_TYPE and tags["text"].raw == "String ERR"
    assert tags["off"].quality & Quality.NOT_AVAILABLE and tags["off"].said == "BadOutOfService"
    assert tags["no"].quality & Quality.ADDRESS_REFUSED
    assert "ns=2;s=no" in tags["no"].said and "BadNodeIdUnknown" in tags["no"].said
    assert tags["far"].quality & Quality.ADDRESS_REFUSED and "no such namespace" in tags["far"].said


async def test_probe_reads_in_parts_where_the_server_takes_few(harness, free_port, monkeypatch):
    """A server that takes 7 nodes in one read is healthy: every node of 40 is read."""
    from asyncua.server.internal_session import InternalSession

    read, sizes = InternalSession.read, []

    async def limited(self, params):
        sizes.append(len(params.NodesToRead))
        if len(params.NodesToRead) > 7:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
        return await read(self, params)

    names = [f"n{i}" for i in range(40)]
    async with plant(free_port, {name: float(i) for i, name in enumerate(names)}):
        monkeypatch.setattr(InternalSession, "read", limited)
        bindings = harness.bind(addresses(*names))
        found = await SOURCES["opcua"].probe("s", config(free_port), bindings, 10.0)
    assert [tag.value for tag in found.tags] == [float(i) for i in range(40)]
    assert max(sizes) > 7 and min(sizes) <= 7


async def test_probe_of_an_absent_server(harness, free_port):
    """`check` says what it could not reach."""
    with pytest.raises(SourceError, match=str(free_port)):
        await SOURCES["opcua"].probe("s", config(free_port), harness.bind(addresses("a")), 1.0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Self-signed certificates and keys of the agent, the server, and a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("agent", "server", "stranger"):
        key = generate_private_key()
        (folder / f"{name}-key.pem").write_bytes(dump_private_key_as_pem(key))
        certificate = generate_self_signed_app_certificate(
            key,
            name,
            {"organizationName": "test"},
            [x509.UniformResourceIdentifier(f"urn:test:{name}"), x509.DNSName("localhost")],
            [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
        )
        (folder / f"{name}.der").write_bytes(certificate.public_bytes(Encoding.DER))
    return folder


@contextlib.asynccontextmanager
async def secured_plant(port, folder):
    server = Server()
    await server.init()
    await server.set_application_uri("urn:test:server")
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(str(folder / "server.der"))
    await server.load_private_key(str(folder / "server-key.pem"))
    subject = Plant(server, await server.register_namespace(URI))
    await subject.add("a", 1.0)
    async with server:
        yield subject


def secured(port, folder, trusted):
    return config(
        port,
        timeout="10s",
        security="Basic256Sha256",
        certificate=str(folder / "agent.der"),
        private_key=str(folder / "agent-key.pem"),
        server_certificate=str(folder / f"{trusted}.der"),
    )


async def test_signed_and_encrypted(harness, free_port, certificates):
    """With certificates on both sides and the server's pinned, values arrive."""
    async with (
        secured_plant(free_port, certificates),
        harness.running(secured(free_port, certificates, "server"), addresses("a")),
    ):
        await harness.until(lambda: harness.values("a"))
    assert harness.states == ["live"]


async def test_another_certificate_than_the_pinned_one_is_refused(harness, free_port, certificates):
    """A server other than the one whose certificate is named gets no session."""
    async with (
        secured_plant(free_port, certificates),
        harness.running(secured(free_port, certificates, "stranger"), addresses("a")) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        await asyncio.sleep(1)
        harness.collect()
        reason = link.describe().reason
        assert "uses another certificate than" in reason and "stranger.der" in reason
        assert "get its certificate anew" in reason
    assert harness.states == ["failed"] and harness.qualities("a") == [LOST]


async def test_init_browses_a_secured_server_with_the_keys_of_the_configuration(
    free_port, certificates, tmp_path, monkeypatch
):
    """Files are named from where one is; what is written finds them from where it stands."""
    monkeypatch.chdir(certificates)
    out = tmp_path / "plant" / "config.toml"
    words = ["init", "--opcua", f"opc.tcp://127.0.0.1:{free_port}/plant", "--out", str(out)]
    for key, value in (
        ("security", "Basic256Sha256"), ("certificate", "agent.der"),
        ("private_key", "agent-key.pem"), ("server_certificate", "server.der"),
    ):  # fmt: skip
        words += ["--set", f"{key}={value}"]
    async with secured_plant(free_port, certificates):
        done = await asyncio.to_thread(CliRunner().invoke, cli, words)
        assert done.exit_code == 0, done.output
        done = await asyncio.to_thread(CliRunner().invoke, cli, ["check", str(out)])
        assert done.exit_code == 0, done.output
    made = load(out)
    assert (certificates / "agent.der").samefile(made.sources["plant"].certificate)
    assert [tag.address for tag in made.tags.values()] == [f"nsu={URI};s=a"]
