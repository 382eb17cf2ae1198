"""How central's broker is reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from agent.store.batch import Delivery


@dataclass(frozen=True, slots=True)
class Uplink:
    """How to reach central's broker, and what counts as delivered."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None
    delivery: Delivery = "auto"
