"""A TCP proxy whose link can be cut, frozen, or cut at the very packet that matters.

It runs its own event loop in a thread of its own, so that a benchmark can be plain code.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
PUBACK = 0x40
_CHUNK = 65_536


class Proxy:
    """Forwards every connection to `target`, both on loopback.

    Args:
        target: port of the server.
        port: to listen on.
    """

    def __init__(self, target: int, port: int) -> None:
        self.port = port
        self._target = target
        self._frozen = asyncio.Event()
        self._open = True
        self._cut_at: int | None = None
        self._hit = threading.Event()
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Proxy:
        """Listen; returns itself."""
        self._thread.start()
        self._do(self._listen())
        self.thaw()
        return self

    def stop(self) -> None:
        """End every connection and the thread."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        self._call(self._cut)

    def refuse(self, *, refused: bool) -> None:
        """Whether new connections are ended at once, and the present ones now."""
        self._open = not refused
        if refused:
            self.cut()

    def freeze(self) -> None:
        """Half-open: bytes go nowhere in either direction, and nobody is told."""
        self._call(self._frozen.clear)

    def thaw(self) -> None:
        """Bytes go on."""
        self._call(self._frozen.set)

    def cut_at(self, packet_type: int) -> threading.Event:
        """End the connection on which the server next sends an MQTT packet of this type.

        The packet is not forwarded. The event is set when it has happened.
        """
        self._hit = threading.Event()
        self._cut_at = packet_type
        return self._hit

    # --- in the loop's thread ---------------------------------------------------------------------

    def _call(self, function: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def _cut(self) -> None:
        for link in list(self._links):
            link.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._links |= {writer, back}
        try:
            await asyncio.gather(
                self._forward(reader, back, answers=False),
                self._forward(there, writer, answers=True),
            )
        except (OSError, ConnectionError):
            pass
        finally:
            for link in (writer, back):
                self._links.discard(link)
                link.transport.abort()

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        packets = _PacketTypes()
        while data := await reader.read(_CHUNK):
            await self._frozen.wait()
            if answers and self._cut_at in packets.feed(data):
                self._cut_at = None
                self._hit.set()
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()
        raise ConnectionResetError


class _PacketTypes:
    """The types of the MQTT packets that begin in a stream of bytes."""

    def __init__(self) -> None:
        self._skip = 0
        self._head = b""

    def feed(self, data: bytes) -> set[int]:
        """Types (upper four bits) of the packets that begin in `data`."""
        found: set[int] = set()
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._head += data[at : at + 1]
            at += 1
            if len(self._head) >= 2 and not self._head[-1] & 0x80:
                found.add(self._head[0] & 0xF0)
                self._skip = sum((b & 0x7F) << 7 * i for i, b in enumerate(self._head[1:]))
                self._head = b""
        return found
