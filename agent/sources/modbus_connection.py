"""The TCP connection to a Modbus place: one for each (host, port), whatever units are behind it.

Invariants:
- one request at a time, the next one as soon as the answer is there;
- a connection is closed as soon as it is in doubt: an answer failed to come or could not be
  understood, bytes came that nobody asked for, or the device does not repeat transaction ids. So
  a late or doubled answer never becomes that of a later request;
- a device that hangs up between two requests is connected to anew, once for each request.

pymodbus's own client takes half as long again for a request, tells neither why it could not
connect nor at once that the device hung up, and goes on after a timeout on the same connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Self
from weakref import WeakValueDictionary

from agent.decode.modbus import Identification, Request
from agent.errors import SourceError, cause_of
from agent.sources.modbus_framing import Framing, NotUnderstoodError, OtherFormError

_STRANGE_IDS = 3  # fresh connections in a row with one, until the device is held to repeat none


class NoAnswerError(SourceError):
    """Connected, but this request had no answer that can be used; others may.

    Attributes:
        is_other_form: it had one, but of another function or length.
    """

    is_other_form = False


class _Wire(asyncio.Protocol):
    """One TCP connection: one question at a time."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes | int] | None = None
        self._is_spoilt = False
        self.is_fresh = True

    @property
    def is_usable(self) -> bool:
        """Whether a question may be sent: it is open, and nothing is left of earlier answers."""
        return self._transport is not None and not self._is_spoilt and self._framing.is_clean

    async def ask(
        self, request: Request | Identification, unit: int, limit_s: float
    ) -> bytes | int:
        """The answer: data or exception code.

        Raises:
            TimeoutError: it took longer than `limit_s`.
            OSError: the connection ended.
            NotUnderstoodError: it could not be understood.
        """
        if self._transport is None:
            raise ConnectionResetError("the device closed the connection")
        self._answer = self._loop.create_future()
        timer = self._loop.call_later(limit_s, self._fail, TimeoutError())
        try:
            self._transport.write(self._framing.question(request, unit))
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None
            self.is_fresh = False

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
        waiting = self._answer
        if waiting is None or waiting.done():
            self._is_spoilt = True  # nobody asked for it
            return
        try:
            answer = self._framing.answer(data)
        except NotUnderstoodError as error:
            self._fail(error)
            return
        if answer is not None:
            waiting.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Connection:
    """The connection to one place, made at need, shared by all units behind it."""

    _shared: ClassVar[WeakValueDictionary[tuple[str, int], Connection]] = WeakValueDictionary()

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = asyncio.Lock()
        self._wire: _Wire | None = None
        self._framing = Framing()
        self._echoes = False
        self._strange_ids = 0
        self._users = 0
        self.made = 0  # TCP connections so far

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

    @property
    def is_shared(self) -> bool:
        """Whether others use it as well."""
        return self._users > 1

    async def read(
        self, requests: Sequence[Request], unit: int, timeout_s: float
    ) -> list[bytes | int]:
        """For each request the answer's data, or the exception code.

        Raises:
            SourceError: as of `ask`, of the first request that had none.
        """
        return [await self.ask(request, unit, timeout_s) for request in requests]

    async def ask(
        self, request: Request | Identification, unit: int, timeout_s: float
    ) -> bytes | int:
        """The answer's data, or the exception code.

        Raises:
            NoAnswerError: connected, but no answer in time, or none that can be understood.
            SourceError: there is no connection.
        """
        async with self._lock:
            answered = False
            try:
                answer = await self._asked(request, unit, timeout_s)
                answered = True
                return answer
            except TimeoutError as error:
                raise self._no_answer(request, unit, f"no answer within {timeout_s:g} s") from error
            except (NotUnderstoodError, OSError) as error:
                failure = self._no_answer(request, unit, cause_of(error))
                failure.is_other_form = isinstance(error, OtherFormError)
                raise failure from error
            finally:
                if not answered:
                    self.close()

    async def _asked(
        self, request: Request | Identification, unit: int, timeout_s: float
    ) -> bytes | int:
        wire = await self._connected(timeout_s)
        was_fresh = wire.is_fresh
        try:
            answer = await wire.ask(request, unit, timeout_s)
        except TimeoutError:
            raise
        except OSError:
            # Many devices hang up when they have been silent, or after each answer.
            if was_fresh:
                raise
            self.close()
            wire = await self._connected(timeout_s)
            answer = await wire.ask(request, unit, timeout_s)
        except NotUnderstoodError:
            self._note_strange(was_fresh=was_fresh)
            raise
        self._strange_ids = 0
        self._echoes = bool(self._framing.echoed)
        return answer

    def _note_strange(self, *, was_fresh: bool) -> None:
        """A device that repeated ids and does so no longer (another one now) is believed late."""
        self._strange_ids += was_fresh
        if self._strange_ids >= _STRANGE_IDS:
            self._echoes, self._strange_ids = False, 0

    async def _connected(self, timeout_s: float) -> _Wire:
        if self._wire is not None and not self._wire.is_usable:
            self.close()
        if self._wire is None:
            framing = self._framing = Framing(echoes=self._echoes)
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(timeout_s):
                    _, self._wire = await loop.create_connection(
                        lambda: _Wire(framing), self._host, self._port
                    )
                self.made += 1
            except TimeoutError as error:
                cause = f"no connection within {timeout_s:g} s"
                raise SourceError("connecting to", self._place, cause) from error
            except OSError as error:
                raise SourceError("connecting to", self._place, cause_of(error)) from error
        return self._wire

    @property
    def _place(self) -> str:
        return f"{self._host}:{self._port}"

    def close(self) -> None:
        """Close; the next `read` connects again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _no_answer(
        self, request: Request | Identification, unit: int, cause: str
    ) -> NoAnswerError:
        return NoAnswerError(f"reading {request} from", f"{self._place} unit {unit}", cause)
