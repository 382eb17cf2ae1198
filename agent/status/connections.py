"""Limits on HTTP connections that aiohttp does not have: how many, and how slow.

aiohttp waits for ever for a request's headers and for a reader that does not read. A `Guard`
stands between the transport and aiohttp's protocol, notes when each phase began, and one sweep
ends what takes too long. Counting and ending happen here, so nothing above has to be careful.

Invariant: every connection is in one of three phases: idle between requests (ended by aiohttp's
keep-alive timeout), sending its headers (at most `header_s`), or being answered (at most
`request_s`); and no answer lies unread for longer than `request_s`. With TLS there is one before,
the handshake, in which as many more may be; asyncio ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from agent import clock

_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: 30\r\n\r\ntoo many connections are open\n"
)
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain\r\n"
    b"Connection: close\r\nContent-Length: 26\r\n\r\nthe headers are too large\n"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the status server.

    Attributes:
        connections: open at the same time; further ones get 503.
        header_s: seconds from the first byte (or the connection) to the end of the headers.
        request_s: seconds for reading a body and answering, and for the client to read it.
        keepalive_s: seconds that an idle connection is kept.
        line_bytes: of the request line, and of one header (aiohttp's own limit).
        header_bytes: of all headers together.
        body_bytes: of a request's body.
    """

    connections: int = 64
    header_s: float = 5.0
    request_s: float = 15.0
    keepalive_s: float = 30.0
    line_bytes: int = 4096
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024


class Guard(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol and notes the phase."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._inner = inner
        self._refused = False
        self._header_bytes = 0
        self._tail = b""
        self._headers_complete = False
        self._more = False  # bytes came while answering: a body's rest, or the next request
        self.transport: asyncio.Transport | None = None
        self.answering = False
        self.since_ns: int | None = clock.monotonic_ns()
        self.unread_ns: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it where there are too many."""
        self.transport = cast("asyncio.Transport", transport)
        if self._connections.add(self):
            self._inner.connection_made(transport)
        else:
            self._refuse(_FULL, started=False)

    def data_received(self, data: bytes) -> None:
        """Hand bytes on, as long as the headers stay within their limit."""
        if self._refused:
            return
        if self.answering:
            self._more = True
        elif not self._headers_complete and not self._headers_fit(data):
            self._refuse(_TOO_LARGE, started=True)
            return
        self._inner.data_received(data)

    def _headers_fit(self, data: bytes) -> bool:
        if self.since_ns is None:
            self.since_ns = clock.monotonic_ns()
        window = self._tail + data
        end = window.find(b"\r\n\r\n")
        self._headers_complete = end >= 0
        self._header_bytes += len(data) if end < 0 else max(0, end - len(self._tail))
        self._tail = window[-3:]
        return self._header_bytes <= self._connections.limits.header_bytes

    def _refuse(self, answer: bytes, *, started: bool) -> None:
        self._refused = True
        if self.transport is not None:
            self.transport.write(answer)
            self.transport.close()
        if started:
            self._inner.connection_lost(None)

    def eof_received(self) -> bool | None:
        """Hand the end of the client's stream on."""
        return None if self._refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client reads slower than it is written to."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._connections.discard(self)
        if not self._refused:
            self._inner.connection_lost(exc)
        self.transport = None

    def begin(self) -> None:
        """The headers are complete; a request is being answered."""
        self.answering, self._more, self.since_ns = True, False, clock.monotonic_ns()

    def end(self) -> None:
        """The answer is on its way; what came meanwhile belongs to the next request."""
        self.answering, self._headers_complete = False, False
        self._header_bytes, self._tail = 0, b""
        self.since_ns = clock.monotonic_ns() if self._more else None


class Connections:
    """All open connections, and the sweep that ends those that take too long."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[asyncio.BaseTransport, Guard] = {}
        self._shaking: dict[Guard, int] = {}  # since when, monotonic ns
        self.refused = 0  # beyond the limit of open connections
        self.ended = 0  # too slow

    def __len__(self) -> int:
        return len(self._open)

    def factory(
        self, make: Callable[[], asyncio.Protocol], *, tls: bool = False
    ) -> Callable[[], Guard]:
        """A protocol factory for `loop.create_server`, around aiohttp's own."""
        return lambda: self._shaken(make) if tls else Guard(self, make())

    def _shaken(self, make: Callable[[], asyncio.Protocol]) -> Guard:
        """A guard for a connection whose handshake begins; asyncio drops it where this raises.

        Nobody is told of a handshake that fails, so each counts until its time is over.
        """
        now_ns, longest_ns = clock.monotonic_ns(), self.limits.header_s * 1e9
        self._shaking = {g: at for g, at in self._shaking.items() if now_ns - at < longest_ns}
        if len(self._shaking) >= self.limits.connections:
            self.refused += 1
            raise ConnectionAbortedError("too many TLS handshakes at the same time")
        guard = Guard(self, make())
        self._shaking[guard] = now_ns
        return guard

    def add(self, guard: Guard) -> bool:
        """Count a connection in; False where the limit is reached."""
        self._shaking.pop(guard, None)
        if len(self._open) >= self.limits.connections or guard.transport is None:
            self.refused += 1
            return False
        self._open[guard.transport] = guard
        return True

    def discard(self, guard: Guard) -> None:
        """Count a connection out."""
        if guard.transport is not None:
            self._open.pop(guard.transport, None)

    def find(self, transport: asyncio.BaseTransport | None) -> Guard | None:
        """The guard of a request's transport; None once the connection is gone."""
        return None if transport is None else self._open.get(transport)

    def sweep(self, now_ns: int) -> None:
        """End every connection that is over one of its times at `now_ns` (monotonic)."""
        for transport, guard in list(self._open.items()):
            if self._too_slow(guard, now_ns):
                self.ended += 1
                cast("asyncio.Transport", transport).abort()

    def _too_slow(self, guard: Guard, now_ns: int) -> bool:
        limit_s = self.limits.request_s if guard.answering else self.limits.header_s
        if guard.since_ns is not None and now_ns - guard.since_ns > limit_s * 1e9:
            return True
        if guard.transport is None or not guard.transport.get_write_buffer_size():
            guard.unread_ns = None
            return False
        guard.unread_ns = guard.unread_ns or now_ns
        return now_ns - guard.unread_ns > self.limits.request_s * 1e9

    async def run(self) -> None:
        """Sweep until cancelled, four times per shortest limit."""
        pause_s = min(self.limits.header_s, self.limits.request_s) / 4
        while True:
            await asyncio.sleep(pause_s)
            self.sweep(clock.monotonic_ns())
