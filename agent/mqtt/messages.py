"""What a link hands in and out: messages, the will, settings and errors. Plain data."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


class LinkError(ConnectionError):
    """A publish that was not acknowledged because there is, or was soon, no connection."""


class RefusedError(LinkError):
    """The broker, or the protocol, refuses this very message; sending it again will not help.

    `reason` is MQTT's reason, such as ``"Not authorized"`` or ``"Packet too large"``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"refused: {reason}")


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes for us when the connection is lost without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True


@dataclass(frozen=True, slots=True)
class Message:
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
    will: Will | None
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    manual_ack: bool
    max_inflight: int
