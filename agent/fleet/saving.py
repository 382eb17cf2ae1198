"""Writes back what a batch has changed, of gateways that are locked: see `agent.fleet.book`."""

from __future__ import annotations

import json
from typing import Any, Final

from agent.central.gateway import (
    CLASH_NS,
    CONDITIONS_KEPT,
    COUNTED,
    MODELS_KEPT,
    REQUESTS_KEPT,
    KnownVerdict,
    Presence,
    Turns,
)
from agent.central.reading import Reading
from agent.central.streams import Stream
from agent.fleet.book import GATEWAY, MARK, Book, Since
from agent.fleet.bulk import Bulk
from agent.fleet.words import json_of, text_of, us_if_known, us_of_text

_LARGEST: Final = 2**63 - 1
_PRESENCE: Final = ("gateway_id", "store", "boot", "seq", "online", "reason", "since",
                    "version", "heard_at", "contract", "promise")  # fmt: skip
_LIFE: Final = ("gateway_id", "store", "boot", "birth", "turn")
_MODEL: Final = ("gateway_id", "store", "model", "boot", "seq", "version", "owner", "verdict",
                 "since", "reasons", "text", "data", "heard_at", "expires_at",
                 "watched")  # fmt: skip
_CONDITION: Final = ("gateway_id", "store", "id", "boot", "seq", "open", "incident", "cause",
                     "text", "models", "raised_at", "data", "heard_at")  # fmt: skip
_REQUEST: Final = ("gateway_id", "store", "id", "boot", "seq", "model", "state", "open", "owner",
                   "since", "answers", "text", "hint", "criteria", "data", "heard_at")  # fmt: skip
_GAP: Final = ("gateway_id", "store", "boot", "of", "reason", "ranges", "count", "told_at")


def save(bulk: Bulk, books: list[Book], now_us: int) -> int:
    """Write all of them; how many verdicts were written."""
    some = list(books)
    _forget_lives(bulk, some)  # their counts go into the gateway's row
    bulk.upsert("mark", MARK, [row for one in some for row in _marks(one)], MARK[:4])
    _presences(bulk, some, now_us)
    bulk.upsert("life", _LIFE, [row for one in some for row in _lives(one)], _LIFE[:3])
    verdicts = _models(bulk, some)
    _conditions(bulk, some, now_us)
    _requests(bulk, some, now_us)
    _gaps(bulk, some, now_us)
    rows = [_gateway(bulk, one, now_us) for one in some]
    bulk.upsert("gateway", GATEWAY, rows, ("id",))
    return verdicts


# --- the gateway's own row ------------------------------------------------------------------------


def _gateway(bulk: Bulk, book: Book, now_us: int) -> list[Any]:
    row, view = dict(book.row), book.view
    row |= {"store": view.store, "time_quality": text_of(view.time_quality, 50)}
    if book.heard_us is not None:
        known_us = min(row["heard_at"] or 0, now_us)  # unless the clock was set back
        row["heard_at"] = max(book.heard_us, known_us)
    if book.states_loaded:
        row |= _present(book)
    if view.lives:
        row["life_store"], row["life_boot"] = next(reversed(view.lives))
    clash, until_us = _clash(view.store_turns, view.birth_turns, now_us)
    row |= {"clash": json_of(clash) if clash else "[]", "clash_until": until_us}
    row["past"] = json_of(view.past) if view.past else "{}"
    row["turns"] = json_of(
        {"store": _turns(view.store_turns), "birth": _turns(view.birth_turns)}
    )
    for name in ("since", "heard_at", "contract_said_at", "contract_heard_at", "clash_until"):
        row[name] = bulk.moment(row[name])
    return [row[name] for name in GATEWAY]


def _present(book: Book) -> dict[str, Any]:
    """Columns of the store that counts."""
    view, presence = book.view, book.view.presence
    version, promise = book.extras.get(view.store, ("", None))
    told = view.contracts.get(view.store)
    return {
        "boot": presence.place.boot if presence else None,
        "online": presence.online if presence else None,
        "reason": text_of(presence.reason) if presence else "",
        "since": _since(presence) if presence else None,
        "version": version, "promise": None if promise is None else json_of(promise),
        "births": max([book.row["births"], *view.births.values()]),
        "contract_hash": text_of(told.hash) if told else "",
        "contract_made": text_of(told.made) if told else "",
        "held_tags": told.held_tags if told else 0,
        "open_changes": told.open_changes if told else 0,
        "changes": json_of(list(told.changes)) if told else "[]",
        "contract_said_at": us_if_known(told.said_ns) if told else None,
        "contract_heard_at": told.heard_ns // 1_000 if told else None,
    }  # fmt: skip


def _since(presence: Presence) -> int | None:
    told = presence.since
    return told.us if isinstance(told, Since) else us_of_text(told)


def _turns(turns: Turns) -> list[Any] | None:
    if not turns.heard_ns:
        return None
    return [turns.last, [list(pair) for pair in turns.heard_ns.items()], turns.back_ns]


def _clash(stores: Turns, births: Turns, now_us: int) -> tuple[list[str], int | None]:
    """Who speaks by turns under this name, and until when that holds where none speaks again."""
    for turns in (stores, births):
        found = turns.of(now_us * 1_000)
        if found and turns.back_ns is not None:
            second = sorted(turns.heard_ns[who] for who in found)[-2]
            return found, (min(turns.back_ns, second) + CLASH_NS) // 1_000
    return [], None


# --- runs and numbers -----------------------------------------------------------------------------


def _marks(book: Book) -> list[list[Any]]:
    return [
        [book.id, *key, *_mark(key[2], stream)]
        for key, stream in book.view.streams.items()
        if key in book.touched
    ]


def _mark(name: str, stream: Stream) -> list[Any]:
    parts = (stream.received, stream.lost, stream.earlier, stream.told, stream.announced)
    holes = stream.missing() if name in COUNTED else []  # of the others only the latest counts
    missing = sum(last - first + 1 for first, last in holes)
    return [
        *("[]" if not part else json.dumps(part, separators=(",", ":")) for part in parts),
        stream.count, stream.duplicates, min(missing, _LARGEST),
        min(stream.awaited() if stream.announced else 0, _LARGEST),
    ]  # fmt: skip


def _lives(book: Book) -> list[list[Any]]:
    """Runs that are new, whose birth came, or that were heard of after others."""
    if not book.lives_loaded:
        return []
    rows, last = [], -1
    for life in book.view.lives:
        turn, birth = book.lives.get(life, (None, None))
        born = book.view.births.get(life)
        if turn is None or turn <= last:
            turn = book.row["life_turn"] = max(book.row["life_turn"], last) + 1
        elif birth == born:
            last = turn
            continue
        rows.append([book.id, *life, born, turn])
        last = turn
    return rows


def _forget_lives(bulk: Bulk, books: list[Book]) -> None:
    """Runs that there was no room for any more go, and their counts stay."""
    gone = {
        (book.id, *life): book
        for book in books
        for life in book.lives if life not in book.view.lives
    }  # fmt: skip
    kinds, match = ["bigint", "text", "bigint"], "m.gateway_id = k.a AND m.store = k.b"
    for number, store, boot, name, count, duplicates, missing in bulk.by_keys(
        "SELECT m.gateway_id, m.store, m.boot, m.stream, m.count, m.duplicates, m.missing"
        f" FROM {{keys}} CROSS JOIN mark m WHERE {match} AND m.boot = k.c", kinds, gone,
    ):  # fmt: skip
        book = gone[number, store, boot]
        if (store, boot, name) in book.streams:
            continue  # the view has counted it as it went
        counts = {"count": count, "duplicates": duplicates}
        counts |= {f"missing {name}": missing} if name in COUNTED else {}
        for what, some in counts.items():
            book.view.past[what] = book.view.past.get(what, 0) + some
    for table in ("mark", "life"):
        bulk.change_by_keys(
            _delete(bulk, table, "{0}.gateway_id = k.a AND {0}.store = k.b AND {0}.boot = k.c"),
            kinds, gone,
        )  # fmt: skip


def _delete(bulk: Bulk, table: str, match: str) -> str:
    """DELETE of the rows that fit one of the keys."""
    if bulk.sqlite:
        found = match.format("d")
        return (
            f"DELETE FROM {table} WHERE rowid IN"
            f" (SELECT d.rowid FROM {{keys}} CROSS JOIN {table} d WHERE {found})"
        )
    return f"DELETE FROM {table} USING {{keys}} WHERE {match.format(table)}"


def _presences(bulk: Bulk, books: list[Book], now_us: int) -> None:
    rows, gone = [], []
    for book in books:
        if not book.states_loaded:
            continue
        for store, presence in book.view.stores.items():
            told = book.view.contracts.get(store)
            if (
                book.presences.get(store) is presence and book.contracts.get(store) is told
                and store not in book.changed_extras
            ):  # fmt: skip
                continue
            version, promise = book.extras.get(store, ("", None))
            contract = None if told is None else json_of([*told.to_json(), told.heard_ns])
            rows.append([
                book.id, store, *presence.place, presence.online, text_of(presence.reason),
                bulk.moment(_since(presence)), version, bulk.moment(now_us), contract,
                None if promise is None else json_of(promise),
            ])  # fmt: skip
        gone += [(book.id, one) for one in book.presences if one not in book.view.stores]
    bulk.upsert("presence", _PRESENCE, rows, _PRESENCE[:2])
    bulk.change_by_keys(
        _delete(bulk, "presence", "{0}.gateway_id = k.a AND {0}.store = k.b"),
        ["bigint", "text"], gone,
    )  # fmt: skip


# --- what was told --------------------------------------------------------------------------------


def _models(bulk: Bulk, books: list[Book]) -> int:
    rows, later, new = [], [], set()
    bulk.change_by_keys(
        _delete(bulk, "model", "{0}.gateway_id = k.a AND {0}.model = k.b"), ["bigint", "text"],
        [(book.id, model) for book in books for model in book.cleared],
    )  # fmt: skip
    for book in books:
        for (store, model), told in book.view.models.items():
            if book.models.get((store, model)) is not told:
                said = book.said["verdict", store, model]
                rows.append([book.id, store, model, *told.place, *_verdict(bulk, told, *said)])
                new |= {book.id} if (store, model) not in book.models else set()
            elif told.expires_ns != book.expiries[store, model]:
                expires = bulk.moment(told.expires_ns // 1_000)
                later.append((book.id, store, model, expires))
    bulk.upsert("model", _MODEL, rows, _MODEL[:3])
    bulk.change_by_keys(
        "UPDATE model SET expires_at = k.d FROM {keys}"
        " WHERE model.gateway_id = k.a AND model.store = k.b AND model.model = k.c",
        ["bigint", "text", "text", "timestamptz"], later,
    )  # fmt: skip
    _bound(bulk, "model", new, MODELS_KEPT, "heard_at")
    return len(rows)


def _verdict(bulk: Bulk, told: KnownVerdict, said: Reading, text: str) -> list[Any]:
    data = said.data
    owner = data.get("owner")
    texts = (text_of(one.get("text")) for one in data["reasons"])
    return [
        text_of(data.get("version")), None if owner is None else json_of(owner),
        text_of(data["verdict"], 50), bulk.moment(us_of_text(data.get("since"))),
        json_of(data["reasons"]), text_of("; ".join(filter(None, texts))), text,
        bulk.moment(told.heard_ns // 1_000), bulk.moment(told.expires_ns // 1_000),
        not told.unwatched,
    ]  # fmt: skip


def _conditions(bulk: Bulk, books: list[Book], now_us: int) -> None:
    rows, new = [], set()
    heard = bulk.moment(now_us)
    for book in books:
        for (store, name), told in book.view.conditions.items():
            if book.conditions.get((store, name)) is told:
                continue
            new |= {book.id} if (store, name) not in book.conditions else set()
            words: list[Any] = ["", "", "[]", None, "{}"]
            if told.open:
                _, data = book.said["condition", store, name]
                words = [
                    text_of(told.cause, 50), text_of(told.text),
                    json_of(told.models), bulk.moment(us_if_known(told.raised_ns)), data,
                ]  # fmt: skip
            incident = text_of(told.incident, 200)
            rows.append(
                [book.id, store, name, *told.place, told.open, incident, *words, heard]
            )
    bulk.upsert("condition", _CONDITION, rows, _CONDITION[:3])
    _bound(bulk, "condition", new, CONDITIONS_KEPT, "open DESC, heard_at")


def _requests(bulk: Bulk, books: list[Book], now_us: int) -> None:
    rows, new = [], set()
    heard = bulk.moment(now_us)
    for book in books:
        for (store, name), told in book.view.requests.items():
            if book.requests.get((store, name)) is told:
                continue
            new |= {book.id} if (store, name) not in book.requests else set()
            data = book.said["retraining", store, name][1] if told.open else "{}"
            rows.append([
                book.id, store, name, *told.place, text_of(told.model, 500),
                text_of(told.state, 50), told.open, text_of(told.owner),
                bulk.moment(us_if_known(told.since_ns)), text_of(told.answers, 500),
                text_of(told.text), text_of(told.hint), json_of(told.criteria), data,
                heard,
            ])  # fmt: skip
    bulk.upsert("request", _REQUEST, rows, _REQUEST[:3])
    _bound(bulk, "request", new, REQUESTS_KEPT, "open DESC, heard_at")


def _bound(bulk: Bulk, table: str, ids: set[int], most: int, order: str) -> None:
    """Of gateways that have more rows than are kept the first to go go; `order`: the last first."""
    name = "model" if table == "model" else "id"
    for number, _ in bulk.by_keys(
        f"SELECT m.gateway_id, count(*) FROM {{keys}} CROSS JOIN {table} m"
        f" WHERE m.gateway_id = k.a GROUP BY m.gateway_id HAVING count(*) > {most}",
        ["bigint"], [(number,) for number in sorted(ids)],
    ):  # fmt: skip
        bulk.execute(
            f"DELETE FROM {table} WHERE gateway_id = ? AND (store, {name}) IN (SELECT store, {name}"
            f" FROM {table} WHERE gateway_id = ? ORDER BY {order} DESC, store, {name}"
            f" {'LIMIT -1 ' if bulk.sqlite else ''}OFFSET {most})", (number, number),
        )  # fmt: skip


def _gaps(bulk: Bulk, books: list[Book], now_us: int) -> None:
    rows, gone = [], []
    for book in books:
        for key, some in book.view.dropped.items():
            if book.gaps.get(key) is not some:
                rows.append(_gap(bulk, book.id, key, some, now_us))
        gone += [
            (book.id, *_gap_key(key)) for key in book.gaps if key not in book.view.dropped
        ]
    bulk.upsert("gap", _GAP, rows, _GAP[:5])
    bulk.change_by_keys(
        _delete(bulk, "gap", "{0}.gateway_id = k.a AND {0}.store = k.b AND {0}.boot = k.c"
                " AND {0}.of = k.d AND {0}.reason = k.e"),
        ["bigint", "text", "bigint", "text", "text"], gone,
    )  # fmt: skip


def _gap(
    bulk: Bulk, number: int, key: tuple[str, str, int], some: list[tuple[int, int]], now_us: int
) -> list[Any]:
    count = min(sum(last - first + 1 for first, last in some), _LARGEST)
    return [number, *_gap_key(key), json.dumps(some), count, bulk.moment(now_us)]


def _gap_key(key: tuple[str, str, int]) -> tuple[str, int, str, str]:
    named, store, boot = key
    of, _, reason = named.partition(": ")
    return store, boot, of, reason
