"""The outbox accounts for every message: delivered, pending, or dropped and told."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.store import ranges
from tests.store.helpers import (
    HOUR,
    MB,
    Batch,
    Reader,
    assert_accounts,
    merge,
    message,
    open_store,
    summaries_of,
    summary,
    summary_message,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fieldwarden.sqlite"


async def test_seq_counts_per_stream_of_a_run(path):
    """Each stream of each run has its own numbers from 1; a run's number is larger than before."""
    store = open_store(path)
    await store.commit(Batch(messages=[message("event"), message("gap"), message("event")]))
    ids = [row.id for row in Reader(path).pending()]
    await store.commit(Batch(delivered=ids))
    await store.close()
    store = open_store(path)
    await store.commit(Batch(messages=[message("event"), message("gap")]))
    rows = Reader(path).pending()
    assert [(r.boot, r.stream, r.seq) for r in rows] == [
        (store.boot, "event", 1),
        (store.boot, "gap", 1),
    ]
    assert store.boot // 1_000_000 == 2
    assert min(row.id for row in rows) > max(ids)
    assert assert_accounts(path)["delivered"] == 3
    await store.close()


async def test_a_newer_verdict_replaces_the_pending_one(path):
    """Of one replace key only the newest is pending; a late PUBACK of the older is ignored."""
    store = open_store(path)
    await store.commit(
        Batch(
            messages=[
                message("verdict", "a1", replace_key="a"),
                message("verdict", "b1", replace_key="b"),
            ]
        )
    )
    old = next(row.id for row in Reader(path).pending() if b"a1" in row.payload)
    await store.commit(Batch(messages=[message("verdict", "a2", replace_key="a")]))
    await store.commit(Batch(delivered=[old]))
    assert [json.loads(r.payload)["text"] for r in Reader(path).pending()] == ["b1", "a2"]
    books = assert_accounts(path)
    assert (books["delivered"], books["dropped"]) == (0, {"replaced": 1})
    await store.close()


async def test_rejected_messages_are_dropped_and_told(path):
    """What central will never take is counted by reason, with a gap record naming its seqs."""
    store = open_store(path)
    await store.commit(Batch(messages=[message(text=str(n), time_ns=n) for n in range(1, 6)]))
    rows = Reader(path).pending()
    await store.commit(Batch(rejected={rows[1].id: "Packet too large"}))
    await store.commit(Batch(rejected={rows[2].id: "Packet too large", rows[4].id: "Bad"}))
    gaps = [json.loads(r.payload) for r in Reader(path).pending() if r.stream == "gap"]
    assert gaps == [
        {
            "of": "event",
            "boot": store.boot,
            "reason": "rejected: Packet too large",
            "count": 2,
            "ranges": [[2, 3]],
            "start_ns": 2,
            "end_ns": 3,
        },
        {
            "of": "event",
            "boot": store.boot,
            "reason": "rejected: Bad",
            "count": 1,
            "ranges": [[5, 5]],
            "start_ns": 5,
            "end_ns": 5,
        },
    ]
    books = assert_accounts(path)
    assert books["dropped"]["rejected: Packet too large"] == 2
    gap_ids = {r.id: "never" for r in Reader(path).pending() if r.stream == "gap"}
    await store.commit(Batch(rejected=gap_ids))
    assert {r.stream for r in Reader(path).pending()} == {"event"}
    assert_accounts(path)
    await store.close()


async def test_a_long_outage_adds_summaries_together_before_it_drops(path):
    """At the limit ten-minute windows become hours: the sums stay, and covers names every seq."""
    store = open_store(path, outbox=60_000)
    for step in range(400):
        window = summary(step * HOUR // 6, tag=f"t{step % 2}", total=step)
        await store.commit(Batch(summaries=[window], messages=[summary_message(window)]))
    rows = Reader(path).pending(limit=1000)
    books = assert_accounts(path)
    assert books["bytes"] <= 60_000 * 1.1
    assert books["dropped"] == {}
    assert sum(s["sum"] for row in rows for s in summaries_of(row)) == sum(range(400))
    assert any(row.covers for row in rows)
    told = ranges.union(
        pair for row in rows for pair in [*row.covers, (row.seq, row.seq)] if pair[0] > 0
    )
    assert told[0][0] == 1
    assert len(told) == 1
    await store.close()


async def test_summaries_are_merged_to_days_and_then_dropped_with_a_gap_record(path):
    """When hours do not suffice days do; after that the oldest go, counted and told."""
    store = open_store(path, outbox=12_000)
    for step in range(600):
        window = summary(step * 4 * HOUR, total=1)
        await store.commit(Batch(summaries=[window], messages=[summary_message(window)]))
    rows = Reader(path).pending(limit=1000)
    books = assert_accounts(path)
    assert books["bytes"] <= 12_000 * 1.1
    dropped = books["dropped"]["outbox_full"]
    kept = [row for row in rows if row.stream == "summary"]
    sums = [s for row in kept for s in summaries_of(row)]
    assert dropped + sum(s["sum"] for s in sums) == 600
    spans = [s["end_ns"] - s["start_ns"] for s in sums]
    assert max(spans) > 12 * HOUR
    (gap,) = [json.loads(row.payload) for row in rows if row.stream == "gap"]
    assert (gap["of"], gap["reason"], gap["count"]) == ("summary", "outbox_full", dropped)
    present = ranges.union(pair for row in kept for pair in [*row.covers, (row.seq, row.seq)])
    everything = ranges.union([*map(tuple, gap["ranges"]), *present])
    assert len(everything) == 1
    await store.close()


async def test_events_go_last(path):
    """Summaries are given up before any event; then the oldest events go, told."""
    store = open_store(path, outbox=20_000, merging=None)
    for step in range(200):
        window = summary(step * HOUR)
        await store.commit(
            Batch(
                summaries=[window],
                messages=[summary_message(window), message(text=str(step), time_ns=step)],
            )
        )
    rows = Reader(path).pending(limit=1000)
    events = [json.loads(row.payload)["text"] for row in rows if row.stream == "event"]
    assert events == [str(step) for step in range(200 - len(events), 200)]
    gaps = {g["of"]: g for g in (json.loads(r.payload) for r in rows if r.stream == "gap")}
    assert gaps["event"]["count"] == 200 - len(events)
    assert gaps["event"]["ranges"] == [[1, 200 - len(events)]]
    assert gaps["summary"]["count"] >= 199
    books = assert_accounts(path)
    assert books["bytes"] <= 20_000 + 1_000
    await store.close()


@pytest.mark.parametrize("wrong_ns", [14 * 365 * 24 * HOUR, -50 * 365 * 24 * HOUR])
@pytest.mark.parametrize("merging", [None, merge])
async def test_what_was_told_first_goes_first_whatever_the_clock_said(path, wrong_ns, merging):
    """Told in 2040 or in 1970, and the clock set then: the outbox drops by order, and what is yet
    to be added together is only what belongs to the hour and the day that have not ended.
    """
    store = open_store(path, outbox=16_000, merging=merging)
    base = 56 * 365 * 24 * HOUR
    for step in range(160):
        at = base + step * HOUR // 6 + (wrong_ns if 20 <= step < 140 else 0)
        window = summary(at)
        await store.commit(
            Batch(
                summaries=[window],
                messages=[message(text=str(step), time_ns=at), summary_message(window)],
            )
        )
        rows = Reader(path).pending(limit=1000)
        events = [int(json.loads(row.payload)["text"]) for row in rows if row.stream == "event"]
        assert events == list(range(step + 1 - len(events), step + 1))
        held = ranges.union(
            pair
            for row in rows
            if row.stream == "summary"
            for pair in [*row.covers, (row.seq, row.seq)]
        )
        gaps = [json.loads(row.payload) for row in rows if row.stream == "gap"]
        lost = ranges.union(tuple(p) for g in gaps if g["of"] == "summary" for p in g["ranges"])
        assert len(ranges.union([*held, *lost])) == 1
        if merging is None:
            assert len(lost) <= 1 and (not lost or lost[0][0] == 1)
        newest = window["end_ns"]
        for row in rows:
            if row.stream == "summary" and newest // HOUR * HOUR < row.time_ns <= newest:
                assert not row.covers
    assert len(events) < 160
    await store.close()


async def test_different_baselines_are_never_added_together(path):
    """Windows of different baselines stay apart, however full the outbox."""
    store = open_store(path, outbox=14_000)
    for step in range(60):
        window = summary(step * HOUR // 6, baseline=f"b{step % 3}")
        await store.commit(Batch(summaries=[window], messages=[summary_message(window)]))
    rows = [s for r in Reader(path).pending() if r.stream == "summary" for s in summaries_of(r)]
    by_baseline = {}
    for row in rows:
        by_baseline[row["baseline"]] = by_baseline.get(row["baseline"], 0) + row["sum"]
    assert len(rows) < 60
    assert by_baseline == {"b0": 20, "b1": 20, "b2": 20}
    await store.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(1, 4)),
        st.tuples(st.just("summary"), st.integers(1, 4)),
        st.tuples(st.just("verdict"), st.integers(0, 2)),
        st.tuples(st.just("deliver"), st.integers(1, 8)),
        st.tuples(st.just("reject"), st.integers(1, 2)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=40,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps, limit=st.sampled_from([1_500, 4_000, MB]))
async def test_received_is_delivered_pending_and_dropped(tmp_path_factory, steps, limit):
    """Whatever happens in whatever order, every message is accounted for, and no seq is silent."""
    path = tmp_path_factory.mktemp("books") / "s.sqlite"
    store = open_store(path, outbox=limit)
    delivered, at = [], 0
    for what, count in steps:
        batch = Batch()
        rows = Reader(path).pending(limit=1000)
        if what == "deliver":
            delivered += rows[:count]
            batch.delivered = [row.id for row in rows[:count]]
        elif what == "reject":
            batch.rejected = {row.id: "no" for row in rows[:count]}
        elif what == "verdict":
            batch.messages = [message("verdict", replace_key=str(count))]
        elif what == "reopen":
            await store.close()
            store = open_store(path, outbox=limit)
        for _ in range(count if what in {"event", "summary"} else 0):
            at += 1
            if what == "event":
                batch.messages.append(message(time_ns=at))
            else:
                batch.summaries.append(summary(at * HOUR // 6))
                batch.messages.append(summary_message(batch.summaries[-1]))
        await store.commit(batch)
        assert_accounts(path)
    rows = Reader(path).pending(limit=1000)
    await store.close()
    told = [json.loads(r.payload) for r in [*rows, *delivered] if r.stream == "gap"]
    for stream in ("event", "summary"):
        lost_gaps = any(
            reason.startswith("rejected") for reason in Reader(path).outbox()["dropped"]
        )
        for boot, last in last_numbers(path, stream).items():
            seen = [
                pair
                for row in [*rows, *delivered]
                if (row.stream, row.boot) == (stream, boot)
                for pair in [*row.covers, (row.seq, row.seq)]
            ]
            seen += [
                tuple(pair)
                for gap in told
                if (gap["of"], gap["boot"]) == (stream, boot)
                for pair in gap["ranges"]
            ]
            if not lost_gaps:
                assert ranges.union(seen) == [(1, last)]


def last_numbers(path, stream):
    """Last number given of a stream, by run."""
    reader = Reader(path)
    found = dict(reader._all("SELECT boot, last FROM numbers WHERE stream = ? AND last", stream))
    if now := reader.counters().get(f"seq:{stream}", 0):
        found[reader.boot] = now
    return found


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)).map(lambda p: (p[0], p[0] + p[1])))
)
def test_ranges_hold_the_same_numbers(pairs):
    """`union` holds exactly the numbers given, sorted and disjoint; `limited` only adds some."""
    merged = ranges.union(pairs)
    numbers = {n for first, last in pairs for n in range(first, last + 1)}
    assert {n for first, last in merged for n in range(first, last + 1)} == numbers
    assert all(b[0] > a[1] + 1 for a, b in itertools.pairwise(merged))
    half = merged[::2]
    left = {n for first, last in ranges.without(pairs, half) for n in range(first, last + 1)}
    assert left == numbers - {n for first, last in half for n in range(first, last + 1)}
    few = ranges.limited(merged, 2)
    assert len(few) <= 2
    assert numbers <= {n for first, last in few for n in range(first, last + 1)}
