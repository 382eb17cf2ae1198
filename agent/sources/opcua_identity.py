"""What an OPC UA server tells of itself and of its nodes, besides values: for the contract.

`check` and `contract snapshot` read it by the same functions as a running source does, so that the
same server tells the same.

Source: OPC UA Part 3 (attributes), Part 5 (Server object, BuildInfo), Part 8 (EngineeringUnits,
EURange, and the properties of two-state and multi-state variables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIdNames, ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError

from agent.decode.number_types import is_number
from agent.decode.opcua import status_quality
from agent.sources.opcua_reading import (
    ITEMS_PER_CALL,
    TOO_MUCH,
    Limits,
    read_in_parts,
    value_in,
    values_of,
)
from agent.types import Quality

NAMESPACES = ua.NodeId(ua.Int32(ObjectIds.Server_NamespaceArray))
_OF_SERVER = {
    "server": ObjectIds.Server_ServerArray,
    "namespaces": ObjectIds.Server_NamespaceArray,
    "product_uri": ObjectIds.Server_ServerStatus_BuildInfo_ProductUri,
    "manufacturer": ObjectIds.Server_ServerStatus_BuildInfo_ManufacturerName,
    "product": ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
    "version": ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
}
_SHAPE = (AttributeIds.NodeClass, AttributeIds.DataType, AttributeIds.ValueRank)
_OF_NODE = (*_SHAPE, AttributeIds.UserAccessLevel)
ATTRIBUTES = {
    "DataType": AttributeIds.DataType, "ValueRank": AttributeIds.ValueRank,
    "UserAccessLevel": AttributeIds.UserAccessLevel,
}  # fmt: skip
"""Attributes that are monitored where there are few nodes -> their numbers; see `attribute`."""
_READABLE = 1  # bit of an access level
_OWN_NAMESPACES = 2  # 0 is OPC UA's own and 1 the server's
_ANY_NUMBER = frozenset({"Number", "Integer", "UInteger", "BaseDataType"})
"""Data types whose values may be of several number types: which one is no news."""

_REFUSED = int(Quality.ADDRESS_REFUSED | Quality.NOT_AUTHORISED)

PROPERTIES = (
    "EngineeringUnits", "EURange", "TrueState", "FalseState", "EnumStrings", "EnumValues",
)
"""Properties that say what a node's values mean; see `meaning`."""


class Facts(NamedTuple):
    """What a node is; None where the server did not tell.

    Attributes:
        status: the name of the status code by which the server refuses the node; "": it does not,
            or could not tell now.
        data_type: its name; one of the server's own by the URI of its namespace.
        variant: the type of its present value, as `variant_name` says it.
    """

    status: str
    node_class: int | None
    data_type: str
    rank: int | None
    is_readable: bool | None = None
    variant: str = ""


async def identity_of(client: Client) -> dict[str, Any]:
    """Who the server is, JSON-ready; what it does not tell is absent.

    Raises:
        UaError: it refuses to read at all.
    """
    nodes = [ua.NodeId(ua.Int32(number)) for number in _OF_SERVER.values()]
    told = dict(zip(_OF_SERVER, map(value_in, await read_in_parts(client, values_of(nodes))),
                    strict=True))  # fmt: skip
    servers = told.pop("server") or [""]
    found = {"server_uri": str(servers[0]), **told}
    found["namespaces"] = [str(uri) for uri in found.get("namespaces") or []]
    return {name: value for name, value in found.items() if value}


async def facts_of(
    client: Client, nodes: Sequence[ua.NodeId], namespaces: Sequence[str], most: int, *,
    whole: bool = True, values: bool = True,
) -> list[Facts]:  # fmt: skip
    """What each node is.

    Args:
        client: connected.
        nodes: those that are asked for.
        namespaces: of the server.
        most: nodes in one read.
        whole: also what does not tell one node from another.
        values: also the type of the present value, where it is asked for whole.

    Raises:
        UaError: the server refuses to read at all.
    """
    attributes = _OF_NODE if whole else _SHAPE
    if whole and values:
        attributes = (*attributes, AttributeIds.Value)
    asked = [ua.ReadValueId(NodeId=node, AttributeId=each) for node in nodes for each in attributes]
    told = await read_in_parts(client, asked, most)
    width = len(attributes)
    return [_facts(told[at : at + width], namespaces) for at in range(0, len(told), width)]


def _facts(told: Sequence[ua.DataValue], namespaces: Sequence[str]) -> Facts:
    kind, data_type, rank = map(value_in, told[:3])
    status = told[0].StatusCode
    quality = 0 if status is None else status_quality(status.value)
    access = value_in(told[3]) if len(told) > 3 else None
    return Facts(
        status.name if status is not None and quality & _REFUSED else "",
        int(kind) if isinstance(kind, int) else None,
        type_name(data_type, namespaces) if isinstance(data_type, ua.NodeId) else "",
        rank if isinstance(rank, int) else None,
        None if access is None else bool(int(access) & _READABLE),
        variant_name(told[4].Value) if len(told) > 4 else "",
    )


def attribute(name: str, value: Any, namespaces: Sequence[str]) -> dict[str, Any]:
    """The field of `Facts` that an attribute is, where it is of the attribute's type.

    Args:
        name: one of `ATTRIBUTES`.
        value: as it was read.
        namespaces: of the server.
    """
    if name == "DataType":
        is_type = isinstance(value, ua.NodeId)
        return {"data_type": type_name(value, namespaces)} if is_type else {}
    if not isinstance(value, int):
        return {}
    if name == "ValueRank":
        return {"rank": int(value)}
    return {"is_readable": bool(value & _READABLE)}


def variant_name(variant: Any) -> str:
    """``Float``, or ``Float[]`` for an array; empty where there is no value."""
    if variant is None or variant.Value is None:
        return ""
    name = str(variant.VariantType.name)
    return f"{name}[]" if isinstance(variant.Value, list) else name


def type_name(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """A data type for people, the same wherever its namespace is numbered."""
    index, identifier = int(node.NamespaceIndex), node.Identifier
    if not index:
        return ObjectIdNames.get(identifier, "") if isinstance(identifier, int) else str(identifier)
    uri = namespaces[index] if index < len(namespaces) else f"ns={index}"
    return f"{uri};{identifier!s}"


def variant_of(name: str, data_type: str) -> str:
    """The type of values as the contract has it; of a number where any may come, only that.

    Args:
        name: as of `variant_name`; empty where no value came yet.
        data_type: of the node.
    """
    if data_type in _ANY_NUMBER and is_number(name):
        return "Number"
    return name or (data_type if is_number(data_type) else "")


def terms_of(
    node: ua.NodeId | None, facts: Facts | None, namespaces: Sequence[str],
    properties: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The terms of a node, see `agent.contract.grades.SERVED`.

    Args:
        node: None where the server does not have its namespace.
        facts: of the node; None where there is no node.
        namespaces: of the server.
        properties: terms of its properties, see `meaning`.
    """
    if node is None or facts is None:
        return {"refused": "no such namespace"}
    if facts.node_class is None:
        return {"refused": facts.status} if facts.status else {}
    known = facts.node_class in set(map(int, ua.NodeClass))
    told: dict[str, Any] = {
        "node_class": ua.NodeClass(facts.node_class).name if known else str(facts.node_class)
    }
    index = int(node.NamespaceIndex)
    if _OWN_NAMESPACES <= index < len(namespaces):
        told["namespace"] = str(namespaces[index])
    told["data_type"] = facts.data_type or None
    told["value_rank"] = facts.rank
    told["readable"] = facts.is_readable
    told["variant"] = variant_of(facts.variant, facts.data_type) or None
    return {key: value for key, value in (told | properties).items() if value is not None}


# --- properties -----------------------------------------------------------------------------------


def properties_asked(facts: Facts) -> Sequence[str]:
    """Which properties may say what a node's values mean."""
    if facts.node_class != int(ua.NodeClass.Variable):
        return ()
    if facts.data_type == "Boolean":
        return PROPERTIES[2:4]
    if facts.data_type in {"Float", "Double", "String"}:
        return PROPERTIES[:2]
    return (*PROPERTIES[:2], *PROPERTIES[4:])


async def property_nodes(
    client: Client, wanted: Sequence[tuple[ua.NodeId, str]], limits: Limits
) -> list[ua.NodeId | None]:
    """The nodes of these properties, each (of which node, its name); None where there is none.

    Raises:
        UaError: the session is lost, or the server takes no call however small.
    """
    found: list[ua.NodeId | None] = []
    most = min(limits.translate, ITEMS_PER_CALL)
    while len(found) < len(wanted):
        part = [_path(*each) for each in wanted[len(found) : len(found) + most]]
        try:
            results = await client.uaclient.translate_browsepaths_to_nodeids(part)
        except UaStatusCodeError as error:
            if error.code in TOO_MUCH and len(part) > 1:
                most = len(part) // 2
                continue
            return [*found, *[None] * (len(wanted) - len(found))]  # it lacks the service
        found += [
            one.Targets[0].TargetId if one.StatusCode.is_good() and one.Targets else None
            for one in results
        ]
    return found


def _path(node: ua.NodeId, name: str) -> ua.BrowsePath:
    element = ua.RelativePathElement(
        ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HasProperty)),
        IsInverse=False,  # type: ignore[arg-type]  # its Boolean is no bool to mypy
        TargetName=ua.QualifiedName(name, 0),
    )
    return ua.BrowsePath(node, ua.RelativePath([element]))


def meaning(name: str, value: Any) -> dict[str, Any]:
    """The terms that the value of a property says; None where it says nothing of one.

    Args:
        name: one of `PROPERTIES`.
        value: as it was read; None where it could not be.
    """
    if name == "EngineeringUnits":
        unit = value if isinstance(value, ua.EUInformation) else None
        if unit is None:
            return {"unit": None, "unit_id": None}
        number = int(unit.UnitId)
        code = number if number > 0 else None  # -1 is none (Part 8), and what was not set is 0
        text = getattr(unit.DisplayName, "Text", None) or (None if code is None else str(code))
        return {"unit": text, "unit_id": code}
    if name == "EURange":
        span = value if isinstance(value, ua.Range) else None
        return {"range": None if span is None else [float(span.Low), float(span.High)]}
    if name == "EnumStrings":
        texts = value if isinstance(value, list) else None
        return {"states": None if texts is None else [_text(one) for one in texts]}
    if name == "EnumValues":
        values = value if isinstance(value, list) else None
        return {"state_values": None if values is None else _named(values)}
    return {"true_state" if name == "TrueState" else "false_state": _text(value)}


def _named(values: Sequence[Any]) -> dict[str, str | None]:
    """Value -> its name, of an EnumValues property; in the order of the values."""
    known = [one for one in values if isinstance(one, ua.EnumValueType)]
    return {
        str(int(one.Value)): _text(one.DisplayName)
        for one in sorted(known, key=lambda one: int(one.Value))
    }


def _text(value: Any) -> str | None:
    """A LocalizedText's text."""
    if value is None:
        return None
    return str(getattr(value, "Text", value))


async def properties_of(
    client: Client, nodes: Mapping[int, ua.NodeId], facts: Mapping[int, Facts], limits: Limits
) -> dict[tuple[int, str], ua.NodeId]:
    """(key of the node, name of the property) -> the property's node, of those that there are.

    Raises:
        UaError: see `property_nodes`.
    """
    wanted = [(key, name) for key in nodes for name in properties_asked(facts[key])]
    found = await property_nodes(client, [(nodes[key], name) for key, name in wanted], limits)
    return {each: node for each, node in zip(wanted, found, strict=True) if node is not None}


async def meanings_of(
    client: Client, properties: Mapping[tuple[int, str], ua.NodeId], most: int
) -> dict[int, dict[str, Any]]:
    """Key of a node -> the terms that its properties say now.

    Raises:
        UaError: the server refuses to read at all.
    """
    values = await read_in_parts(client, values_of(list(properties.values())), most)
    found: dict[int, dict[str, Any]] = {}
    for (key, name), data in zip(properties, values, strict=True):
        found.setdefault(key, {}).update(meaning(name, value_in(data)))
    return found


async def served_of(
    client: Client, nodes: Sequence[ua.NodeId | None], namespaces: Sequence[str], limits: Limits
) -> list[dict[str, Any]]:
    """The terms of each node, read once; see `terms_of`.

    Raises:
        UaError: the server refuses to read at all.
    """
    known = {key: node for key, node in enumerate(nodes) if node is not None}
    told = await facts_of(client, list(known.values()), namespaces, limits.read)
    facts = dict(zip(known, told, strict=True))
    properties = await properties_of(client, known, facts, limits)
    meanings = await meanings_of(client, properties, limits.read)
    return [
        terms_of(node, facts.get(key), namespaces, meanings.get(key, {}))
        for key, node in enumerate(nodes)
    ]
