"""OPC UA: one subscription of one session, until it is lost.

Invariants:
- the session is alive while publish responses come, keep-alives included: a constant value is not
  stale, and silence is, whatever TCP thinks. Silence ends with the present value of every node,
  and what the server had kept meanwhile is late: `REPLAYED`;
- each monitored item stands for itself: nodes that the server refuses are bad, and asked for again
  now and then, the others are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from agent.decode import opcua as decode
from agent.errors import cause_of
from agent.sources.opcua_burst import Bursts
from agent.sources.opcua_contract import Watch
from agent.sources.opcua_items import Wanted
from agent.sources.opcua_nodes import Item, Nodes, Refusal
from agent.sources.opcua_reading import TOO_MUCH, Limits, limits_of, read_in_parts, values_of

_KEEP_ALIVE_S = 1.5  # the server's sign of life where nothing changes
_STALE_AFTER = 2  # keep-alives missed until the source is stale
_LOST_AFTER = 8  # and until the session is given up
_NOTIFICATIONS_PER_PUBLISH = 10_000
_QUEUE = (100, 1_000)  # samples that the server keeps for an item between two publishes
_REFUSED_RETRY_S = 30.0

class Serving(Protocol):
    """Whom a subscription serves.

    Attributes:
        names: of the tags, by column.
        nodes: that they are bound to.
        publishing_s: interval of the subscription.
        sampling_s: of each column.
    """

    names: list[str]
    nodes: Nodes
    publishing_s: float
    sampling_s: list[float]

    def watch(
        self, client: Client, limits: Limits, gone: Callable[[Mapping[int, Refusal]], None],
        give_up: Callable[[str], None],
    ) -> Watch | None:  # fmt: skip
        """What tells what the nodes of a new session are; None where nobody listens."""

    def take(
        self, items: Sequence[Any], bursts: Bursts | None = None, contract: Watch | None = None,
        events: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """All that a publish response holds."""

    def refusals(self, refused: Mapping[int, Refusal], known: Mapping[int, Refusal]) -> None:
        """These nodes are refused by now; `known`: all that are."""

    def session(self, *, is_silent: bool, refused: Mapping[int, Refusal]) -> None:
        """What the session looks like now."""


class Subscription:
    """One subscription of one session, until it is lost.

    Args:
        link: whom it serves.
        client: connected.
    """

    def __init__(self, link: Serving, client: Client) -> None:
        self._link = link
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._id = 0
        self._keep_alive_s = _KEEP_ALIVE_S
        self._heard_s = self._loop.time()
        self._bursts = Bursts(link.publishing_s)
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._nodes: dict[int, ua.NodeId] = {}
        self._items: dict[int, int] = {}  # column -> its monitored item
        self._beside: list[int] = []  # monitored items that are no values
        self._ending: asyncio.Task[None] | None = None
        self._contract: Watch | None = None
        self._limits = Limits()
        self._was_silent = False
        self.refused: dict[int, Refusal] = {}

    async def serve(self) -> None:
        """Subscribe, and raise as soon as the session is lost."""
        self._limits = await limits_of(self._client)
        interval_ms = self._link.publishing_s * 1e3
        count = max(1, round(_KEEP_ALIVE_S / self._link.publishing_s))
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=max(30 * count, 100),
            RequestedMaxKeepAliveCount=count,
            MaxNotificationsPerPublish=_NOTIFICATIONS_PER_PUBLISH,
            PublishingEnabled=True,
        )
        self._client.connection_lost_callback = self._connection_lost
        result = await self._client.uaclient.create_subscription(parameters, self._published)
        self._id = result.SubscriptionId
        granted_s = result.RevisedPublishingInterval * result.RevisedMaxKeepAliveCount / 1e3
        self._keep_alive_s = min(max(granted_s, 0.1), 600.0)
        self._contract = self._link.watch(self._client, self._limits, self._gone, self._give_up)
        await self._monitor(range(len(self._link.names)))
        checks = None if self._contract is None else asyncio.create_task(self._contract.run())
        try:
            await self._watch()
        finally:
            if checks is not None:
                checks.cancel()

    async def _monitor(self, columns: Sequence[int]) -> None:
        """Create the monitored items of these columns; refusals are noted and make bad samples."""
        nodes, refused = await self._link.nodes.resolve(
            self._client, columns, self._limits.read, whole=self._contract is not None
        )
        if self._contract is not None:
            await self._contract.begin(self._link.nodes, columns)
            await self._monitor_contract(self._contract, columns)
        self._nodes |= nodes
        results = await self._created([self._value(column) for column in nodes])
        if self._beside and any(_is_full(result) for _, result in results):
            # Values come first: what else is known of them is read now and then.
            await self._deleted(self._beside)
            self._beside = []
            missing = [self._value(item.handle) for item, result in results if _is_full(result)]
            kept = [(item, result) for item, result in results if not _is_full(result)]
            results = kept + await self._created(missing)
        for item, result in results:
            if result.StatusCode.is_good():
                self._items[item.handle] = result.MonitoredItemId
            else:
                quality = decode.status_quality(result.StatusCode.value)
                refused[item.handle] = Refusal(result.StatusCode.name, quality)
                del self._nodes[item.handle]
        for column in columns:
            self.refused.pop(column, None)
        self.refused |= refused
        self._link.refusals(refused, self.refused)

    async def _monitor_contract(self, contract: Watch, columns: Sequence[int]) -> None:
        """Create the items beside the values; a server that refuses one is asked now and then."""
        wanted = contract.handles.properties(contract.properties(columns), self._link.sampling_s)
        if not self._beside:
            wanted = [*contract.handles.server(min(self._link.sampling_s)), *wanted]
        self._beside += [
            result.MonitoredItemId
            for _, result in await self._created(wanted) if result.StatusCode.is_good()
        ]

    def _value(self, column: int) -> Wanted:
        """The monitored item of a value."""
        sampling_s = self._link.sampling_s[column]
        queue = math.ceil(4 * self._link.publishing_s / sampling_s)
        item = ua.ReadValueId(NodeId=self._nodes[column], AttributeId=AttributeIds.Value)
        return Wanted(column, item, sampling_s, min(max(queue, _QUEUE[0]), _QUEUE[1]))

    async def _created(
        self, wanted: Sequence[Wanted]
    ) -> list[tuple[Wanted, ua.MonitoredItemCreateResult]]:
        """Create items, in as large parts as the server takes."""
        found: list[tuple[Wanted, ua.MonitoredItemCreateResult]] = []
        while len(found) < len(wanted):
            part = wanted[len(found) : len(found) + self._limits.monitor]
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=self._id,
                TimestampsToReturn=ua.TimestampsToReturn.Source,
                ItemsToCreate=[each.request() for each in part],
            )
            try:
                results = await self._client.uaclient.create_monitored_items(parameters)
            except UaStatusCodeError as error:
                if error.code not in TOO_MUCH or len(part) == 1:
                    raise
                self._limits = self._limits._replace(monitor=len(part) // 2)
                continue
            found += zip(part, results, strict=True)
        return found

    async def _deleted(self, items: Sequence[int]) -> None:
        """Delete items; one that the server does not know any more is none already."""
        for at in range(0, len(items), self._limits.monitor):
            parameters = ua.DeleteMonitoredItemsParameters(
                SubscriptionId=self._id,
                MonitoredItemIds=list(items[at : at + self._limits.monitor]),
            )
            with contextlib.suppress(UaError):
                await self._client.uaclient.delete_monitored_items(parameters)

    def _gone(self, gone: Mapping[int, Refusal]) -> None:
        """Nodes that were served are not there any more: they are asked for again now and then."""
        lost = {column: why for column, why in gone.items() if column in self._nodes}
        items = [self._items.pop(column) for column in lost if column in self._items]
        for column in lost:
            del self._nodes[column]
        self.refused |= lost
        self._link.refusals(lost, self.refused)
        self._ending = self._loop.create_task(self._deleted(items))

    async def _watch(self) -> None:
        """Judge the session by its signs of life until it is lost."""
        retry_s = self._loop.time() + _REFUSED_RETRY_S
        tick_s = self._keep_alive_s / 2
        while True:
            await self._judge()
            before_s = self._loop.time()
            await asyncio.wait({self._lost}, timeout=tick_s)
            if self._lost.done():
                raise ConnectionError(self._lost.result())
            if self._loop.time() - before_s > 2 * tick_s + 0.5:
                await asyncio.sleep(tick_s)  # we were held up ourselves: read what waits first
            if self.silence_s() > _LOST_AFTER * self._keep_alive_s:
                raise ConnectionError(f"no sign of life for {self.silence_s():.0f} s")
            if self.refused and self._loop.time() > retry_s:
                retry_s = self._loop.time() + _REFUSED_RETRY_S
                await self._monitor(sorted(self.refused))

    async def _judge(self) -> None:
        """Tell how the session is; the end of silence brings the present values."""
        is_silent = self.silence_s() > _STALE_AFTER * self._keep_alive_s
        if self._was_silent and not is_silent:
            # All tags were lost; what did not change meanwhile would be so for ever.
            columns = list(self._nodes)
            asked = values_of([self._nodes[column] for column in columns])
            values = await read_in_parts(self._client, asked, self._limits.read)
            present = [Item(*pair) for pair in zip(columns, values, strict=True)]
            self._link.take(present, None, self._contract)
            self._link.refusals(self.refused, self.refused)
        self._was_silent = is_silent
        self._link.session(is_silent=is_silent, refused=self.refused)

    def silence_s(self) -> float:
        """Seconds since the latest publish response."""
        return self._loop.time() - self._heard_s

    def _published(self, result: Any) -> None:
        """Take a publish response, sent also where there is nothing to say (keep-alive)."""
        now_s = self._loop.time()
        self._bursts.heard(now_s, now_s - self._heard_s)
        self._heard_s = now_s
        items: list[Any] = []
        events: list[Any] = []
        for data in result.NotificationMessage.NotificationData or ():
            if isinstance(data, ua.DataChangeNotification):
                items = items + data.MonitoredItems if items else data.MonitoredItems
            elif isinstance(data, ua.EventNotificationList):
                events += data.Events
            elif isinstance(data, ua.StatusChangeNotification):
                self._give_up(f"the server ended the subscription: {data.Status.name}")
        if items or events:
            self._link.take(items, self._bursts, self._contract, events)

    async def _connection_lost(self, error: Exception) -> None:
        self._give_up(cause_of(error))

    def _give_up(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


def _is_full(result: ua.MonitoredItemCreateResult) -> bool:
    """Whether the server takes no more monitored items."""
    return bool(result.StatusCode.value == StatusCodes.BadTooManyMonitoredItems)
