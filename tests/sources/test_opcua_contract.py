"""What an OPC UA source tells of its nodes, and that it does so before the values that are so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from hypothesis import given
from hypothesis import strategies as st

from agent.sources import SOURCES, opcua_contract
from agent.sources.opcua_identity import meaning
from agent.sources.telling import in_turns, worse
from agent.types import Quality
from tests.sources.test_opcua_source import addresses, config, plant
from tests.waiting import PATIENCE_S

logging.getLogger("asyncua").setLevel(logging.CRITICAL)
DOUBT = "changed, being read"
LONG = "1h"  # no check of the interval while a test runs


class Signal:
    """A node of the server with an engineering unit and range, and how it changes."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.node = server.nodes[name]

    async def describe(self, unit="degC", low=0.0, high=100.0):
        told = ua.EUInformation(DisplayName=ua.LocalizedText(unit), UnitId=len(unit))
        self.unit = await self.node.add_property(0, "EngineeringUnits", told)
        self.range = await self.node.add_property(0, "EURange", ua.Range(low, high))
        return self

    async def measure(self, unit):
        told = ua.EUInformation(DisplayName=ua.LocalizedText(unit), UnitId=len(unit))
        await self.unit.write_value(told)

    async def write(self, value, kind=ua.VariantType.Double, status=0):
        """As a device would: whatever the node's data type says."""
        data = ua.DataValue(
            ua.Variant(value, kind), StatusCode=ua.StatusCode(status),
            SourceTimestamp=datetime.now(UTC),
        )  # fmt: skip
        space = self.server.server.iserver.aspace
        attribute = space[self.node.nodeid].attributes[AttributeIds.Value]
        attribute.value = data
        for handle, callback in list(attribute.datachange_callbacks.items()):
            await callback(handle, data)


@contextlib.asynccontextmanager
async def served(harness, port, *names, values=20.0, **settings):
    """A plant with described signals, and a source that reads it and tells what they are."""
    settings = {"contract_check": LONG, **settings}
    async with plant(port, dict.fromkeys(names, values)) as server:
        signals = [await Signal(server, name).describe() for name in names]
        harness.listen()
        async with harness.running(config(port, **settings), addresses(*names)):
            await harness.until(lambda: all(harness.values(name) for name in names))
            yield signals


async def probed(harness, port, *names):
    found = await SOURCES["opcua"].probe("s", config(port), harness.bind(addresses(*names)), 2.0)
    return found.identity, {tag.name: dict(tag.served) for tag in found.tags}


async def test_a_snapshot_and_a_running_source_tell_the_same(make_harness, free_port):
    """Of every kind of node there is: the first that is told has no difference."""
    values = {"f": 1.5, "i": 7, "e": 10, "b": True, "s": "idle", "list": [1.0, 2.0]}
    names = [*values, "missing"]
    async with plant(free_port, values) as server:
        await Signal(server, "f").describe()
        await server.nodes["b"].add_property(0, "TrueState", ua.LocalizedText("open"))
        await server.nodes["i"].add_property(
            0, "EnumStrings", [ua.LocalizedText("off"), ua.LocalizedText("on")]
        )
        names_of = ((10, "on"), (2, "off"))
        await server.nodes["e"].add_property(
            0, "EnumValues", [ua.EnumValueType(code, ua.LocalizedText(x)) for code, x in names_of]
        )
        identity, tags = await probed(make_harness(), free_port, *names)
        harness = make_harness().listen()
        async with harness.running(config(free_port), addresses(*names)):
            await harness.until(lambda: all(harness.samples[name] for name in names))
            first, more = harness.told[0], harness.told[1:]
    assert first.identity == identity and first.tags == tags and not first.partial
    assert first.how == "connected" and not more
    assert tags["f"] == {
        "namespace": "urn:test:plant", "node_class": "Variable", "data_type": "Double",
        "variant": "Double", "value_rank": -1, "readable": True, "unit": "degC", "unit_id": 4,
        "range": [0.0, 100.0],
    }  # fmt: skip
    assert tags["list"]["variant"] == "Double[]" and tags["missing"] == {
        "refused": "BadNodeIdUnknown"
    }
    assert tags["b"]["true_state"] == "open" and tags["i"]["states"] == ["off", "on"]
    assert tags["e"]["state_values"] == {"2": "off", "10": "on"}


async def test_a_unit_is_told_before_the_first_value_in_it(harness, free_port):
    """The property changes, then the value: no value in K comes while degC is told, both ways."""
    async with served(harness, free_port, "a") as (signal,):
        await signal.write(21.0)
        await signal.measure("K")
        await signal.write(294.15)
        await harness.until(lambda: harness.values("a")[-1] == 294.15)
        assert harness.term("a", "unit") == "K"
        await signal.write(294.2)
        await harness.until(lambda: harness.values("a")[-1] == 294.2)
        await signal.write(295.5)
        await signal.measure("degC")
        await signal.write(22.0)
        await harness.until(lambda: harness.values("a")[-1] == 22.0)
        await signal.write(22.5)
        await harness.until(lambda: harness.values("a")[-1] == 22.5)
    agreed = harness.values_while("a", "unit", "degC")
    assert max(agreed) < 100 and agreed[0] == 20.0 and agreed[-1] == 22.5
    assert harness.term("a", "unit") == "degC"


async def test_a_range_that_widens_is_never_told_narrower(harness, free_port):
    """What still covers the trained range holds nothing, also in the response that tells it."""
    async with served(harness, free_port, "a") as (signal,):
        await signal.range.write_value(ua.Range(-50.0, 200.0))
        await signal.write(30.0)
        await harness.until(lambda: harness.term("a", "range") == [-50.0, 200.0])
        await signal.write(31.0)
        await harness.until(lambda: harness.values("a")[-1] == 31.0)
    told = [terms["range"] for _, _, terms in harness.marks]
    assert all(low <= 0.0 and high >= 100.0 for low, high in told)


@pytest.mark.parametrize(
    ("value", "kind", "variant"),
    [
        (7, ua.VariantType.Int32, "Int32"), (7.5, ua.VariantType.Float, "Float"),
        ("21.5", ua.VariantType.String, "String"), ([1.0], ua.VariantType.Double, "Double[]"),
        (True, ua.VariantType.Boolean, "Boolean"),
    ],
)  # fmt: skip
async def test_another_type_of_value_is_told_before_it(harness, free_port, value, kind, variant):
    """In band: whatever the data type of the node says, from that very sample on."""
    async with served(harness, free_port, "a", "b") as (signal, other):
        await signal.write(21.0)
        await signal.write(value, kind)
        await other.write(5.0)
        await harness.until(lambda: harness.term("a", "variant") == variant)
        await harness.until(lambda: len(harness.samples["a"]) >= 3)
        await signal.write(22.0)
        await harness.until(lambda: harness.values("a")[-1] == 22.0)
    assert harness.values_while("a", "variant", "Double") == [20.0, 21.0, 22.0]
    assert len(harness.values_while("a", "variant", variant)) == 1
    assert harness.term("b", "variant") == "Double"
    assert [told.how for told in harness.told[1:]] == ["in band"] * 2
    assert harness.told[1].tags == {"a": {"variant": variant}} and harness.told[1].partial


async def test_types_that_alternate_are_told_as_both(harness, free_port):
    """And not at each sample."""
    async with served(harness, free_port, "a") as (signal,):
        for number in range(10):
            await signal.write(number, ua.VariantType.Int32)
            await signal.write(number + 0.5)
        await harness.until(lambda: len(harness.samples["a"]) == 21)
    assert harness.term("a", "variant") == "Double or Int32"
    assert len(harness.told) < 8


@pytest.mark.parametrize("bit", [0x4000, 0x8000], ids=["semantics", "structure"])
async def test_a_status_code_that_says_changed_puts_in_doubt_until_read(
    harness, free_port, bit, monkeypatch
):
    """From that very sample on; what was read then is told whole, without the doubt."""
    begun, release = asyncio.Event(), asyncio.Event()
    read = opcua_contract.facts_of

    async def slow(*args, **more):
        begun.set()
        await release.wait()
        return await read(*args, **more)

    async with served(harness, free_port, "a") as (signal,):
        monkeypatch.setattr(opcua_contract, "facts_of", slow)
        await signal.write(21.0)
        await signal.write(70.0, status=bit)
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        await signal.write(71.0)
        await harness.until(lambda: harness.values("a")[-1] == 71.0)
        assert harness.term("a", "semantics") == DOUBT
        release.set()
        await harness.until(lambda: harness.term("a", "semantics") is None)
        await signal.write(22.0)
        await harness.until(lambda: harness.values("a")[-1] == 22.0)
    assert harness.values_while("a", "semantics", DOUBT) == [70.0, 71.0]
    assert harness.told[-1].how == "announced" and not harness.told[-1].partial


async def test_a_server_that_always_sets_the_bits_is_believed_a_few_times(harness, free_port):
    """Else its tags would be in doubt for ever."""
    async with served(harness, free_port, "a") as (signal,):
        for number in range(12):
            await signal.write(float(number), status=0x4000)
            await harness.until(lambda n=number: harness.values("a")[-1] == n)
            await harness.until(lambda: harness.term("a", "semantics") is None)
    assert sum("semantics" in told.tags.get("a", {}) for told in harness.told) == 5


@pytest.mark.parametrize("what", ["model", "semantics", "elsewhere"])
async def test_an_event_of_the_server_has_the_nodes_read_again(
    harness, free_port, what, monkeypatch
):
    """The nodes it names are in doubt at once; without one of ours everything is checked."""
    monkeypatch.setattr(opcua_contract, "_FEW", 0)
    async with served(harness, free_port, "a") as (signal,):
        server = signal.server.server
        await signal.node.write_attribute(
            AttributeIds.UserAccessLevel, ua.DataValue(ua.Variant(0, ua.VariantType.Byte))
        )
        if what == "semantics":
            kind = ua.ObjectIds.SemanticChangeEventType
            change = ua.SemanticChangeStructureDataType(Affected=signal.node.nodeid)
            name = "SemanticChangeStructureDataType"
        else:
            kind = ua.ObjectIds.GeneralModelChangeEventType
            node = signal.node.nodeid if what == "model" else server.nodes.objects.nodeid
            change = ua.ModelChangeStructureDataType(Affected=node, Verb=16)
            name = "ModelChangeStructureDataType"
        events = await server.get_event_generator(server.get_node(kind), server.nodes.server)
        events.event.add_property("Changes", [change], ua.VariantType.ExtensionObject)
        await events.trigger()
        await harness.until(lambda: harness.term("a", "readable") is False)
        await harness.until(lambda: harness.term("a", "semantics") is None)
    assert name and harness.told[-1].how == "announced"
    doubted = any(told.tags.get("a", {}).get("semantics") for told in harness.told)
    assert doubted is (what != "elsewhere")


async def test_attributes_of_few_nodes_are_told_before_the_next_value(harness, free_port):
    """Access and data type: no check of the interval is needed."""
    async with served(harness, free_port, "a") as (signal,):
        await signal.node.write_attribute(
            AttributeIds.UserAccessLevel, ua.DataValue(ua.Variant(0, ua.VariantType.Byte))
        )
        await signal.write(21.0)
        await harness.until(lambda: harness.values("a")[-1] == 21.0)
        assert harness.term("a", "readable") is False
        await signal.node.write_attribute(
            AttributeIds.DataType, ua.DataValue(ua.Variant(ua.NodeId(ua.Int32(10))))
        )
        await signal.write(22.0)
        await harness.until(lambda: harness.values("a")[-1] == 22.0)
        assert harness.term("a", "data_type") == "Float"
    assert harness.values_while("a", "readable", True) == [20.0]


async def test_the_interval_shows_what_nothing_announces(harness, free_port, monkeypatch):
    """Access and data type; since when: the latest time that it was as it was."""
    monkeypatch.setattr(opcua_contract, "_FEW", 0)
    async with served(harness, free_port, "a", contract_check="100ms") as (signal,):
        began_ns = harness.intake.now_ns()
        await signal.node.write_attribute(
            AttributeIds.DataType, ua.DataValue(ua.Variant(ua.NodeId(ua.Int32(10))))
        )
        await signal.node.write_attribute(
            AttributeIds.UserAccessLevel, ua.DataValue(ua.Variant(0, ua.VariantType.Byte))
        )
        await harness.until(lambda: harness.term("a", "readable") is False)
        await harness.until(lambda: harness.term("a", "data_type") == "Float")
        told = next(one for one in harness.told if one.tags.get("a", {}).get("readable") is False)
        assert told.how == "interval"
        assert abs(told.since_ns - began_ns) < 2e9 and told.since_ns < harness.intake.now_ns()


async def test_a_unit_that_a_node_gets_is_told_at_the_next_check(harness, free_port, monkeypatch):
    """Where there are few nodes; of many it is asked now and then which properties they have."""
    monkeypatch.setattr(opcua_contract, "_ASKED_EVERY", 1_000_000)
    async with plant(free_port, {"a": 20.0}) as server:
        harness.listen()
        settings = config(free_port, contract_check="100ms")
        async with harness.running(settings, addresses("a")):
            await harness.until(lambda: harness.values("a"))
            assert harness.term("a", "unit") is None
            await Signal(server, "a").describe("degF")
            await harness.until(lambda: harness.term("a", "unit") == "degF")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncua's own
async def test_a_node_that_is_deleted_is_told_and_asked_for_again(harness, free_port, monkeypatch):
    """Refused from the check on; served again, and told, when it is back."""
    monkeypatch.setattr("agent.sources.opcua_subscription._REFUSED_RETRY_S", 0.2)
    monkeypatch.setattr("agent.sources.opcua_subscription._KEEP_ALIVE_S", 0.2)
    async with served(harness, free_port, "a", contract_check="100ms") as (signal,):
        await signal.server.server.delete_nodes([signal.node], recursive=True)
        await harness.until(lambda: harness.terms["a"] == {"refused": "BadNodeIdUnknown"})
        await harness.until(lambda: harness.qualities("a")[-1] & Quality.ADDRESS_REFUSED)
        await signal.server.add("a", 5)
        await harness.until(lambda: harness.term("a", "data_type") == "Int64")
        kinds = [terms.get("data_type") for tag, _, terms in harness.marks if tag == "a"]
    assert kinds == ["Double", None, "Int64"] and 5.0 not in harness.values("a")


async def test_namespaces_that_are_renumbered_while_it_runs(harness, free_port):
    """All tags are in doubt at once; the session is made anew, and reads by URI or refuses."""
    async with served(harness, free_port, "a") as (signal,):
        server = signal.server.server
        array = server.get_node(ua.NodeId(ua.ObjectIds.Server_NamespaceArray))
        known = await array.read_value()
        await array.write_value([*known[:2], "urn:other", *known[2:]])
        await harness.until(lambda: harness.term("a", "refused"), 15)
        assert [terms for _, _, terms in harness.marks if terms.get("semantics")]
        await harness.until(lambda: harness.qualities("a")[-1] & Quality.ADDRESS_REFUSED)
        assert harness.identity["namespaces"][2] == "urn:other"
        count = len(harness.values("a"))
        await signal.write(50.0)
        await array.write_value(known)
        await harness.until(lambda: harness.term("a", "unit") == "degC", 40)
        await harness.until(lambda: harness.values("a")[-1] == 50.0)
    assert len(harness.values("a")) == count + 1 and "refused" not in harness.terms["a"]


async def test_another_server_at_the_place_is_told_before_its_values(harness, free_port):
    """Its URI; and what its nodes are."""
    harness.listen()
    async with contextlib.AsyncExitStack() as first:
        server = await first.enter_async_context(plant(free_port, {"a": 1.0}))
        await Signal(server, "a").describe()
        async with harness.running(config(free_port), addresses("a")):
            await harness.until(lambda: harness.values("a") == [1.0])
            was = harness.identity["server_uri"]
            await first.aclose()
            await harness.until(lambda: "failed" in harness.states)
            async with plant(free_port, {"a": 2.0}) as other:
                await other.server.set_application_uri("urn:another")
                await Signal(other, "a").describe("K")
                await harness.until(lambda: 2.0 in harness.values("a"), 30)
    assert harness.identity["server_uri"] == "urn:another" != was
    assert 2.0 not in harness.values_while("a", "unit", "degC")
    told = [one for one in harness.told if one.how == "connected"]
    assert 0 < told[-1].since_ns < harness.intake.now_ns() and told[0].since_ns == 0


async def test_values_come_first_where_the_server_takes_few_items(harness, free_port, monkeypatch):
    """It has room for 5 items, and 4 nodes: each is served, and properties by the interval."""
    names = ["a", "b", "c", "d"]
    from asyncua.server.monitored_item_service import MonitoredItemService

    create = MonitoredItemService._create_data_change_monitored_item

    async def limited(self, params):
        if len(self._monitored_items) >= 5:
            result = ua.MonitoredItemCreateResult()
            result.StatusCode = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
            return result
        return await create(self, params)

    monkeypatch.setattr(MonitoredItemService, "_create_data_change_monitored_item", limited)
    async with served(harness, free_port, *names, contract_check="200ms") as signals:
        await signals[3].measure("K")
        await harness.until(lambda: harness.term("d", "unit") == "K")
    assert harness.states == ["live"]


async def test_what_can_not_be_read_now_is_no_difference(harness, free_port, monkeypatch):
    """Reads that fail or time out: nothing is told, and the values go on."""
    calls = []

    async def failing(*_args, **_more):
        calls.append(1)
        raise TimeoutError

    async with served(harness, free_port, "a", contract_check="50ms") as (signal,):
        await harness.until(lambda: harness.told)
        monkeypatch.setattr(opcua_contract, "identity_of", failing)
        count = len(harness.told)
        await harness.until(lambda: calls)
        await signal.write(25.0)
        await harness.until(lambda: harness.values("a")[-1] == 25.0)
        assert len(harness.told) == count and harness.states == ["live"]


rows = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40)


@given(rows)
def test_turns_never_tell_before_an_older_sample_of_the_tag(sequence):
    """Each sample is handed on under what its own tag told last, whatever is told together."""
    columns = [column for column, _ in sequence]
    state = dict.fromkeys(range(4), 0)
    expected, found = [], []
    for row, (column, changes) in enumerate(sequence):
        if changes:
            state[column] = row + 1
            found.append((row, {column: {"variant": row + 1}}))
        expected.append(state[column])
    told = dict.fromkeys(range(4), 0)
    turns = in_turns(found, columns)
    at = 0
    for row, column in enumerate(columns):
        while at < len(turns) and turns[at][0] <= row:
            told |= {c: terms["variant"] for c, terms in turns[at][1].items()}
            at += 1
        assert told[column] == expected[row]
    assert at == len(turns)


@pytest.mark.parametrize(("key", "was", "now", "told"), [
    ("unit", "degC", "°C", "°C"), ("unit", "degC", "K", "degC, then K"),
    ("unit", "bar(a)", "bar(g)", "bar(a), then bar(g)"),
    ("states", ["off"], ["off", "on"], ["off"]), ("states", ["off", "on"], ["off"], ["off"]),
    ("states", ["off"], ["on"], "['off'], then ['on']"),
    ("state_values", {"1": "a"}, {"1": "a", "2": "b"}, {"1": "a"}),
])  # fmt: skip
def test_of_two_terms_that_mean_the_same_neither_is_worse(key, was, now, told):
    """Else a value of the same response would be held for a spelling."""
    assert worse(key, was, now) == told


@pytest.mark.parametrize(("text", "number", "unit", "code"), [
    ("degC", 4408652, "degC", 4408652), ("degC", -1, "degC", None),
    ("", 4408652, "4408652", 4408652), ("", 0, None, None), ("", -1, None, None),
    (None, 0, None, None),
])  # fmt: skip
def test_a_unit_without_name_and_code_is_none(text, number, unit, code):
    """What a server leaves as it was made is no unit of the name 0."""
    told = ua.EUInformation(DisplayName=ua.LocalizedText(text), UnitId=number)
    assert meaning("EngineeringUnits", told) == {"unit": unit, "unit_id": code}


@given(st.tuples(st.floats(-9, 0), st.floats(1, 9)), st.tuples(st.floats(-9, 0), st.floats(1, 9)))
def test_the_worse_of_two_ranges_covers_what_both_do(was, now):
    """So it covers the trained range exactly where both do."""
    low, high = worse("range", list(was), list(now))
    for trained in (0.0, 0.5), (-3.0, 3.0):
        both = all(one[0] <= trained[0] and one[1] >= trained[1] for one in (was, now))
        assert (low <= trained[0] and high >= trained[1]) is both
