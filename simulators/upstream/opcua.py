"""An OPC UA server that changes its address space, or becomes another server.

What is told of a node stands in `_Node`; an order changes that and writes what is different into
the running server, or a ``restart`` builds the address space anew. With ``announce`` an order
raises the event that Part 3 has for it (model change, semantic change), without it nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError

from agent.decode.opcua import parse_address
from agent.errors import FieldwardenError
from simulators.opcua_server import unit_of
from simulators.upstream.definition import Definition, SourceTag

_GOOD = ua.StatusCode(ua.UInt32(StatusCodes.Good))
_UNREADABLE = ua.StatusCode(ua.UInt32(StatusCodes.BadNotReadable))
_UNKNOWN = ua.StatusCode(ua.UInt32(StatusCodes.BadNodeIdUnknown))
_SEMANTICS_CHANGED = ua.StatusCode(ua.UInt32(0x4000))  # Part 4, 7.39: info bit of a good status
_WHOLE = ("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64")
_PLAIN = {"server_uri": "urn:plant:server", "product_uri": "urn:plant:product", "version": "1.0.0",
          "manufacturer": "Plant Works", "product": "Plant server",
          "namespaces": ("urn:plant:reactor",)}  # fmt: skip


@dataclass(slots=True)
class _Node:
    """A variable as it is served now."""

    address: str
    unit: str
    span: tuple[float, float] | None
    data_type: str
    array: bool = False
    readable: bool = True
    text: str = ""
    there: bool = True
    unit_id: int | None = None
    status: str = ""
    stamp: str = ""
    stood_ns: float = 0.0
    id: ua.NodeId = field(default_factory=ua.NodeId)
    properties: dict[str, Any] = field(default_factory=dict)

    def variant(self, value: float) -> ua.Variant:
        """A value as this node has it."""
        kind = ua.VariantType[self.data_type]
        told: Any = f"{value:g}" if self.data_type == "String" else value
        if self.data_type in _WHOLE:
            told = round(value)
        elif self.data_type == "Boolean":
            told = value > 0
        return ua.Variant([told, told], kind) if self.array else ua.Variant(told, kind)

    def time(self, now_ns: float) -> ua.DateTime | None:
        """The source's time of a value that is written now: by `stamp` none, that of the first one,
        or so many seconds off.
        """
        if self.stamp == "none":
            return None
        if self.stamp == "stands":
            self.stood_ns = now_ns = self.stood_ns or now_ns
        elif self.stamp:
            now_ns += float(self.stamp) * 1e9
        return ua.DateTime.fromtimestamp(now_ns / 1e9, UTC)


class OpcUaUpstream:
    """Serves variables with EngineeringUnits and EURange.

    Args:
        definition: of the source; addresses name the namespace by its URI.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._identity = {**_PLAIN, **definition.identity}
        self._values: dict[str, float] = {}
        self._extra: dict[str, _Node] = {}
        self._semantics: set[str] = set()
        self._nodes = {tag.name: _node(tag) for tag in definition.tags}
        self._server = Server()

    async def start(self) -> None:
        """Build the address space and listen.

        Raises:
            FieldwardenError: the port is taken.
        """
        told, server = self._identity, Server()
        self._server = server
        await server.init()
        endpoint = f"opc.tcp://{self._definition.host}:{self._definition.port}/plant"
        server.set_endpoint(endpoint)
        server.set_server_name(str(told["product"]))
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.set_application_uri(str(told["server_uri"]))
        await server.set_build_info(
            str(told["product_uri"]), str(told["manufacturer"]), str(told["product"]),
            str(told["version"]), "1", datetime(2025, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        for uri in told["namespaces"]:
            await server.register_namespace(str(uri))
        for node in (*self._nodes.values(), *self._extra.values()):
            await self._add(node)
        if self._values:
            await self.publish(self._values, datetime.now(UTC).timestamp() * 1e9)
        try:
            await server.start()
        except OSError as error:
            raise FieldwardenError("starting the OPC UA server at", endpoint, str(error)) from error

    async def stop(self) -> None:
        """Stop listening and drop every session."""
        if self._server.bserver is not None:
            await self._server.stop()

    async def _add(self, node: _Node) -> None:
        place = parse_address(node.address)
        known = await self._server.get_namespace_array()
        if not node.there or (place.uri and place.uri not in known):
            return
        node.id = ua.NodeId.from_string(place.text(known))
        name = ua.QualifiedName(str(node.id.Identifier), node.id.NamespaceIndex)
        kind = ua.VariantType[node.data_type]
        objects = self._server.nodes.objects
        await objects.add_variable(node.id, name, node.variant(0.0).Value, kind)
        node.properties = {}
        await self._attributes(node)

    async def _tell_unit(self, node: _Node) -> None:
        """EngineeringUnits, made where the node had none."""
        known = node.properties.get("EngineeringUnits")
        if known is not None:
            told = unit_of(node.unit)
            if node.unit_id is not None:
                told.UnitId = ua.Int32(node.unit_id)
            await known.write_value(told)
        elif node.unit:
            variable = self._server.get_node(node.id)
            node.properties["EngineeringUnits"] = await variable.add_property(
                _below(node.id, "unit"),
                ua.QualifiedName("EngineeringUnits", 0), unit_of(node.unit),
            )  # fmt: skip

    async def _attributes(self, node: _Node) -> None:
        """Write what the node tells of itself; nothing where its namespace is not there."""
        if node.id.is_null():
            return
        self._forget_type(node)
        access = ua.Variant(int(node.readable), ua.VariantType.Byte)
        rank = ua.Variant(1 if node.array else -1, ua.VariantType.Int32)
        kind = ua.NodeId(ua.Int32(getattr(ObjectIds, node.data_type)))
        text = ua.Variant(ua.LocalizedText(node.text), ua.VariantType.LocalizedText)
        for attribute, variant in (
            (AttributeIds.AccessLevel, access), (AttributeIds.UserAccessLevel, access),
            (AttributeIds.ValueRank, rank), (AttributeIds.Description, text),
            (AttributeIds.DataType, ua.Variant(kind, ua.VariantType.NodeId)),
        ):  # fmt: skip
            await self._write(node.id, ua.DataValue(variant), attribute)
        await self._tell_unit(node)
        known = node.properties.get("EURange")
        if node.span is None:
            if known is not None:
                await self._server.delete_nodes([node.properties.pop("EURange")])
            return
        told = ua.Range(*map(float, node.span))
        if known is None:
            node.properties["EURange"] = await self._server.get_node(node.id).add_property(
                _below(node.id, "range"), ua.QualifiedName("EURange", 0), told
            )
        else:
            await known.write_value(told)

    def _forget_type(self, node: _Node) -> None:
        """The library refuses values of another type than the latest had; a plant does not ask."""
        known = self._server.iserver.aspace._nodes[node.id]  # noqa: SLF001 - no accessor
        value = known.attributes[AttributeIds.Value]
        value.value = ua.DataValue(node.variant(0.0), getattr(value.value, "StatusCode", _GOOD))

    async def _write(
        self, node: ua.NodeId, value: ua.DataValue, attribute: AttributeIds = AttributeIds.Value
    ) -> None:
        status = await self._server.iserver.aspace.write_attribute_value(node, attribute, value)
        if not status.is_good():
            raise ValueError(f"writing {attribute.name} of {node.to_string()}: {status.name}")

    async def order(self, what: str, told: Mapping[str, Any]) -> bool:
        """Change; False where it is no order for an address space.

        Raises:
            KeyError: an unknown tag, or something that the order needs is missing.
            ValueError: the server does not take it.
        """
        if what not in _ORDERS:
            return False
        try:
            await _ORDERS[what](self, told)
        except UaError as error:
            raise ValueError(f"{type(error).__name__} at {what}") from error
        return True

    async def publish(self, values: Mapping[str, float], now_ns: float) -> None:
        """Write one row, with its time as the source's."""
        self._values.update(values)
        now = ua.DateTime.fromtimestamp(now_ns / 1e9, UTC)
        for name, value in values.items():
            node = self._nodes[name]
            if not node.there or node.id.is_null():
                continue
            good = _SEMANTICS_CHANGED if name in self._semantics else _GOOD
            if node.status:
                good = ua.StatusCode(ua.UInt32(getattr(StatusCodes, node.status)))
            status = good if node.readable else _UNREADABLE
            told = node.variant(value) if node.readable else ua.Variant()
            await self._write(node.id, ua.DataValue(told, status, node.time(now_ns), now))
        self._semantics -= set(values)

    # --- orders -----------------------------------------------------------------------------------

    async def _as_before(self, _told: Mapping[str, Any]) -> None:
        """All nodes as they were defined; the server stays who it is."""
        for extra in self._extra.values():
            await self._remove(extra)
        self._extra.clear()
        for tag in self._definition.tags:
            old, new = self._nodes[tag.name], _node(tag)
            if (old.address, old.there) != (new.address, new.there):
                await self._remove(old)
                self._nodes[tag.name] = new
                await self._add(new)
            else:
                new.id, new.properties = old.id, old.properties
                self._nodes[tag.name] = new
                await self._attributes(new)

    async def _rename(self, told: Mapping[str, Any]) -> None:
        """The node has another identifier: `to`, as an address."""
        node = self._nodes[told["tag"]]
        await self._remove(node)
        node.address = str(told["to"])
        await self._add(node)
        await self._announce_model(told, node.id)

    async def _again(self, told: Mapping[str, Any]) -> None:
        """The node is deleted, and another like it is made."""
        node = self._nodes[told["tag"]]
        await self._remove(node)
        await asyncio.sleep(float(told.get("away_s", 0.0)))
        await self._add(node)
        await self._announce_model(told, node.id)

    async def _gone(self, told: Mapping[str, Any]) -> None:
        node = self._nodes[told["tag"]]
        gone = node.id
        await self._remove(node)
        node.there = False
        await self._announce_model(told, gone)

    async def _remove(self, node: _Node) -> None:
        if node.there and not node.id.is_null():
            await self._write(node.id, ua.DataValue(ua.Variant(), _UNKNOWN))
            space = self._server.iserver.aspace
            seen = space._nodes[node.id].attributes[AttributeIds.Value]  # noqa: SLF001 - no accessor
            for handle in list(seen.datachange_callbacks):
                space.delete_datachange_callback(handle)  # the library's own word fails
            properties = [one.nodeid for one in node.properties.values()]
            await self._server.delete_nodes(
                [self._server.get_node(one) for one in (*properties, node.id)]
            )
            node.id = ua.NodeId()

    async def _new(self, told: Mapping[str, Any]) -> None:
        """One that was not there: at `address`."""
        node = _Node(str(told["address"]), "", None, "Double")
        self._extra[node.address] = node
        await self._add(node)
        await self._announce_model(told, node.id)

    async def _terms(self, told: Mapping[str, Any]) -> None:
        """Any of `unit`, `unit_id`, `span` (null: none), `data_type`, `array`, `readable`, `text`,
        `status` (the name of a code), `stamp` (see `_Node.time`) of a node.
        """
        node = self._nodes[told["tag"]]
        for name in ("unit", "unit_id", "data_type", "array", "readable", "text", "status"):
            if name in told:
                setattr(node, name, told[name])
        if "stamp" in told:
            node.stamp, node.stood_ns = str(told["stamp"]), 0.0
        if "span" in told:
            span = told["span"]
            node.span = None if span is None else (float(span[0]), float(span[1]))
        await self._attributes(node)
        if told.get("announce"):
            self._semantics.add(str(told["tag"]))
            change = ua.SemanticChangeStructureDataType(node.id, ua.NodeId())
            await self._raise(ObjectIds.SemanticChangeEventType, [change])

    async def _announce_model(self, told: Mapping[str, Any], node: ua.NodeId) -> None:
        if told.get("announce"):
            change = ua.ModelChangeStructureDataType(node, ua.NodeId(), ua.Byte(1))
            await self._raise(ObjectIds.GeneralModelChangeEventType, [change])

    async def _raise(self, kind: int, changes: Sequence[Any]) -> None:
        events = await self._server.get_event_generator(ua.NodeId(ua.Int32(kind)))
        events.event.add_property("Changes", list(changes), ua.VariantType.ExtensionObject)
        await events.trigger(message="changed")

    async def _restart(self, told: Mapping[str, Any]) -> None:
        """Also as another server: `identity`."""
        await self.stop()
        self._identity |= told.get("identity", {})
        for node in (*self._nodes.values(), *self._extra.values()):
            node.id = ua.NodeId()
        await asyncio.sleep(float(told.get("away_s", 0.3)))
        await self.start()


_ORDERS: Mapping[str, Callable[[OpcUaUpstream, Mapping[str, Any]], Awaitable[None]]] = {
    "as_before": OpcUaUpstream._as_before,  # noqa: SLF001 - the table of its own methods
    "rename": OpcUaUpstream._rename,  # noqa: SLF001
    "remove": OpcUaUpstream._gone,  # noqa: SLF001
    "again": OpcUaUpstream._again,  # noqa: SLF001
    "new": OpcUaUpstream._new,  # noqa: SLF001
    "terms": OpcUaUpstream._terms,  # noqa: SLF001
    "restart": OpcUaUpstream._restart,  # noqa: SLF001
    "replace": OpcUaUpstream._restart,  # noqa: SLF001
}


def _node(tag: SourceTag) -> _Node:
    return _Node(tag.address, tag.unit, tag.span, tag.data_type, text=tag.name)


def _below(node: ua.NodeId, name: str) -> ua.NodeId:
    """The identifier of a property of a node."""
    return ua.NodeId(ua.String(f"{node.Identifier!s}.{name}"), node.NamespaceIndex)

