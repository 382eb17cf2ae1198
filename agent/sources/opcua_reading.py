"""OPC UA: reading many nodes, in as large parts as the server takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

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
_LIMIT_NODES = (11705, 11714, 11712)  # MaxNodesPer: Read, MonitoredItemsPerCall, TranslateBrowse...


class Limits(NamedTuple):
    """How many nodes one call may name."""

    read: int = ITEMS_PER_CALL
    monitor: int = ITEMS_PER_CALL
    translate: int = ITEMS_PER_CALL


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
    return Limits(*(_at_most(value_in(data)) for data in told))


def _at_most(number: Any) -> int:
    is_limit = isinstance(number, int) and number > 0  # 0: the server has none
    return min(number, ITEMS_PER_CALL) if is_limit else ITEMS_PER_CALL


def value_in(data: ua.DataValue) -> Any:
    """What was read, None where it is not good."""
    status = data.StatusCode
    if data.Value is None or (status is not None and not status.is_good()):
        return None
    return data.Value.Value
