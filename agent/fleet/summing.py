"""Writes the summaries of a batch: rows, and the totals of their days; see `agent.fleet.sums`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from agent.fleet.book import GoneError
from agent.fleet.bulk import Bulk, us
from agent.fleet.columns import EPOCH
from agent.fleet.sums import DAY_US, Message, Series, SeriesIds, Sheet, Sums, added, sums_of

SERIES_KEPT: Final = 20_000  # of one gateway
_SERIES: Final = ("gateway_id", "model", "tag", "baseline", "centre", "scale")
_KINDS: Final = ("bigint", "text", "text", "text", "float8", "float8")
_SUMS: Final = (
    "count", "good", "sum", "sum_sq", "min", "max", "scans", "extrapolating", "jointly"
)  # fmt: skip
_SUMMARY: Final = (
    "start_at", "end_at", "series_id", "gateway_id", "store", "boot", "seq", *_SUMS, "histogram",
    "losses", "heard_at",
)  # fmt: skip
_TOTAL: Final = ("series_id", "day", "windows", *_SUMS)


@lru_cache(64)
def _day(day: int) -> str:
    """ISO 8601, as both databases take it."""
    return (EPOCH.date() + timedelta(days=day)).isoformat()


class Summing:
    """The summaries of one batch.

    Attributes:
        unreadable: messages that there was no room for.
        found: series that are known once the transaction is committed.

    Args:
        bulk: of the transaction.
        sheet: what the batch came to.
        ids: of series that are committed.
        now_us: the database's clock.
    """

    def __init__(self, bulk: Bulk, sheet: Sheet, ids: SeriesIds, now_us: int) -> None:
        self.unreadable = 0
        self.found: dict[Series, int] = {}
        self._bulk = bulk
        self._sheet = sheet
        self._ids = ids
        self._now_us = now_us

    def save(self) -> int:
        """Write all of it; how many windows."""
        sheet = self._sheet
        if not sheet.messages and not sheet.leaving:
            return 0
        numbers = self._series()
        kept = self._kept_from() if sheet.leaving else 0
        anew = {pair for pair in self._left() if pair[1] * DAY_US >= kept}
        messages = [
            one for one in sheet.messages.values() if all(s in numbers for s, _ in one.windows)
        ]
        self.unreadable = len(sheet.messages) - len(messages)
        self._bulk.insert("summary", _SUMMARY, self._rows(messages, numbers))
        # Of days whose rows were deleted the totals hold what is covered, and can not let it go.
        counted = (
            (numbers[series], window.start_us, window.sums)
            for one in messages for series, window in one.windows
            if one.origin not in sheet.again or window.start_us >= kept
        )  # fmt: skip
        totals = added(counted)
        self._add({pair: total for pair, total in totals.items() if pair not in anew})
        if anew:
            self._anew(anew)
        return sum(len(one.windows) for one in messages)

    # --- series -------------------------------------------------------------------------------

    def _series(self) -> dict[Series, int]:
        """Numbers of all series of the batch but those that there is no room for.

        Raises:
            GoneError: the numbers that are remembered are of another state of the database.
        """
        known, absent = self._ids.split(self._sheet.units)
        if known and not self._remembered():
            raise GoneError
        if not absent:
            return known
        self.found = self._asked(absent)
        new = [one for one in absent if one not in self.found]
        if new:
            full = self._full(new)
            rows = [
                [*one, *self._sheet.units[one]] for one in new if one.gateway_id not in full
            ]
            self._bulk.insert("series", (*_SERIES, "unit", "per_hour"), rows)
            self.found |= self._asked(new)
        return known | self.found

    def _remembered(self) -> bool:
        """Whether the newest of the remembered has its number still.

        Numbers only grow: a database that came back without it had not all the others either.
        """
        if self._ids.newest is None:
            return True
        series, number = self._ids.newest
        rows = self._bulk.select(
            "SELECT gateway_id, model, tag, baseline FROM series WHERE id = ?", [number]
        )
        return [tuple(row) for row in rows] == [series[:4]]

    def _asked(self, some: Iterable[Series]) -> dict[Series, int]:
        columns = ", ".join(f"s.{name}" for name in _SERIES)
        match = " AND ".join(f"s.{name} = k.{key}" for name, key in zip(_SERIES, "abcdef",
                                                                      strict=True))  # fmt: skip
        rows = self._bulk.by_keys(
            f"SELECT s.id, {columns} FROM {{keys}} CROSS JOIN series s WHERE {match}", _KINDS, some
        )
        return {Series(*one): number for number, *one in rows}

    def _full(self, new: list[Series]) -> set[int]:
        """Gateways that have no room for so many more."""
        more = Counter(one.gateway_id for one in new)
        have: dict[int, int] = dict(map(tuple, self._bulk.by_keys(
            "SELECT s.gateway_id, count(*) FROM {keys} CROSS JOIN series s"
            " WHERE s.gateway_id = k.a GROUP BY s.gateway_id",
            ["bigint"], [(number,) for number in more],
        )))  # fmt: skip
        return {
            number for number, count in more.items() if have.get(number, 0) + count > SERIES_KEPT
        }

    # --- rows ---------------------------------------------------------------------------------

    def _rows(self, messages: Iterable[Message], numbers: dict[Series, int]) -> list[list[Any]]:
        moment, exact = self._bulk.moment, self._bulk.exact
        heard = moment(self._now_us)
        return [
            [
                moment(window.start_us), moment(window.end_us), numbers[series],
                series.gateway_id, one.origin.store, one.origin.boot, one.origin.seq,
                window.sums.samples, window.sums.good, exact(window.sums.sum),
                exact(window.sums.sum_sq), *window.sums[4:], window.histogram, window.losses, heard,
            ]
            for one in messages for series, window in one.windows
        ]  # fmt: skip

    def _left(self) -> set[tuple[int, int]]:
        """Delete what is covered; (series, day) that it leaves."""
        match = (
            "{0}.gateway_id = k.a AND {0}.store = k.b AND {0}.boot = k.c"
            " AND {0}.seq BETWEEN k.d AND k.e"
        )
        found = (
            "DELETE FROM summary WHERE rowid IN (SELECT d.rowid FROM {keys} CROSS JOIN summary d"
            f" WHERE {match.format('d')})" if self._bulk.sqlite else
            f"DELETE FROM summary USING {{keys}} WHERE {match.format('summary')}"
        )  # fmt: skip
        rows = self._bulk.by_keys(
            f"{found} RETURNING series_id, start_at",
            ["bigint", "text", "bigint", "bigint", "bigint"], self._sheet.leaving,
        )  # fmt: skip
        return {(series, (us(start) or 0) // DAY_US) for series, start in rows}

    def _kept_from(self) -> int:
        rows = self._bulk.select("SELECT kept_from FROM horizon WHERE of = 'summary'")
        return us(rows[0][0]) or 0 if rows else 0

    # --- totals -------------------------------------------------------------------------------

    def _add(self, totals: dict[tuple[int, int], tuple[int, Sums]]) -> None:
        if self._bulk.sqlite:
            least, greatest = "min", "max"
            sets = {name: f"added_exactly(total.{name}, excluded.{name})"
                    for name in ("sum", "sum_sq")}  # fmt: skip
        else:
            least, greatest, sets = "least", "greatest", {}
        for name in ("windows", *_SUMS):
            sets.setdefault(name, f"total.{name} + excluded.{name}")
        for name, choose in (("min", least), ("max", greatest)):
            known, new = f"total.{name}", f"excluded.{name}"
            sets[name] = f"{choose}(coalesce({known}, {new}), coalesce({new}, {known}))"
        self._bulk.upsert(
            "total", _TOTAL, [self._total(pair, *one) for pair, one in sorted(totals.items())],
            _TOTAL[:2], sets,
        )  # fmt: skip

    def _total(self, pair: tuple[int, int], windows: int, sums: Sums) -> list[Any]:
        exact = self._bulk.exact
        return [
            pair[0], _day(pair[1]), windows, sums.samples, sums.good, exact(sums.sum),
            exact(sums.sum_sq), *sums[4:],
        ]  # fmt: skip

    def _anew(self, pairs: set[tuple[int, int]]) -> None:
        """Totals of days that rows left: least and greatest can not be subtracted."""
        bulk = self._bulk
        columns = ", ".join(f"s.{name}" for name in _SUMS)
        keys = [
            (series, bulk.moment(day * DAY_US), bulk.moment((day + 1) * DAY_US))
            for series, day in sorted(pairs)
        ]  # fmt: skip
        rows = bulk.by_keys(
            f"SELECT s.series_id, s.start_at, {columns} FROM {{keys}} CROSS JOIN summary s"
            " WHERE s.series_id = k.a AND s.start_at >= k.b AND s.start_at < k.c",
            ["bigint", "timestamptz", "timestamptz"], keys,
        )  # fmt: skip
        totals = added((series, us(start) or 0, sums_of(row)) for series, start, *row in rows)
        gone = "total.series_id = k.a AND total.day = k.b"
        bulk.change_by_keys(
            "DELETE FROM total WHERE rowid IN (SELECT total.rowid FROM {keys} CROSS JOIN total"
            f" WHERE {gone})" if bulk.sqlite else f"DELETE FROM total USING {{keys}} WHERE {gone}",
            ["bigint", "date"], [(series, _day(day)) for series, day in pairs],
        )  # fmt: skip
        self._add(totals)
