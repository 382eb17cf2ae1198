"""OPC UA nodes: which node an address means, at each connect the same one.

Invariants:
- a namespace index is taken at its word once, when a tag of this address is first read; from then
  on it stands for the URI that it had, wherever the server numbers that now, also after a restart
  of the agent. Another address of the tag is taken at its word anew;
- a node that is of another class, data type or rank than at the first connect of this run is not
  read on: it is another. A data type that holds all values of the one before is no other. (That is
  not kept over a restart: a data type that was changed on purpose leaves the address as it is, and
  nothing in the configuration could accept it.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError

from agent.decode.number_types import holds
from agent.decode.opcua import Address
from agent.errors import SourceError
from agent.sources.base import some_of
from agent.sources.opcua_identity import Facts, facts_of
from agent.types import Quality

_OWN_NAMESPACES = 2  # 0 is OPC UA's own and 1 the server's, by the standard: they never move
_REFUSED = int(Quality.BAD | Quality.ADDRESS_REFUSED)
_WRONG_TYPE = int(Quality.BAD | Quality.WRONG_TYPE)


class Item(NamedTuple):
    """A value that was read, as the decoder takes those of notifications."""

    ClientHandle: int
    Value: Any


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

    def reads_as(self, was: _Shape) -> bool:
        """Whether what is read is as it was; a type that holds all values of the other is."""
        if (self.node_class, self.rank) != (was.node_class, was.rank):
            return False
        return self.data_type == was.data_type or holds(self.data_type, was.data_type)

    def __str__(self) -> str:
        kind = ua.NodeClass(self.node_class).name if self.node_class in _CLASSES else "node"
        return f"{kind} of data type {self.data_type} and rank {self.rank}"


_CLASSES = frozenset(int(each) for each in ua.NodeClass)


def node_ids(
    addresses: Sequence[Address], namespaces: Sequence[str]
) -> list[ua.NodeId | None]:
    """The nodes of all addresses as they are written; None where the server lacks the namespace."""
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
        namespaces: of the server, as of the latest `resolve`.
        known: column -> the node that its address means, also where it is not to be read; of the
            columns of the latest `resolve`.
        facts: column -> what that node is.
    """

    def __init__(self, addresses: Mapping[str, Address]) -> None:
        self._names = tuple(addresses)
        self._addresses = tuple(addresses.values())
        self._was: dict[int, _Shape] = {}
        self._moved: dict[int, tuple[str, int, str]] = {}  # column -> see `_bound`
        self.bound: Mapping[str, list[str]] = {}
        self.namespaces: Sequence[str] = ()
        self.known: Mapping[int, ua.NodeId] = {}
        self.facts: Mapping[int, Facts] = {}

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
        self, client: Client, columns: Sequence[int], most: int, *, whole: bool = False
    ) -> tuple[dict[int, ua.NodeId], dict[int, Refusal]]:
        """The nodes of these columns, and those that are not to be read, each with its reason.

        Args:
            client: connected.
            columns: positions of addresses.
            most: nodes in one read.
            whole: read all that `facts` can hold, not only what tells that a node is another.

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
        self.namespaces, self.known = namespaces, dict(nodes)
        told = await facts_of(client, list(nodes.values()), namespaces, most, whole=whole)
        self.facts = dict(zip(nodes, told, strict=True))
        for column, facts in self.facts.items():
            shape = _shape(facts)
            if shape is None:
                continue
            was = self._was.setdefault(column, shape)
            if not shape.reads_as(was):
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


def _shape(facts: Facts) -> _Shape | None:
    """What a node is, as far as the server tells."""
    if facts.node_class is None or not facts.data_type:
        return None
    return _Shape(facts.node_class, facts.data_type, -2 if facts.rank is None else facts.rank)


def _is_binding(told: Any, address: Address) -> bool:
    """Whether this was noted of this address; other versions, or damage, may have left anything."""
    is_pair = isinstance(told, list) and [type(text) for text in told] == [str, str]
    return is_pair and told[0] == address.text()
