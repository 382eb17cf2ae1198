"""What is learnt of a model's losses from labels with known truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from agent.core.betting import YEAR_NS
from agent.core.expected_loss import LossReference
from agent.core.loss_chart import LossChart
from agent.errors import BaselineError
from agent.fit.expected_loss import FEWEST, fit_expected_loss, looked_up

EVERY = 20
HOUR = YEAR_NS // 8766
Plant = tuple[np.ndarray, np.ndarray, np.ndarray]


def ar1(rng, n: int, phi: float) -> np.ndarray:
    out = rng.standard_normal(n)
    for i in range(1, n if phi else 0):
        out[i] = phi * out[i - 1] + np.sqrt(1.0 - phi * phi) * out[i]
    return out


def plant(rho: float, labels: int, seed: int, phi: float = 0.0) -> Plant:
    """Novelty, level and loss of scans: of unit variance, `rho` of it told by novelty."""
    rng = np.random.default_rng(seed)
    scans = labels * EVERY
    novelty = rng.standard_normal(scans)
    noise = np.repeat(ar1(rng, labels, phi), EVERY) if phi else rng.standard_normal(scans)
    loss = 5.0 + rho * novelty + np.sqrt(1.0 - rho * rho) * noise
    return novelty, rng.standard_normal(scans), np.maximum(loss, 0.0)


def labelled(loss: np.ndarray) -> np.ndarray:
    found = np.full(len(loss), np.nan)
    found[EVERY - 1 :: EVERY] = loss[EVERY - 1 :: EVERY]
    return found


def fitted(one: Plant, arl: float = 1000.0) -> LossReference:
    novelty, level, loss = one
    return fit_expected_loss(novelty, level, labelled(loss), arl=arl)


def test_the_peak_is_the_highest_mean_that_the_past_let_expect():
    """Of losses that a bad month raised about four times as high; of independent ones the mean."""
    novelty, level, loss = plant(0.0, 2000, 1)
    assert fitted((novelty, level, loss)).peak == fitted((novelty, level, loss)).risk
    season = np.ones(len(loss))
    season[len(loss) // 2 : len(loss) * 6 // 10] = 4.0
    found = fitted((novelty, level, loss * season))
    assert found.block > 1
    assert 3.8 < found.peak / loss.mean() < 5.2


def warnings(reference: LossReference, one: Plant) -> list[int]:
    """Labels at which the chart warns; each begins its CUSUM anew."""
    chart, found = LossChart(reference, 0.1), []
    expected = looked_up(reference.expected, one[0], one[1])
    sums = expected.reshape(-1, EVERY).sum(axis=1)
    for number, at in enumerate(range(EVERY - 1, len(expected), EVERY)):
        chart.state.summed, chart.state.scans = float(sums[number]), EVERY  # as single scans would
        step = chart.label(number * HOUR, float(one[2][at]), float(expected[at]))
        if step is not None and step.raised:
            found.append(number)
            chart.state.cusum, chart.state.up = 0.0, False
    return found


@pytest.fixture(scope="module")
def powered() -> LossReference:
    return fitted(plant(0.8, 2000, 1))


def test_the_table_rises_with_novelty_and_comes_near_the_truth(powered):
    """Its steps are those of the normal quantity that the loss is made of, shrunk a little."""
    table, outermost = np.array(powered.expected.table), 0.8 * 2.15
    assert (np.diff(table, axis=0) >= -1e-9).all()
    assert table[[0, 7], 1:3].mean(axis=1) == pytest.approx([5 - outermost, 5 + outermost], abs=0.4)
    assert powered.expected.novelty == pytest.approx(
        (-1.748, -1.05, -0.5, 0.0, 0.5, 1.05, 1.748), abs=0.1
    )


def test_what_the_loss_has_to_do_with_its_inputs_is_measured_on_held_out_labels(powered):
    """Correlation .8 less what eight steps lose, variance 1 - .8^2, clip the .999 quantile."""
    assert powered.correlation == pytest.approx(0.78, abs=0.03)
    assert powered.slope == pytest.approx(1.0, abs=0.1)
    assert powered.risk == pytest.approx(5.0, abs=0.06)
    assert powered.deviation == pytest.approx(1.0, abs=0.05)
    assert powered.powered.variance == pytest.approx(0.39, abs=0.05)
    assert powered.clip == pytest.approx(5.0 + norm.ppf(0.999), abs=0.8)
    assert (powered.block, powered.memory) == (1, 1.0)


def test_noise_is_not_taken_for_an_expectation():
    """Ten references whose inputs say nothing: the chart does without r(x) in each."""
    assert all(fitted(plant(0.0, 200, seed)).slope == 0.0 for seed in range(10))


def test_it_goes_through_the_baseline_and_is_the_same_again(powered):
    """JSON without NaN; two fits of one record are equal to the bit."""
    data = json.loads(json.dumps(powered.to_json(), allow_nan=False))
    assert LossReference.from_json(data) == powered == fitted(plant(0.8, 2000, 1))


@pytest.mark.parametrize("rho", [0.8, 0.3])
def test_the_chart_keeps_its_promise_and_its_delay(rho):
    """Over 8 references of 2,000 labels: .3 to 1.5 of the false alarms, 1.25 times the delay."""
    references = [fitted(plant(rho, 2000, seed)) for seed in range(8)]
    alarms = sum(
        len(warnings(reference, plant(rho, 3000, 100 + seed)))
        for seed, reference in enumerate(references)
    )
    assert 0.3 <= alarms / 24.0 <= 1.5
    delays = []
    for seed, reference in enumerate(references):
        for again in range(12):
            novelty, level, loss = plant(rho, 300, 1000 + 20 * seed + again)
            delays.append(warnings(reference, (novelty, level, loss + 0.5))[0] + 1)
    assert np.mean(delays) <= 1.25 * {0.8: 19.3, 0.3: 29.8}[rho]


def test_losses_that_go_along_are_taken_as_such():
    """AR(1) of .8 has nine times the variance in the long run, and its bets wait for it."""
    reference = fitted(plant(0.3, 4000, 2, phi=0.8))
    assert reference.alone.variance == pytest.approx(9.0, rel=0.35)
    assert 3 <= reference.block <= 8


def test_the_interval_covers_what_it_says_on_clean_runs():
    """90 +- 5 % of windows of 8 and of 60 labels, losses that go along included."""
    for phi in (0.0, 0.8):
        hits: list[bool] = []
        for seed in range(8):
            reference = fitted(plant(0.8, 1500, seed, phi))
            novelty, level, loss = plant(0.8, 1200, 500 + seed, phi)
            expected = looked_up(reference.expected, novelty, level)
            for window in (8, 60):
                scans = window * EVERY
                truth = loss[EVERY - 1 :: EVERY].reshape(-1, window).mean(axis=1)
                for mean, real in zip(expected.reshape(-1, scans).mean(axis=1), truth, strict=True):
                    found = reference.estimate(float(mean), scans)
                    hits.append(found.low <= real <= found.high)
        assert 0.85 <= np.mean(hits) <= 0.95


def test_odd_records_are_fitted_or_refused_with_a_reason():
    """Constant inputs, scans without inputs, few labels, losses that are all the same."""
    novelty, level, loss = plant(0.5, 100, 3)
    constant = fit_expected_loss(np.zeros(2000), np.ones(2000), labelled(loss), arl=1000.0)
    assert constant.slope == 0.0
    gaps = np.where(np.arange(2000) % 7 == 0, np.nan, novelty)
    assert fit_expected_loss(gaps, level, labelled(loss), arl=1000.0).labels < 100
    mostly_right = labelled(np.where(np.arange(2000) % 80 < 60, 0.0, loss))
    found = fit_expected_loss(novelty, level, mostly_right, arl=1000.0)
    assert LossReference.from_json(found.to_json()) == found
    few = labelled(loss)
    few[EVERY * (FEWEST - 1) :] = np.nan
    with pytest.raises(BaselineError, match=f"{FEWEST - 1} labels"):
        fit_expected_loss(novelty, level, few, arl=1000.0)
    with pytest.raises(BaselineError, match="same loss"):
        fit_expected_loss(novelty, level, labelled(np.ones(2000)), arl=1000.0)
