"""What gateways tell, settled in the database: one transaction for a batch of messages.

Any number of workers settle at once, in any order: each takes the rows of the gateways it touches
first, in order of their ids, and under those locks applies the messages with the same pure logic as
the central in memory (`agent.central.subscriber`). Only after the commit may anything be
acknowledged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection

from agent.central.gateway import ACKNOWLEDGED
from agent.central.reading import Reading
from agent.central.streams import Stream
from agent.errors import StoreError
from agent.fleet.book import GoneError, ranges_of
from agent.fleet.bulk import Bulk
from agent.fleet.columns import us_of
from agent.fleet.database import Database
from agent.fleet.settle import Arrival, Batch, Owed, Queue, Settled, told_of
from agent.fleet.sums import SeriesIds
from agent.fleet.wanted import Named, gateways_of
from agent.fleet.words import text_of

__all__ = ["Arrival", "Ledger", "Name", "Owed", "Queue", "Settled"]

GATEWAYS_KEPT: Final = 100_000
_MORE: Final = 20  # reasons that are told of one call
_WORKER: Final = ("name", "heard_at", "rows", "messages", "duplicates", "unreadable", "trouble")

Name = tuple[str, str, str]
"""(site, gateway, store)."""


class Ledger:
    """The one that writes what gateways tell. Blocking: call it in a thread; one at a time.

    Args:
        database: of central, migrated.
        relay: gets every new event within the transaction.
    """

    def __init__(self, database: Database, relay: Queue | None = None) -> None:
        self._database = database
        self._relay = relay
        self._ids: dict[Named, int] = {}
        self._series = SeriesIds()
        self._well = False  # whether any message could be stored

    def settle(self, arrivals: Sequence[Arrival]) -> Settled:
        """Commit a batch, all of it or nothing, then say what it came to.

        A message that the database refuses, whatever the reason, is unreadable: its number is
        noted, and the others are kept.

        Raises:
            StoreError: the database is away; the same batch is to be settled again.
        """
        if not arrivals:
            return Settled()
        try:
            return self._all(arrivals)
        except GoneError:  # what is remembered is of another state of the database
            self._ids, self._series = {}, SeriesIds()
            return self._all(arrivals)

    def _all(self, arrivals: Sequence[Arrival]) -> Settled:
        """A batch, or its halves where one of its messages is refused."""
        self._name(gateways_of(
            one.reading for one in arrivals if isinstance(one.reading, Reading)
        ))  # fmt: skip
        refused: list[tuple[Arrival, str]] = []
        settled = self._halved(arrivals, refused)
        self._well = self._well or len(refused) < len(arrivals)
        if refused and not self._well:  # a fault of ours: no message is given up for it
            raise StoreError(
                "storing", f"{len(arrivals)} messages", f"none can be stored: {refused[0][1]}",
                "if no other message helps, report it with this log",
            )
        for one, reason in refused:
            spoilt = self._settle([one], spoil=True)
            spoilt.reasons.append(reason)
            settled = _together(settled, spoilt)
        return settled

    def _halved(
        self, arrivals: Sequence[Arrival], refused: list[tuple[Arrival, str]]
    ) -> Settled:
        """Commit what can be; what can not, each alone, is put with its reason into `refused`."""
        try:
            return self._settle(arrivals)
        except (StoreError, GoneError):
            raise
        except Exception as error:  # noqa: BLE001 - what one message holds must not stop the rest
            if len(arrivals) == 1:
                refused.append((arrivals[0], f"{type(error).__name__}: {str(error)[:200]}"))
                return Settled()
        half = len(arrivals) // 2
        return _together(
            self._halved(arrivals[:half], refused), self._halved(arrivals[half:], refused)
        )

    def _settle(self, arrivals: Sequence[Arrival], *, spoil: bool = False) -> Settled:
        done: list[Batch] = []

        def work(connection: Connection) -> Settled:
            batch = Batch(connection, self._ids, self._series, self._relay, spoil=spoil)
            done[:] = [batch]
            return batch.settle(arrivals)

        settled = self._database.repeated(work)
        done[0].committed()
        return settled

    def _name(self, names: Collection[Named]) -> None:
        """Give each gateway a row, in a transaction of its own: its number may be remembered."""
        absent = sorted(name for name in names if name not in self._ids)
        if not absent:
            return
        with self._database.reading() as connection:
            self._ids |= _ids(Bulk(connection), absent)
        new = [name for name in absent if name not in self._ids]
        if not new:
            return

        def work(connection: Connection) -> dict[Named, int]:
            bulk = Bulk(connection)
            (count,) = bulk.select("SELECT count(*) FROM gateway")[0]
            some = new[: max(0, GATEWAYS_KEPT - count)]
            bulk.upsert("gateway", ("site", "gateway"), some, ("site", "gateway"), {})
            return _ids(bulk, some)

        self._ids |= self._database.repeated(work)

    def owed(self, names: Collection[Name]) -> list[Owed]:
        """All streams of these stores, as they stand; `born` is False. Reads only.

        Stores that are not there are left out: nobody would hear it.

        Raises:
            StoreError: the database is away.
        """
        found: dict[Name, list[dict[str, object]]] = {}
        with self._database.reading() as connection:
            rows = Bulk(connection).by_keys(
                "SELECT g.site, g.gateway, l.store, l.boot, m.stream, m.received, m.lost, m.earlier"
                " FROM {keys} CROSS JOIN gateway g"
                " JOIN life l ON l.gateway_id = g.id"
                " LEFT JOIN mark m ON m.gateway_id = g.id AND m.store = l.store AND m.boot = l.boot"
                " LEFT JOIN presence p ON p.gateway_id = g.id AND p.store = l.store"
                " WHERE g.site = k.a AND g.gateway = k.b AND l.store = k.c"
                " AND (p.online IS NULL OR p.online) ORDER BY g.id, l.store, l.boot",
                ["text", "text", "text"], sorted(names),
            )  # fmt: skip
        streams: dict[tuple[str, str, str, int], dict[str, Stream]] = {}
        for *key, name, received, lost, earlier in rows:
            run = streams.setdefault(tuple(key), {})
            if name is not None:
                run[name] = Stream(ranges_of(received), ranges_of(lost), ranges_of(earlier))
        for (*who, boot), run in streams.items():
            told = found.setdefault(tuple(who), [])  # type: ignore[arg-type]
            told += [told_of(boot, name, run.get(name, Stream())) for name in ACKNOWLEDGED]
        return [Owed(*who, born=False, received=told) for who, told in found.items()]

    def unsettled(self, most: int = 1_000) -> list[Name]:
        """Stores that are there and have numbers that nothing explains, or that they announced.

        Raises:
            StoreError: the database is away.
        """
        with self._database.reading() as connection:
            rows = Bulk(connection).select(
                "SELECT DISTINCT g.site, g.gateway, m.store FROM mark m"
                " JOIN gateway g ON g.id = m.gateway_id"
                " JOIN presence p ON p.gateway_id = m.gateway_id AND p.store = m.store"
                " WHERE (m.missing > 0 OR m.awaited > 0) AND p.online"
                f" AND m.stream IN ('event', 'summary') LIMIT {int(most)}"
            )
        return [(site, gateway, store) for site, gateway, store in rows]

    # --- workers ------------------------------------------------------------------------------

    def beat(
        self, name: str, *, rows: int, messages: int, duplicates: int, unreadable: int,
        trouble: str = "",
    ) -> None:  # fmt: skip
        """A worker's sign of life, with its counts since it began.

        Raises:
            StoreError: the database is away.
        """

        def work(connection: Connection) -> None:
            now = self._database.now(connection)
            bulk = Bulk(connection)
            heard = bulk.moment(us_of(now))
            bulk.upsert(
                "worker", _WORKER,
                [[name, heard, rows, messages, duplicates, unreadable, text_of(trouble)]], ("name",)
            )  # fmt: skip

        self._database.repeated(work)


def _ids(bulk: Bulk, names: Iterable[Named]) -> dict[Named, int]:
    rows = bulk.by_keys(
        "SELECT g.id, g.site, g.gateway FROM {keys} CROSS JOIN gateway g"
        " WHERE g.site = k.a AND g.gateway = k.b",
        ["text", "text"], names,
    )  # fmt: skip
    return {(site, gateway): number for number, site, gateway in rows}


def _together(one: Settled, other: Settled) -> Settled:
    return Settled(
        one.rows + other.rows, one.messages + other.messages, one.duplicates + other.duplicates,
        one.unreadable + other.unreadable, [*one.owed, *other.owed],
        [*one.reasons, *other.reasons][:_MORE],
    )  # fmt: skip
