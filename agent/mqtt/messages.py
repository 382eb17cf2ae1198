"""What a link hands in and out: messages, the will, settings and errors. Plain data."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class LinkError(ConnectionError):
    """A publish that was not acknowledged because there is, or was soon, no connection."""


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
    """One message received; `connection` numbers the connection that it came by."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    connection: int = 0


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
