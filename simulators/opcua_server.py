"""The reactor's OPC UA server (asyncua, read-only, no security, loopback).

Stopping it closes the listening socket and every session; the address space stays, so that it is
back at once when it is started again.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import UTC
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from agent.decode.opcua import parse_address
from agent.errors import FieldwardenError
from simulators.faults import UNITS
from simulators.tags import OPCUA_NAMESPACE, PlantTag

logging.getLogger("asyncua").setLevel(logging.ERROR)  # a lost session is expected here

_GOOD = ua.StatusCode(ua.UInt32(StatusCodes.Good))
_BAD = ua.StatusCode(ua.UInt32(StatusCodes.BadSensorFailure))


class OpcUaServer:
    """Serves `tags` as Double variables.

    Args:
        endpoint: such as ``opc.tcp://127.0.0.1:4840/plant``.
        tags: what to serve, at their addresses.
        by_exception: tell subscribers only what changed, as servers with the default data change
            trigger do; asyncua tells them every write.
        texts: names of tags that hold texts.
    """

    def __init__(
        self, endpoint: str, tags: Sequence[PlantTag], *, by_exception: bool = False,
        texts: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._endpoint = endpoint
        self._tags = tags
        self._places = [parse_address(tag.address) for tag in tags]
        self._nodes: list[ua.NodeId] = []
        self._types = [
            ua.VariantType.String if tag.name in texts else ua.VariantType.Double for tag in tags
        ]
        self._server = Server()
        self._listening = False
        self._by_exception = by_exception
        self._last: list[tuple[float | str, bool] | None] = [None] * len(tags)
        self._units: dict[str, Node] = {}
        self._converted: dict[str, tuple[float, float]] = {}

    async def start(self) -> None:
        """Build the address space and listen.

        Raises:
            FieldwardenError: the port is taken.
        """
        server = self._server
        await server.init()
        server.set_endpoint(self._endpoint)
        server.set_server_name("Fieldwarden plant simulator")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.set_application_uri(OPCUA_NAMESPACE)
        index = await server.register_namespace(OPCUA_NAMESPACE)
        for uri in self._namespaces(index):
            await server.register_namespace(uri)
        known = await server.get_namespace_array()
        self._nodes = [ua.NodeId.from_string(place.text(known)) for place in self._places]
        folders = {}
        for tag, node, kind in zip(self._tags, self._nodes, self._types, strict=True):
            equipment, _, leaf = str(node.Identifier).rpartition(".")
            if equipment not in folders:
                folders[equipment] = await server.nodes.objects.add_folder(index, equipment or "x")
            first = "" if kind is ua.VariantType.String else 0.0
            variable = await folders[equipment].add_variable(node, leaf or "x", first, kind)
            await variable.write_attribute(
                AttributeIds.Description,
                ua.DataValue(ua.Variant(ua.LocalizedText(f"{tag.description}, {tag.unit}"))),
            )
            if tag.unit:
                self._units[tag.name] = await variable.add_property(
                    index, "EngineeringUnits", unit_of(tag.unit)
                )
                await self._units[tag.name].write_attribute(
                    AttributeIds.BrowseName,
                    ua.DataValue(ua.Variant(ua.QualifiedName("EngineeringUnits", 0))),
                )
        try:
            await server.start()
        except OSError as error:
            raise _port_taken(self._endpoint, error) from error
        self._listening = True

    async def exchange(self, name: str, unit: str) -> None:
        """The transmitter of a tag is another one: it tells and serves `unit`, one of `UNITS`."""
        self._converted[name] = UNITS[unit]
        await self._units[name].write_value(unit_of(unit))

    def _namespaces(self, index: int) -> list[str]:
        """What must be registered after the simulator's own, so that every address is found."""
        highest = max((place.namespace for place in self._places), default=0)
        uris = [f"{OPCUA_NAMESPACE}:{at}" for at in range(index + 1, highest + 1)]
        return uris + sorted({place.uri for place in self._places if place.uri})

    async def lose(self) -> None:
        """Stop listening and drop every session."""
        if self._listening and self._server.bserver is not None:
            self._listening = False
            await self._server.bserver.stop()

    async def restore(self) -> None:
        """Listen again on the same port.

        Raises:
            FieldwardenError: another process took the port meanwhile.
        """
        old = self._server.bserver
        if self._listening or old is None:
            return
        self._server.bserver = BinaryServer(
            self._server.iserver, old.hostname, old.port, self._server.limits
        )
        self._server.bserver.set_policies(self._server._policies)  # noqa: SLF001 - no accessor
        try:
            await self._server.bserver.start()
        except OSError as error:
            raise _port_taken(self._endpoint, error) from error
        self._listening = True

    async def stop(self) -> None:
        """Stop for good."""
        if self._server.bserver is not None:
            if not self._listening:
                self._server.bserver = None
            self._listening = False
            await self._server.stop()

    async def publish(
        self, values: Sequence[float | str], bad: Sequence[bool], clock_ns: Sequence[int]
    ) -> None:
        """Write one row; NaN leaves a node as it was. Times are wall ns of the source."""
        if not self._listening:
            return
        write = self._server.iserver.write_attribute_value
        stamps: dict[int, ua.DateTime] = {}  # nearly always one for the whole row
        rows = zip(self._nodes, self._types, values, bad, clock_ns, strict=True)
        for index, (node, kind, value, is_bad, ns) in enumerate(rows):
            unchanged = self._by_exception and self._last[index] == (value, is_bad)
            if unchanged or value != value:  # noqa: PLR0124 - NaN: no value
                continue
            self._last[index] = (value, is_bad)
            factor, offset = self._converted.get(self._tags[index].name, (1.0, 0.0))
            shown = value if isinstance(value, str) else value * factor + offset
            stamp = stamps.get(ns)
            if stamp is None:
                stamp = stamps[ns] = ua.DateTime.fromtimestamp(ns / 1e9, UTC)
            await write(
                node,
                ua.DataValue(
                    Value=ua.Variant(shown, kind),
                    StatusCode=_BAD if is_bad else _GOOD,
                    SourceTimestamp=stamp,
                    ServerTimestamp=stamp,
                ),
            )


def unit_of(text: str) -> ua.EUInformation:
    """A unit as OPC UA tells it: by text, and by a code of its own."""
    number = int.from_bytes(text.encode()[:4].rjust(4, b"\0"), "big") & 0x7FFFFFFF
    return ua.EUInformation(
        "http://www.opcfoundation.org/UA/units/un/cefact", ua.Int32(number),
        ua.LocalizedText(text), ua.LocalizedText(text),
    )  # fmt: skip


def _port_taken(endpoint: str, error: OSError) -> FieldwardenError:
    port = urlsplit(endpoint).port
    return FieldwardenError(
        "starting the OPC UA server at",
        endpoint,
        str(error),
        f"end the program that uses port {port} (ss -ltnp), or choose another port",
    )
