"""Messages to central ops in JSON: what goes into the outbox, and what goes on the wire.

At rest a message is what it says; the envelope (who, in which stream, which number, how late) is
put around it when it is sent: the number is given by the commit, lateness by the outage.
Events are CloudEvents 1.0 in structured JSON. `schemas/` describes every message; tests validate
against them. This module is a `PayloadForm`; its functions are pure.

| topic below `fieldwarden/1/<site>/<gateway>/` | data |
|---|---|
| `state` (retained; the will says offline) | online, version, reason |
| `verdict/<model>` (retained, expires) | verdict, reasons, valid until |
| `event` | CloudEvent; `data` by kind |
| `summary` | `agent.store.packing`: windows of one model's tags |
| `gap` | which numbers of which stream were dropped, and why |
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import quote

from agent.forward.form import Identity, Presence, WireMessage, left_s
from agent.store.batch import OutboxMessage
from agent.store.packing import pack
from agent.store.reader import OutboxRow
from agent.types import Event

SCHEMA = 1
PREFIX = "fieldwarden"
HISTORICAL_NS = 60_000_000_000  # older than this when sent is history, not news
EVENT_TYPE = "fieldwarden.event."
EVENT_CONTENT = "application/cloudevents+json"
JSON_CONTENT = "application/json"
TAGS_PER_SUMMARY = 200  # in one message, some 30 kB
_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_text(time_ns: int) -> str:
    """RFC 3339, UTC, nanoseconds: ``2026-01-31T12:00:00.000000001Z``."""
    seconds, rest = divmod(time_ns, _NS)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        moment = _EPOCH
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def time_of(text: str) -> int:
    """Nanoseconds since 1970 of what `time_text` wrote, exactly.

    Raises:
        ValueError: no RFC 3339 time with an offset.
    """
    whole = datetime.fromisoformat(text)
    if whole.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    fraction = re.search(r"\.(\d{1,9})", text)
    seconds = (whole.replace(microsecond=0) - _EPOCH) // timedelta(seconds=1)
    return seconds * _NS + (int(fraction[1].ljust(9, "0")) if fraction else 0)


def to_json(value: Any) -> bytes:
    """Compact JSON, UTF-8; numbers that JSON does not have (NaN, infinities) become null."""
    try:
        return _dumps(value)
    except ValueError:
        return _dumps(_finite(value))


def _dumps(value: Any) -> bytes:
    text = json.dumps(
        value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=dict
    )
    return text.encode("utf-8", "backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


# --- what goes into the outbox -------------------------------------------------------------------


def event_message(sequence: int, position: int, event: Event) -> OutboxMessage:
    """An event, to be told once: its identity is (entry sequence, position)."""
    payload = {
        "type": EVENT_TYPE + event.kind,
        "subject": event.subject,
        "cause": f"{sequence}.{position}",
        "data": dict(event.data),
    }
    identity = (sequence, position)
    return OutboxMessage("event", "event", to_json(payload), event.time_ns, event=identity)


def summary_messages(summaries: Sequence[Mapping[str, Any]]) -> list[OutboxMessage]:
    """Windows of the same model, baseline and time in one message each."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for one in summaries:
        key = (one["model"], one["baseline"], one["start_ns"], one["end_ns"], *sorted(one))
        groups.setdefault(key, []).append(one)
    return [
        OutboxMessage("summary", "summary", pack(some), int(some[0]["end_ns"]), summary=some[0])
        for group in groups.values()
        for some in _parts(group, TAGS_PER_SUMMARY)
    ]


def _parts(items: list[Mapping[str, Any]], most: int) -> list[list[Mapping[str, Any]]]:
    return [items[start : start + most] for start in range(0, len(items), most)]


def verdict_message(
    model: str,
    verdict: str,
    reasons: Sequence[Mapping[str, Any]],
    *,
    time_ns: int,
    since_ns: int,
    valid_until_ns: int,
    **details: Any,
) -> OutboxMessage:
    """What a model is worth now; retained, and gone from the broker when it is no longer valid.

    Args:
        model: its name.
        verdict: trusted, caution, untrusted or unassessable.
        reasons: as the status document has them.
        time_ns: when it was found so.
        since_ns: since when the verdict has been this one.
        valid_until_ns: past it, it reads as unassessable.
        details: more members of `data`, such as version, owner, baseline, provisional.
    """
    data = {
        "model": model,
        "verdict": verdict,
        "since": time_text(since_ns),
        "valid_until": time_text(valid_until_ns),
        "reasons": [dict(reason) for reason in reasons],
        **details,
    }
    topic = f"verdict/{_topic_level(model)}"
    return OutboxMessage(
        "verdict",
        topic,
        to_json(data),
        time_ns,
        retain=True,
        expiry_s=max(1, -(-(valid_until_ns - time_ns) // _NS)),
        replace_key=topic,
    )


def _topic_level(name: str) -> str:
    """A name as one topic level: what MQTT reserves is percent-encoded."""
    return "".join(quote(ch, safe="") if ch in "/+#%\x00" else ch for ch in name)


# --- what goes on the wire -----------------------------------------------------------------------


def topic_of(sender: Identity, below: str) -> str:
    """A topic of this gateway: ``fieldwarden/1/<site>/<gateway>/<below>``."""
    return f"{PREFIX}/{SCHEMA}/{sender.site}/{sender.gateway}/{below}"


def wire(row: OutboxRow, sender: Identity, now_ns: int) -> WireMessage:
    """A row of the outbox in its envelope."""
    return WireMessage(
        topic_of(sender, row.topic),
        _enveloped(row, sender, now_ns),
        retain=row.retain,
        expiry_s=left_s(row, now_ns),
        content_type=EVENT_CONTENT if row.stream == "event" else JSON_CONTENT,
    )


def _enveloped(row: OutboxRow, sender: Identity, now_ns: int) -> bytes:
    head = _envelope(sender, row.boot, row.stream, row.seq, row.time_ns)
    head["historical"] = now_ns - row.time_ns > HISTORICAL_NS
    if row.covers:
        head["covers"] = row.covers
    if row.stream == "event":
        head |= _cloud_event(sender, row.seq)
        return _dumps(head)[:-1] + b"," + row.payload[1:]
    return _dumps(head)[:-1] + b',"data":' + row.payload + b"}"


def _envelope(sender: Identity, boot: int, stream: str, seq: int, time_ns: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "site": sender.site,
        "gateway": sender.gateway,
        "store": sender.store,
        "boot": boot,
        "stream": stream,
        "seq": seq,
        "time": time_text(time_ns),
        "historical": False,
    }


def _cloud_event(sender: Identity, seq: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{sender.store}-{seq}",
        "source": f"/{PREFIX}/{quote(sender.site)}/{quote(sender.gateway)}",
        "datacontenttype": JSON_CONTENT,
    }


def birth(sender: Identity, presence: Presence) -> WireMessage:
    """See `PayloadForm.birth`; numbered before the will, of which central takes the larger."""
    return _state(sender, presence, online=True, reason="connected")


def goodbye(sender: Identity, presence: Presence) -> WireMessage:
    """See `PayloadForm.goodbye`."""
    return _state(sender, presence, online=False, reason="stopped")


def will(sender: Identity, presence: Presence) -> WireMessage:
    """See `PayloadForm.will`."""
    return _state(sender, presence, online=False, reason="connection lost")


def _state(sender: Identity, presence: Presence, *, online: bool, reason: str) -> WireMessage:
    payload = state_payload(
        sender,
        boot=presence.boot,
        seq=2 * presence.connection - (1 if online else 0),
        time_ns=presence.time_ns,
        online=online,
        version=presence.version,
        reason=reason,
    )
    return WireMessage(topic_of(sender, "state"), payload, retain=True)


def state_payload(
    sender: Identity, *, boot: int, seq: int, time_ns: int, online: bool, version: str, reason: str
) -> bytes:
    """The data and envelope of birth, goodbye and will."""
    head = _envelope(sender, boot, "state", seq, time_ns)
    return to_json({**head, "data": {"online": online, "version": version, "reason": reason}})


def schema(name: str) -> dict[str, Any]:
    """A JSON Schema by name: ``event``, ``verdict``, ``event-condition`` ...

    Raises:
        FileNotFoundError: there is none of that name.
    """
    file = resources.files("agent.forward") / "schemas" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
