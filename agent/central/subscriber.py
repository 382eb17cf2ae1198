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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.central.contracts import contract_of
from agent.central.gateway import ACKNOWLEDGED, COUNTED, LIVES_KEPT, GatewayView
from agent.central.lives import Life
from agent.central.promise import promise_of
from agent.central.reading import (
    ANSWERS,
    LARGEST,
    READ_ERRORS,
    STREAMS,
    Cleared,
    Read,
    Reading,
    Unreadable,
    by_boot,
    number_of,
    range_of,
    read,
)
from agent.central.receipt import Receipt
from agent.central.report import document_of
from agent.central.streams import Stream
from agent.central.windows import Origin, Windows
from agent.store import ranges
from agent.store.packing import unpack
from agent.store.received import MarkKey

__all__ = ["ANSWERS", "Accepted", "Central"]

GATEWAYS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that was new."""

    view: GatewayView
    reading: Reading

    @property
    def stream(self) -> str:
        """Of the message."""
        return self.reading.stream

    @property
    def document(self) -> Mapping[str, Any]:
        """The whole of it."""
        return self.reading.document


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

    Args:
        windows: where summaries go; None: the latest are kept in memory.
    """

    def __init__(self, windows: Windows | None = None) -> None:
        self.gateways: dict[tuple[str, str], GatewayView] = {}
        self.unreadable = 0
        self.windows = windows if windows is not None else Windows()
        self.changed: set[MarkKey] = set()
        self.touched: set[tuple[str, str]] = set()
        self.forgotten: set[MarkKey] = set()
        self.heard: set[MarkKey] = set()
        self.born: set[tuple[str, str, str]] = set()

    def take(self, payload: bytes, receipt: Receipt) -> Accepted | None:
        """Take one message in; None where it was a duplicate, an answer or unreadable."""
        return self.apply(read(payload, receipt.topic), receipt)

    def apply(self, said: Read, receipt: Receipt, *, spoiled: bool = False) -> Accepted | None:
        """The same of a message that was read already.

        Args:
            said: what it says.
            receipt: how it came.
            spoiled: nobody could keep what it says: its number is noted, and it is unreadable.
        """
        if isinstance(said, Cleared):
            self._cleared(said)
        elif isinstance(said, Unreadable):
            self.unreadable += 1
        if not isinstance(said, Reading):
            return None
        try:
            view = self._view(said.site, said.gateway)
        except ValueError:
            self.unreadable += 1
            return None
        if not self._new(view, said, receipt):
            self._repeated(view, said, receipt)
            return None
        if spoiled:
            self.unreadable += 1
            return None
        try:
            self._READERS[said.stream](self, view, said, receipt)
        except READ_ERRORS:
            self.unreadable += 1
            return None
        return Accepted(view, said)

    def _view(self, site: str, gateway: str) -> GatewayView:
        view = self.gateways.get((site, gateway))
        if view is None:
            if len(self.gateways) >= GATEWAYS_KEPT:
                raise ValueError("more gateways than can be kept")
            view = self.gateways[site, gateway] = GatewayView(site, gateway)
        return view

    def _cleared(self, said: Cleared) -> None:
        view = self.gateways.get((said.site, said.gateway))
        if view is not None:
            view.remove_model(said.model)
            self.touched.add((view.site, view.gateway))

    def _new(self, view: GatewayView, head: Reading, receipt: Receipt) -> bool:
        """Note the number and those it covers; whether it was new."""
        key = head.key
        stream = self._stream(view, key)
        self.heard.add(key)
        self.touched.add(key[:2])
        if not stream.add(head.seq):
            return False
        for boot, some in head.covers.items():
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

    def _repeated(self, view: GatewayView, head: Reading, receipt: Receipt) -> None:
        """What is known already may still say how long it is good for, and what is kept."""
        try:
            if head.stream == "state":
                presence = view.stores.get(head.store)
                if presence is not None and presence.place == head.place:
                    # Said again under its number: the gateway's clock was set, or changes moved.
                    view.time_quality = _time_quality(view, head)
                self._announced(view, head, receipt)
            elif head.stream == "verdict" and receipt.expiry_s is not None:
                told = view.models.get((head.store, str(head.data["model"])))
                if told is not None and told.place == head.place:
                    told.expires_ns = max(told.expires_ns, receipt.until_ns(head.document))
        except READ_ERRORS:
            self.unreadable += 1

    # --- one reader a stream ------------------------------------------------------------------

    def _state(self, view: GatewayView, head: Reading, receipt: Receipt) -> None:
        online = head.data["online"] is True
        view.state(
            head.store, head.place, online=online, reason=str(head.data["reason"]),
            since=str(head.document["time"]), retained=receipt.retained,
        )  # fmt: skip
        view.time_quality = _time_quality(view, head)
        if online and not receipt.retained:
            view.store_turns.note(head.store, receipt.now_ns)
            view.birth_turns.note(f"{head.store} boot {head.boot}", receipt.now_ns)
        self._announced(view, head, receipt)

    def _announced(self, view: GatewayView, head: Reading, receipt: Receipt) -> None:
        """What a birth says of contract and promise, of what is held, and what a central had."""
        data: Any = head.data
        if data["online"] is not True:
            return
        told = contract_of(data, head.time_ns, receipt.now_ns)
        view.contract(head.store, head.place, told)
        view.promise(head.store, head.place, promise_of(data.get("promise")))
        self.born.add((head.site, head.gateway, head.store))
        held: dict[tuple[int, str], ranges.Ranges] = {}
        for one in data.get("unacknowledged", ()):
            some = range_of((one["first"], one["last"]))
            held.setdefault((number_of(one["boot"]), str(one["stream"])), []).append(some)
        for (store, boot, name), stream in view.streams.items():
            if store == head.store:
                stream.announced = held.pop((boot, name), [])
        had = {
            (number_of(one["boot"]), str(one["stream"])): min(int(one["through"]), LARGEST - 1)
            for one in data.get("acknowledged", ())
        }
        named = sorted(one for one in held.keys() | had.keys() if one[1] in ACKNOWLEDGED)
        runs = sorted({boot for boot, _ in named})[1 - LIVES_KEPT :]  # room is left for this one
        for boot, name in named:
            if boot not in runs:
                continue
            key = MarkKey(head.site, head.gateway, head.store, boot, name)
            stream = self._stream(view, key)
            stream.announced = held.get((boot, name), stream.announced)
            through = had.get((boot, name), 0)
            if through > 0:
                known = [*stream.announced, *stream.received]
                stream.earlier = ranges.union(
                    [*ranges.without(stream.earlier, known), *ranges.without([(1, through)], known)]
                )

    def _verdict(self, view: GatewayView, head: Reading, receipt: Receipt) -> None:
        data = head.data
        if not (isinstance(data["verdict"], str) and isinstance(data["reasons"], list)):
            raise TypeError("no verdict")
        if not all(isinstance(reason, dict) for reason in data["reasons"]):
            raise TypeError("no reasons")
        expires_ns = receipt.until_ns(head.document)
        view.verdict(head.store, head.place, data, expires_ns, receipt.now_ns)

    def _event(self, view: GatewayView, head: Reading, _receipt: Receipt) -> None:
        data, kind, _ = head.data, head.kind, head.document["subject"]
        if kind == "condition":
            view.condition(head.store, head.place, data)
        elif kind == "retraining":
            view.retraining(head.store, head.place, data)

    def _summary(self, _view: GatewayView, head: Reading, _receipt: Receipt) -> None:
        self.windows.take(
            Origin(head.site, head.gateway, head.store, head.boot, head.seq), unpack(head.data),
            [(boot, *one) for boot, some in head.covers.items() for one in some],
        )  # fmt: skip

    def _gap(self, view: GatewayView, head: Reading, _receipt: Receipt) -> None:
        data: Any = head.data
        of, why, count = str(data["of"]), str(data["reason"]), number_of(data["count"])
        if of not in STREAMS:
            raise ValueError("a gap in a stream that there is not")
        told = by_boot(data["ranges"], number_of(data.get("boot", head.boot)))
        # A gateway with no room for so many ranges joins them, and then tells more than it dropped.
        named = sum(last - first + 1 for some in told.values() for first, last in some)
        for boot, some in told.items():
            key = MarkKey(head.site, head.gateway, head.store, boot, of)
            stream = self._stream(view, key)
            self.heard.add(key)  # a gateway tells of it until it is acknowledged
            stream.lose(some, exact=named <= count)
            if absent := ranges.without(some, stream.received):
                view.lost(f"{of}: {why}", Life(head.store, boot), absent)

    _READERS: Mapping[str, Callable[[Central, GatewayView, Reading, Receipt], None]] = {
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


def _time_quality(view: GatewayView, head: Reading) -> str:
    return str(head.document.get("time_quality", view.time_quality))
