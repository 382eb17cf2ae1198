"""Scans: the vector that a model would see, at a fixed cadence, and when there is enough of it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.charts import Charts
from agent.core.scans import ENOUGH, RECENT
from agent.core.series import TagMajor, empty_series
from agent.types import Quality
from tests.core import small
from tests.core.small import SECOND, START, samples


class Fold:
    """The scans of model m, folded block by block."""

    def __init__(self, spec=None) -> None:
        self.spec = spec or small.spec()
        self.charts = Charts(self.spec)
        self.scans = self.charts.scans[0]
        self._arrange = TagMajor(self.spec.tags)

    def take(self, rows, sealed, *, remember=True):
        """Fold rows of (s, tag, value[, quality]) up to `sealed` s; (second, up) of every flag."""
        whole = [(*row, 0)[:4] for row in rows]
        series = (
            self._arrange.arrange(samples(whole, sealed=sealed)) if rows
            else empty_series(len(self.spec.tags))
        )
        flags = self.scans.fold(series, series, START + round(sealed * SECOND))
        if remember:
            self.scans.remember()
        return [((flag.time_ns - START) / SECOND, flag.up) for flag in flags]


def every(second, values=(0.0, 0.0, 0.0)):
    """A row of all tags at one time."""
    return [(second, tag, value) for tag, value in zip(small.TAGS, values, strict=True)]


def poll(n, start=0):
    return [row for second in range(start, start + n) for row in every(float(second))]


def test_the_grid_lies_half_a_scan_after_the_first_sample():
    """A poll falls in the middle between two scans, so that its jitter moves no value."""
    fold = Fold()
    fold.take([(3.25, "b", 1.0)], 5.75)
    assert fold.scans.count == 2
    assert fold.scans.last_ns == START + round(4.75 * SECOND)


def test_a_scan_holds_the_last_value_of_every_input_before_it():
    """Sample and hold: what arrives at the very time of a scan belongs to the next."""
    fold = Fold()
    fold.take([*every(0.0, (1.0, 2.0, 3.0)), (0.2, "a", 5.0), (1.5, "b", 7.0)], 4.0)
    seen = fold.scans.recent(START + 4 * SECOND)
    assert seen.tolist() == [[5.0, 2.0, 3.0], [5.0, 2.0, 3.0], [5.0, 7.0, 3.0], [5.0, 7.0, 3.0]]


def test_a_scan_is_in_standard_deviations_about_the_centre():
    """The scan is standardised by the baseline and clipped, whatever the device sends."""
    trained = small.baseline(centre=100.0, scale=4.0)
    fold = Fold(small.spec(trained=trained))
    fold.take(every(0.0, (104.0, 92.0, 999.0)), 1.0)
    assert fold.scans.recent(START + SECOND).tolist() == [[1.0, -2.0, 224.75]]


def test_an_input_that_never_came_reads_as_its_centre():
    """No value is made up from a centre that is far from zero."""
    fold = Fold(small.spec(trained=small.baseline(centre=100.0, scale=4.0)))
    fold.take([(0.0, "a", 104.0)], 1.0)
    assert fold.scans.recent(START + SECOND).tolist() == [[1.0, 0.0, 0.0]]


def test_a_model_is_assessed_after_enough_good_scans_in_a_row():
    """The flag comes with the tenth good scan, and goes with the first that is not."""
    fold = Fold()
    assert fold.take(poll(9), 9.0) == []
    assert fold.take(poll(1, 9), 10.0) == [(9.5, True)]
    assert fold.scans.good_run == ENOUGH
    assert fold.take([*poll(5, 10), (15.0, "b", np.nan, Quality.BAD)], 16.0) == [(15.5, False)]
    assert fold.scans.good_run == 0


def test_a_scan_before_every_required_input_came_is_not_good():
    """Evidence starts when all required inputs are there."""
    fold = Fold()
    rows = [row for row in poll(30) if row[0] >= 5 or row[1] != "c"]
    assert fold.take(rows, 30.0) == [(14.5, True)]


def test_an_optional_input_is_not_waited_for():
    """A model can be assessed without an input that it can do without."""
    fold = Fold(small.spec(optional=("c",)))
    rows = [row for row in poll(30) if row[1] != "c"]
    assert fold.take(rows, 30.0) == [(9.5, True)]


def test_silence_longer_than_the_limit_ends_evidence():
    """A polled input whose last value is older than its `max_silence` is not usable."""
    fold = Fold()
    fold.take(poll(20), 20.0)
    rows = [row for row in poll(20, 20) if row[1] != "b"]
    assert fold.take(rows, 40.0) == [(24.5, False)]


def test_silence_of_a_tag_that_reports_changes_is_no_loss():
    """Its last value holds for as long as nothing says otherwise."""
    fold = Fold(small.spec(by_exception=True))
    assert fold.take(every(0.0), 5000.0) == [(9.5, True)]


def test_a_lost_connection_ends_evidence_even_of_a_tag_that_reports_changes():
    """The one sample that says so is enough."""
    fold = Fold(small.spec(by_exception=True))
    fold.take(every(0.0), 100.0)
    lost = [(100.0, "a", np.nan, Quality.COMMUNICATION_LOST)]
    assert fold.take(lost, 200.0) == [(100.5, False)]
    assert fold.take([(200.0, "a", 1.0)], 300.0) == [(209.5, True)]


def test_no_value_is_held_over_the_time_the_agent_was_away():
    """After a restart every input has to come again, however long it may be silent."""
    fold = Fold(small.spec(by_exception=True))
    fold.take(every(0.0), 100.0)
    fold.scans.restart(START + 5000 * SECOND)
    assert fold.scans.good_run == 0
    assert fold.take([(5000.0, "a", 1.0), (5000.0, "b", 1.0)], 5100.0) == []
    assert fold.take([(5100.0, "c", 1.0)], 5200.0) == [(5109.5, True)]


def test_the_grid_goes_on_after_a_restart():
    """No scans are made for the time away, and those after it keep the old phase."""
    fold = Fold()
    fold.take(poll(20), 20.0)
    count = fold.scans.count
    fold.scans.restart(START + round(77.2 * SECOND))
    fold.take([], 80.0)
    assert fold.scans.count == count + 3
    assert fold.scans.last_ns == START + round(79.5 * SECOND)


def test_a_new_baseline_starts_the_count_anew_but_keeps_what_is_held():
    """A tag that does not change need not be sent again because the model was fitted again."""
    fold = Fold(small.spec(by_exception=True))
    fold.take(every(0.0, (1.0, 2.0, 3.0)), 100.0)
    fold.scans.renew()
    assert (fold.scans.count, fold.scans.good_run) == (0, 0)
    assert len(fold.scans.recent(START + 100 * SECOND)) == 0
    assert fold.take([], 120.0) == [(109.5, True)]
    assert fold.scans.recent(START + 120 * SECOND)[-1].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("scans", [1, 3, RECENT - 1, RECENT, RECENT + 1, 40])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_looking_back_shows_what_was_known_at_that_time(scans, pieces):
    """As of any time, within the fold and after it: the last scans up to then, oldest first."""
    fold = Fold()
    values = np.arange(scans, dtype=np.float64)
    rows = [(float(k), tag, values[k]) for k in range(scans) for tag in small.TAGS]
    ends = sorted({round(float(end)) for end in np.linspace(0, scans, pieces + 1)[1:]} - {0})
    start = 0
    for end in ends:
        fold.take([row for row in rows if start <= row[0] < end], float(end), remember=False)
        for k in range(start, end):
            seen = fold.scans.recent(START + round((k + 0.5) * SECOND))
            assert seen[:, 0].tolist() == values[: k + 1][-RECENT:].tolist()
        fold.scans.remember()
        start = end
    assert fold.scans.recent(START + 1000 * SECOND)[:, 1].tolist() == values[-RECENT:].tolist()
