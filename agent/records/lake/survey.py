"""What a lake holds, before any value is read: its columns, and when the rows of each part are.

Two looks: at every file's schema, then at the column of times alone. What follows from them depends
on the record and not on how it is cut into files:

- The grid: blocks of one length in time, counted from 1970. The length is a power of two of ms, the
  longest at which a block holds at most `BLOCK_ROWS` rows where rows are closest. How close they
  are is told from a sample of times: those whose hash is least (Bar-Yossef et al. 2002), which
  does not see that a row is in two files.
- Which row groups have rows in a span of time, for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from agent.records.epochs import COUNTS
from agent.records.lake.found import Lake, lake_error
from agent.records.lake.parts import TimeColumn, opened
from agent.records.times import Reading
from agent.types import Int64

BLOCK_ROWS = 32_768
"""Rows of a block at most, as far as the sample of times tells."""

SAMPLE = 4096
"""Times in the sample; with fewer in the record, all of them."""

_MS = 10**6
_TOGETHER = 64  # sampled times in a row that tell how close rows are
_ROWS_AT_ONCE = 4_000_000  # of times, looked through by one task
_Kind = TypeVar("_Kind")
_NUMBER, _TEXT, _NOTHING = "a number", "a text", "nothing"

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of all files together.

    Attributes:
        names: in the order of the files; the time's among them.
        time: the column of times.
        kinds: name -> type that all files' columns become; None where they can not become one.
        clashes: name -> what they are, in words, for those.
        stamped: whether times say their zone.
        groups: of each file, the rows of each row group.
        partly: name -> how many files with rows have no such column.
    """

    names: tuple[str, ...]
    time: TimeColumn
    kinds: Mapping[str, pa.DataType | None]
    clashes: Mapping[str, str]
    stamped: bool
    groups: tuple[tuple[int, ...], ...]
    partly: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: its file and its number there, its rows, first and last time in ns."""

    file: int
    number: int
    rows: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Survey:
    """Where rows are in time.

    Attributes:
        groups: of all files, those without rows left out.
        length_ns: of a block of the grid.
        rows: of all groups, a row that is there twice counted twice.
    """

    groups: tuple[Group, ...]
    length_ns: int
    rows: int

    def blocks(self) -> list[int]:
        """Numbers of the grid's blocks that may have rows, in order of time."""
        spans = sorted((g.first_ns // self.length_ns, g.last_ns // self.length_ns)
                       for g in self.groups)  # fmt: skip
        found: list[int] = []
        for first, last in spans:
            found.extend(range(max(first, found[-1] + 1 if found else first), last + 1))
        return found

    def within(self, start_ns: int, stop_ns: int) -> dict[int, list[int]]:
        """File -> row groups that may have rows of [start, stop)."""
        found: dict[int, list[int]] = {}
        for group in self.groups:
            if group.first_ns < stop_ns and group.last_ns >= start_ns:
                found.setdefault(group.file, []).append(group.number)
        return found


# --- schemas --------------------------------------------------------------------------------------


Fields = tuple[list[tuple[str, pa.DataType]], list[int]]
"""Of a file: (name, type) of each column, and the rows of each row group."""


def fields_of(lake: Lake, file: int) -> Fields:
    """The columns of one file and the rows of its row groups."""
    with opened(lake, lake.files[file]) as part:
        return [(name, part.type_of(name)) for name in part.names], part.groups


def schema_of(lake: Lake, found: Sequence[Fields], how: Reading) -> Schema:
    """The schema of all files.

    Raises:
        FieldwardenError: no column of times can be told, or no file has rows.
    """
    full = [fields for fields, groups in found if sum(groups)]
    if not full:
        raise lake_error(lake.data, "no file has rows", "give files with at least two rows")
    names = list(dict.fromkeys(name for fields in full for name, _ in fields))
    types: dict[str, list[pa.DataType]] = {name: [] for name in names}
    for fields in full:
        for name, kind in fields:
            if kind not in types[name]:
                types[name].append(kind)
    time = _time_of(lake, found, types, how)
    zones = {bool(kind.tz) for kind in types[time.name] if pa.types.is_timestamp(kind)}
    if len(zones) > 1:
        zoned = _files(lake, found, lambda fields: bool(dict(fields)[time.name].tz))
        cause = (
            f"times in column {time.name!r} say their zone in some files ({zoned[True]}), in others"
            f" not ({zoned[False]})"
        )
        raise lake_error(lake.data, cause, "write all of them in UTC")
    stamped = zones != {False}
    if not stamped and how.timezone not in {"", "UTC"}:
        cause = "local times of many files can not be told apart where clocks go back"
        raise lake_error(lake.data, cause, "write the times in UTC; without --timezone they are it")
    kinds = {name: _one_of(own) for name, own in types.items()}
    clashes = {
        name: _clash(lake, found, name) for name, kind in kinds.items() if kind is None
    }
    partly = {
        name: missing for name in names
        if (missing := sum(name not in dict(fields) for fields in full))
    }
    groups = tuple(tuple(own) for _, own in found)
    return Schema(tuple(names), time, kinds, clashes, stamped, groups, partly)


def _files(
    lake: Lake, found: Sequence[Fields], kind: Callable[[list[tuple[str, pa.DataType]]], _Kind]
) -> dict[_Kind, str]:
    """The first file with rows of each kind, by its path."""
    first: dict[_Kind, str] = {}
    for file, (fields, groups) in zip(lake.files, found, strict=True):
        if sum(groups):
            first.setdefault(kind(fields), file.path)
    return first


def _clash(lake: Lake, found: Sequence[Fields], name: str) -> str:
    """What a column is, and a file where it is that."""
    own = _files(lake, found, lambda fields: _family(dict(fields).get(name, pa.null())))
    return " and ".join(f"{what} in {own[what]}" for what in sorted(own.keys() - {_NOTHING}))


def _stamp_of(fields: Sequence[tuple[str, pa.DataType]]) -> str:
    """The first column of stamps; empty where there is none."""
    return next((name for name, kind in fields if pa.types.is_timestamp(kind)), "")


def _time_of(
    lake: Lake, found: Sequence[Fields], types: Mapping[str, Sequence[pa.DataType]], how: Reading,
) -> TimeColumn:  # fmt: skip
    if how.time_column:
        if how.time_column not in types:
            known = ", ".join(list(types)[:8])
            cause = f"no column {how.time_column!r} for --time-column (columns: {known})"
            raise lake_error(lake.data, cause)
        own = types[how.time_column]
        if all(pa.types.is_timestamp(kind) for kind in own):
            return TimeColumn(how.time_column)
        unit = how.time_format if how.time_format in COUNTS and how.time_format != "excel" else ""
        if unit and all(pa.types.is_integer(kind) for kind in own):
            return TimeColumn(how.time_column, unit)
        cause = f"column {how.time_column!r} holds no stamps"
        hint = "whole numbers since 1970 are read with --time-format s, ms, us or ns"
        raise lake_error(lake.data, cause, hint)
    firsts = _files(lake, found, _stamp_of)
    if len(firsts) == 1 and "" not in firsts:
        return TimeColumn(next(iter(firsts)))
    if not firsts.keys() - {""}:
        cause = "no column holds stamps"
        hint = "whole numbers since 1970: --time-column NAME with --time-format s, ms, us or ns"
    else:
        told = ", ".join(f"{name or 'none'} in {firsts[name]}" for name in sorted(firsts))
        cause = f"files have other columns of stamps: {told}"
        hint = "say which with --time-column; each file needs it"
    raise lake_error(lake.data, cause, hint)


def _family(kind: pa.DataType) -> str:
    is_kind = pa.types
    if is_kind.is_null(kind):
        return _NOTHING
    if is_kind.is_integer(kind) or is_kind.is_floating(kind) or is_kind.is_decimal(kind):
        return _NUMBER
    if is_kind.is_boolean(kind):
        return _NUMBER
    return _TEXT if is_kind.is_string(kind) or is_kind.is_large_string(kind) else str(kind)


def _one_of(kinds: Sequence[pa.DataType]) -> pa.DataType | None:
    """What columns of several types become: the same where all are it, else float64 of numbers."""
    real = [kind for kind in kinds if not pa.types.is_null(kind)]
    if len(real) <= 1:
        return real[0] if real else pa.float64()
    families = {_family(kind) for kind in real}
    if families == {_NUMBER}:
        return pa.float64()
    return pa.string() if families == {_TEXT} else None


# --- times ----------------------------------------------------------------------------------------


Task = tuple[int, int, int]
"""Row groups to look at: their file, the first, the one after the last."""

Times = tuple[list[Group], Hashes, Int64]
"""What was found there: the groups, hashes of sampled times and these, both by hash."""


def tasks_of(schema: Schema) -> list[Task]:
    """The row groups of a lake, in pieces of about as many rows."""
    found: list[Task] = []
    for file, groups in enumerate(schema.groups):
        start, rows = 0, 0
        for number, own in enumerate(groups):
            rows += own
            if rows >= _ROWS_AT_ONCE or number == len(groups) - 1:
                found.append((file, start, number + 1))
                start, rows = number + 1, 0
    return found


def look_at(lake: Lake, time: TimeColumn, task: Task) -> Times:
    """First and last times of row groups, and their part of the sample."""
    file, start, stop = task
    groups: list[Group] = []
    sample = np.empty(0, np.uint64), np.empty(0, np.int64)
    with opened(lake, lake.files[file]) as part:
        for number in range(start, stop):
            times = part.times(number, time)
            if len(times):
                first, last = int(times.min()), int(times.max())
                groups.append(Group(file, number, len(times), first, last))
                sample = _least(np.concatenate([sample[0], _hash(times)]),
                                np.concatenate([sample[1], times]))  # fmt: skip
    return groups, *sample


def _hash(times: Int64) -> Hashes:
    """Of splitmix64 (Steele et al. 2014): as good as chance, the same everywhere."""
    x = times.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = x ^ (x >> np.uint64(31))
    return mixed


def _least(hashes: Hashes, times: Int64) -> tuple[Hashes, Int64]:
    """The sample of a set of times: those of the least hashes, each once."""
    if len(hashes) > 4 * SAMPLE:
        near = hashes <= np.partition(hashes, 2 * SAMPLE)[2 * SAMPLE]
        if len(np.unique(hashes[near])) >= SAMPLE:  # else they are there too often for the shortcut
            hashes, times = hashes[near], times[near]
    kept, place = np.unique(hashes, return_index=True)
    return kept[:SAMPLE], times[place][:SAMPLE]


def survey_of(lake: Lake, found: Sequence[Times]) -> Survey:
    """What all tasks found.

    Raises:
        FieldwardenError: all rows have one time.
    """
    groups = tuple(sorted(
        (group for own, _, _ in found for group in own), key=lambda g: (g.file, g.number)
    ))
    hashes, times = _least(
        np.concatenate([own[1] for own in found]), np.concatenate([own[2] for own in found])
    )
    first = min(group.first_ns for group in groups)
    last = max(group.last_ns for group in groups)
    if first == last:
        raise lake_error(lake.data, "all rows have one time", "at least two times are needed")
    weight = max(2.0**64 / float(hashes[-1]), 1.0) if len(hashes) == SAMPLE else 1.0
    return Survey(groups, _length(np.sort(times), weight), sum(group.rows for group in groups))


def _length(times: Int64, weight: float) -> int:
    """The length of a block; `times` in order, each of which stands for `weight` rows."""
    together = min(_TOGETHER, len(times) - 1)
    closest: Any = (times[together:] - times[:-together]).min()
    rows_per_ms = together * weight / (max(float(closest), 1.0) / _MS)
    return _MS << max(int(np.floor(np.log2(BLOCK_ROWS / rows_per_ms))), 0)
