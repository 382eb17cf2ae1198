"""Central ops' side, as a reference: what a consumer of the messages has to do, and no more.

- PUBACK is not delivery and QoS 1 repeats: messages are de-duplicated on (site, gateway, store,
  boot, stream, seq); seq counts from 1 in each run and stream.
- holes in `event` and `summary`, from 1 on, are losses, unless a later message covers them, a gap
  record tells why, or the gateway says that a central acknowledged them before. In `verdict` and
  `state` only the latest counts.
- a verdict is valid for a span from its receipt on, by central's monotonic clock; past it, and
  while its gateway is offline, it reads as unassessable.
- what was received is acknowledged to the gateway once it is stored (`agent.central.answers`).

`Central` is pure: messages and times in, views out. `agent.central.run` feeds it from a broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from agent.central.gateway import ACKNOWLEDGED, COUNTED, LIVES_KEPT, GatewayView
from agent.central.lives import Life, Place
from agent.central.receipt import Receipt
from agent.central.report import document_of
from agent.central.streams import Stream
from agent.central.windows import Origin, Windows
from agent.errors import FieldwardenError
from agent.forward.json_payload import CHECK, SCHEMA, time_of
from agent.store import ranges
from agent.store.packing import unpack
from agent.store.received import MarkKey

GATEWAYS_KEPT = 10_000
LARGEST = 2**53  # beyond it not every JSON reader keeps a number
ANSWERS = "central"  # last level of the topic on which a central acknowledges
_LEVELS = 5  # prefix, schema, site, gateway, what
_READ_ERRORS = (
    ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
    FieldwardenError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that was new; `document` is the whole of it."""

    view: GatewayView
    stream: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Head:
    """Who says it, and which message of theirs it is."""

    site: str
    gateway: str
    store: str
    boot: int
    stream: str
    seq: int

    @property
    def life(self) -> Life:
        return Life(self.store, self.boot)

    @property
    def place(self) -> Place:
        return Place(self.boot, self.seq)


class Central:
    """All gateways, from the messages seen so far.

    Attributes:
        gateways: by (site, gateway).
        unreadable: messages that say nothing that could be understood.
        windows: the summaries.
        changed: streams with something new since they were last stored.
        touched: gateways of which the same holds.
        forgotten: streams that are no longer remembered.
        heard: streams of which something came, new or not, since it was last asked.
        born: (site, gateway, store) of births since it was last asked.
    """

    def __init__(self) -> None:
        self.gateways: dict[tuple[str, str], GatewayView] = {}
        self.unreadable = 0
        self.windows = Windows()
        self.changed: set[MarkKey] = set()
        self.touched: set[tuple[str, str]] = set()
        self.forgotten: set[MarkKey] = set()
        self.heard: set[MarkKey] = set()
        self.born: set[tuple[str, str, str]] = set()

    def take(self, payload: bytes, receipt: Receipt) -> Accepted | None:
        """Take one message in; None where it was a duplicate, an answer or unreadable."""
        levels = receipt.topic.split("/")
        if levels[_LEVELS - 1 :] == [ANSWERS]:
            return None  # a central's own
        if not payload:
            self._cleared(levels)
            return None
        try:
            document = json.loads(payload)
            if document == CHECK:  # a gateway's `check` tries what it may publish
                return None
            head = _head(document, levels)
            covers = _by_boot(document.get("covers", ()), head.boot)
            read = self._READERS[head.stream]
            data = document["data"]
            if not isinstance(data, dict):
                raise TypeError("no data")
            view = self._view(head.site, head.gateway)
        except _READ_ERRORS:
            self.unreadable += 1
            return None
        if not self._new(view, head, covers, receipt):
            self._repeated(view, head, document, receipt)
            return None
        try:
            read(self, view, head, document, data, receipt)
        except _READ_ERRORS:
            self.unreadable += 1
            return None
        return Accepted(view, head.stream, document)

    def _view(self, site: str, gateway: str) -> GatewayView:
        view = self.gateways.get((site, gateway))
        if view is None:
            if len(self.gateways) >= GATEWAYS_KEPT:
                raise ValueError("more gateways than can be kept")
            view = self.gateways[site, gateway] = GatewayView(site, gateway)
        return view

    def _cleared(self, levels: list[str]) -> None:
        """A retained message was taken back: of a model, that it is no longer watched."""
        if len(levels) == _LEVELS + 1 and levels[_LEVELS - 1] == "verdict":
            view = self.gateways.get((levels[2], levels[3]))
            if view is not None:
                view.remove_model(unquote(levels[_LEVELS]))
                self.touched.add((view.site, view.gateway))

    def _new(
        self, view: GatewayView, head: _Head, covers: dict[int, ranges.Ranges], receipt: Receipt
    ) -> bool:
        """Note the number and those it covers; whether it was new."""
        key = MarkKey(head.site, head.gateway, head.store, head.boot, head.stream)
        stream = self._stream(view, key)
        self.heard.add(key)
        self.touched.add(key[:2])
        if not stream.add(head.seq):
            return False
        for boot, some in covers.items():
            self._stream(view, key._replace(boot=boot)).cover(some)
        if view.store not in view.stores:  # nobody has said yet which one counts
            view.store = head.store
        if not receipt.retained and head.stream != "state":
            view.store_turns.note(head.store, receipt.now_ns)
        return True

    def _stream(self, view: GatewayView, key: MarkKey) -> Stream:
        stream, gone = view.stream(Life(key.store, key.boot), key.stream)
        for one in gone:
            mark = MarkKey(key.site, key.gateway, *one)
            self.forgotten.add(mark)
            self.changed.discard(mark)
        self.forgotten.discard(key)
        self.changed.add(key)
        return stream

    def _repeated(self, view: GatewayView, head: _Head, document: Any, receipt: Receipt) -> None:
        """What is known already may still say how long it is good for, and what is kept."""
        try:
            if head.stream == "state":
                presence = view.stores.get(head.store)
                if presence is not None and presence.place == head.place:
                    # Said again under its number: the gateway's clock was set.
                    view.time_quality = str(document.get("time_quality", view.time_quality))
                self._announced(view, head, document["data"])
            elif head.stream == "verdict" and receipt.expiry_s is not None:
                told = view.models.get((head.store, str(document["data"]["model"])))
                if told is not None and told.place == head.place:
                    told.expires_ns = max(told.expires_ns, receipt.until_ns(document))
        except _READ_ERRORS:
            self.unreadable += 1

    # --- one reader a stream ------------------------------------------------------------------

    def _state(
        self, view: GatewayView, head: _Head, document: Any, data: Any, receipt: Receipt
    ) -> None:
        online = data["online"] is True
        view.state(
            head.store, head.place, online=online, reason=str(data["reason"]),
            since=str(document["time"]), retained=receipt.retained,
        )  # fmt: skip
        view.time_quality = str(document.get("time_quality", view.time_quality))
        if online and not receipt.retained:
            view.store_turns.note(head.store, receipt.now_ns)
            view.birth_turns.note(f"{head.store} boot {head.boot}", receipt.now_ns)
        self._announced(view, head, data)

    def _announced(self, view: GatewayView, head: _Head, data: Any) -> None:
        """What a birth says that the gateway still holds, and what a central has had."""
        if data["online"] is not True:
            return
        self.born.add((head.site, head.gateway, head.store))
        held: dict[tuple[int, str], ranges.Ranges] = {}
        for one in data.get("unacknowledged", ()):
            some = _range((one["first"], one["last"]))
            held.setdefault((_number(one["boot"]), str(one["stream"])), []).append(some)
        for (store, boot, name), stream in view.streams.items():
            if store == head.store:
                stream.announced = held.pop((boot, name), [])
        had = {
            (_number(one["boot"]), str(one["stream"])): int(one["through"])
            for one in data.get("acknowledged", ())
        }
        named = sorted(one for one in held.keys() | had.keys() if one[1] in ACKNOWLEDGED)
        for boot, name in named[-LIVES_KEPT:]:
            key = MarkKey(head.site, head.gateway, head.store, boot, name)
            stream = self._stream(view, key)
            stream.announced = held.get((boot, name), stream.announced)
            through = had.get((boot, name), 0)
            if through > 0:
                known = [*stream.announced, *stream.received]
                stream.earlier = ranges.union(
                    [*ranges.without(stream.earlier, known), *ranges.without([(1, through)], known)]
                )

    def _verdict(
        self, view: GatewayView, head: _Head, document: Any, data: Any, receipt: Receipt
    ) -> None:
        if not (isinstance(data["verdict"], str) and isinstance(data["reasons"], list)):
            raise TypeError("no verdict")
        if not all(isinstance(reason, dict) for reason in data["reasons"]):
            raise TypeError("no reasons")
        expires_ns = receipt.until_ns(document)
        view.verdict(head.store, head.place, data, expires_ns, receipt.now_ns)

    def _event(
        self, view: GatewayView, head: _Head, document: Any, data: Any, _receipt: Receipt
    ) -> None:
        kind, _ = str(document["type"]).rpartition(".")[2], document["subject"]
        if kind == "condition":
            view.condition(head.store, head.place, data)

    def _summary(
        self, _view: GatewayView, head: _Head, document: Any, data: Any, _receipt: Receipt
    ) -> None:
        covered = _by_boot(document.get("covers", ()), head.boot)
        self.windows.take(
            Origin(head.site, head.gateway, head.store, head.boot, head.seq), unpack(data),
            [(boot, *one) for boot, some in covered.items() for one in some],
        )  # fmt: skip

    def _gap(
        self, view: GatewayView, head: _Head, _document: Any, data: Any, _receipt: Receipt
    ) -> None:
        of, why, count = str(data["of"]), str(data["reason"]), _number(data["count"])
        if of not in self._READERS:
            raise ValueError("a gap in a stream that there is not")
        told = _by_boot(data["ranges"], _number(data.get("boot", head.boot)))
        # A gateway with no room for so many ranges joins them, and then tells more than it dropped.
        named = sum(last - first + 1 for some in told.values() for first, last in some)
        for boot, some in told.items():
            key = MarkKey(head.site, head.gateway, head.store, boot, of)
            stream = self._stream(view, key)
            self.heard.add(key)  # a gateway tells of it until it is acknowledged
            stream.lose(some, exact=named <= count)
            if absent := ranges.without(some, stream.received):
                view.lost(f"{of}: {why}", Life(head.store, boot), absent)

    _READERS: Mapping[str, Callable[[Central, GatewayView, _Head, Any, Any, Receipt], None]] = {
        "state": _state,
        "verdict": _verdict,
        "event": _event,
        "summary": _summary,
        "gap": _gap,
    }

    # --- views ----------------------------------------------------------------------------------

    def settled(self) -> None:
        """What has changed so far is stored, or never will be."""
        self.changed, self.touched, self.forgotten = set(), set(), set()

    def missing(self, view: GatewayView) -> dict[str, ranges.Ranges]:
        """Unexplained holes by stream, those of an earlier run first."""
        found: dict[str, ranges.Ranges] = {}
        for (_, _, name), stream in view.streams.items():
            if name in COUNTED and (some := stream.missing()):
                found.setdefault(name, []).extend(some)
        return found

    def count(self, what: str, view: GatewayView | None = None) -> int:
        """Messages (`what` "count") or "duplicates", of one gateway or of all."""
        return sum(
            one.past.get(what, 0) + sum(getattr(stream, what) for stream in one.streams.values())
            for one in (self.gateways.values() if view is None else (view,))
        )

    def document(self, now_ns: int) -> dict[str, Any]:
        """Everything as it may be believed at `now_ns` of the monotonic clock, JSON-ready."""
        return {
            "gateways": [document_of(view, now_ns) for view in self.gateways.values()],
            "messages": self.count("count"),
            "duplicates": self.count("duplicates"),
            "unreadable": self.unreadable,
            "inputs_summed": len(self.windows.inputs()),
        }


def _head(document: Any, levels: list[str]) -> _Head:
    """Raises one of `_READ_ERRORS` where it is none of ours, or not of whom the topic names."""
    if document["schema"] != SCHEMA:
        raise ValueError("another schema")
    site, gateway, store, stream = (
        _name(document[key]) for key in ("site", "gateway", "store", "stream")
    )
    if len(levels) >= _LEVELS and levels[2:4] != [site, gateway]:
        raise ValueError("said on another gateway's topic")
    if not isinstance(document["time"], str):
        raise TypeError("no time")
    time_of(document["time"])
    return _Head(site, gateway, store, _number(document["boot"]), stream, _number(document["seq"]))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or any(ch in value for ch in "/+#\x00"):
        raise ValueError("no name that could stand in a topic")
    return value


def _number(value: Any) -> int:
    if type(value) is not int or not 1 <= value < LARGEST:
        raise ValueError("no number of a message")
    return value


def _range(pair: Iterable[Any]) -> tuple[int, int]:
    first, last = pair
    if _number(first) > _number(last):
        raise ValueError("a range that ends before it begins")
    return first, last


def _by_boot(items: Iterable[Any], boot: int) -> dict[int, ranges.Ranges]:
    """Ranges by the run they count in: ``[first, last]`` of `boot`, ``[boot, first, last]``."""
    found: dict[int, ranges.Ranges] = {}
    for item in items:
        own, pair = (_number(item[0]), item[1:]) if len(item) == 3 else (boot, item)
        found.setdefault(own, []).append(_range(pair))
    return found
