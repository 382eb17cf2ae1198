"""OPC UA nodes: which node an address means, at each connect the same one, and reads in parts.

Invariants:
- a namespace index is taken at its word once, when a tag of this address is first read; from then
  on it stands for the URI that it had, wherever the server numbers that now, also after a restart
  of the agent. Another address of the tag is taken at its word anew;
- a node that is of another class, data type or rank than at the first connect of this run is not
  read on: it is another. (That is not kept over a restart: a data type that was changed on purpose
  leaves the address as it is, and nothing in the configuration could accept it.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from agent.decode.opcua import Address
from agent.errors import SourceError
from agent.sources.base import some_of
from agent.types import Quality

ITEMS_PER_CALL = 500  # fewer where the server says so
TOO_MUCH = frozenset(
    {
        0x80100000,  # BadTooManyOperations
        0x80080000,  # BadEncodingLimitsExceeded
        0x80B80000,  # BadRequestTooLarge
        0x80B90000,  # BadResponseTooLarge
        0x80800000,  # BadTcpMessageTooLarge
    }
)
_OWN_NAMESPACES = 2  # 0 is OPC UA's own and 1 the server's, by the standard: they never move
_LIMIT_NODES = (11705, 11714)  # MaxNodesPerRead, MaxMonitoredItemsPerCall
_SHAPE = (AttributeIds.NodeClass, AttributeIds.DataType, AttributeIds.ValueRank)
_REFUSED = int(Quality.BAD | Quality.ADDRESS_REFUSED)
_WRONG_TYPE = int(Quality.BAD | Quality.WRONG_TYPE)


class Item(NamedTuple):
    """A value that was read, as the decoder takes those of notifications."""

    ClientHandle: int
    Value: Any


class Limits(NamedTuple):
    """How many nodes one call may name."""

    read: int
    monitor: int


class Refusal(NamedTuple):
    """Why a node is not served: for people, and as quality bits."""

    text: str
    quality: int


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a node is; the data type by the URI of its namespace."""

    node_class: int
    data_type: str
    rank: int

    def __str__(self) -> str:
        kind = ua.NodeClass(self.node_class).name if self.node_class in _CLASSES else "node"
        return f"{kind} of data type {self.data_type} and rank {self.rank}"


_CLASSES = frozenset(int(each) for each in ua.NodeClass)


def values_of(nodes: Sequence[ua.NodeId]) -> list[ua.ReadValueId]:
    """What to ask for the values of these nodes."""
    return [ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes]


async def read_in_parts(
    client: Client, wanted: Sequence[ua.ReadValueId], most: int = ITEMS_PER_CALL
) -> list[ua.DataValue]:
    """Read all, in as large parts as the server takes.

    Raises:
        UaError: the server refuses to read.
    """
    found: list[ua.DataValue] = []
    while len(found) < len(wanted):
        part = wanted[len(found) : len(found) + most]
        asked = ua.ReadParameters(
            TimestampsToReturn=ua.TimestampsToReturn.Both, NodesToRead=list(part)
        )
        try:
            found += await client.uaclient.read(asked)
        except UaStatusCodeError as error:
            if error.code not in TOO_MUCH or len(part) == 1:
                raise
            most = len(part) // 2
    return found


async def limits_of(client: Client) -> Limits:
    """The server's operation limits; our own where it names none."""
    told = await read_in_parts(client, values_of([ua.NodeId(ua.Int32(i)) for i in _LIMIT_NODES]))
    read, monitor = (_value(data) for data in told)
    return Limits(_at_most(read), _at_most(monitor))


def _at_most(number: Any) -> int:
    is_limit = isinstance(number, int) and number > 0  # 0: the server has none
    return min(number, ITEMS_PER_CALL) if is_limit else ITEMS_PER_CALL


async def node_ids(client: Client, addresses: Sequence[Address]) -> list[ua.NodeId | None]:
    """The nodes of all addresses as they are written; None where the server lacks the namespace."""
    by_uri = any(address.uri for address in addresses)
    namespaces = await client.get_namespace_array() if by_uri else []
    found: list[ua.NodeId | None] = []
    for address in addresses:
        try:
            found.append(ua.NodeId.from_string(address.text(namespaces)))
        except (SourceError, UaError, ValueError):
            found.append(None)
    return found


class Nodes:
    """The nodes of a source from connect to connect.

    Args:
        addresses: of its tags, by their names.

    Attributes:
        bound: tag -> [its address, the URI of the namespace that it was first read in], JSON-ready;
            replaced, never changed.
    """

    def __init__(self, addresses: Mapping[str, Address]) -> None:
        self._names = tuple(addresses)
        self._addresses = tuple(addresses.values())
        self._was: dict[int, _Shape] = {}
        self._moved: dict[int, tuple[str, int, str]] = {}  # column -> see `_bound`
        self.bound: Mapping[str, list[str]] = {}

    def remember(self, bound: Any) -> None:
        """Take up `bound` of an earlier run, as far as the tags still have these addresses."""
        known = bound if isinstance(bound, Mapping) else {}
        self.bound = {
            name: list(known[name])
            for name, address in zip(self._names, self._addresses, strict=True)
            if not address.uri and _is_binding(known.get(name), address)
        }

    @property
    def moved(self) -> list[str]:
        """The namespaces that have another index than the tags' addresses say, in words."""
        tags: dict[tuple[int, str, int, str], list[str]] = {}
        for column, (uri, now, present) in sorted(self._moved.items()):
            key = self._addresses[column].namespace, uri, now, present
            tags.setdefault(key, []).append(self._names[column])
        return [
            f"namespace {uri} is ns={now} by now, and ns={index} is {present}: {some_of(names)} "
            f"{'is' if len(names) == 1 else 'are'} read from {uri} as before; write ns={now} or "
            f"nsu={uri} in the address to settle that, nsu={present} to read that instead"
            for (index, uri, now, present), names in sorted(tags.items())
        ]

    async def resolve(
        self, client: Client, columns: Sequence[int], most: int
    ) -> tuple[dict[int, ua.NodeId], dict[int, Refusal]]:
        """The nodes of these columns, and those that are not to be read, each with its reason.

        Args:
            client: connected.
            columns: positions of addresses.
            most: nodes in one read.

        Raises:
            UaError: the server does not tell its namespaces.
        """
        namespaces = list(await client.get_namespace_array())
        self._bind(columns, namespaces)
        nodes: dict[int, ua.NodeId] = {}
        refused: dict[int, Refusal] = {}
        for column in columns:
            try:
                text = self._bound(column, namespaces).text(namespaces)
                nodes[column] = ua.NodeId.from_string(text)
            except SourceError as error:
                text = "no such namespace"
                if not self._addresses[column].uri:
                    index = self._addresses[column].namespace
                    now = namespaces[index] if index < len(namespaces) else "none"
                    text += (
                        f" any more: {error.subject}, which ns={index} was at first (it is {now} "
                        f"now); write nsu= and the namespace that is meant in the address"
                    )
                refused[column] = Refusal(text, _REFUSED)
            except (UaError, ValueError) as error:
                refused[column] = Refusal(f"no node: {error}", _REFUSED)
        shapes = await self._shapes(client, nodes, namespaces, most)
        for column, shape in shapes.items():
            was = self._was.setdefault(column, shape)
            if was != shape:
                del nodes[column]
                text = f"another node by now: it was a {was}, and is a {shape}"
                refused[column] = Refusal(text, _WRONG_TYPE)
        return nodes, refused

    def _bind(self, columns: Sequence[int], namespaces: Sequence[str]) -> None:
        """Note which namespace each index means, where it is read for the first time."""
        fresh = {}
        for column in columns:
            address, name = self._addresses[column], self._names[column]
            is_index = not address.uri and address.namespace >= _OWN_NAMESPACES
            if is_index and name not in self.bound and address.namespace < len(namespaces):
                fresh[name] = [address.text(), namespaces[address.namespace]]
        if fresh:
            self.bound = {**self.bound, **fresh}

    def _bound(self, column: int, namespaces: Sequence[str]) -> Address:
        """The address by the URI that its index had at first.

        Where that is elsewhere now, it is noted: (URI, its index now, what has its old index now).
        """
        address, (_, uri) = self._addresses[column], self.bound.get(self._names[column], ("", ""))
        present = (*namespaces[address.namespace :][:1], "none")[0]
        self._moved.pop(column, None)
        if address.uri or not uri or present == uri:
            return address
        if uri in namespaces:
            self._moved[column] = uri, namespaces.index(uri), present
        return Address(address.namespace, uri, address.identifier)

    async def _shapes(
        self,
        client: Client,
        nodes: Mapping[int, ua.NodeId],
        namespaces: Sequence[str],
        most: int,
    ) -> dict[int, _Shape]:
        """What the nodes are, as far as the server tells."""
        wanted = [
            ua.ReadValueId(NodeId=node, AttributeId=attribute)
            for node in nodes.values()
            for attribute in _SHAPE
        ]
        told = [_value(data) for data in await read_in_parts(client, wanted, most)]
        found: dict[int, _Shape] = {}
        for place, column in enumerate(nodes):
            node_class, data_type, rank = told[3 * place : 3 * place + 3]
            if isinstance(node_class, int) and isinstance(data_type, ua.NodeId):
                text = _by_uri(data_type, namespaces)
                found[column] = _Shape(int(node_class), text, rank if isinstance(rank, int) else -2)
        return found


def _is_binding(told: Any, address: Address) -> bool:
    """Whether this was noted of this address; other versions, or damage, may have left anything."""
    is_pair = isinstance(told, list) and [type(text) for text in told] == [str, str]
    return is_pair and told[0] == address.text()


def _value(data: ua.DataValue) -> Any:
    """What was read, None where it is not good."""
    status = data.StatusCode
    if data.Value is None or (status is not None and not status.is_good()):
        return None
    return data.Value.Value


def _by_uri(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """A data type for people, the same wherever its namespace is numbered."""
    index, identifier = int(node.NamespaceIndex), node.Identifier
    if not index:
        return ObjectIdNames.get(identifier, "") if isinstance(identifier, int) else str(identifier)
    uri = namespaces[index] if index < len(namespaces) else f"ns={index}"
    return f"{uri};{identifier!s}"
