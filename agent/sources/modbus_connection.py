"""The TCP connection to a Modbus place: one for each (host, port), whatever units are behind it.

Invariants:
- one request at a time, the next one as soon as the answer is there;
- a connection on which an answer failed to come is closed: a late answer is never taken for the
  answer to a later request.

pymodbus's own client takes half as long again for a request, tells neither why it could not
connect nor at once that the device hung up, and goes on after a timeout on the same connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from agent.decode.modbus import Request
from agent.errors import SourceError, cause_of
from agent.sources.modbus_framing import Framing, NotUnderstoodError


class _Wire(asyncio.Protocol):
    """One TCP connection: one question at a time, the next one as soon as the answer is there."""

    def __init__(self) -> None:
        self._framing = Framing()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._requests: Sequence[Request] = ()
        self._unit = 0
        self._done: asyncio.Future[None] | None = None
        self._limit_s = self._latest_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.answers: list[bytes | int] = []

    async def ask(
        self, requests: Sequence[Request], unit: int, limit_s: float
    ) -> list[bytes | int]:
        """The answers in order: data or exception code; `answers` has what came where this raises.

        Raises:
            TimeoutError: an answer took longer than `limit_s`.
            OSError: the connection ended.
            NotUnderstoodError: an answer could not be understood.
        """
        self.answers, self._requests, self._unit = [], requests, unit
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
        request = self._requests[len(self.answers)]
        self._latest_s = self._loop.time() + self._limit_s
        self._transport.write(self._framing.question(request, self._unit))

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
        try:
            answer = self._framing.answer(data)
        except NotUnderstoodError as error:
            self._fail(error)
            return
        if answer is None:
            return
        self.answers.append(answer)
        if len(self.answers) < len(self._requests):
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
                answers = await wire.ask(requests, unit, timeout_s)
                answered = True
                return answers
            except TimeoutError as error:
                raise self._error(requests, unit, f"no answer within {timeout_s:g} s") from error
            except (NotUnderstoodError, OSError) as error:
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
