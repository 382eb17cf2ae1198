"""Block means: kept for weeks in a share of their own; what a request needs goes last."""

from __future__ import annotations

import math
import sqlite3

import pytest

from agent.core.kernels.tally import UNITS_PER_SD
from agent.store import Batch, Reader, Store
from agent.store import block_means as module
from agent.store.block_means import BlockMeans, block_of, unpacked
from agent.store.schema import migrate
from agent.types import Command, Event
from tests.store.helpers import MB

MINUTE = 60_000_000_000


def opened(folder):
    path = folder / "s.db"
    return Store.open(path, journal_limit_bytes=MB, outbox_limit_bytes=MB)


def summary(number, model="yield", tag="a", **more):
    return {
        "model": model, "tag": tag, "baseline": "d" * 64, "centre": 100.0, "scale": 2.0,
        "start_ns": number * MINUTE, "end_ns": (number + 1) * MINUTE, "count": 60, "good": 4,
        "sum": 4 * 1024, "sum_sq": 4 * 2 * 1024**2, "min": -1024, "max": 2048,
        "histogram": [1] * 16, "entry": number + 1, **more,
    }  # fmt: skip


def test_what_is_kept_is_in_the_tags_unit():
    """Of a mean of one standard deviation, and as much around it."""
    assert module.UNITS_PER_SD == UNITS_PER_SD
    block = block_of(summary(0))
    assert (block["mean"], block["good"], block["min"], block["max"]) == (102.0, 4, 98.0, 104.0)
    assert math.isclose(block["sd"], 2.0)


async def test_windows_are_written_with_the_summaries_once_each(tmp_path):
    """A row a model and window, all inputs in it; again after a crash nothing more."""
    store = opened(tmp_path)
    made = [summary(n, model, tag) for n in range(3) for model in ("m", "yield") for tag in "ab"]
    for _ in range(2):
        await store.commit(Batch(summaries=made))
    await store.close()
    reader = Reader(store.path)
    rows = reader.block_means("yield", MINUTE, 3 * MINUTE)
    reader.close()
    assert [row["start_ns"] for row in rows] == [MINUTE, 2 * MINUTE]
    assert set(rows[0]["inputs"]) == {"a", "b"}


async def test_a_clock_that_was_set_moves_what_was_before(tmp_path):
    """As the clock of now has it; entries of the journal the same."""
    store = opened(tmp_path)
    told = Event("clock", 9 * MINUTE, "gateway", {"change": "set", "shift_ns": 5 * MINUTE})
    entries = [Command(1, MINUTE, "boot", {}), Command(2, 2 * MINUTE, "a", {}),
               Command(3, 8 * MINUTE, "clock", {}), Command(4, 9 * MINUTE, "b", {})]
    await store.commit(Batch(
        entries=entries, summaries=[summary(1), summary(8, entry=4)], events=[(3, 0, told)]
    ))
    await store.close()
    reader = Reader(store.path)
    rows = reader.block_means("yield", 0, 20 * MINUTE)
    assert [row["start_ns"] for row in rows] == [6 * MINUTE, 8 * MINUTE]
    found = [(e.sequence, shift) for e, shift in reader.entries_within(6 * MINUTE, 9 * MINUTE)]
    reader.close()
    assert found == [(2, 5 * MINUTE), (3, 0), (4, 0)]


@pytest.fixture
def means(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT_NS", 1000 * MINUTE)
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    migrate(connection, "x")
    one = BlockMeans(connection, tmp_path, limit_bytes=4_000)
    yield one, lambda: connection.execute("SELECT model, start_ns FROM block_mean").fetchall()
    connection.close()


def test_the_oldest_go_first_and_what_is_pinned_last(means):
    """Beyond the limit; where all that is left is pinned, the oldest of that."""
    one, rows = means
    one.insert([summary(n, model) for n in range(40) for model in ("m", "yield")])
    one.pin({"yield": 10 * MINUTE})
    one.trim()
    left = rows()
    assert left and one._bytes() <= 4_000
    assert {model for model, _ in left} == {"yield"}
    assert min(start for _, start in left) >= 10 * MINUTE
    one.pin(None)  # as before
    one.insert([summary(40, "m")])
    one.trim()
    assert ("m", 40 * MINUTE) not in rows() and one._bytes() <= 4_000


def test_what_is_too_old_goes_unless_it_is_pinned(means):
    """Also where there is room."""
    one, rows = means
    one.pin({"yield": 0})
    one.insert([summary(0, "m"), summary(0), summary(1200, "m")])
    one.trim()
    assert sorted(rows()) == [("m", 1200 * MINUTE), ("yield", 0)]


@pytest.mark.parametrize("data", [b"", b"x", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_a_damaged_row_hides_no_other(data):
    """It has no inputs."""
    assert unpacked(data) == {}
