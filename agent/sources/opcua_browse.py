"""OPC UA, for `init`: every variable that could be a tag, with what the server tells of it.

Sources: OPC UA Part 4, 5.8 (Browse, BrowseNext), Part 8, 5.3 (EURange: expected in normal
operation; InstrumentRange: what the instrument can say).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError

from agent.configuration.schema import OpcUaSource
from agent.decode.opcua import parse_address
from agent.errors import FieldwardenError, SourceError
from agent.sources.found import Found, FoundTag, Tell, Wish, counted_out, unique
from agent.sources.opcua_identity import property_nodes, served_of
from agent.sources.opcua_reading import (
    ITEMS_PER_CALL,
    TOO_MUCH,
    Limits,
    limits_of,
    read_in_parts,
    value_in,
    values_of,
)
from agent.sources.opcua_session import explained, session

_MOST_NODES = 500_000
_DEEPEST = 40
_REFERENCES_PER_NODE = 1_000  # in one answer; the rest is asked for
_PART = 500  # variables that are described at a time
_NUMBERS = frozenset({
    "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float",
    "Double", "Duration",
})
_TEXTS = frozenset({"String", "LocalizedText"})
_SCALAR = -1
_SEVERAL = frozenset({-2, -3})  # ranks that do not say: any, scalar or one dimension
_LIMITS = (
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
)


class _Place(NamedTuple):
    node: ua.NodeId
    path: tuple[str, ...]


def keys(place: str) -> dict[str, Any]:
    """Keys of the source's table from what was typed behind the option."""
    return {"endpoint": place if "://" in place else f"opc.tcp://{place}"}


async def browse(name: str, config: OpcUaSource, wish: Wish, tell: Tell) -> Found:
    """Browse the server; see `agent.sources.SourceKind.browse`."""
    try:
        async with session(name, config, wish.timeout_s) as client:
            limits = await limits_of(client)
            namespaces = [str(uri) for uri in await client.get_namespace_array()]
            walk = _Walk(client, wish, tell)
            await walk.all(await _starts(client, wish.under, namespaces))
            tags, left_out = await _described(client, walk, namespaces, limits, tell)
    except FieldwardenError:
        raise
    except Exception as error:  # a strange server can make asyncua raise all
        cause, hint = await explained(config, error, wish.timeout_s)
        raise SourceError("browsing", config.endpoint, cause, hint) from error
    notes = [*walk.notes, *counted_out(left_out, "variables")]
    if walk.expected:
        notes.append(
            f"{walk.expected} variables have an EURange alone: what is expected in normal "
            "operation is no limit of the sensor, so `physical` is left open (the contract keeps "
            "the range)"
        )
    return Found(_named(tags), notes)


async def _starts(
    client: Client, under: Sequence[str], namespaces: Sequence[str]
) -> list[_Place]:
    """The nodes to begin at: by address, or by names from the folder Objects on."""
    if not under:
        return [_Place(ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder)), ())]
    found = []
    for text in under:
        if "=" in text:
            node = ua.NodeId.from_string(parse_address(text).text(namespaces))
            found.append(_Place(node, ()))
            continue
        place = _Place(ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder)), ())
        for part in filter(None, text.removeprefix("Objects").split("/")):
            below = (await _below(client, [place]))[0]
            inner = [one for one, _ in below if one.path[-1] == part]
            if not inner:
                cause = f"there is no {part!r} in it"
                hint = "names from the folder Objects on, or an address: --under 'nsu=...;s=Line1'"
                raise SourceError("browsing under", repr(text), cause, hint)
            place = inner[0]
        found.append(_Place(place.node, place.path))
    return found


class _Walk:
    """Walks down from some nodes, each node once."""

    def __init__(self, client: Client, wish: Wish, tell: Tell) -> None:
        self._client, self._most, self._tell = client, wish.most, tell
        self._seen: set[ua.NodeId] = set()
        self.variables: list[_Place] = []
        self.notes: list[str] = []
        self.expected = 0  # variables that tell what is expected of them, not what can be

    async def all(self, starts: Sequence[_Place]) -> None:
        told = await read_in_parts(
            self._client, values_of([ua.NodeId(ua.Int32(i)) for i in _LIMITS[:1]])
        )
        limit = told[0].Value.Value if told[0].Value is not None else 0
        size = min(limit, ITEMS_PER_CALL) if isinstance(limit, int) and limit else ITEMS_PER_CALL
        level, depth = list(starts), 0
        self._seen |= {place.node for place in starts}
        while level and not self.notes:
            below: list[_Place] = []
            for at in range(0, len(level), size):
                for found in await _below(self._client, level[at : at + size]):
                    below += self._take(found)
                self._tell(f"{len(self._seen)} nodes seen, {len(self.variables)} variables")
                if self.notes:
                    break
            level, depth = below, depth + 1
            if depth > _DEEPEST and level:
                self.notes.append(f"stopped {_DEEPEST} levels deep")

    def _take(self, found: Sequence[tuple[_Place, bool]]) -> list[_Place]:
        fresh: list[_Place] = []
        for place, is_variable in found:
            if place.node in self._seen or not place.node.NamespaceIndex:
                continue  # namespace 0 is OPC UA's own: the server's state, its types
            if len(self._seen) >= _MOST_NODES or len(self.variables) >= self._most:
                count = f"{len(self.variables)} variables of {len(self._seen)} nodes"
                how = "browse a part of it (--under), or more (--most)"
                self.notes = [f"stopped at {count}: {how}"]
                return fresh
            self._seen.add(place.node)
            fresh.append(place)
            if is_variable:
                self.variables.append(place)
        return fresh


async def _below(
    client: Client, places: Sequence[_Place]
) -> list[list[tuple[_Place, bool]]]:
    """Of each place the objects and variables right below it: (place, it is a variable)."""
    asked = [_description(place.node) for place in places]
    view = ua.BrowseParameters(
        RequestedMaxReferencesPerNode=ua.UInt32(_REFERENCES_PER_NODE), NodesToBrowse=asked
    )
    try:
        results = await client.uaclient.browse(view)
    except UaStatusCodeError as error:
        if error.code not in TOO_MUCH or len(places) == 1:
            raise
        half = len(places) // 2
        first = await _below(client, places[:half])
        return first + await _below(client, places[half:])
    found = []
    for place, result in zip(places, results, strict=True):
        references = list(result.References or [])
        point = result.ContinuationPoint
        while point:
            asked_more = ua.BrowseNextParameters(ContinuationPoints=[point])
            (more,) = await client.uaclient.browse_next(asked_more)
            references += more.References or []
            point = more.ContinuationPoint
        found.append([
            (_Place(_node(one), (*place.path, str(one.BrowseName.Name))), _is_variable(one))
            for one in references if _is_followed(one)
        ])
    return found


def _description(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node, BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences)),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(ua.NodeClass.Object | ua.NodeClass.Variable),
        ResultMask=ua.UInt32(ua.BrowseResultMask.All),
    )  # fmt: skip


def _is_followed(one: ua.ReferenceDescription) -> bool:
    """Properties describe a node; what another server has is read there."""
    is_property = one.ReferenceTypeId.Identifier == ObjectIds.HasProperty
    own = not one.ReferenceTypeId.NamespaceIndex
    return not (is_property and own) and not getattr(one.NodeId, "ServerIndex", 0)


def _node(one: ua.ReferenceDescription) -> ua.NodeId:
    told = one.NodeId
    return ua.NodeId(told.Identifier, told.NamespaceIndex, told.NodeIdType)


def _is_variable(one: ua.ReferenceDescription) -> bool:
    return bool(one.NodeClass == ua.NodeClass.Variable)


async def _described(
    client: Client, walk: _Walk, namespaces: Sequence[str], limits: Limits, tell: Tell
) -> tuple[list[tuple[_Place, FoundTag]], Counter[str]]:
    """Those of the variables that could be tags, and why others could not."""
    found: list[tuple[_Place, FoundTag]] = []
    left_out: Counter[str] = Counter()
    places = walk.variables
    for at in range(0, len(places), _PART):
        part = places[at : at + _PART]
        nodes = [place.node for place in part]
        served = await served_of(client, list(nodes), namespaces, limits)
        more = await _more(client, nodes, limits)
        for place, told, extra in zip(part, served, more, strict=True):
            tag = _tag(place, told, extra, namespaces)
            if isinstance(tag, str):
                left_out[tag] += 1
            else:
                walk.expected += "range" in told and tag.physical is None
                found.append((place, tag))
        tell(f"{min(at + _PART, len(places))} of {len(places)} variables described")
    return found, left_out


async def _more(
    client: Client, nodes: Sequence[ua.NodeId], limits: Limits
) -> list[tuple[Any, Any, Any, Any]]:
    """(description, fastest sampling in ms, range of the instrument, value) of each node."""
    attributes = (
        AttributeIds.Description, AttributeIds.MinimumSamplingInterval, AttributeIds.Value
    )  # fmt: skip
    asked = [ua.ReadValueId(NodeId=node, AttributeId=each) for node in nodes for each in attributes]
    told = [value_in(data) for data in await read_in_parts(client, asked, limits.read)]
    found = await property_nodes(client, [(node, "InstrumentRange") for node in nodes], limits)
    there = [node for node in found if node is not None]
    spans = iter(await read_in_parts(client, values_of(there), limits.read))
    ranges = [None if node is None else value_in(next(spans)) for node in found]
    return [(told[3 * i], told[3 * i + 1], ranges[i], told[3 * i + 2]) for i in range(len(nodes))]


def _tag(
    place: _Place, told: Mapping[str, Any], extra: tuple[Any, Any, Any, Any],
    namespaces: Sequence[str],
) -> FoundTag | str:  # fmt: skip
    """The tag; else why there is none."""
    if not told.get("readable", True):
        return "which this user may not read"
    text, fastest_ms, instrument, value = extra
    kind = _kind(told, value)
    if kind.startswith("of"):
        return kind
    index = int(place.node.NamespaceIndex)
    identifier = place.node.to_string().partition(";")[2] or place.node.to_string()
    address = f"nsu={namespaces[index]};{identifier}" if index < len(namespaces) else ""
    if _meant(address, namespaces) != f"ns={index};{identifier}":
        return "whose node id can not be written as an address"
    line = _line(getattr(text, "Text", text) or "")
    interval_ns = round(fastest_ms * 1e6) if isinstance(fastest_ms, float) else 0
    return FoundTag(
        "", address, unit=str(told.get("unit", "")), data_type=kind,
        interval_ns=interval_ns if 0 < interval_ns < 2**62 else None,
        physical=_span(instrument), also=(identifier[2:],),
        description="" if line in place.path else line,
    )  # fmt: skip


def _meant(address: str, namespaces: Sequence[str]) -> str:
    """The node that the agent would read by an address; empty where it would read none."""
    try:
        return parse_address(address).text(namespaces)
    except SourceError:
        return ""


def _kind(told: Mapping[str, Any], value: Any) -> str:
    """The data type as a tag's; ``"of ..."`` where it can be none."""
    kind, rank = str(told.get("data_type", "")), told.get("value_rank", _SCALAR)
    if isinstance(value, list | tuple) or (rank != _SCALAR and rank not in _SEVERAL):
        return "of several values"
    if kind in _TEXTS:
        return "text"
    if kind in _NUMBERS:
        return kind
    # An enumeration, or whatever the value is just now.
    if isinstance(value, str) or value.__class__.__name__ == "LocalizedText":
        return "text"
    if isinstance(value, bool | int | float):
        return "Int32" if isinstance(value, int) and not isinstance(value, bool) else "Double"
    return f"of type {kind or 'unknown'}"


def _named(tags: Sequence[tuple[_Place, FoundTag]]) -> list[FoundTag]:
    names = unique([_line(".".join(place.path))[:190] or tag.also[0][:190] for place, tag in tags])
    return [replace(tag, name=name) for name, (_, tag) in zip(names, tags, strict=True)]


def _span(told: Any) -> tuple[float, float] | None:
    low, high = (getattr(told, "Low", None), getattr(told, "High", None))
    if isinstance(low, int | float) and isinstance(high, int | float) and low < high:
        return float(low), float(high)
    return None


def _line(text: Any) -> str:
    """A text in one line, without signs that can not be seen."""
    return "".join(one for one in " ".join(str(text).split()) if one.isprintable())
