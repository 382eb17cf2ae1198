"""A link that stands still accuses no tag: stalls of every kind, seen by the source or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.types import Block, Quality
from tests.core.small import (
    SECOND,
    START,
    block,
    command,
    conditions,
    cut,
    events_of,
    normal,
    samples,
    spec,
)  # fmt: skip

HELD_BY_TAG = {"stuck", "missing", "noise", "spikes", "level shift"}


def stalled(first, length, *, seed, told, catch_up, by_exception=True, n=160):
    """Entries of an engine whose tags vary at each row, and whose source two stalls for a time.

    `told`: seconds until the source says so, None: never. `catch_up`: what was kept comes in one
    burst when the link is back.
    """
    values, last = normal(n, seed), first + length
    whole = block(values)
    row = (whole.arrival_ns - START) // SECOND
    of_two = whole.tag != 1
    hit = of_two & (row >= first) & (row < last)
    back = START + last * SECOND - SECOND // 2
    arrival = np.where(hit, back, whole.arrival_ns)
    quality = np.where(hit, int(Quality.REPLAYED), 0).astype(np.uint16)
    keep = ~hit | catch_up
    order = np.argsort(arrival[keep], kind="stable")
    pick = np.nonzero(keep)[0][order]
    moved = Block(1, whole.sealed_ns, whole.tag[pick], whole.source_ns[pick], arrival[pick],
                  whole.value[pick], quality[pick])
    if told is None or told + 1 >= length:
        return Engine(spec(by_exception=by_exception)), [moved]
    lost_at, back_at = first + told + 0.25, last - 0.75
    parts = cut(moved, [START + round(t * SECOND) for t in (lost_at, back_at)])
    says = [command(lost_at, "source_state", source="two", state="stale", reason="silent"),
            command(back_at, "source_state", source="two", state="live", reason="")]
    entries = [parts[0], says[0], parts[1], says[1], *parts[2:]]
    for number, entry in enumerate(entries, 1):
        object.__setattr__(entry, "sequence", number)
    return Engine(spec(by_exception=by_exception)), entries


@settings(max_examples=25, deadline=None)
@given(
    first=st.integers(20, 60), length=st.integers(1, 29), seed=st.integers(0, 50),
    told=st.none() | st.integers(1, 10), catch_up=st.booleans(),
)
def test_no_stall_makes_a_tag_that_varies_stuck(first, length, seed, told, catch_up):
    """Whatever the source says of a stall, and whatever comes after it, nothing is called stuck."""
    engine, entries = stalled(first, length, seed=seed, told=told, catch_up=catch_up)
    kinds = {kind for _, subject, kind in conditions(events_of(engine, entries))
             if subject.startswith("tag/")}
    assert not kinds & HELD_BY_TAG, kinds


def test_a_tag_that_stands_while_its_source_speaks_is_stuck():
    """A value that is not reported any more, beside others of its source, is found as before."""
    values = normal(120)
    values[40:, 1] = np.nan  # b is silent, c of the same source goes on
    kinds = conditions(events_of(Engine(spec(by_exception=True)), [block(values)]))
    assert ("raised", "tag/b", "stuck") in kinds


def test_a_source_all_of_whose_tags_stand_is_found_later():
    """Where a live session brings no change of any tag for long, its values do stand."""
    values = normal(160)
    values[40:, 1:] = np.nan
    found = [event for event in events_of(Engine(spec(by_exception=True)), [block(values)])
             if event.kind == "condition" and event.data["kind"] == "stuck"]
    assert {event.subject for event in found} == {"tag/b", "tag/c"}
    assert all(event.time_ns > START + 70 * SECOND for event in found)


def test_a_slow_tag_is_not_missing_for_the_time_of_a_loss():
    """A polled tag whose source was lost has its whole max_silence again from the return on."""
    engine = Engine(spec())
    told = events_of(engine, [block(normal(30))])
    told += events_of(engine, [
        command(31, "source_state", sequence=2, source="two", state="failed", reason="off"),
        command(90, "source_state", sequence=3, source="two", state="live", reason=""),
        samples([(91, "a", 0.1), (92, "a", 0.3), (93, "a", 0.2), (94, "b", 0.1), (94, "c", 0.2)],
                sequence=4, sealed=94.5),
    ])  # fmt: skip
    found = [event for event in told if event.kind == "finding"
             and event.data["detector"] == "missing" and event.subject != "tag/a"]
    assert not found


@pytest.mark.parametrize("bit", [Quality.REPLAYED, Quality.REPEATED,
                                 Quality.REPLAYED | Quality.REPEATED])
def test_what_comes_late_or_again_moves_nothing(bit):
    """Wild samples that are late or repeated change no score and raise nothing."""
    plain, other = Engine(spec()), Engine(spec())
    first, after = block(normal(60)), block(normal(40, 3), start=62, sequence=3)
    wild = samples([(61 + k / 100, tag, 500.0, int(bit)) for k in range(30) for tag in "abc"],
                   sequence=2, sealed=62)
    idle = samples([], sequence=2, sealed=62)
    told = events_of(other, [first, wild, after])
    assert [e.data for e in told] == [e.data for e in events_of(plain, [first, idle, after])]
    assert [plain.charts.scores(row) for row in range(3)] == [
        other.charts.scores(row) for row in range(3)
    ]


def test_a_repeated_sample_is_counted_once():
    """What came again is in no summary."""
    engine = Engine(spec())
    marks = np.zeros((120, 3), np.uint16)
    marks[1::2] = int(Quality.REPEATED)
    outcome = engine.step(block(np.repeat(normal(60), 2, axis=0), quality=marks))
    assert [s["count"] for s in outcome.summaries if s["tag"] == "a"] == [20, 30]
