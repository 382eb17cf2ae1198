"""OPC UA by subscription.

Invariants:
- a notification is taken whole, in the callback of its publish response, and leaves as columns.
  (asyncua's own subscription makes a task for each value, 20 to 30 us, or an iterator that silently
  drops what is older than its last 1,000.)
- what a value is, is told before the value is handed on (`opcua_contract`);
- nothing is written, and no node is called: only reads and subscriptions are sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from asyncua.client.client import Client

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
    Telling,
    by_cause,
    parse_all,
    tag_ids,
)
from agent.sources.opcua_burst import Bursts
from agent.sources.opcua_contract import Watch
from agent.sources.opcua_nodes import Nodes, Refusal
from agent.sources.opcua_reading import Limits
from agent.sources.opcua_session import explained, session
from agent.sources.opcua_subscription import Subscription
from agent.sources.telling import Teller, in_turns
from agent.types import Quality, SourceState

# What it has to say reaches people as the source's state; each retry in the log is a flood.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

_NAMESPACES = "namespaces"


class OpcUaLink:
    """See `agent.sources.SourceKind.create`."""

    def __init__(
        self,
        name: str,
        config: OpcUaSource,
        tags: Mapping[str, TagBinding],
        intake: Intake,
        dictionary: Dictionary,
        served: Telling | None = None,
    ) -> None:
        self._name = name
        self._config = config
        self._tag = tag_ids(tags)
        self._teller = Teller(name, served, intake)
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
                    await Subscription(self, client).serve()
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

    def watch(
        self, client: Client, limits: Limits, gone: Callable[[Mapping[int, Refusal]], None],
        give_up: Callable[[str], None],
    ) -> Watch | None:  # fmt: skip
        """What tells what the nodes of a new session are; None where nobody listens."""
        self._decoder.forget()
        if not self._teller.is_heard:
            return None
        period_s = self._config.contract_check / 1e9
        return Watch(client, self.names, self._teller, limits, period_s, gone, give_up)

    def take(
        self, items: Sequence[Any], bursts: Bursts | None = None, contract: Watch | None = None,
        events: Sequence[Any] = (),
    ) -> None:  # fmt: skip
        """All that a publish response holds; of a burst after silence what is late is marked.

        What values are is told before they are handed on.
        """
        samples = self._decoder.decode(items)
        if bursts is not None:
            bursts.mark(samples)
        decoder = self._decoder
        if contract is None or not (decoder.aside or decoder.news or events):
            self._health.take(samples)
        else:
            columns = {item.ClientHandle for item in items}
            later = contract.announced(decoder.aside, events, columns)
            begin = 0
            for row, told in in_turns(contract.in_band(decoder.news), decoder.handles):
                self._health.take(samples.part(begin, row))
                contract.tell(told, "in band")
                begin = row
            self._health.take(samples.part(begin, len(samples)))
            contract.tell(later, "announced")
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
    served: Telling | None = None,
) -> OpcUaLink:
    """See `agent.sources.SourceKind.create`."""
    return OpcUaLink(name, config, tags, intake, dictionary, served)
