"""A model's past, as its own page shows it: from the store, bounded, with what nobody watched."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent.core.engine import Engine
from agent.runtime import model_history as module
from agent.runtime.model_history import ModelHistory
from agent.store import Batch
from agent.types import Command, Event
from tests.core.small import SECOND, START
from tests.core.test_truth import plant, spec_of
from tests.store.helpers import open_store

HOUR = 3_600 * SECOND


@pytest.fixture
async def store(tmp_path):
    one = open_store(tmp_path / "s.db")
    yield one
    await one.close()


def verdict(verdict, at_s, subject="model/m", was=""):
    data = {"verdict": verdict, "was": was, "version": "1", "reasons": [{"text": f"why {at_s}"}]}
    return Event("verdict", START + at_s * SECOND, subject, data)


def judged(now_s=100, verdict="trusted", since_s=0):
    """An engine, as far as it is asked."""
    model = SimpleNamespace(name="m")
    return SimpleNamespace(
        time_ns=START + now_s * SECOND, spec=SimpleNamespace(models=[model]),
        truth=SimpleNamespace(pairs=[[]]), judge=SimpleNamespace(
            verdicts={"m": SimpleNamespace(verdict=verdict, reasons=[])},
            since={"m": START + since_s * SECOND},
        ),
    )  # fmt: skip


async def committed(store, told, number=1):
    """One entry, with these events."""
    entry = Command(number, told[-1].time_ns, "tell", {})
    events = [(number, place, event) for place, event in enumerate(told)]
    await store.commit(Batch(entries=[entry], events=events))


def rows_of(found):
    return [
        ((one["start_ns"] - START) // SECOND, (one["end_ns"] - START) // SECOND, one["verdict"])
        for one in found["verdicts"]
    ]


async def test_verdicts_are_stretches_without_a_hole_up_to_now(store, tmp_path):
    """With the reason of each; those of other models are not among them."""
    told = [verdict("trusted", 0), verdict("untrusted", 20), verdict("caution", 30, "model/other"),
            verdict("trusted", 50)]  # fmt: skip
    await committed(store, told)
    found = await ModelHistory().of(tmp_path / "s.db", judged(since_s=50), 0)
    assert rows_of(found) == [(0, 20, "trusted"), (20, 50, "untrusted"), (50, 100, "trusted")]
    assert [one["why"] for one in found["verdicts"]] == ["why 0", "why 20", "why 50"]
    assert (found["model"], found["losses"]) == ("m", [])
    assert (found["since_ns"], found["until_ns"]) == (START, START + 100 * SECOND)


async def test_other_reasons_of_the_same_verdict_are_no_change(store, tmp_path):
    """Facts come and go ten times a second; the verdict stood all the while."""
    told = [verdict("trusted", 0), verdict("untrusted", 20, was="trusted")]
    told += [verdict("untrusted", k, was="untrusted") for k in range(21, 400)]
    await committed(store, told)
    found = await ModelHistory().of(tmp_path / "s.db", judged(500, "untrusted", 20), 0)
    assert rows_of(found) == [(0, 20, "trusted"), (20, 500, "untrusted")]


async def test_a_verdict_that_is_not_committed_yet_is_there_already(store, tmp_path):
    """The page shows no other verdict in its bar than above it."""
    await committed(store, [verdict("trusted", 0)])
    found = await ModelHistory().of(tmp_path / "s.db", judged(60, "untrusted", 40), 0)
    assert rows_of(found) == [(0, 40, "trusted"), (40, 60, "untrusted")]


async def test_times_before_the_clock_was_set_are_as_the_clock_of_now_has_them(store, tmp_path):
    """Set by an hour: what was told before stands an hour later."""
    await committed(store, [verdict("trusted", 0)])
    clock = Event("clock", START + HOUR + 10 * SECOND, "gateway", {"shift_ns": HOUR, "away_ns": 0})
    later = verdict("untrusted", 3_620)
    await committed(store, [clock, later], 2)
    found = await ModelHistory().of(tmp_path / "s.db", judged(3_700, "untrusted", 3_620), 0)
    assert rows_of(found) == [(3_600, 3_620, "trusted"), (3_620, 3_700, "untrusted")]


async def test_a_verdict_that_flutters_for_years_is_cut_to_the_newest(store, tmp_path):
    """So many stretches and no more, whatever the store holds."""
    told = [verdict(("trusted", "caution")[k % 2], k) for k in range(1_000)]
    await committed(store, told)
    found = await ModelHistory().of(tmp_path / "s.db", judged(1_000, "caution", 999), 0)
    assert len(found["verdicts"]) == module.CHANGES_MOST
    assert rows_of(found)[0][0] == 800
    assert rows_of(found)[-1] == (999, 1_000, "caution")


async def test_losses_are_put_together_to_a_picture(store, tmp_path):
    """Their labels add up to those of the windows that have closed; means are of all of them."""
    engine = Engine(spec_of())
    outcome = engine.step(plant(6_000, off={range(3_000, 6_000): 2.0}))
    summaries = [{**one, "entry": 1} for one in outcome.summaries]
    entry = Command(1, START, "tell", {})
    await store.commit(Batch(entries=[entry], summaries=summaries))
    (found,) = (await ModelHistory().of(tmp_path / "s.db", engine, 0))["losses"]
    state = engine.truth.pairs[0][0].state
    assert (found["output"], found["loss"], found["expected_loss"]) == ("y", "absolute", 1.0)
    windows = found["windows"]
    assert 40 < len(windows) <= module.POINTS_MOST
    assert sum(one["labels"] for one in windows) == state.labels - state.sums.count
    assert windows[3]["mean_loss"] < 1.5
    assert windows[-2]["mean_loss"] > 2.5
    assert [one["start_ns"] for one in windows] == sorted(one["start_ns"] for one in windows)


async def test_many_who_look_cost_no_more_than_one(store, tmp_path, monkeypatch):
    """It is read once in ten seconds, and anew as soon as the verdict is another one."""
    await committed(store, [verdict("trusted", 0)])
    reads = []
    real = module.Reader
    monkeypatch.setattr(module, "Reader", lambda path: reads.append(path) or real(path))
    history = ModelHistory()
    for engine in (judged(1), judged(2), judged(3), judged(4, "caution", 4), judged(21)):
        await history.of(tmp_path / "s.db", engine, 0)
    assert len(reads) == 3
