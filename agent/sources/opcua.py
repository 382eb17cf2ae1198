"""OPC UA by subscription; the only module that imports asyncua.

Invariants:
- a notification is taken whole, in the callback of its publish response, and leaves as columns.
  (asyncua's own subscription makes a task for each value, 20 to 30 us, or an iterator that silently
  drops what is older than its last 1,000.)
- the session is alive while publish responses come, keep-alives included: a constant value is not
  stale, and silence is, whatever TCP thinks;
- each monitored item stands for itself: nodes that the server refuses are bad, and asked for again
  now and then, the others are served;
- nothing is written, and no node is called: only reads and subscriptions are sent;
- with security, only the server certificate that the configuration names is trusted. (asyncua
  trusts any by default.)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from agent.backoff import Backoff
from agent.configuration.certificates import read_certificate
from agent.configuration.credentials import password
from agent.configuration.schema import OpcUaSource
from agent.decode import opcua as decode
from agent.decode.columns import Dictionary, Samples
from agent.decode.opcua import Address, Decoder
from agent.errors import FieldwardenError, SourceError, cause_of
from agent.intake import Intake
from agent.sources.base import (
    Health,
    Remark,
    SourceReport,
    TagBinding,
    parse_all,
    tag_ids,
)
from agent.types import Quality, SourceState

# What it has to say reaches people as the source's state; each retry in the log is a flood.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

_KEEP_ALIVE_S = 2.0  # the server's sign of life where nothing changes
_STALE_AFTER = 3  # keep-alives missed until the source is stale
_LOST_AFTER = 8  # and until the session is given up
_SESSION_TIMEOUT_MS = 60_000
_ITEMS_PER_CALL = 1_000  # fewer where the server says it is too many
_NOTIFICATIONS_PER_PUBLISH = 10_000
_QUEUE = (100, 1_000)  # samples that the server keeps for an item between two publishes
_REFUSED_RETRY_S = 30.0
_CLOSE_S = 2.0

_POLICIES: dict[str, Any] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_NOT_THERE = frozenset(
    {
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadNodeIdInvalid,
        StatusCodes.BadAttributeIdInvalid,
        StatusCodes.BadNotReadable,
        StatusCodes.BadUserAccessDenied,
    }
)
_FAILURES = (OSError, TimeoutError, UaError, ValueError, FieldwardenError)


async def _secure(name: str, config: OpcUaSource, client: Client) -> None:
    """Security policy, certificates and login, as configured."""
    if config.security != "None":
        needed = ("certificate", "private_key", "server_certificate")
        if missing := [key for key in needed if not getattr(config, key)]:
            cause = f"security {config.security} needs {', '.join(missing)}"
            hint = "name the files in this source's table; the server's certificate is pinned"
            raise SourceError("securing", f"source {name!r}", cause, hint)
        # Servers compare the URI in our certificate with the session's.
        uris = read_certificate(Path(config.certificate)).uris
        client.application_uri = uris[0] if uris else client.application_uri
        await client.set_security(
            _POLICIES[config.security],
            config.certificate,
            config.private_key,
            server_certificate=config.server_certificate,
            mode=getattr(ua.MessageSecurityMode, config.mode),
        )
    if config.username:
        client.set_user(config.username)
        client.set_password(password(config) or "")


@contextlib.asynccontextmanager
async def _session(name: str, config: OpcUaSource, timeout_s: float) -> AsyncIterator[Client]:
    """A connected session that is closed on the way out, whatever happened."""
    client = Client(config.endpoint, timeout=timeout_s, watchdog_intervall=max(5.0, timeout_s))
    client.name = client.description = "Fieldwarden"
    client.session_timeout = _SESSION_TIMEOUT_MS
    try:
        await _secure(name, config, client)
        async with asyncio.timeout(2 * timeout_s):
            await client.connect()
        yield client
    finally:
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(_CLOSE_S):
                await client.disconnect()
        if client.uaclient.protocol is not None:
            client.disconnect_socket()


async def _node_ids(client: Client, addresses: Sequence[Address]) -> list[ua.NodeId | None]:
    """The nodes of all addresses; None where the server lacks the namespace."""
    by_uri = any(address.uri for address in addresses)
    namespaces = await client.get_namespace_array() if by_uri else []
    found: list[ua.NodeId | None] = []
    for address in addresses:
        try:
            found.append(ua.NodeId.from_string(address.text(namespaces)))
        except (SourceError, UaError, ValueError):
            found.append(None)
    return found


class _Subscription:
    """One subscription of one session, until it is lost.

    Args:
        link: whom it serves.
        client: connected.
    """

    def __init__(self, link: OpcUaLink, client: Client) -> None:
        self._link = link
        self._client = client
        self._id = 0
        self._keep_alive_s = _KEEP_ALIVE_S
        self._heard_s = asyncio.get_running_loop().time()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._nodes: list[ua.NodeId | None] = []
        self._per_call = _ITEMS_PER_CALL
        self.refused: dict[int, str] = {}  # column -> what the server said

    async def serve(self) -> None:
        """Subscribe, and raise as soon as the session is lost."""
        self._nodes = await _node_ids(self._client, self._link.addresses)
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
        await self._monitor(range(len(self._nodes)))
        await self._watch()

    async def _monitor(self, columns: Sequence[int]) -> None:
        """Create the monitored items of these columns; refusals are noted and make bad samples."""
        for column in columns:
            self.refused.pop(column, None)
        wanted = [column for column in columns if self._nodes[column] is not None]
        for column in columns:
            if self._nodes[column] is None:
                self.refused[column] = "no such namespace"
        while wanted:
            part, wanted = wanted[: self._per_call], wanted[self._per_call :]
            try:
                results = await self._create(part)
            except UaStatusCodeError as error:
                if error.code != StatusCodes.BadTooManyOperations or len(part) == 1:
                    raise
                self._per_call = len(part) // 2
                wanted = part + wanted
                continue
            for column, result in zip(part, results, strict=True):
                if not result.StatusCode.is_good():
                    self.refused[column] = result.StatusCode.name
        self._link.refusals([column for column in columns if column in self.refused])

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
        loop = asyncio.get_running_loop()
        retry_s = loop.time() + _REFUSED_RETRY_S
        while True:
            is_silent = self.silence_s() > _STALE_AFTER * self._keep_alive_s
            self._link.session(is_silent=is_silent, refused=self.refused)
            await asyncio.wait({self._lost}, timeout=self._keep_alive_s / 2)
            if self._lost.done():
                raise ConnectionError(self._lost.result())
            if self.silence_s() > _LOST_AFTER * self._keep_alive_s:
                raise ConnectionError(f"no sign of life for {self.silence_s():.0f} s")
            if self.refused and loop.time() > retry_s:
                retry_s = loop.time() + _REFUSED_RETRY_S
                await self._monitor(sorted(self.refused))

    def silence_s(self) -> float:
        """Seconds since the latest publish response."""
        return asyncio.get_running_loop().time() - self._heard_s

    def _published(self, result: Any) -> None:
        """Take a publish response, sent also where there is nothing to say (keep-alive)."""
        self._heard_s = asyncio.get_running_loop().time()
        for data in result.NotificationMessage.NotificationData or ():
            if isinstance(data, ua.DataChangeNotification):
                self._link.take(data.MonitoredItems)
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
        self._tags = tags
        self._tag = tag_ids(tags)
        self._health = Health(name, config.protocol, intake, self._tag)
        self.addresses = parse_all(name, tags, decode.parse_address)
        self._decoder = Decoder(
            self._tag, [binding.is_text for binding in tags.values()], dictionary
        )
        self.publishing_s = config.publishing / 1e9
        self.sampling_s = [
            (binding.tag.interval or config.publishing) / 1e9 for binding in tags.values()
        ]
        self._refused: dict[int, str] = {}

    def describe(self) -> SourceReport:
        """State and counts; the plan names the nodes that the server refused."""
        names = list(self._tags)
        plan = [f"subscription of {len(names)} nodes, published every {self.publishing_s:g} s"]
        plan += [f"refused: {names[column]}: {said}" for column, said in self._refused.items()]
        if self._decoder.overflowed:
            plan.append(f"the server's queues overflowed {self._decoder.overflowed} times")
        return self._health.report(tuple(plan))

    async def run(self) -> None:
        """Connect and subscribe until cancelled."""
        backoff = Backoff()
        while True:
            try:
                async with _session(self._name, self._config, self._config.timeout / 1e9) as client:
                    await _Subscription(self, client).serve()
            except Exception as error:  # noqa: BLE001 - a strange server can make asyncua raise all
                if self._health.state is not SourceState.FAILED:
                    backoff.reset()
                self._health.failed(f"{self._config.endpoint}: {cause_of(error)}")
            await asyncio.sleep(backoff.next_s())

    def take(self, items: Sequence[Any]) -> None:
        """All items of a notification."""
        samples = self._decoder.decode(items)
        self._health.take(samples)
        self._health.arrived(len(samples))

    def refusals(self, columns: Sequence[int]) -> None:
        """Make the tags bad whose nodes the server refused."""
        count = len(columns)
        bad = np.full(count, int(Quality.BAD), np.uint16)
        none = np.zeros(count, np.int64)
        tag = self._tag[np.array(columns, np.intp)]
        self._health.take(Samples(tag, none, np.full(count, np.nan), bad))

    def session(self, *, is_silent: bool, refused: Mapping[int, str]) -> None:
        """What the session looks like now."""
        self._refused = dict(refused)
        if is_silent:
            self._health.stale("connected, but not even keep-alives arrive")
        else:
            self._health.live(f"{len(refused)} nodes are refused" if refused else "")


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


def on_paper(
    name: str,  # noqa: ARG001 - the same for all sources
    config: OpcUaSource,
    tags: Mapping[str, TagBinding],  # noqa: ARG001
) -> list[Remark]:
    """What security lacks; see `agent.sources.SourceKind.on_paper`."""
    if config.security == "None":
        return []
    if not config.certificates:
        hint = "give `certificate` and `private_key` of the agent"
        return [Remark("fault", f"{config.security} needs the agent's own certificate", hint)]
    if not config.server_certificate:
        hint = "give the server's certificate as `server_certificate`"
        return [Remark("warning", "any server certificate is accepted", hint)]
    return []


async def probe(
    name: str, config: OpcUaSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> list[str]:
    """Connect and read every node once; see `agent.sources.SourceKind.probe`."""
    addresses = parse_all(name, tags, decode.parse_address)
    subject = f"source {name!r} at {config.endpoint}"
    try:
        async with _session(name, config, timeout_s) as client:
            nodes = await _node_ids(client, addresses)
            values = iter(
                await client.uaclient.read_attributes(
                    [node for node in nodes if node is not None], AttributeIds.Value
                )
            )
            read = [None if node is None else next(values) for node in nodes]
    except _FAILURES as error:
        hint = getattr(error, "hint", "") or "is the server running, and the endpoint right?"
        raise SourceError("connecting to", subject, cause_of(error), hint) from error
    unknown = []
    for (tag, binding), value in zip(tags.items(), read, strict=True):
        status = None if value is None else value.StatusCode or ua.StatusCode()
        if status is None or status.value in _NOT_THERE:
            said = "no such namespace" if status is None else status.name
            unknown.append(f"{tag} ({binding.tag.address}): {said}")
    if unknown:
        hint = "compare the addresses with the server's address space, namespace index first"
        raise SourceError("resolving nodes of", subject, "; ".join(unknown), hint)
    return [f"{len(read)} nodes found, published every {config.publishing / 1e9:g} s"]
