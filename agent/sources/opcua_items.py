"""OPC UA: the monitored items of a subscription besides values, and what their handles mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from agent.sources.opcua_identity import ATTRIBUTES, NAMESPACES, PROPERTIES

_SERVER = ua.NodeId(ua.Int32(ObjectIds.Server))
_CHANGES = (
    ObjectIds.BaseModelChangeEventType,
    ObjectIds.GeneralModelChangeEventType,
    ObjectIds.SemanticChangeEventType,
)
_NAMES = (*PROPERTIES, *ATTRIBUTES)
_QUEUE = 10  # changes of a property between two publishes


class Wanted(NamedTuple):
    """What is to be monitored: its client handle, what, how often, and how much is kept."""

    handle: int
    item: ua.ReadValueId
    sampling_s: float
    queue: int
    filter: Any = None

    def request(self) -> ua.MonitoredItemCreateRequest:
        """As it is sent."""
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=self.item,
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=self.handle,
                SamplingInterval=self.sampling_s * 1e3,
                Filter=self.filter,
                QueueSize=self.queue,
                DiscardOldest=True,
            ),
        )


class Handles:
    """Client handles: of a value its column, of all else what comes after the columns.

    Args:
        columns: how many values there are.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self.namespaces = columns * (1 + len(_NAMES))
        self.events = self.namespaces + 1

    def property_of(self, handle: int) -> tuple[int, str] | None:
        """(column, name of its property or attribute); None where it is another item's handle."""
        if not self._columns <= handle < self.namespaces:
            return None
        column, place = divmod(handle - self._columns, len(_NAMES))
        return column, _NAMES[place]

    def properties(
        self, found: Sequence[tuple[int, str, ua.NodeId]], sampling_s: Sequence[float]
    ) -> list[Wanted]:
        """Items of (column, property or attribute, its node), sampled as often as the values."""
        return [
            Wanted(
                self._columns + column * len(_NAMES) + _NAMES.index(name),
                ua.ReadValueId(
                    NodeId=node, AttributeId=ATTRIBUTES.get(name, AttributeIds.Value)
                ),
                sampling_s[column], _QUEUE,
            )
            for column, name, node in found
        ]  # fmt: skip

    def server(self, sampling_s: float) -> list[Wanted]:
        """Items of the server itself: its namespaces, and its events of changes."""
        namespaces = ua.ReadValueId(NodeId=NAMESPACES, AttributeId=AttributeIds.Value)
        events = ua.ReadValueId(NodeId=_SERVER, AttributeId=AttributeIds.EventNotifier)
        return [
            Wanted(self.namespaces, namespaces, sampling_s, _QUEUE),
            Wanted(self.events, events, 0.0, 1_000, _filter()),
        ]


def _filter() -> ua.EventFilter:
    """Events that say that nodes or what they mean changed: their type, and which nodes."""
    kind = _field("EventType", ObjectIds.BaseEventType)
    types = [ua.LiteralOperand(Value=ua.Variant(ua.NodeId(ua.Int32(each)))) for each in _CHANGES]
    element = ua.ContentFilterElement(
        FilterOperator=ua.FilterOperator.InList, FilterOperands=[kind, *types]
    )
    selected = [_field("Changes", each) for each in _CHANGES[1:]]
    return ua.EventFilter(
        SelectClauses=[kind, *selected], WhereClause=ua.ContentFilter(Elements=[element])
    )


def _field(name: str, event_type: int) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.Int32(event_type)),
        BrowsePath=[ua.QualifiedName(name, 0)],
        AttributeId=AttributeIds.Value,
    )


def affected_by(event: Any) -> set[ua.NodeId]:
    """The nodes that an event names."""
    changes = [
        change
        for variant in event.EventFields[1:] if isinstance(variant.Value, list)
        for change in variant.Value
    ]
    return {node for change in changes if (node := getattr(change, "Affected", None)) is not None}
