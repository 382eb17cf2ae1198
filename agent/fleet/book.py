"""A gateway as a batch needs it: that part of `GatewayView` which the batch can change.

Messages are applied to it by the same logic as in memory; what differs afterwards from what was
loaded is written back by `agent.fleet.saving`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from agent.central.contracts import KnownContract
from agent.central.gateway import (
    ACKNOWLEDGED,
    LATEST_KEPT,
    GatewayView,
    KnownVerdict,
    Presence,
    Turns,
)
from agent.central.incidents import Condition
from agent.central.lives import Life, Place
from agent.central.reading import Reading
from agent.central.requests import Request
from agent.central.streams import Stream
from agent.fleet.bulk import Bulk, document, us
from agent.fleet.wanted import Named, Wanted
from agent.store import ranges

GATEWAY: Final = (
    "id", "site", "gateway", "store", "boot", "online", "reason", "since", "time_quality",
    "version", "heard_at", "births", "contract_hash", "contract_made", "held_tags",
    "open_changes", "changes", "contract_said_at", "contract_heard_at", "promise", "clash",
    "clash_until", "turns", "life_store", "life_boot", "life_turn", "past",
)  # fmt: skip
_JSON: Final = {"changes", "promise", "clash", "turns", "past"}
MARK: Final = (
    "gateway_id", "store", "boot", "stream", "received", "lost", "earlier", "told", "announced",
    "count", "duplicates", "missing", "awaited",
)  # fmt: skip
Key = tuple[str, str]
"""(store, name or id)."""


@dataclass(slots=True)
class Book:
    """One gateway, locked.

    Attributes:
        id: of its row.
        row: the row as it was, by column; times in microseconds, JSON as text.
        view: what messages are applied to; only a part of it is loaded.
        streams: (store, boot, stream) of marks that were there; `touched`: that change.
        expiries: when each of `models` expired as it was, in nanoseconds.
        presences, contracts, models, conditions, requests, gaps: what was there, by key.
        cleared: models whose retained verdict was taken back.
        heard_us: when it was heard of in this batch.
        states_loaded: whether all presences are, and not only that of the store that counts.
        lives: (turn, birth) of each run that was loaded.
        lives_loaded: whether all are, and not only the one heard last.
        extras: (version, promise) of each store that told its state.
        said: the message that told the latest of each verdict, condition or request, and its JSON.
    """

    id: int
    row: dict[str, Any]
    view: GatewayView
    touched: set[tuple[str, int, str]] = field(default_factory=set)
    expiries: dict[Key, int] = field(default_factory=dict)
    streams: set[tuple[str, int, str]] = field(default_factory=set)
    presences: dict[str, Presence] = field(default_factory=dict)
    states_loaded: bool = False
    contracts: dict[str, KnownContract] = field(default_factory=dict)
    models: dict[Key, KnownVerdict] = field(default_factory=dict)
    conditions: dict[Key, Condition] = field(default_factory=dict)
    requests: dict[Key, Request] = field(default_factory=dict)
    gaps: dict[tuple[str, str, int], ranges.Ranges] = field(default_factory=dict)
    lives: dict[Life, tuple[int, int | None]] = field(default_factory=dict)
    lives_loaded: bool = False
    extras: dict[str, tuple[str, Any]] = field(default_factory=dict)
    changed_extras: set[str] = field(default_factory=set)
    said: dict[tuple[str, str, str], tuple[Reading, str]] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)
    heard_us: int | None = None

    def clear(self, model: str) -> None:
        """A model's retained verdict was taken back; what no row can be named needs no more."""
        if "\x00" not in model:
            self.cleared.add(model)


Books = dict[Named, Book]


class GoneError(Exception):
    """Rows whose numbers were remembered are not there any more, or are of something else.

    So it is after somebody deleted gateways, and where the database came back from an older state,
    by a restore or by a standby that had not all: its numbers are given anew.
    """


def load(
    bulk: Bulk, ids: Mapping[Named, int], wanted: Wanted, readings: Sequence[Reading],
) -> Books:  # fmt: skip
    """Lock these gateways, in order of their ids, and load what is wanted of them.

    Raises:
        GoneError: some of them are not there any more, or have another's number.
    """
    names = {number: name for name, number in ids.items()}
    books: Books = {}
    text = "" if bulk.sqlite else "::text"
    columns = (f"g.{one}{text if one in _JSON else ''}" for one in GATEWAY)
    for row in bulk.by_keys(
        f"SELECT {', '.join(columns)} FROM {{keys}}"
        " CROSS JOIN gateway g WHERE g.id = k.a ORDER BY g.id"
        + ("" if bulk.sqlite else " FOR UPDATE OF g"),
        ["bigint"], [(number,) for number in sorted(ids.values())],
    ):  # fmt: skip
        book = _book(dict(zip(GATEWAY, row, strict=True)))
        if names[book.id] != (book.view.site, book.view.gateway):
            raise GoneError
        books[names[book.id]] = book
    if len(books) < len(ids):
        raise GoneError
    by_id = {book.id: book for book in books.values()}
    _marks(bulk, by_id, ids, wanted)
    _models(bulk, by_id, ids, wanted)
    _told(bulk, by_id, ids, wanted)
    here = {name for name in wanted.states if name in books}
    _presences(bulk, by_id, here | _strangers(books, readings))
    _lives(bulk, by_id, here | _travellers(books, readings))
    _gaps(bulk, by_id, {books[name].id for name in wanted.gaps if name in books})
    return books


def _book(row: dict[str, Any]) -> Book:
    for name in ("since", "heard_at", "contract_said_at", "contract_heard_at", "clash_until"):
        row[name] = us(row[name])
    turns = json.loads(row["turns"])
    view = GatewayView(row["site"], row["gateway"], row["store"])
    view.time_quality = row["time_quality"]
    if row["past"] != "{}":
        view.past = json.loads(row["past"])
    view.store_turns, view.birth_turns = (_turns(turns.get(of)) for of in ("store", "birth"))
    if row["online"] is not None:  # of the store that counts; enough where no state came
        view.stores[view.store] = Presence(
            Place(row["boot"], 0), bool(row["online"]), row["reason"], ""
        )
    if row["life_store"]:
        view.lives[Life(row["life_store"], row["life_boot"])] = None
    return Book(row["id"], row, view)


def _turns(told: Any) -> Turns:
    if not told:
        return Turns()
    last, heard, back = told
    return Turns(last, {who: int(ns) for who, ns in heard}, back)


def _marks(bulk: Bulk, books: Mapping[int, Book], ids: Mapping[Named, int], wanted: Wanted) -> None:
    columns = ", ".join(f"m.{one}" for one in MARK)
    born = {(ids[one[:2]], one[2]) for one in wanted.born}
    runs = {(ids[one[:2]], *one[2:]) for one in wanted.marks}
    rows = bulk.by_keys(
        f"SELECT {columns} FROM {{keys}} CROSS JOIN mark m"
        " WHERE m.gateway_id = k.a AND m.store = k.b",
        ["bigint", "text"], born,
    )  # fmt: skip
    rows += bulk.by_keys(
        f"SELECT {columns} FROM {{keys}} CROSS JOIN mark m"
        " WHERE m.gateway_id = k.a AND m.store = k.b AND m.boot = k.c",
        ["bigint", "text", "bigint"], [run for run in runs if run[:2] not in born],
    )  # fmt: skip
    for number, store, boot, name, *told, count, duplicates, _, _ in rows:
        book = books[number]
        received, lost, earlier, within, announced = map(ranges_of, told)
        book.view.streams[store, boot, name] = Stream(
            received, lost, earlier, within, announced, count, duplicates,
            *(() if name in ACKNOWLEDGED else (LATEST_KEPT,)),
        )  # fmt: skip
        book.streams.add((store, boot, name))


def ranges_of(text: str) -> ranges.Ranges:
    """Of a mark's column."""
    return [(first, last) for first, last in json.loads(text)] if text != "[]" else []


def _models(
    bulk: Bulk, books: Mapping[int, Book], ids: Mapping[Named, int], wanted: Wanted
) -> None:
    rows = bulk.by_keys(
        "SELECT m.gateway_id, m.store, m.model, m.boot, m.seq, m.heard_at, m.expires_at"
        " FROM {keys} CROSS JOIN model m"
        " WHERE m.gateway_id = k.a AND m.store = k.b AND m.model = k.c",
        ["bigint", "text", "text"], [(ids[one[:2]], *one[2:]) for one in wanted.models],
    )  # fmt: skip
    for number, store, model, boot, seq, heard, expires in rows:
        book, place = books[number], Place(boot, seq)
        heard_us, expires_us = us(heard) or 0, us(expires) or 0
        told = KnownVerdict({}, place, expires_us * 1_000, heard_us * 1_000)
        book.view.models[store, model] = told
        book.models[store, model] = told
        book.expiries[store, model] = told.expires_ns


def _told(bulk: Bulk, books: Mapping[int, Book], ids: Mapping[Named, int], wanted: Wanted) -> None:
    for number, store, name, boot, seq in bulk.by_keys(
        "SELECT m.gateway_id, m.store, m.id, m.boot, m.seq FROM {keys} CROSS JOIN condition m"
        " WHERE m.gateway_id = k.a AND m.store = k.b AND m.id = k.c",
        ["bigint", "text", "text"], [(ids[one[:2]], *one[2:]) for one in wanted.conditions],
    ):  # fmt: skip
        found = books[number].conditions[store, name] = Condition(Place(boot, seq), True, name)
        books[number].view.conditions[store, name] = found
    for number, store, name, boot, seq in bulk.by_keys(
        "SELECT m.gateway_id, m.store, m.id, m.boot, m.seq FROM {keys} CROSS JOIN request m"
        " WHERE m.gateway_id = k.a AND m.store = k.b AND m.id = k.c",
        ["bigint", "text", "text"], [(ids[one[:2]], *one[2:]) for one in wanted.requests],
    ):  # fmt: skip
        asked = books[number].requests[store, name] = Request(Place(boot, seq), "")
        books[number].view.requests[store, name] = asked


def _strangers(books: Books, readings: Iterable[Reading]) -> set[Named]:
    """Gateways of which another store speaks than the one that counts."""
    found = set()
    for one in readings:
        name = (one.site, one.gateway)
        if one.store != books[name].view.store:
            found.add(name)
    return found


def _presences(bulk: Bulk, books: Mapping[int, Book], names: set[Named]) -> None:
    wanted = {book.id for book in books.values() if (book.view.site, book.view.gateway) in names}
    for number in wanted:
        books[number].states_loaded, books[number].view.stores = True, {}
    for number, store, boot, seq, online, reason, since, version, contract, promise in bulk.by_keys(
        "SELECT p.gateway_id, p.store, p.boot, p.seq, p.online, p.reason, p.since, p.version,"
        " p.contract, p.promise FROM {keys} CROSS JOIN presence p WHERE p.gateway_id = k.a"
        " ORDER BY p.heard_at, p.store",
        ["bigint"], [(number,) for number in sorted(wanted)],
    ):  # fmt: skip
        book = books[number]
        found = Presence(Place(boot, seq), bool(online), reason, Since(us(since)))
        book.view.stores[store] = found
        book.presences[store] = found
        book.extras[store] = (version, document(promise))
        if (told := document(contract)) is not None:
            known = KnownContract.from_json(told[:-1], told[-1])
            book.contracts[store] = book.view.contracts[store] = known


class Since(str):
    """A time that was stored already, in place of the text that told it."""

    __slots__ = ("us",)
    us: int | None

    def __new__(cls, told: int | None) -> Self:
        """An empty text that knows the time."""
        made = super().__new__(cls)
        made.us = told
        return made


def _travellers(books: Books, readings: Iterable[Reading]) -> set[Named]:
    """Gateways of which two runs meet: a message's, and the one heard last or that of a row."""
    found = set()
    for one in readings:
        name = (one.site, one.gateway)
        book = books[name]
        if one.life != Life(book.row["life_store"], book.row["life_boot"]):
            found.add(name)
    for name, book in books.items():
        boots = {
            (store, told.place.boot)
            for rows in (book.models, book.conditions, book.requests)
            for (store, _), told in rows.items()
        }
        if boots - {(book.row["life_store"], book.row["life_boot"])}:
            found.add(name)
    return found


def _lives(bulk: Bulk, books: Mapping[int, Book], names: set[Named]) -> None:
    wanted = {book.id for book in books.values() if (book.view.site, book.view.gateway) in names}
    for number in wanted:
        books[number].lives_loaded, books[number].view.lives = True, {}
    for number, store, boot, birth, turn in bulk.by_keys(
        "SELECT l.gateway_id, l.store, l.boot, l.birth, l.turn FROM {keys} CROSS JOIN life l"
        " WHERE l.gateway_id = k.a ORDER BY l.turn",
        ["bigint"], [(number,) for number in sorted(wanted)],
    ):  # fmt: skip
        book, life = books[number], Life(store, boot)
        book.view.lives[life] = None
        book.lives[life] = (turn, birth)
        if birth is not None:
            book.view.births[life] = birth
    for number in wanted:
        births = books[number].view.births
        books[number].view.births = dict(sorted(births.items(), key=lambda pair: pair[1]))


def _gaps(bulk: Bulk, books: Mapping[int, Book], wanted: set[int]) -> None:
    for number, store, boot, of, reason, some in bulk.by_keys(
        "SELECT g.gateway_id, g.store, g.boot, g.of, g.reason, g.ranges FROM {keys}"
        " CROSS JOIN gap g WHERE g.gateway_id = k.a ORDER BY g.told_at",
        ["bigint"], [(number,) for number in sorted(wanted)],
    ):  # fmt: skip
        key, found = (f"{of}: {reason}", store, boot), ranges_of(some)
        books[number].view.dropped[key] = found
        books[number].gaps[key] = found
