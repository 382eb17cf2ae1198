"""Modbus TCP: planned polls; the only module that imports pymodbus.

Invariants:
- only functions 1 to 4 (reads) are ever sent;
- one TCP connection for each (host, port), whatever units are behind it, one request at a time;
- a connection on which an answer failed to come is closed: a late answer is never taken for the
  answer to a later request;
- a refused read is narrowed down at once, so that an address the device does not have costs its
  own tag and no other.

pymodbus' own conversion of registers costs 750 ns a value; here its answers keep the bytes, and
`agent.decode.modbus` views them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from pymodbus import ModbusException
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from agent.config import ModbusSource
from agent.decode import modbus as decode
from agent.decode.columns import Dictionary
from agent.decode.modbus import Address, Decoder, Request
from agent.errors import SourceError
from agent.intake import Intake
from agent.sources.base import (
    Backoff,
    Health,
    SourceReport,
    TagBinding,
    parse_all,
    tag_ids,
    why,
)
from agent.types import SourceState

# What it has to say reaches people as the source's state; each retry in the log is a flood.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_REQUESTS: dict[str, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_NARROWED = (decode.ILLEGAL_ADDRESS, decode.ILLEGAL_VALUE)
_LIBRARY_TIMEOUT_S = 3600.0  # ours is shorter, and closes the connection as it should


class _RawAnswer(ModbusPDU):
    """An answer that keeps its data as bytes."""

    data: bytes = b""

    def decode(self, data: bytes) -> None:
        """Take the data without the leading count; what is too short stays empty."""
        if data and len(data) > data[0]:
            self.data = data[1 : 1 + data[0]]

    def __str__(self) -> str:
        return type(self).__name__  # pymodbus formats every answer, whether it is logged or not


_ANSWERS = [
    type(f"RawAnswer{code}", (_RawAnswer,), {"function_code": code}) for code in (1, 2, 3, 4)
]


class Connection:
    """One TCP connection, shared by all units behind it."""

    _shared: ClassVar[WeakValueDictionary[tuple[str, int], Connection]] = WeakValueDictionary()

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = asyncio.Lock()
        self._client: AsyncModbusTcpClient | None = None
        self._users = 0

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            self.close()

    @classmethod
    def to(cls, host: str, port: int) -> Connection:
        """The connection to a place; made where nobody has it yet."""
        connection = cls._shared.get((host, port))
        if connection is None:
            connection = cls._shared[host, port] = cls(host, port)
        return connection

    async def read(self, request: Request, unit: int, timeout_s: float) -> bytes | int:
        """The answer's data, or the exception code.

        Raises:
            SourceError: no connection, no answer in time, or none that can be understood.
        """
        async with self._lock:
            answered = False
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await self._exchange(request, unit)
                answered = True
                return answer
            except TimeoutError as error:
                cause = f"no answer within {timeout_s:g} s"
                raise self._error(request, unit, cause) from error
            except Exception as error:  # a strange device can make pymodbus raise all
                raise self._error(request, unit, why(error)) from error
            finally:
                if not answered:
                    self.close()

    async def _exchange(self, request: Request, unit: int) -> bytes | int:
        client = self._client or await self._connect()
        pdu = _REQUESTS[request.area](address=request.start, count=request.count, dev_id=unit)
        answer = await client.execute(False, pdu)
        if answer.isError():
            return int(answer.exception_code)
        if not isinstance(answer, _RawAnswer) or answer.function_code != pdu.function_code:
            raise ModbusException(f"answered with function {answer.function_code}")
        return answer.data

    async def _connect(self) -> AsyncModbusTcpClient:
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=_LIBRARY_TIMEOUT_S,
            retries=0,
            reconnect_delay=0,
            trace_connect=self._connection_changed,
        )
        for answer in _ANSWERS:
            client.register(answer)
        self._client = client
        if not await client.connect():
            await self._explain()
        return client

    async def _explain(self) -> None:
        """Raise the reason for which there is no connection; pymodbus only logs it."""
        _, writer = await asyncio.open_connection(self._host, self._port)
        writer.close()
        raise ConnectionError("the connection failed")

    def _connection_changed(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus' signature
        """Let a request that waits fail at once; pymodbus would let it wait for its timeout."""
        client = self._client
        if not connected and client is not None and not client.ctx.response_future.done():
            client.ctx.response_future.set_exception(
                ConnectionResetError("the device closed the connection")
            )

    def close(self) -> None:
        """Close; the next `read` connects again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _error(self, request: Request, unit: int, cause: str) -> SourceError:
        place = f"{self._host}:{self._port} unit {unit}"
        return SourceError(f"reading {request} from", place, cause)


class _Poll:
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

    def lines(self) -> list[str]:
        """The plan, for people."""
        return [f"every {self.interval_s:g} s: {self.text(each)}" for each in self.requests]


def _polls(name: str, config: ModbusSource, tags: Mapping[str, TagBinding]) -> list[_Poll]:
    addresses = dict(zip(tags, parse_all(name, tags, decode.parse_address), strict=True))
    intervals = {tag: binding.tag.interval or config.every for tag, binding in tags.items()}
    polls = []
    for interval in sorted(set(intervals.values())):
        chosen = {tag: tags[tag] for tag in tags if intervals[tag] == interval}
        polls.append(
            _Poll(interval / 1e9, chosen, [addresses[tag] for tag in chosen], config.max_gap)
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
        self._polls = _polls(name, config, tags)
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

    async def take(self, poll: _Poll) -> None:
        """One poll: read, decode, hand over."""
        answers: list[tuple[Request, bytes | int]] = []
        for request in poll.requests:
            answers += await _narrowed(self._read, request, poll.addresses)
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

    async def _read(self, request: Request) -> bytes | int:
        answer = await self._connection.read(request, self._unit, self._timeout_s)
        self._bytes += len(answer) if isinstance(answer, bytes) else 0
        return answer


async def _narrowed(
    read: Callable[[Request], Awaitable[bytes | int]], request: Request, addresses: list[Address]
) -> list[tuple[Request, bytes | int]]:
    """One read, in smaller ones where the device refuses it as it is."""
    answer = await read(request)
    if answer in _NARROWED and len(request.columns) > 1:
        parts = decode.split(request, addresses)
        return [pair for part in parts for pair in await _narrowed(read, part, addresses)]
    return [(request, answer)]


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


async def probe(
    name: str, config: ModbusSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> list[str]:
    """Read every planned request once; see `agent.sources.SourceKind.probe`."""
    lines: list[str] = []
    refused: list[str] = []
    polls = _polls(name, config, tags)
    with Connection(config.host, config.port) as connection:

        async def read(request: Request) -> bytes | int:
            return await connection.read(request, config.unit, timeout_s)

        for poll in polls:
            lines += poll.lines()
            for planned in poll.requests:
                for request, answer in await _narrowed(read, planned, poll.addresses):
                    if isinstance(answer, int):
                        refused.append(f"{poll.text(request)}: {decode.exception_text(answer)}")
    if refused:
        hint = "compare area, offset and unit with the device's register list; offsets start at 0"
        raise SourceError("reading", f"source {name!r}", "; ".join(refused), hint)
    return lines
