"""What central says of a gateway, JSON-ready, and in a line for a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.central.gateway import ACKNOWLEDGED, COUNTED, GatewayView, KnownVerdict
from agent.central.incidents import INCIDENTS_SHOWN
from agent.store.ranges import Ranges, without

RANGES_SHOWN = 100
REQUESTS_SHOWN = 100


def document_of(view: GatewayView, now_ns: int) -> dict[str, Any]:
    """One gateway as it may be believed at `now_ns` of the monotonic clock."""
    presence, incidents = view.presence, view.open_incidents(now_ns)
    requests = view.open_requests(now_ns)
    contract = view.contracts.get(view.store)
    missing: dict[str, Ranges] = {}
    counts: dict[str, dict[str, int]] = {"missing": {}, "awaited": {}, "earlier": {}}
    for (_, _, name), stream in view.streams.items():
        if name not in COUNTED:
            continue
        holes = stream.missing()
        if holes:
            missing.setdefault(name, []).extend(holes)
        _add(counts["missing"], name, _size(holes))
        _add(counts["awaited"], name, stream.awaited())
        _add(counts["earlier"], name, _size(stream.earlier))
    for name in COUNTED:
        _add(counts["missing"], name, view.past.get(f"missing {name}", 0))
    dropped: dict[str, int] = {}
    for (reason, store, boot), some in view.dropped.items():
        # A gateway with no room for so many ranges names more than it dropped.
        known = view.streams.get((store, boot, reason.partition(":")[0]))
        _add(dropped, reason, _size(some if known is None else without(some, known.received)))
    return {
        "site": view.site,
        "gateway": view.gateway,
        "store": view.store,
        "boot": presence.place.boot if presence else _last_boot(view),
        "online": view.online,
        "reason": presence.reason if presence else "",
        "since": presence.since if presence else "",
        "time_quality": view.time_quality,
        "clash": view.clash(now_ns),
        "models": [_model(view, store, told, now_ns) for store, told in view.shown(now_ns)],
        "open_incidents": len(incidents),
        "open_conditions": sum(one["conditions"] for one in incidents),
        "incidents": incidents[:INCIDENTS_SHOWN],
        "open_requests": len(requests),
        "retraining": requests[:REQUESTS_SHOWN],
        "errors": view.poor_errors(now_ns),
        "promise": view.promises.get(view.store),
        "contract": contract.document(now_ns) if contract else None,
        "messages": _total(view, "count"),
        "duplicates": _total(view, "duplicates"),
        "missing": {name: holes[:RANGES_SHOWN] for name, holes in missing.items()},
        "missing_count": counts["missing"],
        "awaited": counts["awaited"],
        "received_earlier": counts["earlier"],
        "dropped": dropped,
        "streams": [
            {
                "store": store, "boot": boot, "stream": name, "messages": stream.count,
                "duplicates": stream.duplicates, "through": stream.through,
                "missing": stream.missing()[:RANGES_SHOWN],
            }
            for (store, boot, name), stream in view.streams.items()
            if name in ACKNOWLEDGED
        ],
    }  # fmt: skip


def _model(view: GatewayView, store: str, told: KnownVerdict, now_ns: int) -> dict[str, Any]:
    verdict, why = view.worth(store, told, now_ns)
    left_s = max(0.0, (told.expires_ns - now_ns) / 1e9)
    return {
        **told.data,
        "verdict": verdict,
        "told": told.data["verdict"],
        "why": why,
        "valid_for_s": round(left_s, 3) if not why else 0.0,
        "store": store,
    }


def _last_boot(view: GatewayView) -> int:
    return next(reversed(view.lives)).boot if view.lives else 0


def _size(some: Ranges) -> int:
    return sum(last - first + 1 for first, last in some)


def _add(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number


def _total(view: GatewayView, what: str) -> int:
    total: int = sum(getattr(one, what) for one in view.streams.values())
    return view.past.get(what, 0) + total


def line_of(view: GatewayView, stream: str, document: Mapping[str, Any]) -> str:
    """One line for a person about a new message; empty for those that only a machine reads.

    A verdict reads as it may be believed: the line before may have said that its gateway is gone.
    """
    data, who = document["data"], f"{view.site}/{view.gateway}"
    late = " (late)" if document.get("historical") else ""
    if stream == "state":
        state = "online" if data["online"] else "offline"
        return f"{who} is {state}: {data['reason']}"
    if stream == "verdict":
        store, place = str(document["store"]), (document["boot"], document["seq"])
        told = view.models.get((store, str(data["model"])))
        if told is None or told.place != place:
            return ""  # one that came after it is known already
        verdict, why = view.worth(store, told, told.heard_ns)
        reasons = "; ".join(str(reason.get("text", "")) for reason in data["reasons"])
        text = f"{why} (was {data['verdict']})" if why else reasons
        return f"{who} {data['model']}: {verdict}{late} {text}".rstrip()
    if stream == "event":
        kind = str(document["type"]).rpartition(".")[2]
        text = data.get("text") or data.get("reason") or data.get("verdict") or ""
        change = data.get("change") or data.get("state") or ""
        return f"{who} {kind} {document['subject']}{late} {change} {text}".rstrip()
    if stream == "gap":
        return f"{who} lost {data['count']} of {data['of']}: {data['reason']}"
    return ""
