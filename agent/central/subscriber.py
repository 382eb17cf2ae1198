"""Central ops' side, as a reference: what a consumer of the messages has to do, and no more.

- PUBACK is not delivery and QoS 1 repeats: messages are de-duplicated on (site, gateway, store,
  stream, seq). Numbers count across boots, so the boot is not needed for it; `store` is, because a
  gateway with a new disk begins at 1 again.
- holes in `event` and `summary` are losses, unless a later message covers them or a gap record
  tells why. In `verdict` and `state` only the latest counts.
- summaries merge by addition, windows and gateways alike; a message that `covers` others replaces
  them.
- a verdict past its `valid_until` reads as unassessable.

`Central` is pure: messages and times in, views out. `run_central` feeds it from a broker.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.clock import monotonic_ns, wall_ns
from agent.core.summary import merge
from agent.errors import FieldwardenError
from agent.forward.json_payload import PREFIX, SCHEMA, time_of
from agent.mqtt import Message, MqttLink
from agent.store import ranges
from agent.store.packing import unpack

COUNTED = ("event", "summary")  # streams in which a hole is a loss
RANGES_KEPT = 10_000  # per stream; a stream with more holes than this has lost its order anyway
WINDOWS_KEPT = 2_000  # per model, tag and baseline
CLIENT_ID = "fieldwarden-central"
SESSION_EXPIRY_S = 7 * 86_400
_HEAD = ("site", "gateway", "store", "stream")


@dataclass(slots=True)
class Stream:
    """What arrived of one stream, and what is known to be lost."""

    received: ranges.Ranges = field(default_factory=list)
    lost: ranges.Ranges = field(default_factory=list)
    count: int = 0
    duplicates: int = 0

    def add(self, seq: int, covers: Iterable[tuple[int, int]] = ()) -> bool:
        """Note a message; False where it was there before."""
        if any(first <= seq <= last for first, last in reversed(self.received)):
            self.duplicates += 1
            return False
        self.count += 1
        if self.received and seq == self.received[-1][1] + 1 and not covers:
            self.received[-1] = (self.received[-1][0], seq)
        else:
            arrived = ranges.union([*self.received, (seq, seq), *covers])
            self.received = ranges.limited(arrived, RANGES_KEPT)
        return True

    def missing(self) -> ranges.Ranges:
        """Holes between the first and the last that arrived or was told lost, unexplained."""
        known = ranges.union([*self.received, *self.lost])
        return [(a[1] + 1, b[0] - 1) for a, b in itertools.pairwise(known)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a gateway's life a message belongs: which of two was said later."""

    store: str = ""
    boot: int = 0
    seq: int = 0
    time_ns: int = 0

    def after(self, other: Place) -> bool:
        """Within one store numbers decide; between two only time can."""
        if self.store == other.store:
            return (self.boot, self.seq) > (other.boot, other.seq)
        return self.time_ns > other.time_ns


def _place(document: Mapping[str, Any]) -> Place:
    time_ns = time_of(document["time"])
    return Place(str(document["store"]), int(document["boot"]), int(document["seq"]), time_ns)


@dataclass(slots=True)
class KnownVerdict:
    """A verdict as it was told last."""

    data: Mapping[str, Any]
    place: Place
    expires_ns: int  # on central's own clock

    def verdict(self, now_ns: int) -> str:
        """What it is worth now."""
        return "unassessable" if now_ns > self.expires_ns else str(self.data["verdict"])


@dataclass(slots=True)
class GatewayView:
    """One gateway's present state."""

    site: str
    gateway: str
    boot: int = 0
    online: bool | None = None
    state_place: Place = Place()
    state_reason: str = ""
    since: str = ""
    models: dict[str, KnownVerdict] = field(default_factory=dict)
    open_conditions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    dropped: dict[str, ranges.Ranges] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that was new; `document` is the whole of it."""

    view: GatewayView
    stream: str
    document: Mapping[str, Any]


class Central:
    """All gateways, from the messages seen so far."""

    def __init__(self) -> None:
        self.gateways: dict[tuple[str, str], GatewayView] = {}
        self.streams: dict[tuple[str, str, str, str], Stream] = {}
        self.unreadable = 0
        self._windows: dict[tuple[str, str, str], dict[tuple[Any, ...], Mapping[str, Any]]] = {}

    def take(self, payload: bytes, now_ns: int, *, retained: bool = False) -> Accepted | None:
        """Take one message in; None where it was a duplicate or unreadable.

        Args:
            payload: of the MQTT message.
            now_ns: central's own wall clock.
            retained: the broker kept it, so its age on arrival is unknown.
        """
        try:
            document = json.loads(payload)
            if document["schema"] != SCHEMA:
                raise ValueError("another schema")
            key = tuple(str(document[name]) for name in _HEAD)
            seq, boot = int(document["seq"]), int(document["boot"])
            covers = [(int(first), int(last)) for first, last in document.get("covers", ())]
            data = document["data"]
            read = self._READERS[key[3]]
        except (ValueError, TypeError, KeyError):
            self.unreadable += 1
            return None
        site, gateway, store, name = key
        # A state's number counts within its boot; those of the others go on for ever.
        life = store if name != "state" else f"{store} {boot}"
        stream = self.streams.setdefault((site, gateway, life, name), Stream())
        if not stream.add(seq, covers):
            return None
        view = self.gateways.setdefault((site, gateway), GatewayView(site, gateway))
        view.boot = boot
        try:
            read(self, view, document, data, now_ns if not retained else None)
        except (ValueError, TypeError, KeyError, AttributeError, FieldwardenError):
            self.unreadable += 1
            return None
        return Accepted(view, name, document)

    # --- one reader a stream; `now_ns` is None for what the broker kept ---------------------------

    def _state(self, view: GatewayView, document: Any, data: Any, _now: int | None) -> None:
        place = _place(document)
        if place.after(view.state_place):
            view.state_place = place
            view.online, view.state_reason = bool(data["online"]), str(data["reason"])
            view.since = str(document["time"])

    def _verdict(self, view: GatewayView, document: Any, data: Any, now: int | None) -> None:
        place, until = _place(document), time_of(data["valid_until"])
        # A live message is as old as its way here: trust its span, not the gateway's clock.
        expires = until if now is None else now + until - place.time_ns
        known = view.models.get(str(data["model"]))
        if known is None or place.after(known.place):
            view.models[str(data["model"])] = KnownVerdict(data, place, expires)

    def _event(self, view: GatewayView, document: Any, data: Any, _now: int | None) -> None:
        if str(document["type"]).rpartition(".")[2] != "condition":
            return
        # What has cleared may be acknowledged later, and does not open again by that.
        if "cleared" in (data["change"], data.get("state")):
            view.open_conditions.pop(data["id"], None)
        else:
            view.open_conditions[data["id"]] = data

    def _summary(self, view: GatewayView, document: Any, data: Any, _now: int | None) -> None:
        origin = (view.site, view.gateway, document["store"])
        covered = [(int(first), int(last)) for first, last in document.get("covers", ())]
        for one in unpack(data):
            windows = self._windows.setdefault((one["model"], one["tag"], one["baseline"]), {})
            for known in [k for k in windows if k[:3] == origin and _within(k[3], covered)]:
                del windows[known]
            windows[(*origin, int(document["seq"]))] = one
            while len(windows) > WINDOWS_KEPT:
                del windows[next(iter(windows))]

    def _gap(self, view: GatewayView, document: Any, data: Any, _now: int | None) -> None:
        key = (view.site, view.gateway, str(document["store"]), str(data["of"]))
        stream = self.streams.setdefault(key, Stream())
        told = [(int(first), int(last)) for first, last in data["ranges"]]
        stream.lost = ranges.union([*stream.lost, *told])
        reason = f"{data['of']}: {data['reason']}"
        view.dropped[reason] = ranges.union([*view.dropped.get(reason, ()), *told])

    _READERS: Mapping[str, Callable[[Central, GatewayView, Any, Any, int | None], None]] = {
        "state": _state,
        "verdict": _verdict,
        "event": _event,
        "summary": _summary,
        "gap": _gap,
    }

    # --- views ------------------------------------------------------------------------------------

    def merged(self, model: str, tag: str, baseline: str) -> Mapping[str, Any] | None:
        """All windows of all gateways of one model's input added together; None where none came."""
        total: Mapping[str, Any] | None = None
        for one in self._windows.get((model, tag, baseline), {}).values():
            total = one if total is None else merge(total, one)
        return total

    def inputs(self) -> list[tuple[str, str, str]]:
        """(model, tag, baseline) of every summary that came."""
        return sorted(self._windows)

    def missing(self, view: GatewayView) -> dict[str, ranges.Ranges]:
        """Unexplained holes by stream."""
        found = {
            name: stream.missing()
            for (site, gateway, _, name), stream in self.streams.items()
            if (site, gateway) == (view.site, view.gateway) and name in COUNTED
        }
        return {name: holes for name, holes in found.items() if holes}

    def count(self, what: str, view: GatewayView | None = None) -> int:
        """Messages (`what` "count") or duplicates, of one gateway or of all."""
        return sum(
            getattr(stream, what)
            for (site, gateway, _, _), stream in self.streams.items()
            if view is None or (site, gateway) == (view.site, view.gateway)
        )

    def document(self, now_ns: int) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            "gateways": [self._gateway(view, now_ns) for view in self.gateways.values()],
            "messages": self.count("count"),
            "duplicates": self.count("duplicates"),
            "unreadable": self.unreadable,
            "inputs_summed": len(self._windows),
        }

    def _gateway(self, view: GatewayView, now_ns: int) -> dict[str, Any]:
        return {
            "site": view.site,
            "gateway": view.gateway,
            "boot": view.boot,
            "online": view.online,
            "reason": view.state_reason,
            "since": view.since,
            "models": [
                {**told.data, "verdict": told.verdict(now_ns), "told": told.data["verdict"]}
                for _, told in sorted(view.models.items())
            ],
            "open_conditions": len(view.open_conditions),
            "messages": self.count("count", view),
            "duplicates": self.count("duplicates", view),
            "missing": {name: list(holes) for name, holes in self.missing(view).items()},
            "dropped": {
                reason: sum(last - first + 1 for first, last in lost)
                for reason, lost in view.dropped.items()
            },
        }


def _within(seq: int, covered: Iterable[tuple[int, int]]) -> bool:
    return any(first <= seq <= last for first, last in covered)


def line_of(accepted: Accepted) -> str:
    """One line for a person about a message; empty for those that only a machine reads."""
    document, data = accepted.document, accepted.document["data"]
    who = f"{accepted.view.site}/{accepted.view.gateway}"
    late = " (late)" if document.get("historical") else ""
    if accepted.stream == "state":
        state = "online" if data["online"] else "offline"
        return f"{who} is {state}: {data['reason']}"
    if accepted.stream == "verdict":
        reasons = "; ".join(str(reason.get("text", "")) for reason in data["reasons"])
        return f"{who} {data['model']}: {data['verdict']}{late} {reasons}".rstrip()
    if accepted.stream == "event":
        kind = str(document["type"]).rpartition(".")[2]
        text = data.get("text") or data.get("reason") or data.get("verdict") or ""
        change = data.get("change") or data.get("state") or ""
        return f"{who} {kind} {document['subject']}{late} {change} {text}".rstrip()
    if accepted.stream == "gap":
        return f"{who} lost {data['count']} of {data['of']}: {data['reason']}"
    return ""


async def run_central(
    host: str,
    port: int,
    *,
    on_accepted: Callable[[Accepted], None],
    on_tick: Callable[[Central, str], None] | None = None,
    seconds: float | None = None,
    once_idle: float | None = None,
    tick: float = 0.5,
    client_id: str | None = None,
    stop: asyncio.Event | None = None,
    **connection: Any,
) -> Central:
    """Subscribe to every gateway until told to stop, for `seconds`, or until nothing comes.

    Args:
        host: of the broker.
        port: of the broker.
        on_accepted: gets every new message, once.
        on_tick: called every `tick` seconds with the view and the connection's state.
        seconds: at most so long.
        once_idle: end when nothing has come for so many seconds.
        tick: seconds.
        client_id: with one of its own the broker keeps messages while central is away.
        stop: ends it within a tick; what was seen is still returned, as it is not on cancelling.
        connection: further arguments of `MqttLink` (tls, username, password).

    Returns:
        What was seen.
    """
    central, state, last = Central(), ["connecting"], [monotonic_ns()]

    def take(message: Message) -> None:
        last[0] = monotonic_ns()
        accepted = central.take(message.payload, wall_ns(), retained=message.retain)
        if accepted is not None:
            on_accepted(accepted)

    def on_state(connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        state[0] = reason if not connected or reason != "connected" else ""

    keep = client_id is not None
    link = MqttLink(
        host=host,
        port=port,
        client_id=client_id or f"{CLIENT_ID}-{monotonic_ns():x}",
        clean_start=not keep,
        session_expiry_s=SESSION_EXPIRY_S if keep else 0,
        on_message=take,
        on_state=on_state,
        **connection,
    )
    link.subscribe([(f"{PREFIX}/{SCHEMA}/#", 1)])
    task = asyncio.create_task(link.run(), name="central-link")
    began = monotonic_ns()
    try:
        while not (
            _over(began, seconds)
            or _over(last[0], once_idle)
            or (stop is not None and stop.is_set())
        ):
            await asyncio.wait({task}, timeout=tick)
            if task.done():
                task.result()
            if on_tick is not None:
                on_tick(central, state[0])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return central


def _over(since_ns: int, seconds: float | None) -> bool:
    return seconds is not None and monotonic_ns() - since_ns >= seconds * 1e9
