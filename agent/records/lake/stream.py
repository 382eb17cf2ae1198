"""A record of a lake for `fit`: whole where it is small, else told block by block and chosen from.

A long record is read twice and never held whole: once for the statistics of every block, wherever
the work is done, and then the blocks that were chosen. What a fit needs of all rows (their number,
the span, extremes, what means "no value", how long values were missing) is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from agent.decode.columns import Dictionary
from agent.records.columns import Raw
from agent.records.lake.blocks import (
    BlockStatistics,
    Piece,
    Wanted,
    Whole,
    cells_of,
    pieces_of,
    read_span,
    statistics_of,
    together,
)
from agent.records.lake.choose import CHOSEN_CELLS, choose
from agent.records.lake.found import lake_error
from agent.records.lake.opening import (
    TWICE,
    WHOLE_CELLS,
    Each,
    Opening,
    Tell,
    joined_notes,
    open_lake,
)
from agent.records.quality import AmbiguousQualityError, bad_of
from agent.records.table import Extremes, Selection, Table
from agent.records.times import Reading
from agent.types import Float64, Int64

_MOST_FILLED = 0.5  # of the rows, below which most columns hold reports by exception


@dataclass(frozen=True, slots=True)
class Streamed:
    """A long record: the chosen rows, and outputs and labels on their times."""

    table: Table
    apart: Table | None


@dataclass(frozen=True, slots=True)
class Columns:
    """What is wanted of a record.

    Attributes:
        inputs: tags that it must have, the mode tag among them.
        apart: outputs and labels, which it may have.
        texts: tags of texts.
        mode: the mode tag; empty without one.
    """

    inputs: tuple[str, ...]
    apart: tuple[str, ...]
    texts: frozenset[str]
    mode: str


def stream(data: str, columns: Columns, how: Reading, each: Each, tell: Tell) -> Streamed | None:
    """A long record; None where it is small enough to be read whole.

    Args:
        data: what names the lake.
        columns: what is wanted.
        how: what a person said about it.
        each: does the work, here or elsewhere.
        tell: told how far it is.

    Raises:
        FieldwardenError: the lake can not be read or understood.
    """
    opening = open_lake(data, how, each, tell)
    cells = opening.survey.rows * len(columns.inputs)
    if cells <= WHOLE_CELLS:
        return None
    _all_there(opening, columns.inputs)
    how = _with_qualities(opening, columns.inputs, how, each, tell)
    wanted = Wanted(columns.inputs, columns.texts, columns.mode, how, _said(columns, how))
    blocks, pieces = _statistics(opening, wanted, each, tell)
    whole = together(blocks)
    if not how.no_value and (found := _proposed(columns, whole)):
        wanted = replace(wanted, no_values=found)
        proposed = whole.no_values
        blocks, pieces = _statistics(opening, wanted, each, tell)
        whole = replace(together(blocks), no_values=proposed)
    if whole.rows * len(columns.inputs) <= WHOLE_CELLS and cells <= TWICE * WHOLE_CELLS:
        return None
    _by_rows(opening, whole)
    joined = joined_notes(
        opening.lake, sum(one.joined for one in pieces), sum(one.clashes for one in pieces),
        whole.rows * len(columns.inputs),
    )
    chosen = [blocks[at] for at in choose(blocks, CHOSEN_CELLS // len(columns.inputs))]
    table = _table(opening, wanted, chosen, tell)
    selection = _selection(table, wanted, whole, chosen)
    understood = (
        opening.lake.text, *opening.notes(), *joined, *_no_value_notes(wanted, whole),
        selection.text,
    )
    table = replace(table, selection=selection, understood=understood)
    return Streamed(table, _apart(opening, wanted, columns, chosen, selection, tell))


def _all_there(opening: Opening, names: Sequence[str]) -> None:
    known = [name for name in opening.schema.names if name != opening.schema.time.name]
    if missing := [name for name in names if name not in known]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        hint = f"columns are named as the tags are; it has {', '.join(known[:12])}"
        raise lake_error(opening.lake.data, f"no column {missing[0]!r}{more}", hint)


def _said(columns: Columns, how: Reading) -> dict[str, tuple[float, ...]]:
    if not (numbers := how.no_values):
        return {}
    return {name: numbers for name in columns.inputs if name not in columns.texts}


def _proposed(columns: Columns, whole: Whole) -> dict[str, tuple[float, ...]]:
    pairs = zip(columns.inputs, whole.no_values, strict=True)
    return {name: tuple(own) for name, own in pairs if own and name not in columns.texts}


def _no_value_notes(wanted: Wanted, whole: Whole) -> list[str]:
    return [
        f'{name}: {count:,} cells hold {number:.10g}, proposed as "no value" and taken as missing '
        "(if it is a value, say --no-value none)"
        for name, own in zip(wanted.columns, whole.no_values, strict=True)
        for number, count in own.items() if number in wanted.no_values.get(name, ())
    ]


def _with_qualities(
    opening: Opening, names: Sequence[str], how: Reading, each: Each, tell: Tell
) -> Reading:
    """What was said, with the cells of columns of quality that mean good: all of them tell it."""
    beside = tuple(pair for pair in opening.beside if pair[1] in names)
    if not beside or how.good:
        return how
    pieces = pieces_of(opening)
    found: dict[str, set[str]] = {quality: set() for quality, _ in beside}
    part = replace(opening, beside=beside)
    told = each(cells_of, (part,), pieces, doing="reading lake")
    for done, own in enumerate(told, start=1):
        for quality, cells in own.items():
            found[quality].update(cells)
        tell("qualities", opening.survey.rows * done // len(pieces), opening.survey.rows)
    verdicts: dict[str, set[bool]] = {}
    for quality, cells in found.items():
        try:
            for cell, is_bad in bad_of(quality, sorted(cells)).items():
                verdicts.setdefault(cell.lower(), set()).add(is_bad)
        except AmbiguousQualityError as error:
            cause = f"column {quality!r}: which of its codes ({', '.join(error.codes)}) mean good"
            raise lake_error(opening.lake.data, cause, "say it: --good 0") from error
    if both := sorted(cell for cell, own in verdicts.items() if len(own) > 1 and cell):
        cause = f"{both[0]!r} means good in one column of quality and bad in another"
        raise lake_error(opening.lake.data, cause, "say which mean good: --good 0,192")
    return replace(how, good=",".join(sorted(c for c, own in verdicts.items() if own == {False})))


def _statistics(
    opening: Opening, wanted: Wanted, each: Each, tell: Tell
) -> tuple[list[BlockStatistics], list[Piece]]:
    pieces, blocks = [], []
    done, total = 0, opening.survey.rows
    for piece in each(
        statistics_of, (opening, wanted), pieces_of(opening), doing="reading lake"
    ):
        pieces.append(piece)
        blocks.extend(piece.blocks)
        done += piece.joined + sum(one.rows for one in piece.blocks)
        tell("statistics", done, total)
    return blocks, pieces


def _by_rows(opening: Opening, whole: Whole) -> None:
    """Refuse rows of reports by exception, which hold until the next one, wherever that is."""
    counts = [count for count in whole.told if count]
    if len(counts) > 1 and float(np.median(counts)) < _MOST_FILLED * (whole.rows - whole.empty):
        raise lake_error(
            opening.lake.data, "most cells are empty: these are reports by exception",
            f"more than {WHOLE_CELLS:,} cells are read with a value in most of them: write it anew "
            "on even rows, each value held until the next",
        )


# --- the chosen rows ------------------------------------------------------------------------------


def _runs(chosen: Sequence[BlockStatistics], length_ns: int) -> list[tuple[int, int]]:
    """Spans of blocks that follow each other."""
    found: list[list[int]] = []
    for one in chosen:
        if found and found[-1][1] == one.number * length_ns:
            found[-1][1] = (one.number + 1) * length_ns
        else:
            found.append([one.number * length_ns, (one.number + 1) * length_ns])
    return [(a, b) for a, b in found]


def _table(
    opening: Opening, wanted: Wanted, chosen: Sequence[BlockStatistics], tell: Tell
) -> Table:
    """The rows of the chosen blocks, with a row of nothing where stretches meet."""
    texts: dict[int, str] = {}
    dictionary = Dictionary(on_new=lambda code, word: texts.setdefault(code, word) == word)
    parts: list[Raw] = []
    spans, rows = _runs(chosen, opening.survey.length_ns), sum(one.rows for one in chosen)
    for span in spans:
        tell("chosen stretches", sum(len(part.times) for part in parts), rows)
        parts.append(read_span(opening, wanted, span, dictionary)[0])
    steps = np.concatenate([np.diff(part.times) for part in parts])
    interval = int(np.median(steps))
    times, values, starts = _with_gaps(parts, interval)
    names = wanted.columns
    blank = Selection(0, 0, 0, 0, tuple(starts), (), {}, {}, "")
    return Table(times, names, values, interval, texts=texts, selection=blank)


def _with_gaps(parts: Sequence[Raw], interval: int) -> tuple[Int64, Float64, list[int]]:
    rows = sum(len(part.times) for part in parts) + len(parts) - 1
    width = parts[0].values.shape[1]
    times, values = np.empty(rows, np.int64), np.full((rows, width), np.nan, order="F")
    starts, at = [], 0
    for part in parts:
        if at:
            times[at - 1] = times[at - 2] + min(interval, int(part.times[0] - times[at - 2]) // 2)
        starts.append(at)
        stop = at + len(part.times)
        times[at:stop], values[at:stop] = part.times, part.values
        at = stop + 1
    return times, values, starts


def _selection(
    table: Table, wanted: Wanted, whole: Whole, chosen: Sequence[BlockStatistics]
) -> Selection:
    spans = table.selection.spans(table.time_ns) if table.selection else []
    used = sum(one.rows for one in chosen)
    length = np.median([b - a for a, b in spans]) / 3.6e12
    text = (
        f"{whole.rows:,} rows from {_iso(whole.first_ns)} to {_iso(whole.last_ns)} were read for "
        f"numbers, extremes and gaps; charts are fitted on {used:,} of them, in {len(spans)} whole "
        f"stretches spread over all of the time (of {length:.3g} h each as a rule): on more of "
        "them a fit would take more memory than is promised"
    )
    return Selection(
        whole.rows, whole.first_ns, whole.last_ns, used, table.selection.starts
        if table.selection else (), tuple(spans),
        {name: Extremes(own.low, own.high, count) for name, own, count in zip(
            wanted.columns, whole.ends, whole.values, strict=True
        )}, dict(zip(wanted.columns, whole.gap, strict=True)), text,
    )  # fmt: skip


def _apart(
    opening: Opening, wanted: Wanted, columns: Columns, chosen: Sequence[BlockStatistics],
    selection: Selection, tell: Tell,
) -> Table | None:  # fmt: skip
    """Outputs and labels as they were told in the chosen stretches; None without any."""
    kinds = opening.schema.kinds
    names = tuple(
        name for name in columns.apart
        if name in kinds and name not in opening.schema.clashes and _is_number(kinds[name])
    )
    if not names:
        return None
    own = replace(wanted, columns=names, mode="")
    table = _table(opening, own, chosen, tell)
    return replace(table, selection=replace(selection, starts=table.selection.starts
                                            if table.selection else ()))


def _is_number(kind: object) -> bool:
    return not str(kind).endswith("string")


def _iso(time_ns: int) -> str:
    text = datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
