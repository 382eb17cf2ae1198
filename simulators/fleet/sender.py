"""One gateway's forwarding over a connection: birth, draining, and what central says of it.

As `agent.forward.sender`: nothing before the birth is answered; at most `WINDOW` under way; what
nobody is subscribed to is held back and tried one by one; a row is sent again only when its
connection was lost, or central asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.forward import Identity
from agent.forward.form import Presence, WireMessage, left_s
from agent.forward.json_payload import (
    acknowledgements,
    answers_topic,
    birth,
    goodbye,
    state_topic,
    will,
    wire,
)
from agent.forward.lanes import WINDOW
from agent.forward.sender import GRACE_NS, REFUSED_PAUSE_S, RETRY_PAUSE_S
from agent.mqtt.packets import FAILURE
from agent.store.numbers import CONFIRMED
from simulators.fleet.outbox import Held, Outbox

NO_SUBSCRIBERS = 0x10
_NONE: frozenset[str] = frozenset()
_HELD_BACK = frozenset(CONFIRMED)
_NS = 1_000_000_000


@dataclass(slots=True)
class Counts:
    """Of all gateways together: messages that the broker took, refused, or that nobody was
    subscribed to; answers of central, and those that were not to be believed.
    """

    taken: int = 0
    refused: int = 0
    unheard: int = 0
    answers: int = 0
    not_believed: int = 0


class Sender:
    """The forwarder of one simulated gateway.

    Args:
        identity: who speaks.
        outbox: what is kept for central.
        now_ns: engine time.
        later: calls a function so many seconds later.
        counts: of the fleet.

    Attributes:
        connections: of this run.
        deaf: answers of central are lost on their way, until there is another connection.
        told: what its births tell besides, see `Presence`.
    """

    __slots__ = (
        "_answered",
        "_confirmed",
        "_connected_s",
        "_counts",
        "_flying",
        "_held",
        "_later",
        "_now_ns",
        "_post",
        "_probing",
        "connections",
        "deaf",
        "identity",
        "outbox",
        "told",
    )  # fmt: skip

    def __init__(
        self, identity: Identity, outbox: Outbox, *, now_ns: Callable[[], int],
        later: Callable[[float, Callable[[], None]], object], counts: Counts,
    ) -> None:  # fmt: skip
        self.identity, self.outbox = identity, outbox
        self._now_ns, self._later, self._counts = now_ns, later, counts
        self.connections, self.deaf = 0, False
        self.told: Mapping[str, Any] = {}
        self._post: Callable[[WireMessage, Callable[[int, float], None]], None] | None = None
        self._answered = self._probing = self._confirmed = False
        self._held, self._flying, self._connected_s = _NONE, 0, 0.0

    @property
    def topics(self) -> list[str]:
        """What it subscribes to."""
        return [state_topic(self.identity), answers_topic(self.identity)]

    @property
    def connected(self) -> bool:
        """The broker has taken its birth."""
        return self._answered

    # --- the connection's side --------------------------------------------------------------------

    def will(self) -> WireMessage:
        """For the next connection, which begins with it."""
        self.connections += 1
        return will(self.identity, self._presence())

    def goodbye(self) -> WireMessage:
        """Stopped, and said so."""
        return goodbye(self.identity, self._presence())

    def begin(
        self, post: Callable[[WireMessage, Callable[[int, float], None]], None], now_s: float
    ) -> None:
        """A connection stands; `post` publishes, and calls with code and time at PUBACK."""
        self._post, self._connected_s, self.deaf = post, now_s, False
        self._held, self._probing, self._flying = _NONE, False, 0
        post(birth(self.identity, self._presence(books=True)), self._born)

    def end(self) -> None:
        """It is lost."""
        self._post, self._answered = None, False
        self.outbox.landed()

    def _presence(self, *, books: bool = False) -> Presence:
        boot, now_ns = self.outbox.boot, self._now_ns()
        if not books:
            return Presence(boot, "0.1.0", self.connections, now_ns, "synchronised")
        return Presence(
            boot, "0.1.0", self.connections, now_ns, "synchronised",
            self.outbox.unacknowledged(), self.outbox.acknowledged(), self.told,
        )  # fmt: skip

    def _born(self, code: int, _now_s: float) -> None:
        self._counts.refused += code >= FAILURE
        self._answered = True
        self.drain()

    # --- draining ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Fill the window."""
        if self._post is None or not self._answered:
            return
        room = (1 if self._probing else WINDOW) - self._flying
        if room <= 0:
            return
        now_ns = self._now_ns()
        for held in self.outbox.to_send(room, self._held):
            left = left_s(held.row, now_ns)
            if left is not None and left <= 0:
                self.outbox.drop(held)
                continue
            held.flying = held.told = True
            self._flying += 1
            self._post(wire(held.row, self.identity, now_ns), self._taker(held))

    def _taker(self, held: Held) -> Callable[[int, float], None]:
        return lambda code, now_s: self._took(held, code, now_s)

    def _took(self, held: Held, code: int, now_s: float) -> None:
        self._flying -= 1
        confirmed = held.row.stream in CONFIRMED
        if code >= FAILURE:
            self._counts.refused += 1
            self._hold(held, frozenset((held.row.stream,)), REFUSED_PAUSE_S)
        elif code == NO_SUBSCRIBERS and confirmed and self._may_be_heard_later(now_s):
            self._counts.unheard += 1
            self._probing = True
            self._hold(held, _HELD_BACK, RETRY_PAUSE_S)
        else:
            self._counts.taken += 1
            self.outbox.took(held, now_s)
            if confirmed:
                self._probing = False
        self.drain()

    def _may_be_heard_later(self, now_s: float) -> bool:
        return self._confirmed or now_s - self._connected_s < GRACE_NS / _NS

    def _hold(self, held: Held, streams: frozenset[str], seconds: float) -> None:
        held.flying = False
        if not self._held:
            self._later(seconds, self._resume)
        self._held |= streams

    def _resume(self) -> None:
        self._held = _NONE
        self.drain()

    # --- what is heard ----------------------------------------------------------------------------

    def heard(self, topic: str, payload: bytes, now_s: float, *, retained: bool) -> None:
        """A message on one of `topics`."""
        if retained or self.deaf or topic != answers_topic(self.identity):
            return
        self._counts.answers += 1
        try:
            found = acknowledgements(payload, self.identity)
        except ValueError:
            self._counts.not_believed += 1
            return
        lacked = self.outbox.lacked
        for one in found:
            self.outbox.acknowledge(one, now_s)
            self._confirmed = True
        if self.outbox.lacked > lacked and self._post is not None and self._answered:
            self._post(birth(self.identity, self._presence(books=True)), lambda *_: None)
        self.drain()
