"""Says at central's broker that this gateway is there, and notices another one of its name.

The state is said at the beginning of each connection, and again, under its number, where the clock
was set meanwhile, what it tells of contract and promise changed, or a central lacks what it says
was acknowledged: all are part of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.clock import monotonic_ns
from agent.forward.clash import PAUSE_S, Clash
from agent.forward.form import Identity, PayloadForm, Presence, WireMessage
from agent.mqtt import RefusedError, Will

logger = logging.getLogger(__name__)

GOODBYE_S = 1.0
_NS = 1_000_000_000


class Announcer:
    """Birth, will and goodbye of one run.

    Args:
        form: how they are said.
        identity: who speaks.
        boot: number of the run.
        version: of the program.
        now_ns: engine time.
        time_quality: how far engine time can be believed.
        told: as of `Presence`.
        books: `unacknowledged` and `acknowledged` of `Presence`, as the store has them.
        lacked: how often a central turned out to lack what was acknowledged.
        publish: sends a message.

    Attributes:
        client_id: at the broker.
        connections: how many were tried in this run.
        connected_ns: monotonic time at which the last one began.
        answered: the broker has answered this connection's birth.
    """

    def __init__(
        self,
        form: PayloadForm,
        identity: Identity,
        *,
        boot: int,
        version: str,
        now_ns: Callable[[], int],
        time_quality: Callable[[], str],
        told: Callable[[], Mapping[str, Any]],
        books: Callable[[], Mapping[str, Any]],
        lacked: Callable[[], int],
        publish: Callable[[WireMessage], asyncio.Future[bool]],
    ) -> None:
        self._form = form
        self._identity = identity
        self._boot, self._version = boot, version
        self._now_ns, self._time_quality, self._told = now_ns, time_quality, told
        self._books, self._lacked = books, lacked
        self._publish = publish
        self.client_id = f"fieldwarden-{identity.site}-{identity.gateway}"
        self.connections = self.connected_ns = 0
        self.answered = False
        self._said: tuple[str, Mapping[str, Any] | None, int] = ("", None, 0)
        name = f"{identity.site}/{identity.gateway}"
        self._clash = Clash(name, self.client_id, identity.store)
        self._clash_told = ""

    def will(self) -> Will:
        """For the next connection."""
        self.connections += 1
        message = self._form.will(self._identity, self._presence())
        return Will(message.topic, message.payload, message.retain)

    def begin(self, answered: Callable[[], None]) -> None:
        """A connection begins; `answered` is called when the broker has taken or refused its birth.

        Nothing is to go out earlier: a connection lost at a row would look as one never made.
        """
        self.connected_ns = monotonic_ns()
        self.answered = False

        def done(future: asyncio.Future[bool]) -> None:
            if future.cancelled():
                return
            error = future.exception()
            if not isinstance(error, RefusedError | None):
                return
            self.answered = True
            if error is None:
                self._clash.spoke()
            answered()

        self._say_state().add_done_callback(done)

    def follow(self) -> None:
        """Say the state again where what it tells is different, or was not known to a central."""
        now = self._time_quality(), self._told(), self._lacked()
        if self.answered and now != self._said:
            self._say_state().add_done_callback(_seen)

    async def goodbye(self) -> None:
        """Stopped, and said so."""
        farewell = self._publish(self._form.goodbye(self._identity, self._presence()))
        await asyncio.wait({farewell}, timeout=GOODBYE_S)

    def _say_state(self) -> asyncio.Future[bool]:
        presence = self._presence(told=self._told(), **self._books())
        self._said = presence.time_quality, presence.told, self._lacked()
        return self._publish(self._form.birth(self._identity, presence))

    def _presence(self, **more: Any) -> Presence:
        return Presence(
            self._boot, self._version, self.connections, self._now_ns(), self._time_quality(),
            **more,
        )  # fmt: skip

    # --- another one of this name -----------------------------------------------------------------

    @property
    def clash(self) -> str:
        """For people; empty where there is none."""
        return self._clash.text

    @property
    def pause_s(self) -> float:
        """Before each further connection: two gateways throw each other out for ever."""
        return PAUSE_S if self._clash.text else 0.0

    def heard(self, payload: bytes) -> None:
        """A state of this name, perhaps our own.

        Raises:
            ValueError: it is none.
        """
        self._clash.heard(*self._form.state_said(payload))
        self._tell_clash()

    def lost(self, reason: str, *, stood: bool, busy: bool) -> None:
        """There is no connection; `stood`: there was one, `busy`: with messages under way."""
        self.answered = False
        if stood:
            now_ns = monotonic_ns()
            lived_s = (now_ns - self.connected_ns) / _NS
            self._clash.ended(reason, lived_s, busy=busy, now_s=now_ns / _NS)
        self._tell_clash()

    def _tell_clash(self) -> None:
        """Once each time that it changes."""
        text = self._clash.text
        if text and text != self._clash_told:
            logger.error("uplink: %s; this store is %s", text, self._identity.store)
        elif self._clash_told and not text:
            logger.info("uplink: no other client uses the name any more")
        self._clash_told = text


def _seen(future: asyncio.Future[bool]) -> None:
    """A state that did not arrive is said again with the next connection."""
    if not future.cancelled():
        future.exception()
