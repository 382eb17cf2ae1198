"""Modbus TCP: planned polls; the only module that imports pymodbus.

Invariants:
- only functions 1 to 4 (reads) are ever sent;
- one TCP connection for each (host, port), whatever units are behind it, one request at a time;
- a connection on which an answer failed to come is closed: a late answer is never taken for the
  answer to a later request;
- a refused read is narrowed down at once, so that an address the device does not have costs its
  own tag and no other.

pymodbus makes the frames and reads them. Its conversion of registers costs 750 ns a value: here
its answers keep the bytes, and `agent.decode.modbus` views them. Its client takes half as long
again for a request as the connection here, tells neither why it could not connect nor at once
that the device hung up, and goes on after a timeout on the same connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from pymodbus import ModbusException
from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.columns import Dictionary
from agent.decode.modbus import Address, Request
from agent.errors import SourceError, cause_of
from agent.intake import Intake
from agent.sources.base import (
    Backoff,
    Health,
    SourceReport,
    TagBinding,
    tag_ids,
)
from agent.sources.modbus_plan import Poll, plan_polls
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
_BUFFER_BYTES = 4 * 260  # the longest frame has 260 bytes; a device that babbles fills no memory


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


@lru_cache(maxsize=4096)
def _question(area: str, start: int, count: int, unit: int) -> ModbusPDU:
    """Kept from poll to poll; only its transaction number changes, each time it is sent."""
    return _REQUESTS[area](address=start, count=count, dev_id=unit)


class _Wire(asyncio.Protocol):
    """One TCP connection: one question at a time, the next one as soon as the answer is there."""

    def __init__(self) -> None:
        decoder = DecodePDU(is_server=False)
        for answer in _ANSWERS:
            decoder.register(answer)
        self._framer = FramerSocket(decoder)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._questions: Sequence[ModbusPDU] = ()
        self._done: asyncio.Future[None] | None = None
        self._limit_s = self._latest_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = b""
        self._number = 0
        self.answers: list[ModbusPDU] = []

    async def ask(self, questions: Sequence[ModbusPDU], limit_s: float) -> list[ModbusPDU]:
        """The answers in order; `answers` has those that came where this raises.

        Raises:
            TimeoutError: an answer took longer than `limit_s`.
            OSError: the connection ended.
            ModbusException: an answer could not be understood.
        """
        self.answers, self._questions = [], questions
        self._done, self._limit_s = self._loop.create_future(), limit_s
        self._timer = self._loop.call_later(limit_s, self._check_time)
        try:
            self._send()
            await self._done
        finally:
            self._timer.cancel()
        return self.answers

    def _check_time(self) -> None:
        """One timer for all questions: each answer only moves what it looks at."""
        remaining_s = self._latest_s - self._loop.time()
        if remaining_s > 0.0:
            self._timer = self._loop.call_later(remaining_s, self._check_time)
        else:
            self._fail(TimeoutError())

    def _send(self) -> None:
        if self._transport is None:
            self._fail(ConnectionResetError("the device closed the connection"))
            return
        question = self._questions[len(self.answers)]
        self._number = question.transaction_id = self._number % 0xFFFF + 1
        self._buffer = b""
        self._latest_s = self._loop.time() + self._limit_s
        self._transport.write(self._framer.buildFrame(question))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._fail(ConnectionAbortedError("closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP is a full transport

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._fail(error or ConnectionResetError("the device closed the connection"))

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            return
        self._buffer = (self._buffer + data)[-_BUFFER_BYTES:]
        unit = self._questions[len(self.answers)].dev_id
        try:
            used, answer = self._framer.handleFrame(self._buffer, unit, self._number)
        except Exception as error:  # noqa: BLE001 - a strange device can make pymodbus raise all
            self._fail(ModbusException(f"not understood: {error}"))
            return
        self._buffer = self._buffer[used:]
        if answer is None:
            return
        self.answers.append(answer)
        if len(self.answers) < len(self._questions):
            self._send()
        else:
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


class Connection:
    """The connection to one place, made at need, shared by all units behind it."""

    _shared: ClassVar[WeakValueDictionary[tuple[str, int], Connection]] = WeakValueDictionary()

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = asyncio.Lock()
        self._wire: _Wire | None = None
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

    async def read(
        self, requests: Sequence[Request], unit: int, timeout_s: float
    ) -> list[bytes | int]:
        """For each request the answer's data, or the exception code.

        Raises:
            SourceError: no connection, no answer in time, or none that can be understood.
        """
        async with self._lock:
            answered = False
            try:
                wire = await self._connected(timeout_s)
                questions = [
                    _question(request.area, request.start, request.count, unit)
                    for request in requests
                ]
                answers = await wire.ask(questions, timeout_s)
                found = [_content(*pair) for pair in zip(questions, answers, strict=True)]
                answered = True
                return found
            except TimeoutError as error:
                raise self._error(requests, unit, f"no answer within {timeout_s:g} s") from error
            except (ModbusException, OSError) as error:
                raise self._error(requests, unit, cause_of(error)) from error
            finally:
                if not answered:
                    self.close()

    async def _connected(self, timeout_s: float) -> _Wire:
        if self._wire is None:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(timeout_s):
                _, self._wire = await loop.create_connection(_Wire, self._host, self._port)
        return self._wire

    def close(self) -> None:
        """Close; the next `read` connects again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _error(self, requests: Sequence[Request], unit: int, cause: str) -> SourceError:
        place = f"{self._host}:{self._port} unit {unit}"
        if self._wire is None:
            return SourceError("connecting to", place, cause)
        at = min(len(self._wire.answers), len(requests) - 1)
        return SourceError(f"reading {requests[at]} from", place, cause)


def _content(question: ModbusPDU, answer: ModbusPDU) -> bytes | int:
    if answer.isError():
        return int(answer.exception_code)
    if not isinstance(answer, _RawAnswer) or answer.function_code != question.function_code:
        raise ModbusException(f"answered with function {answer.function_code}")
    return answer.data


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
