"""The uplink in a terminal, in one line: connected or not, what waits, what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.status import view

_NS: Final = 1_000_000_000


def line(outbox: Mapping[str, Any], now_ns: int, *, dead: bool) -> str:
    """``connected; 3 messages wait (7.2 kB, the oldest for 2 s); 713 delivered; dropped: none``.

    Args:
        outbox: the status document's part.
        now_ns: engine time now.
        dead: the agent does not run, so that all of it was so.
    """
    if not outbox.get("configured"):
        return "none is configured"
    reason = outbox.get("reason")
    text = "was " * dead + ("connected" if outbox.get("connected") else "not connected")
    text += f" ({reason})" if reason and reason != "connected" else ""
    waiting = outbox.get("pending") or 0
    text += f"; {waiting:,} message{' waits' if waiting == 1 else 's wait'}"
    text += f" ({(outbox.get('bytes') or 0) / 1e3:.1f} kB"
    oldest = outbox.get("oldest_ns")
    text += f", the oldest for {view.duration((now_ns - oldest) / _NS)})" if oldest else ")"
    text += f"; {outbox.get('delivered') or 0:,} delivered"
    dropped = {why: count for why, count in (outbox.get("dropped") or {}).items() if count}
    lost = ", ".join(f"{count:,} {why}" for why, count in dropped.items())
    text += f"; dropped: {lost or 'none'}"
    aside = outbox.get("dead_letters") or {}
    if aside.get("count"):
        last = f"{aside.get('last', 'one')}: {aside.get('last_reason', 'unknown')}"
        text += f"; put aside as undeliverable: {aside['count']:,} (last: {last})"
    return text
