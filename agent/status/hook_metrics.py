"""What is known of hooks: their metrics, and a line for each in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from agent.status import view
from agent.status.families import family, total
from agent.status.view import Document


def collected(document: Document) -> Iterator[Metric]:
    """Messages of each hook: that wait, were delivered, were given up and why."""
    hooks = view.items(document.get("outbox") or {}, "hooks")
    if not hooks:
        return
    waiting = family("hook_pending_messages", "Messages that wait for a hook.", "hook")
    delivered = total("hook_messages_delivered", "Messages that a hook took.", "hook")
    dropped = total("hook_messages_dropped", "Messages given up, by reason.", "hook", "reason")
    for one in hooks:
        name = str(one.get("name"))
        waiting.add_metric([name], one.get("pending") or 0)
        delivered.add_metric([name], one.get("delivered") or 0)
        for reason, count in (one.get("dropped") or {}).items():
            dropped.add_metric([name, str(reason)], count)
    yield from (waiting, delivered, dropped)


def lines(document: Document) -> Iterator[tuple[str, bool]]:
    """(text, whether something is wrong) of each hook."""
    for one in view.items(document.get("outbox") or {}, "hooks"):
        dropped = {why: count for why, count in (one.get("dropped") or {}).items() if count}
        text = f"{one.get('name')}: {one.get('delivered') or 0:,} delivered, "
        text += f"{one.get('pending') or 0:,} waiting"
        text += f" ({one['reason']})" if one.get("reason") else ""
        lost = ", ".join(f"{count:,} {why}" for why, count in dropped.items())
        yield text + (f"; dropped: {lost}" if lost else ""), bool(lost or one.get("reason"))
