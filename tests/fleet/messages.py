"""Messages of gateways, as they come from a broker, for tests."""

from __future__ import annotations

import dataclasses
import itertools
import json

from agent.central.reading import read
from agent.central.receipt import Receipt
from agent.clock import monotonic_ns
from agent.core.summary import merge
from agent.fleet.ledger import Arrival
from agent.forward import Identity
from agent.forward.json_payload import (
    event_message,
    state_payload,
    summary_messages,
    verdict_message,
    wire,
)
from agent.store.reader import OutboxRow
from agent.types import Event

NOW = 1_790_000_000_000_000_000
S = 1_000_000_000
DAY = 86_400 * S


def who(gateway="gw", store="00000001", site="north"):
    return Identity(site, gateway, store)


def sent(message, seq, *, sender=None, boot=1, covers=(), now=NOW):
    row = OutboxRow(
        seq, boot, message.stream, seq, message.topic, message.payload, message.time_ns,
        message.retain, message.expiry_s, list(covers),
    )  # fmt: skip
    return wire(row, sender or who(), now).payload


def event(number=1, kind="engine", time_ns=NOW, subject="gateway", **data):
    return event_message(
        number, 0, Event(kind, time_ns, subject, {"change": str(number), **data})
    )


def condition(seq, name="c", change="raised", incident="c", **more):
    data = {
        "id": name, "incident": incident, "change": change, "kind": "frozen", "cause": "sensor",
        "severity": "high", "text": f"{name} is frozen", "hint": "", "models": ["yield"],
        "raised_ns": NOW, "state": "cleared" if change == "cleared" else "active", **more,
    }  # fmt: skip
    return event_message(seq, 0, Event("condition", NOW, "tag/a", data))


def window(start_ns, total, tag="a", model="yield", **more):
    return {
        "model": model, "tag": tag, "baseline": "b", "centre": 1.5, "scale": 2.0,
        "start_ns": start_ns, "end_ns": start_ns + 300 * S, "count": 10, "good": 9, "sum": total,
        "sum_sq": total * total, "min": -total, "max": total, "histogram": [1, abs(total)],
        "scans": 5, "extrapolating": 1, "jointly": 0, "unit": "degC", "per_hour": False, **more,
    }  # fmt: skip


def summary(*windows):
    (message,) = summary_messages(windows)
    return message


def coarse(*windows):
    found = windows[0]
    for one in windows[1:]:
        found = merge(found, one)
    return summary(found)


def verdict(name="trusted", model="m", time_ns=NOW, span_s=60, reasons=(), **details):
    until = time_ns + span_s * S
    return verdict_message(
        model, name, reasons, time_ns=time_ns, since_ns=time_ns, valid_until_ns=until, **details
    )


def gap(ranges, reason="outbox_full", of="event", boot=1, count=None):
    counted = sum(last - first + 1 for first, last in ranges) if count is None else count
    data = {"of": of, "boot": boot, "reason": reason, "count": counted, "ranges": ranges}
    payload = json.dumps({**data, "start_ns": 1, "end_ns": 2}).encode()
    return OutboxRow(1, 1, "gap", 1, "gap", payload, NOW, False, None, [])


def state(online=True, seq=1, boot=1, sender=None, time_ns=NOW, time_quality="unknown", **more):
    raw = state_payload(
        sender or who(), boot=boot, seq=seq, time_ns=time_ns, online=online, version="1.2",
        time_quality=time_quality, reason="connected" if online else "connection lost",
    )  # fmt: skip
    document = json.loads(raw)
    document["data"].update(more)
    return json.dumps(document).encode()


def arrival(payload, *, ago_ns=0, topic="", **receipt):
    return Arrival(read(payload, topic), Receipt(monotonic_ns() - ago_ns, topic, **receipt))


def settle(ledger, *payloads, **receipt):
    return ledger.settle([arrival(one, **receipt) for one in payloads])


def cut(items, sizes):
    """`items` in batches of these sizes, again and again."""
    left = list(items)
    for size in itertools.cycle(sizes):
        if not left:
            return
        yield left[:size]
        del left[:size]




def summary_of_many(count):
    """One message of so many tags, more than any gateway sends in one."""
    message = summary(window(NOW, 3))
    packed = json.loads(message.payload)
    packed["columns"] = {"tag": [f"t{n}" for n in range(count)]}
    packed["common"].pop("tag", None)
    return dataclasses.replace(message, payload=json.dumps(packed).encode())
