"""How a message came, and how long what it says may be believed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.forward.json_payload import time_of

NS_PER_S = 1_000_000_000
LONGEST_S = 3_600.0  # nobody is believed for longer after a message, whatever it says


@dataclass(frozen=True, slots=True)
class Receipt:
    """How and when a message reached central.

    Attributes:
        now_ns: central's monotonic clock.
        topic: as published; empty where it is not known.
        retained: the broker had kept it, and sent it because central subscribed.
        expiry_s: what was left of the message's expiry (MQTT 5), None where nobody said.
        aged: the broker may have kept it in central's session while central was away.
    """

    now_ns: int
    topic: str = ""
    retained: bool = False
    expiry_s: int | None = None
    aged: bool = False

    def until_ns(self, document: Mapping[str, Any]) -> int:
        """Until when, on central's monotonic clock, a verdict message is valid.

        The gateway's clock does not matter: only spans count, from the receipt on. A message of
        unknown age, which is one that was kept somewhere and has no expiry, is worth nothing: the
        next one will be.

        Raises:
            KeyError, TypeError, ValueError: it is no verdict message.
        """
        data = document["data"]
        given = data.get("valid_for_s")
        if given is None:
            span_s = (time_of(data["valid_until"]) - time_of(document["time"])) / NS_PER_S
        else:
            span_s = float(given)
        span_s = min(span_s, LONGEST_S)
        if self.expiry_s is not None:
            span_s = min(span_s, float(self.expiry_s))
        elif self.retained or self.aged or document.get("historical"):
            span_s = 0.0
        if not span_s > 0.0:  # NaN too
            return self.now_ns
        return self.now_ns + round(span_s * NS_PER_S)
