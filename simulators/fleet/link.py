"""A connection to the broker that is made again: of one gateway, or of several that share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count

from agent.backoff import Backoff
from agent.forward.form import WireMessage
from agent.mqtt.link import FIRST_RETRY_S, STABLE_S
from agent.mqtt.packets import Packet, Packets, puback, publish
from simulators.fleet import packets
from simulators.fleet.sender import Sender

KEEPALIVE_S = 60
CONNACK_TIMEOUT_S = 20.0
_CONNACK, _PUBACK = 2, 4
_MIDS = 65_535
Taken = Callable[[int, float], None]


class Link(asyncio.Protocol):
    """One client of the broker.

    Args:
        host: of the broker.
        port: of the broker.
        senders: of the gateways that it carries; the will is the first one's.

    Attributes:
        allowed: set while it may be connected.
        connections: how often it was.
    """

    def __init__(self, host: str, port: int, senders: Sequence[Sender]) -> None:
        self._host, self._port, self._senders = host, port, senders
        self._by_topic = {topic: one for one in senders for topic in one.topics}
        self._transport: asyncio.Transport | None = None
        self._accepted = False
        self._ended = asyncio.Event()
        self._packets = Packets()
        self._mids = count()
        self._pending: dict[int, Taken] = {}
        self._out: list[bytes] = []
        self._sent_s = 0.0
        self._loop = asyncio.get_running_loop()
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.connections = 0

    @property
    def senders(self) -> Sequence[Sender]:
        """Of its gateways."""
        return self._senders

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        backoff = Backoff(FIRST_RETRY_S)
        while True:
            await self.allowed.wait()
            began_s = self._loop.time()
            self._ended.clear()
            try:
                await self._loop.create_connection(lambda: self, self._host, self._port)
                await self._ended.wait()
            except OSError:
                pass
            if self._loop.time() - began_s > STABLE_S:
                backoff.reset()
            await backoff.wait()

    def cut(self) -> None:
        """End it without a word, so that the broker says the will."""
        if self._transport is not None:
            self._transport.abort()

    def leave(self) -> None:
        """Say goodbye for all its gateways, and end it."""
        for one in self._senders if self._accepted else ():
            self._post(one.goodbye(), lambda *_: None)
        self._out.append(packets.GOODBYE)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def ping(self, now_s: float) -> None:
        """Where nothing was sent for half of the time that the broker waits; call it more often."""
        if self._accepted and now_s - self._sent_s > KEEPALIVE_S / 2:
            self._out.append(packets.PING)
            self._flush()

    # --- of asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP stands."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for types
        self._transport = transport
        self._packets = Packets()
        self._accepted, self._mids = False, count()
        identity = self._senders[0].identity
        wills = [one.will() for one in self._senders]
        name = f"fieldwarden-{identity.site}-{identity.gateway}"
        transport.write(packets.connect(name, KEEPALIVE_S, wills[0]))
        self._loop.call_later(CONNACK_TIMEOUT_S, self._give_up, transport)

    def _give_up(self, transport: asyncio.Transport) -> None:
        if transport is self._transport and not self._accepted:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP has ended."""
        del exc
        self._transport, self._accepted = None, False
        self._pending.clear()
        self._out.clear()
        for one in self._senders:
            one.end()
        self._ended.set()

    def data_received(self, data: bytes) -> None:
        """Packets of the broker."""
        now_s = self._loop.time()
        for packet in self._packets.feed(data):
            self._take(packet, now_s)
        self._flush()

    def _take(self, packet: Packet, now_s: float) -> None:
        kind = packet.data[0] >> 4
        if kind == _PUBACK:
            mid, code = puback(packet) or (0, 0)
            taken = self._pending.pop(mid, None)
            if taken is not None:
                taken(code, now_s)
        elif kind == _CONNACK:
            self._connected(packet.data[packet.body + 1], now_s)
        elif (found := publish(packet, five=True)) is not None:
            if found.mid:
                self._out.append(packets.puback(found.mid))
            topic = found.topic.decode()
            sender = self._by_topic.get(topic)
            if sender is not None:
                sender.heard(topic, found.payload, now_s, retained=found.retain)

    def _connected(self, code: int, now_s: float) -> None:
        if code:
            self.cut()
            return
        self._accepted = True
        self.connections += 1
        topics = list(self._by_topic)
        self._out.append(packets.subscribe(self._mid(), topics))
        for one in self._senders:
            one.begin(self._post, now_s)

    def _mid(self) -> int:
        while (mid := next(self._mids) % _MIDS + 1) in self._pending:
            pass
        return mid

    def _post(self, message: WireMessage, taken: Taken) -> None:
        mid = self._mid()
        self._pending[mid] = taken
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packets.publish(mid, message))

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            out, self._out = self._out, []
            self._transport.write(b"".join(out))
            self._sent_s = self._loop.time()

