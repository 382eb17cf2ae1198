"""What `fieldwarden central CONFIG --check` says of relays: whether each could be told now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.checking.hooks import answered
from agent.checking.item import Item
from agent.configuration.relay import Relay
from agent.hooks.posting import ask


async def asked(relays: Sequence[Relay], timeout_s: float) -> list[Item]:
    """A line for each target, all asked at the same time; nothing is told."""
    lines = [answered(f"relay {relay.name}", ask(relay, timeout_s)) for relay in relays]
    return list(await asyncio.gather(*lines))
