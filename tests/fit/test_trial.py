"""The promise tried: the engine over the last part of a record, as if installed before it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.fit import held_back, trial
from agent.fit.model import FitReport, fit_model
from agent.records.table import Table
from tests.fit.streams import ar1
from tests.fit.test_model_notes import configured

START, MINUTE = 1_700_000_000_000_000_000, 60_000_000_000
ROWS = 3_000


def record(seed: int = 1) -> np.ndarray:
    return np.asfortranarray(np.column_stack([ar1(0.0, ROWS, seed), ar1(0.5, ROWS, seed + 1)]))


def fitted(values: np.ndarray) -> FitReport:
    times = START + np.arange(len(values), dtype=np.int64) * MINUTE
    return fit_model(configured(60), "m", Table(times, ("a", "b"), values, MINUTE))


def test_a_record_that_goes_on_as_it_was_raises_nothing():
    """Beside what is promised for that time, in a sentence."""
    told = fitted(record()).trial
    assert told is not None
    part = held_back.parts(ROWS)[-1].follow
    assert told.days == pytest.approx((part.stop - part.start) * 60 / 86_400)
    assert told.promised == pytest.approx(told.days / 30)
    assert (told.incidents, told.lost, told.longest_s, told.charts) == (0, 0.0, 0.0, {})
    assert "0 incidents (promised 0.017)" in told.text()
    assert "not trusted for 0.00% of the time (promised 0.5%)" in told.text()


def test_what_the_lead_has_not_seen_is_told_with_its_chart_and_its_time():
    """A lasting shift in the last quarter: its incident, how long it kept trust away, by what."""
    values = record()
    values[2_400:2_500, 0] += 3.5
    told = fitted(values).trial
    assert told is not None
    assert told.incidents == 1
    assert sum(told.charts.values()) == 1
    assert 0.0 < told.lost < 0.5
    assert told.longest_s >= 60.0
    assert "1 incident (promised" in told.text()


def test_a_short_record_is_not_tried():
    """There is nothing left that was not needed to fit."""
    assert fitted(record()[:120]).trial is None


@pytest.mark.parametrize(("days", "says"), [
    (0.05, "neither how days differ, nor seasons"), (7, "covers 7 days"),
    (146, "0.4 of a year: not all seasons"), (500, "1.4 years"), (800, ""),
])  # fmt: skip
def test_what_the_record_can_not_show_is_one_plain_sentence(days, says):
    """By its length: days, seasons."""
    told = trial.covers(round(days * 86_400e9))
    assert says in told
    assert bool(told) == bool(says)


def test_a_fit_is_the_same_with_any_number_of_processes():
    """Bit for bit."""
    values = record()[:400]
    times = START + np.arange(len(values), dtype=np.int64) * MINUTE
    table = Table(times, ("a", "b"), values, MINUTE)
    alone, together = (
        fit_model(configured(60), "m", table, workers=workers) for workers in (1, 2)
    )
    assert alone.baseline.digest == together.baseline.digest
    assert alone.baseline == together.baseline
