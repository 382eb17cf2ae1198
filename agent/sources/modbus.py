"""Modbus TCP: planned polls, and what the device refuses of them.

Invariants:
- what is due together is read together, in few requests;
- a refused read is narrowed down at once, so that an address the device does not have costs its
  own tag and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.backoff import Backoff
from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.columns import Dictionary
from agent.decode.modbus import Address, Decoder, Request
from agent.errors import SourceError
from agent.intake import Intake
from agent.sources.base import Health, Remark, SourceReport, TagBinding, parse_all, tag_ids
from agent.sources.modbus_connection import Connection
from agent.types import SourceState

_NARROWED = (decode.ILLEGAL_ADDRESS, decode.ILLEGAL_VALUE)


class Poll:
    """What is read together, at one interval."""

    def __init__(
        self, interval_s: float, tags: Mapping[str, TagBinding], addresses: list[Address], gap: int
    ) -> None:
        self.interval_s = interval_s
        self.due_s = 0.0
        self.tag = tag_ids(tags)
        self.addresses = addresses
        self._names = list(tags)
        self._gap = gap
        self.plan()

    def plan(self) -> None:
        """Few reads, as if the device had every address between the tags."""
        self.use(decode.plan(self.addresses, self._gap))

    def use(self, requests: Sequence[Request]) -> None:
        """Read like this from now on."""
        self.requests = tuple(requests)
        self.decoder = Decoder(self.addresses, self.requests)

    def text(self, request: Request) -> str:
        """One read and its tags, for people."""
        return f"{request} for " + ", ".join(self._names[column] for column in request.columns)

    def summary(self) -> str:
        """How many tags in which reads, for people."""
        tags, count = len(self.tag), len(self.requests)
        return (
            f"{tags} tag{'s' * (tags != 1)} in {count} request{'s' * (count != 1)} "
            f"every {self.interval_s:g} s: {', '.join(map(str, self.requests))}"
        )

    def lines(self) -> list[str]:
        """The plan, for people."""
        return [f"every {self.interval_s:g} s: {self.text(each)}" for each in self.requests]


def plan_polls(name: str, config: ModbusSource, tags: Mapping[str, TagBinding]) -> list[Poll]:
    """One poll for each interval that the tags ask for, the shortest first.

    Raises:
        ConfigurationError: addresses that are not understood, all at once.
    """
    addresses = dict(zip(tags, parse_all(name, tags, decode.parse_address), strict=True))
    intervals = {tag: binding.tag.interval or config.every for tag, binding in tags.items()}
    polls = []
    for interval in sorted(set(intervals.values())):
        chosen = {tag: tags[tag] for tag in tags if intervals[tag] == interval}
        polls.append(
            Poll(interval / 1e9, chosen, [addresses[tag] for tag in chosen], config.max_gap)
        )
    return polls


class ModbusLink:
    """See `agent.sources.SourceKind.create`."""

    def __init__(
        self, name: str, config: ModbusSource, tags: Mapping[str, TagBinding], intake: Intake
    ) -> None:
        self._name = name
        self._unit = config.unit
        self._timeout_s = config.timeout / 1e9
        self._intake = intake
        self._polls = plan_polls(name, config, tags)
        self._health = Health(name, config.protocol, intake, tag_ids(tags))
        self._connection = Connection.to(config.host, config.port)
        self._bytes = 0

    def describe(self) -> SourceReport:
        """State, counts and the request plan as it is now."""
        plan = tuple(line for poll in self._polls for line in poll.lines())
        return self._health.report(plan, size=self._bytes)

    async def run(self) -> None:
        """Poll until cancelled."""
        backoff = Backoff()
        if not self._polls:
            self._health.failed("no tag is read from this source")
            await asyncio.Event().wait()
        with self._connection:
            while True:
                try:
                    await self._serve(backoff)
                except SourceError as error:
                    self._health.failed(f"{error.operation} {error.subject}: {error.cause}")
                for poll in self._polls:
                    poll.plan()
                await asyncio.sleep(backoff.next_s())

    async def _serve(self, backoff: Backoff) -> None:
        """Poll whatever is due until the device fails twice in a row."""
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            poll.due_s = loop.time()
        while True:
            poll = min(self._polls, key=lambda candidate: candidate.due_s)
            await asyncio.sleep(max(0.0, poll.due_s - loop.time()))
            try:
                await self.take(poll)
            except SourceError:
                # One answer that fails to come is no lost device: a fresh connection is tried.
                if self._health.state is not SourceState.LIVE:
                    raise
                await self.take(poll)
            backoff.reset()
            late_s = max(0.0, loop.time() - poll.due_s)
            poll.due_s += poll.interval_s * (1 + late_s // poll.interval_s)

    async def take(self, poll: Poll) -> None:
        """One poll: read, decode, hand over."""
        answers = await _narrowed(self._read, poll.requests, poll.addresses)
        requests = tuple(request for request, _ in answers)
        if requests != poll.requests:
            poll.use(requests)
        refusals = {answer for _, answer in answers if isinstance(answer, int)}
        reason = ", ".join(decode.exception_text(code) for code in sorted(refusals))
        if all(answer in decode.NOT_REACHED for _, answer in answers):
            raise SourceError("reading unit", f"{self._unit} of source {self._name!r}", reason)
        value, quality = poll.decoder.decode([answer for _, answer in answers])
        self._intake.append(poll.tag, None, value, quality, source=self._name)
        self._health.arrived(len(value))
        self._health.live(f"some reads are refused: {reason}" if reason else "")

    async def _read(self, requests: Sequence[Request]) -> list[bytes | int]:
        answers = await self._connection.read(requests, self._unit, self._timeout_s)
        self._bytes += sum(len(answer) for answer in answers if isinstance(answer, bytes))
        return answers


async def _narrowed(
    read: Callable[[Sequence[Request]], Awaitable[list[bytes | int]]],
    requests: Sequence[Request],
    addresses: list[Address],
) -> list[tuple[Request, bytes | int]]:
    """Read, and read again in smaller parts what the device refuses as it is."""
    found: list[tuple[Request, bytes | int]] = []
    for request, answer in zip(requests, await read(requests), strict=True):
        if answer in _NARROWED and len(request.columns) > 1:
            found += await _narrowed(read, decode.split(request, addresses), addresses)
        else:
            found.append((request, answer))
    return found


def create(
    name: str,
    config: ModbusSource,
    tags: Mapping[str, TagBinding],
    intake: Intake,
    *,
    dictionary: Dictionary,  # noqa: ARG001 - registers hold no texts
    gateway: str,  # noqa: ARG001 - Modbus knows no names
) -> ModbusLink:
    """See `agent.sources.SourceKind.create`."""
    return ModbusLink(name, config, tags, intake)


def on_paper(name: str, config: ModbusSource, tags: Mapping[str, TagBinding]) -> list[Remark]:
    """The requests of each interval; see `agent.sources.SourceKind.on_paper`."""
    return [Remark("ok", poll.summary()) for poll in plan_polls(name, config, tags)]


async def probe(
    name: str, config: ModbusSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> list[str]:
    """Read every planned request once; see `agent.sources.SourceKind.probe`."""
    lines: list[str] = []
    refused: list[str] = []
    polls = plan_polls(name, config, tags)
    with Connection(config.host, config.port) as connection:

        async def read(requests: Sequence[Request]) -> list[bytes | int]:
            return await connection.read(requests, config.unit, timeout_s)

        for poll in polls:
            lines += poll.lines()
            for request, answer in await _narrowed(read, poll.requests, poll.addresses):
                if isinstance(answer, int):
                    refused.append(f"{poll.text(request)}: {decode.exception_text(answer)}")
    if refused:
        hint = "compare area, offset and unit with the device's register list; offsets start at 0"
        raise SourceError("reading", f"source {name!r}", "; ".join(refused), hint)
    return lines
