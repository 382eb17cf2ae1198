"""One batch of messages in one transaction: locked, loaded, applied, written; see `Ledger`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from agent.central.gateway import ACKNOWLEDGED
from agent.central.lives import Life
from agent.central.reading import READ_ERRORS, Cleared, Read, Reading, Unreadable
from agent.central.receipt import Receipt
from agent.central.streams import Stream
from agent.central.subscriber import Accepted, Central
from agent.clock import monotonic_ns
from agent.fleet.book import Book, Books, load
from agent.fleet.bulk import Bulk, us
from agent.fleet.columns import LATEST_US, moment_of
from agent.fleet.saving import save
from agent.fleet.summing import Summing
from agent.fleet.sums import Series, SeriesIds, Sheet
from agent.fleet.views import SQLITE
from agent.fleet.wanted import Named, Wanted
from agent.fleet.words import json_of, text_of

_EVENT: Final = ("time", "gateway_id", "store", "boot", "seq", "kind", "subject", "historical",
                 "data", "heard_at")  # fmt: skip
_REASONS: Final = 20  # that are told of one batch
_SETTINGS: Final = ", ".join(
    f"set_config('enable_{way}', 'off', true)" for way in ("hashjoin", "mergejoin", "seqscan")
)
"""What a batch touches is little beside the tables, which PostgreSQL can not know."""

_NOTHING: Final = Stream()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that came; `receipt.now_ns` is the worker's monotonic clock."""

    reading: Read
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Owed:
    """What one gateway's store is to be told now.

    Attributes:
        born: a birth came, or came again: it is told at once, and of all its streams.
        received: of each run and stream ``{"boot", "stream", "through", "missing"}``, as the answer
            has them.
    """

    site: str
    gateway: str
    store: str
    born: bool
    received: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Settled:
    """What one batch came to, committed.

    Attributes:
        rows: written: events, windows of summaries, verdicts.
        messages: that were new.
        duplicates: that were known already.
        unreadable: that said nothing that could be understood, or kept.
        owed: what may be acknowledged to the gateways now.
        reasons: why messages were unreadable; some.
    """

    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    unreadable: int = 0
    owed: list[Owed] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Queue(Protocol):
    """Where new events go on to, in the same transaction."""

    def put(self, connection: Connection, events: Sequence[Reading], now: Any) -> object:
        """Queue them; `now` is the database's clock."""


class Batch:
    """One try of one batch.

    Attributes:
        found: series that are known once it is committed.

    Args:
        connection: with a transaction that writes.
        ids: of the gateways; messages of others are unreadable.
        series: that are committed.
        relay: gets new events.
        spoil: whether nothing is kept of the messages but their numbers.
    """

    def __init__(
        self, connection: Connection, ids: Mapping[Named, int], series: SeriesIds,
        relay: Queue | None, *, spoil: bool = False,
    ) -> None:  # fmt: skip
        self.found: dict[Series, int] = {}
        self._connection = connection
        self._bulk = Bulk(connection)
        self._ids = ids
        self._series = series
        self._relay = relay
        self._spoil = spoil
        self._events: list[tuple[Reading, str]] = []
        self._reasons: list[str] = []
        self._messages = self._duplicates = self._unreadable = 0

    def committed(self) -> None:
        """The transaction is."""
        self._bulk.committed()
        self._series.add(self.found)

    def settle(self, arrivals: Sequence[Arrival]) -> Settled:
        """Write all of it."""
        known = [one for one in arrivals if self._named(one)]
        readings = [one.reading for one in known if isinstance(one.reading, Reading)]
        wanted = Wanted()
        texts = [self._wanted(one.reading, wanted) for one in known]
        if not self._bulk.sqlite:
            self._bulk.execute(f"SELECT {_SETTINGS}")
        touched = {(one.reading.site, one.reading.gateway): 0 for one in known}  # type: ignore[union-attr]
        books = load(
            self._bulk, {name: self._ids[name] for name in touched}, wanted, readings
        )
        now_us, mono_ns = self._clock(), monotonic_ns()
        sheet = Sheet({name: book.id for name, book in books.items()}, self._series.told)
        if any(one.covers for one in readings):
            sheet.known = _known(books)
        central = Central(sheet)
        for name, book in books.items():
            central.gateways[name] = book.view
        for one, text in zip(known, texts, strict=True):
            past_ns = max(0, mono_ns - one.receipt.now_ns)
            now_ns = (now_us - past_ns // 1_000) * 1_000
            self._apply(central, books, one, text, replace(one.receipt, now_ns=now_ns))
        for site, gateway, *key in central.changed:
            books[site, gateway].touched.add(tuple(key))  # type: ignore[arg-type]
        for site, gateway, store in central.born:  # what it announced is told anew of each
            book = books[site, gateway]
            book.touched |= {key for key in book.view.streams if key[0] == store}
        rows = self._write(books, sheet, now_us)
        self._unreadable += central.unreadable
        return Settled(
            rows, self._messages, self._duplicates, self._unreadable, _owed(central, books),
            self._reasons[:_REASONS],
        )  # fmt: skip

    def _clock(self) -> int:
        """The database's, once the locks are had."""
        said = SQLITE.now if self._bulk.sqlite else "clock_timestamp()"
        return us(self._bulk.select(f"SELECT {said}")[0][0]) or 0

    # --- before the locks ---------------------------------------------------------------------

    def _named(self, one: Arrival) -> bool:
        """Whether it is of a gateway that has a row."""
        said = one.reading
        if isinstance(said, Reading | Cleared) and (said.site, said.gateway) in self._ids:
            return True
        if isinstance(said, Unreadable | Reading):
            self._unreadable += 1
            full = "no room for more gateways"
            reason = said.reason if isinstance(said, Unreadable) else full
            self._reasons.append(f"on {one.receipt.topic!r}: {reason}")
        return False

    def _wanted(self, said: Read, wanted: Wanted) -> str | None:
        """JSON of what is to be kept, "" where that is not asked; None: it can not be."""
        if not isinstance(said, Reading):
            return ""
        fits = wanted.note(said) and not self._spoil
        try:
            kept = said.stream in {"event", "verdict"}
            return (json_of(said.data) if kept else "") if fits else None
        except READ_ERRORS:
            return None

    # --- one message --------------------------------------------------------------------------

    def _apply(
        self, central: Central, books: Books, one: Arrival, text: str | None, receipt: Receipt
    ) -> None:
        said = one.reading
        if isinstance(said, Cleared):
            book = books[said.site, said.gateway]
            central.apply(said, receipt)
            book.clear(said.model)
            return
        if not isinstance(said, Reading):
            return
        book = books[said.site, said.gateway]
        if not receipt.retained:
            book.heard_us = max(book.heard_us or 0, receipt.now_ns // 1_000)
        unread = central.unreadable
        accepted = central.apply(_kept(said), receipt, spoiled=text is None)
        if central.unreadable > unread:
            self._reasons.append(f"{said.key} {said.seq}: it can not be kept as it is")
        elif accepted is None:
            self._duplicates += 1
        else:
            self._messages += 1
            self._accepted(book, accepted, text or "")
        if said.stream == "state":
            _state_told(book, said)

    def _accepted(self, book: Book, accepted: Accepted, text: str) -> None:
        said, view = accepted.reading, accepted.view
        if said.stream == "verdict":
            key = (said.store, str(said.data["model"]))
            if (told := view.models.get(key)) is not None and told.place == said.place:
                book.said["verdict", *key] = (said, text)
        elif said.stream == "event":
            self._events.append((said, text))
            known: Any = {"condition": view.conditions, "retraining": view.requests}.get(said.kind)
            if known is not None:
                key = (said.store, str(said.data["id"]))
                if (now := known.get(key)) is not None and now.place == said.place:
                    book.said[said.kind, *key] = (said, text)

    # --- all of them --------------------------------------------------------------------------

    def _write(self, books: Books, sheet: Sheet, now_us: int) -> int:
        verdicts = save(self._bulk, list(books.values()), now_us)
        summing = Summing(self._bulk, sheet, self._series, now_us)
        windows = summing.save()
        self.found = summing.found
        if summing.unreadable:
            self._unreadable += summing.unreadable
            self._messages -= summing.unreadable
            self._reasons.append("no room for more series of a gateway")
        heard = self._bulk.moment(now_us)
        self._bulk.insert("event", _EVENT, [
            [
                self._bulk.moment(min(max(one.time_ns // 1_000, 0), LATEST_US)),
                books[one.site, one.gateway].id, one.store, one.boot, one.seq,
                text_of(one.kind, 100), text_of(one.document["subject"]),
                one.document.get("historical") is True, text, heard,
            ]
            for one, text in self._events
        ])  # fmt: skip
        if self._relay is not None and self._events:
            self._relay.put(
                self._connection, [one for one, _ in self._events], moment_of(now_us)
            )
        return verdicts + windows + len(self._events)


def _known(books: Books) -> dict[tuple[int, str, int], list[tuple[int, int]]]:
    """Summaries of each run that had arrived before."""
    return {
        (book.id, store, boot): list(stream.received)
        for book in books.values()
        for (store, boot, name), stream in book.view.streams.items() if name == "summary"
    }  # fmt: skip


def _kept(said: Reading) -> Reading:
    """A gap record with a reason that rows can be found by; any other message as it is."""
    if said.stream != "gap":
        return said
    reason = text_of(said.data.get("reason", ""), 100)
    return replace(said, data={**said.data, "reason": reason}) if "reason" in said.data else said


def _state_told(book: Book, said: Reading) -> None:
    """What a state says that `GatewayView` does not keep, where it is the latest."""
    presence = book.view.stores.get(said.store)
    if presence is None or presence.place != said.place:
        return
    _, known = book.extras.get(said.store, ("", None))
    promise = said.data.get("promise") if said.data.get("online") is True else known
    promise = promise if isinstance(promise, dict) else None
    extra = (text_of(said.data.get("version"), 200), promise)
    if book.extras.get(said.store) != extra:
        book.extras[said.store] = extra
        book.changed_extras.add(said.store)


def told_of(boot: int, name: str, stream: Stream) -> dict[str, Any]:
    """One stream in an answer."""
    return {
        "boot": boot, "stream": name, "through": stream.settled_through, "missing": stream.asked()
    }  # fmt: skip


def _owed(central: Central, books: Books) -> list[Owed]:
    """Of a run with news all its streams; after a birth those of all runs of the store."""
    lives: dict[tuple[str, str, str], set[Life]] = {}
    for mark in central.heard:
        if mark.stream in ACKNOWLEDGED:
            lives.setdefault(mark[:3], set()).add(Life(mark.store, mark.boot))
    for born in central.born:
        view = books[born[:2]].view
        lives.setdefault(born, set()).update(life for life in view.lives if life.store == born[2])
    owed = []
    for (site, gateway, store), some in sorted(lives.items()):
        view = books[site, gateway].view
        if (there := view.stores.get(store)) is not None and not there.online:
            continue
        is_born = (site, gateway, store) in central.born
        owed.append(Owed(site, gateway, store, is_born, [
            told_of(life.boot, name, view.streams.get((*life, name), _NOTHING))
            for life in sorted(some) for name in ACKNOWLEDGED
            if is_born or (*life, name) in view.streams
        ]))  # fmt: skip
    return owed
