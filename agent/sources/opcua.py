"""OPC UA by subscription.

Invariants:
- a notification is taken whole, in the callback of its publish response, and leaves as columns.
  (asyncua's own subscription makes a task for each value, 20 to 30 us, or an iterator that silently
  drops what is older than its last 1,000.)
- the session is alive while publish responses come, keep-alives included: a constant value is not
  stale, and silence is, whatever TCP thinks. Silence ends with the present value of every node,
  and what the server had kept meanwhile is late: `REPLAYED`;
- each monitored item stands for itself: nodes that the server refuses are bad, and asked for again
  now and then, the others are served;
- nothing is written, and no node is called: only reads and subscriptions are sent.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

from agent.backoff import Backoff
from agent.configuration.schema import OpcUaSource
from agent.decode import opcua as decode
from agent.decode.columns import Dictionary, Samples
from agent.decode.opcua import Decoder
from agent.errors import cause_of
from agent.intake import Intake
from agent.sources.base import (
    Health,
    SourceReport,
    TagBinding,
    by_cause,
    parse_all,
    tag_ids,
)
from agent.sources.opcua_burst import Bursts
from agent.sources.opcua_nodes import (
    ITEMS_PER_CALL,
    TOO_MUCH,
    Item,
    Limits,
    Nodes,
    Refusal,
    limits_of,
    read_in_parts,
    values_of,
)
from agent.sources.opcua_session import explained, session
from agent.types import Quality, SourceState

# What it has to say reaches people as the source's state; each retry in the log is a flood.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

_KEEP_ALIVE_S = 1.5  # the server's sign of life where nothing changes
_STALE_AFTER = 2  # keep-alives missed until the source is stale
_LOST_AFTER = 8  # and until the session is given up
_NOTIFICATIONS_PER_PUBLISH = 10_000
_QUEUE = (100, 1_000)  # samples that the server keeps for an item between two publishes
_REFUSED_RETRY_S = 30.0
_NAMESPACES = "namespaces"


class _Subscription:
    """One subscription of one session, until it is lost.

    Args:
        link: whom it serves.
        client: connected.
    """

    def __init__(self, link: OpcUaLink, client: Client) -> None:
        self._link = link
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._id = 0
        self._keep_alive_s = _KEEP_ALIVE_S
        self._heard_s = self._loop.time()
        self._bursts = Bursts(link.publishing_s)
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._nodes: dict[int, ua.NodeId] = {}
        self._limits = Limits(ITEMS_PER_CALL, ITEMS_PER_CALL)
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
        await self._monitor(range(len(self._link.names)))
        await self._watch()

    async def _monitor(self, columns: Sequence[int]) -> None:
        """Create the monitored items of these columns; refusals are noted and make bad samples."""
        nodes, refused = await self._link.nodes.resolve(self._client, columns, self._limits.read)
        self._nodes |= nodes
        wanted, per_call = list(nodes), self._limits.monitor
        while wanted:
            part, wanted = wanted[:per_call], wanted[per_call:]
            try:
                results = await self._create(part)
            except UaStatusCodeError as error:
                if error.code not in TOO_MUCH or len(part) == 1:
                    raise
                per_call = len(part) // 2
                self._limits = self._limits._replace(monitor=per_call)
                wanted = part + wanted
                continue
            for column, result in zip(part, results, strict=True):
                if not result.StatusCode.is_good():
                    quality = decode.status_quality(result.StatusCode.value)
                    refused[column] = Refusal(result.StatusCode.name, quality)
                    del self._nodes[column]
        for column in columns:
            self.refused.pop(column, None)
        self.refused |= refused
        self._link.refusals(refused, self.refused)

    async def _create(self, columns: Sequence[int]) -> list[ua.MonitoredItemCreateResult]:
        items = []
        for column in columns:
            sampling_s = self._link.sampling_s[column]
            queue = math.ceil(4 * self._link.publishing_s / sampling_s)
            items.append(
                ua.MonitoredItemCreateRequest(
                    ItemToMonitor=ua.ReadValueId(
                        NodeId=self._nodes[column], AttributeId=AttributeIds.Value
                    ),
                    MonitoringMode=ua.MonitoringMode.Reporting,
                    RequestedParameters=ua.MonitoringParameters(
                        ClientHandle=column,
                        SamplingInterval=sampling_s * 1e3,
                        QueueSize=min(max(queue, _QUEUE[0]), _QUEUE[1]),
                        DiscardOldest=True,
                    ),
                )
            )
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=self._id,
            TimestampsToReturn=ua.TimestampsToReturn.Source,
            ItemsToCreate=items,
        )
        return list(await self._client.uaclient.create_monitored_items(parameters))

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
            self._link.take([Item(*pair) for pair in zip(columns, values, strict=True)])
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
        for data in result.NotificationMessage.NotificationData or ():
            if isinstance(data, ua.DataChangeNotification):
                self._link.take(data.MonitoredItems, self._bursts)
            elif isinstance(data, ua.StatusChangeNotification):
                self._give_up(f"the server ended the subscription: {data.Status.name}")

    async def _connection_lost(self, error: Exception) -> None:
        self._give_up(cause_of(error))

    def _give_up(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


class OpcUaLink:
    """See `agent.sources.SourceKind.create`."""

    def __init__(
        self,
        name: str,
        config: OpcUaSource,
        tags: Mapping[str, TagBinding],
        intake: Intake,
        dictionary: Dictionary,
    ) -> None:
        self._name = name
        self._config = config
        self._tag = tag_ids(tags)
        self._health = Health(name, config.protocol, intake, self._tag)
        self.names = list(tags)
        self._addresses = [binding.tag.address for binding in tags.values()]
        addresses = parse_all(name, tags, decode.parse_address)
        self.nodes = Nodes(dict(zip(tags, addresses, strict=True)))
        self._decoder = Decoder(
            self._tag, [binding.is_text for binding in tags.values()], dictionary
        )
        self.publishing_s = config.publishing / 1e9
        self.sampling_s = [
            (binding.tag.interval or config.publishing) / 1e9 for binding in tags.values()
        ]
        self._refused: dict[int, Refusal] = {}
        self._error = ""

    def describe(self) -> SourceReport:
        """State and counts; plan and details name the nodes that are refused."""
        plan = [f"subscription of {len(self.names)} nodes, published every {self.publishing_s:g} s"]
        details = by_cause({self.names[column]: why.text for column, why in self._refused.items()})
        plan += [f"refused: {text}" for text in details]
        details += self.nodes.moved
        if self._decoder.overflowed:
            plan.append(f"the server's queues overflowed {self._decoder.overflowed} times")
        return self._health.report(tuple(plan), details=details)

    def remember(self, notes: Mapping[str, Any]) -> None:
        """Which namespaces the tags' indices meant in an earlier run; see `opcua_nodes`."""
        self.nodes.remember(notes.get(_NAMESPACES))

    def notes(self) -> dict[str, Any]:
        """Which namespaces the tags' indices mean; nothing where no tag has one."""
        return {_NAMESPACES: self.nodes.bound} if self.nodes.bound else {}

    async def run(self) -> None:
        """Connect and subscribe until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with session(self._name, self._config, self._config.timeout / 1e9) as client:
                    await _Subscription(self, client).serve()
            except Exception as error:  # noqa: BLE001 - a strange server can make asyncua raise all
                await self._failed(error, backoff)
            await backoff.wait()

    async def _failed(self, error: Exception, backoff: Backoff) -> None:
        """Say why there is no session, and what to do; the server is asked once for each cause."""
        if self._health.state is not SourceState.FAILED:
            backoff.reset()
        said = f"{type(error).__name__}: {error}"
        if said == self._error and self._health.state is SourceState.FAILED:
            return
        self._error = said
        if isinstance(error, ConnectionError) or self._health.state in _SERVED:
            self._health.failed(f"{self._config.endpoint}: {cause_of(error)}")
            return
        cause, hint = await explained(self._config, error, self._config.timeout / 1e9)
        self._health.failed(f"{self._config.endpoint}: {cause}; {hint}")

    def take(self, items: Sequence[Any], bursts: Bursts | None = None) -> None:
        """All items of a notification; of a burst after silence those that are late are marked."""
        samples = self._decoder.decode(items)
        if bursts is not None:
            bursts.mark(samples)
        self._health.take(samples)
        self._health.arrived(len(samples))

    def refusals(self, refused: Mapping[int, Refusal], known: Mapping[int, Refusal]) -> None:
        """Make the tags bad whose nodes are refused; `known`: all that are, to tell why."""
        self._health.refused(
            {
                self.names[column]: f"the server refuses {self._addresses[column]}: {why.text}"
                for column, why in known.items()
                if why.quality & Quality.ADDRESS_REFUSED
            }
        )
        count = len(refused)
        bad = np.array([why.quality for why in refused.values()], np.uint16)
        none = np.zeros(count, np.int64)
        tag = self._tag[np.array(list(refused), np.intp)]
        self._health.take(Samples(tag, none, np.full(count, np.nan), bad))

    def session(self, *, is_silent: bool, refused: Mapping[int, Refusal]) -> None:
        """What the session looks like now."""
        self._refused = dict(refused)
        self._error = ""
        if is_silent:
            self._health.stale("connected, but not even keep-alives arrive")
        else:
            self._health.live(f"{len(refused)} nodes are refused" if refused else "")


_SERVED = frozenset({SourceState.LIVE, SourceState.STALE})


def create(
    name: str,
    config: OpcUaSource,
    tags: Mapping[str, TagBinding],
    intake: Intake,
    *,
    dictionary: Dictionary,
    gateway: str,  # noqa: ARG001 - the session's name need not be unique
) -> OpcUaLink:
    """See `agent.sources.SourceKind.create`."""
    return OpcUaLink(name, config, tags, intake, dictionary)
