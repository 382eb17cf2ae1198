"""What a link hands in and out: messages, the will, settings and errors. Plain data."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

HUNG_UP = "the broker closed the connection"
"""How a connection ended that the broker ended without a word."""


class LinkError(ConnectionError):
    """A publish that was not acknowledged because there is, or was soon, no connection."""


class LostError(LinkError):
    """The connection ended while a publish was under way: it may have arrived, or not."""


class RefusedError(LinkError):
    """The broker, or the protocol, refuses this very message.

    Attributes:
        reason: MQTT's, such as ``"Not authorized"`` or ``"Packet too large"``.
        lasting: sending it again can not help; else somebody may mend the broker's settings.
    """

    def __init__(self, reason: str, *, lasting: bool) -> None:
        self.reason = reason
        self.lasting = lasting
        super().__init__(f"refused: {reason}")


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when the connection is lost without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True


class Message(NamedTuple):
    """One message received; `connection` numbers the connection that it came by.

    `retain`: the broker had kept it, and sends it because of a subscription. `expiry_s`: seconds
    that it is still good for, as the broker counts (MQTT 5); None where nobody said. `dup`: it was
    sent before, but never acknowledged. `resumed`: by a session that the broker had kept.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    connection: int = 0
    expiry_s: int | None = None
    dup: bool = False
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What a link was given; see `MqttLink` for each."""

    host: str
    port: int
    client_id: str
    clean_start: bool
    session_expiry_s: int
    keepalive_s: int
    will: Callable[[], Will] | None
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    manual_ack: bool
    max_inflight: int
    gather_s: float
    receive_maximum: int
