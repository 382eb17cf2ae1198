"""Rows in the order of their times: zones, rows turned round, moved, doubled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from agent.records.cells import data_error
from agent.records.times import CellError, Reading
from agent.records.zones import (
    newest_first,
    put_back,
    put_forward,
    sorted_back,
    to_utc,
    zone_named,
)
from agent.types import Float64, Int64

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
_MOST_DUPLICATES = 0.01  # share of rows; above it the time stamps are too coarse to order rows


class Order:
    """The rows' order and zone: what is settled once all times of a file are known."""

    def __init__(self, how: Reading) -> None:
        self._zone = zone_named(how.timezone) if how.timezone else None
        self.newest_first = False
        self.text = ""  # the zone
        self.notes: tuple[str, ...] = ()

    def settle(self, times: Int64, utc: bool) -> Int64:  # noqa: FBT001 - as formats return it
        """UTC of int64[n] ns, in the file's order.

        Raises:
            CellError: a time that there was not, or an hour that comes twice.
        """
        self.newest_first = newest_first(times)
        if utc or not len(times):
            self.text = "UTC"
            return times
        forward = times[::-1] if self.newest_first else times
        try:
            if self._zone is not None:
                forward = to_utc(forward, self._zone)
                if self._zone.key != "UTC" and (row := put_back(forward)) is not None:
                    cause = f"the time goes back by an hour, but clocks in {self._zone.key} did not"
                    raise CellError(row, cause, "say another --timezone, or --timezone UTC")
            elif (row := put_back(forward)) is not None:
                cause = "the time goes back by an hour: local time, of which one hour comes twice"
                hint = "say --timezone Europe/Berlin (or another), or --timezone UTC if it is that"
                raise CellError(row, cause, hint)
            elif (row := sorted_back(forward)) is not None:
                cause = "an hour comes twice in local time, its rows sorted into each other"
                hint = "export in UTC, with offsets, or in the order of arrival"
                raise CellError(row, cause, hint)
            elif (row := put_forward(forward)) is not None:
                hint = "as where clocks are put forward: if these are local times, say --timezone"
                self.notes = (f"an hour is missing before {_plain(forward[row])}, {hint}",)
        except CellError as error:
            at = len(times) - 1 - error.position if self.newest_first else error.position
            raise CellError(at, error.cause, error.hint) from error
        self.text = (
            self._zone.key if self._zone is not None
            else "without a zone: taken as UTC (for local time say --timezone)"
        )  # fmt: skip
        return forward[::-1] if self.newest_first else forward


def in_order(
    file: Path, times: Int64, values: Float64, bad: Mapping[int, Bools], *, turned: bool
) -> tuple[Int64, Float64, dict[int, Bools], list[str]]:
    """(times, values, bad cells, notes) with rows by time, each time once.

    Args:
        file: for errors.
        times: int64[n] ns, in the file's order.
        values: float64[n, d].
        bad: position of a column -> bool[n].
        turned: whether rows run from the newest to the oldest.

    Raises:
        FieldwardenError: too few rows, or too many of one time.
    """
    notes = []
    if len(times) < 2:
        raise data_error(file, f"only {len(times)} rows of data", "at least two are needed")
    if turned:
        notes.append("rows were newest first: turned round")
        times, values = times[::-1], values[::-1]
        bad = {at: marks[::-1] for at, marks in bad.items()}
    if np.any(np.diff(times) < 0):
        by_time = np.argsort(times, kind="stable")
        moved = int(np.count_nonzero(by_time != np.arange(len(by_time))))
        notes.append(f"rows were not in order of time: {moved} were moved")
        times, values = times[by_time], values[by_time]
        bad = {at: marks[by_time] for at, marks in bad.items()}
    begins = np.append(True, np.diff(times) > 0)
    if not begins.all():
        times, values, bad = _each_once(file, times, values, bad, np.flatnonzero(begins), notes)
    if len(times) < 2:
        raise data_error(file, "all rows have one time", "at least two times are needed")
    return np.ascontiguousarray(times), np.asfortranarray(values), dict(bad), notes


def _each_once(
    file: Path, times: Int64, values: Float64, bad: Mapping[int, Bools], starts: Int64,
    notes: list[str],
) -> tuple[Int64, Float64, dict[int, Bools]]:  # fmt: skip
    """Rows of one time as one: of each column the last value."""
    doubles = len(times) - len(starts)
    joined = np.empty((len(starts), values.shape[1]), order="F")
    marks: dict[int, Bools] = {}
    lost = differ = 0
    for at in range(values.shape[1]):
        told = np.isfinite(values[:, at])
        if at in bad:
            told |= bad[at]
        last = np.maximum.reduceat(np.where(told, np.arange(len(times)), -1), starts)
        lost += int(np.count_nonzero(told)) - int(np.count_nonzero(last >= 0))
        differ += _differs(values[:, at], told, last, starts)
        joined[:, at] = np.where(last >= 0, values[last, at], np.nan)
        if at in bad:
            marks[at] = (last >= 0) & bad[at][last]
    if not differ and 2 * doubles <= len(times):
        notes.append(f"{doubles} rows were joined to others of their time: they say nothing else")
        return times[starts], joined, marks
    if not lost and values.shape[1] > 1:
        notes.append(f"{doubles} rows were joined to others of their time")
        return times[starts], joined, marks
    if doubles > max(3, _MOST_DUPLICATES * len(times)):
        cause = f"{doubles} of {len(times)} rows have the time of the row after them"
        hint = "export times with fractions of a second, or thin the rows out"
        if 2 * doubles > len(times):
            hint = (
                "is the clock in another column? put date and time in one; is a column the name of "
                "the tag? say --tag-column"
            )
        raise data_error(file, cause, hint)
    notes.append(f"{doubles} rows had the time of the row after them and were dropped")
    return times[starts], joined, marks


def _differs(column: Float64, told: Bools, last: Int64, starts: Int64) -> int:
    """How many values are lost where of each time the last one stays."""
    of = np.repeat(last, np.diff(np.append(starts, len(column))))
    other = told & (column != column[of]) & ~(np.isnan(column) & np.isnan(column[of]))
    return int(np.count_nonzero(other))


def _plain(time_ns: np.int64) -> str:
    text = datetime.fromtimestamp(int(time_ns) / 1e9, UTC).isoformat(" ", timespec="seconds")
    return text.removesuffix("+00:00")
