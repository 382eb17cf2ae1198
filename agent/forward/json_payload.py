"""Messages to central ops in JSON: what goes into the outbox, and what goes on the wire.

At rest a message is what it says; the envelope (who, in which stream, which number, how late) is
put around it when it is sent: the number is given by the commit, lateness by the outage.
Events are CloudEvents 1.0 in structured JSON. `schemas/` describes every message; tests validate
against them. This module is a `PayloadForm`; its functions are pure.

| topic below `fieldwarden/1/<site>/<gateway>/` | data |
|---|---|
| `state` (retained; the will says offline) | online, version, reason; what is not acknowledged |
| `verdict/<model>` (retained, expires) | verdict, reasons, valid until, valid for |
| `event` | CloudEvent; `data` by kind |
| `summary` | `agent.store.packing`: windows of one model's tags |
| `gap` | which numbers of which run and stream were dropped, and why |
| `central` | read here: what central acknowledges, see `json_answers` |
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import quote

from agent.forward import json_answers
from agent.forward.form import Identity, Presence, WireMessage, left_s
from agent.store.batch import OutboxMessage
from agent.store.packing import pack
from agent.store.reader import OutboxRow
from agent.types import Event

SCHEMA = 1
CHECK = {"schema": 0, "check": True}  # see `trial`
PREFIX = "fieldwarden"
HISTORICAL_NS = 60_000_000_000  # older than this when sent is history, not news
EVENT_TYPE = "fieldwarden.event."
EVENT_CONTENT = "application/cloudevents+json"
JSON_CONTENT = "application/json"
_SHORT = 80  # characters of a text in a shortened message
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
        OutboxMessage(
            "summary", "summary", pack([_told(one) for one in some]), int(some[0]["end_ns"]),
            summary=some[0],
        )
        for group in groups.values()
        for some in _parts(group, TAGS_PER_SUMMARY)
    ]


def _told(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What of a summary central is told: the entry that closed it is the store's own matter."""
    return {name: value for name, value in summary.items() if name != "entry"}


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
    valid_for_s = max(1, -(-(valid_until_ns - time_ns) // _NS))
    data = {
        "model": model,
        "verdict": verdict,
        "since": time_text(since_ns),
        "valid_until": time_text(valid_until_ns),
        "valid_for_s": valid_for_s,
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
        expiry_s=valid_for_s,
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
    if row.damaged:
        raise ValueError(row.damaged)
    if not isinstance(json.loads(row.payload), dict):
        raise ValueError("the payload is no JSON object")  # noqa: TRY004 - of a damaged row
    head = _envelope(sender, row.boot, row.stream, row.seq, row.time_ns, row.time_quality)
    head["historical"] = now_ns - row.time_ns > HISTORICAL_NS
    if row.covers:
        head["covers"] = row.covers
    if row.stream == "event":
        head |= _cloud_event(sender, row.boot, row.seq)
        return _dumps(head)[:-1] + b"," + row.payload[1:]
    return _dumps(head)[:-1] + b',"data":' + row.payload + b"}"


def _envelope(
    sender: Identity, boot: int, stream: str, seq: int, time_ns: int, time_quality: str
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "site": sender.site,
        "gateway": sender.gateway,
        "store": sender.store,
        "boot": boot,
        "stream": stream,
        "seq": seq,
        "time": time_text(time_ns),
        "time_quality": time_quality,
        "historical": False,
    }


def _cloud_event(sender: Identity, boot: int, seq: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{sender.store}-{boot}-{seq}",
        "source": f"/{PREFIX}/{quote(sender.site)}/{quote(sender.gateway)}",
        "datacontenttype": JSON_CONTENT,
    }


def shortened(row: OutboxRow) -> OutboxRow | None:
    """See `PayloadForm.shortened`; every key stays, long texts and lists do not.

    A verdict that is too large must not leave an older one standing at central.
    """
    try:
        told = json.loads(row.payload)
    except ValueError:
        return None
    if row.stream == "verdict":
        reasons = [_shorter(one) for one in told.get("reasons", ())[:1]]
        told = {**_shorter(told), "reasons": reasons, "shortened": True}
    elif row.stream == "event":
        told = {**told, "data": {**_shorter(told["data"]), "shortened": True}}
    else:
        return None
    payload = to_json(told)
    return replace(row, payload=payload) if len(payload) < len(row.payload) else None


def _shorter(told: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in told.items():
        if isinstance(value, str):
            made[name] = "" if name == "hint" else value[:_SHORT]
        elif isinstance(value, list):
            made[name] = [one for one in value[:3] if isinstance(one, str)]
        else:
            made[name] = {} if isinstance(value, dict) else value
    return made


def trial() -> bytes:
    """See `PayloadForm.trial`."""
    return to_json(CHECK)


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
    more: dict[str, Any] = {}
    if online:
        more["unacknowledged"] = [dict(one) for one in presence.unacknowledged]
        more["acknowledged"] = [dict(one) for one in presence.acknowledged]
        more |= presence.told
    payload = state_payload(
        sender, boot=presence.boot, seq=2 * presence.connection - (1 if online else 0),
        time_ns=presence.time_ns, time_quality=presence.time_quality,
        online=online, version=presence.version, reason=reason, **more,
    )  # fmt: skip
    return WireMessage(state_topic(sender), payload, retain=True)


def state_payload(
    sender: Identity, *, boot: int, seq: int, time_ns: int, time_quality: str = "unknown",
    **data: Any,
) -> bytes:  # fmt: skip
    """Birth, goodbye and will; `data` are online, version, reason and what the birth adds."""
    head = _envelope(sender, boot, "state", seq, time_ns, time_quality)
    return to_json({**head, "data": data})


def state_topic(sender: Identity) -> str:
    """See `PayloadForm.state_topic`."""
    return topic_of(sender, "state")


def answers_topic(sender: Identity) -> str:
    """See `PayloadForm.answers_topic`."""
    return topic_of(sender, "central")


acknowledgements = json_answers.acknowledgements
state_said = json_answers.state_said


def schema(name: str) -> dict[str, Any]:
    """A JSON Schema by name: ``event``, ``verdict``, ``event-condition`` ...

    Raises:
        FileNotFoundError: there is none of that name.
    """
    file = resources.files("agent.forward") / "schemas" / f"{name}.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded
