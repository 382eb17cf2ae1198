"""Fitting the joint charts: what is selected, what the limits hold, what is left out."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.signal import lfilter

from agent.core.kernels.base import TRANSITION
from agent.core.kernels.joint import CHARTS, PARAMS, STATE, fold_joint, paces
from agent.errors import FieldwardenError
from agent.fit.joint import GroupFit, JointFit, fit_joint
from agent.fit.joint_limits import gaussian_limit, limit_of
from agent.fit.joint_moments import fold_bounds, moments_of
from agent.fit.tails import independent_values

ARL = 1000.0


def plant(n: int, d: int = 8, *, seed: int = 0, phi: float = 0.8, noise: float = 0.2) -> np.ndarray:
    """d inputs that follow two autocorrelated causes: the relations stay, the level moves."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).standard_normal((2, d))
    drive = rng.standard_normal((n + 200, 2)) * math.sqrt(1.0 - phi * phi)
    causes = lfilter([1.0], [1.0, -phi], drive, axis=0)[200:]
    return np.ascontiguousarray(causes @ mixing + noise * rng.standard_normal((n, d)))


def names(d: int) -> list[str]:
    return [f"tag{i}" for i in range(d)]


def fit(matrix: np.ndarray, arl: float = ARL) -> JointFit:
    return fit_joint(matrix, names(matrix.shape[1]), interval_ns=1_000_000_000, arl=arl)


def judged(group: GroupFit, matrix: np.ndarray) -> np.ndarray:
    """Scores float64[n, 4] of the group's charts over a record."""
    params, state = np.zeros(1, PARAMS), np.zeros(1, STATE)
    document = group.to_json()
    for field in ("components", "lags", "alpha", "cap", "limit"):
        params[0][field] = document[field]
    params[0]["gap_ns"] = params[0]["forget_ns"] = 2
    state[0]["smooth"] = document["mean"][3]
    scans = np.ascontiguousarray(matrix[:, group.columns])
    out, scores = np.zeros(4 * len(scans), TRANSITION), np.zeros((len(scans), 4))
    ring = np.zeros((group.lags + 1, len(group.columns)))
    levels, work = np.zeros((2, len(group.columns))), np.zeros((3, len(group.offset)))
    change = group.change
    fold_joint(
        params, group.loadings, group.offset, change.adjusted, change.middle,
        paces(change.fast, change.weight), change.weight, state, ring, levels, work,
        np.arange(len(scans)), scans, np.ones(len(scans), np.uint8), out, scores,
        np.zeros(scans.shape),
    )  # fmt: skip
    return scores


def test_new_normal_scans_stay_below_the_limits() -> None:
    """On 200,000 scans that were not trained on, each chart is over its limit <= 1 / arl."""
    for phi in (0.0, 0.9):
        found = fit(plant(5_000, phi=phi))
        over = (judged(found.groups[0], plant(200_000, seed=7, phi=phi)) > 1.0).mean(axis=0)
        assert (over <= 1.0 / ARL).all(), (phi, over)


def test_limits_of_a_short_record_hold_too() -> None:
    """Fitted on 300 scans, the mean rate over 30 records is at most three times the promise."""
    over = np.zeros(4)
    for seed in range(30):
        group = fit(plant(300, seed=seed)).groups[0]
        over += (judged(group, plant(20_000, seed=1000 + seed)) > 1.0).mean(axis=0)
    assert (over / 30 <= 3.0 / ARL).all(), over / 30


def white(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 8))


def autocorrelated(n: int, seed: int, phi: float = 0.9) -> np.ndarray:
    drive = math.sqrt(1.0 - phi * phi) * white(n + 1_000, seed)
    return np.asarray(lfilter([1.0], [1.0, -phi], drive, axis=0)[1_000:])


def wandering(n: int, seed: int) -> np.ndarray:
    """White noise about operating points that wander by a third of it in some 50 scans."""
    return white(n, seed) + 0.33 * autocorrelated(n, 10_000 + seed, phi=0.98)


NORMAL = {"white": white, "autocorrelated": autocorrelated, "wandering": wandering}


@pytest.mark.parametrize("kind", NORMAL)
def test_short_normal_records_keep_the_promise(kind: str) -> None:
    """Fitted on 450 scans, on 400,000 that were not trained on: each chart is over <= 1 / arl."""
    over = np.zeros(4)
    for seed in range(20):
        group = fit(NORMAL[kind](450, seed)).groups[0]
        over += (judged(group, NORMAL[kind](20_000, 1000 + seed)) > 1.0).mean(axis=0)
    assert (over / 20 <= 1.0 / ARL).all(), over / 20 * ARL


@pytest.mark.parametrize("kind", NORMAL)
def test_with_enough_rows_the_chart_of_change_comes_near_the_promise(kind: str) -> None:
    """Fitted on 5,000 scans: 0.4 to 1.2 of the promise, as the mean of 16 records may err."""
    over = []
    for seed in range(16):
        group = fit(NORMAL[kind](5_000, seed)).groups[0]
        scores = judged(group, NORMAL[kind](50_000, 1000 + seed))
        over.append((scores[:, CHARTS.index("change")] > 1.0).mean())
    assert 0.4 / ARL < np.mean(over) <= 1.2 / ARL, np.mean(over) * ARL


def test_a_small_shift_of_one_input_is_seen_soon_though_all_wander() -> None:
    """Three standard deviations on any one of eight, at one false alarm in 100,000 scans: within 15
    scans after 450 of training. One scan's T2 and SPE do not see it in that time.
    """
    delays, alone = [], []
    for seed in range(16):
        group = fit(wandering(450, seed), arl=1e5).groups[0]
        faulty = wandering(600, 1000 + seed)
        faulty[300:, seed % 8] += 3.0
        over = judged(group, faulty)[300:] > 1.0
        delays.append(int(np.argmax(over[:, 2])) if over[:, 2].any() else 300)
        alone.append(bool(over[:15, :2].any()))
    assert np.median(delays) <= 15, delays
    assert np.mean(alone) < 0.5


def test_moves_that_the_record_knows_are_no_sudden_change() -> None:
    """An input that jumps between two grades all the time may go on to do so; others are guarded
    as closely as without it.
    """

    def jumping(n: int, seed: int) -> np.ndarray:
        record = wandering(n, seed)
        record[:, 0] += 8.0 * ((np.arange(n) // 97) % 2)
        return record

    with_it, without = fit(jumping(3_000, 1)).groups[0], fit(wandering(3_000, 1)).groups[0]
    scores = judged(with_it, jumping(50_000, 2))
    assert (scores[:, CHARTS.index("change")] > 1.0).mean() <= 1.0 / ARL
    assert (with_it.change.weight[1:] >= 0.8 * without.change.weight[1:]).all()


def test_limits_are_not_so_wide_that_a_broken_relation_is_missed() -> None:
    """An input that leaves the relation by one standard deviation is over SPE at once."""
    found = fit(plant(5_000), arl=1e6)
    faulty = plant(1_000, seed=5)
    faulty[:, 3] += plant(5_000)[:, 3].std()
    scores = judged(found.groups[0], faulty)
    assert (scores[50:, CHARTS.index("spe_smooth")] > 1.0).mean() > 0.99
    assert (scores[50:, CHARTS.index("t2")] > 1.0).mean() < 0.01


def test_two_causes_give_two_components() -> None:
    """The number of components follows from the record: two causes, two components."""
    assert fit(plant(3_000)).groups[0].components == 2
    assert fit(plant(400, d=20)).groups[0].components == 2


def test_lags_are_used_where_they_help_and_only_there() -> None:
    """An input that follows another one a scan later is told by a lag; else there is none."""
    together = plant(6_000, phi=0.3)
    assert fit(together).groups[0].lags == 0
    late = together.copy()
    late[1:, 4:] = together[:-1, 4:]
    assert fit(late).groups[0].lags >= 1


def test_relations_predict_what_can_be_predicted() -> None:
    """R2 is its true value, near zero for an unrelated input; the rest is in the matrix' units."""
    mixing = np.random.default_rng(99).standard_normal((2, 6))
    truth = mixing.T @ mixing + 0.2**2 * np.eye(6)
    r2 = 1.0 - 1.0 / (np.diag(truth) * np.diag(np.linalg.inv(truth)))
    record = plant(4_000, d=6)
    unrelated = np.random.default_rng(5).standard_normal(len(record))
    matrix = np.column_stack([record, unrelated]) * 50.0 + 300.0
    found = fit(matrix)
    for place in range(6):
        relation = found.relations[place]
        assert relation.r2 == pytest.approx(r2[place], abs=0.03)
        predicted = relation.intercept + matrix @ relation.coefficients
        assert relation.coefficients[place] == 0.0
        error = matrix[:, place] - predicted
        assert abs(error.mean()) < 0.05 * relation.residual_sd
        assert error.std() == pytest.approx(relation.residual_sd, rel=0.05)
    assert found.relations[6].r2 < 0.05


def test_units_do_not_matter() -> None:
    """The same record in other units gives the same limits and the same scores."""
    matrix, new = plant(1_000), plant(500, seed=2)
    gain = np.logspace(-3, 4, matrix.shape[1])
    one, other = fit(matrix).groups[0], fit(matrix * gain + 5.0 * gain).groups[0]
    np.testing.assert_allclose(
        judged(one, new), judged(other, new * gain + 5.0 * gain), rtol=1e-5, atol=1e-7
    )


def test_the_document_is_json_and_the_fit_repeats() -> None:
    """The same record gives the same document, which JSON carries without loss."""
    matrix = plant(600)
    text = json.dumps(fit(matrix).to_json(), allow_nan=False)
    assert json.loads(text) == fit(matrix).to_json()
    assert text == json.dumps(fit(matrix).to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (np.full(600, 4.0), "constant"),
        (5e-324 * (np.arange(600) % 7), "constant"),
        (np.full(600, 1e308), "missing"),
        (np.full(600, np.nan), "missing"),
        (np.where(np.arange(600) < 500, np.nan, 1.0), "missing"),
        (np.where(np.arange(600) == 300, 1e9, 1e-3 * np.sin(np.arange(600))), "moved only once"),
    ],
)
def test_a_column_that_can_not_be_judged_is_left_out_and_named(
    column: np.ndarray, why: str
) -> None:
    """The others are judged as if it were not there; the note names it and the reason."""
    record = plant(600)
    found = fit(np.column_stack([record[:, :3], column, record[:, 3:]]))
    assert any("tag3" in note and why in note for note in found.notes)
    assert 3 not in found.groups[0].columns
    alone = fit(record).groups[0]
    np.testing.assert_array_equal(found.groups[0].loadings, alone.loadings)
    assert found.relations[3].r2 == 0.0


def test_collinear_and_two_valued_columns_give_finite_charts() -> None:
    """Copies, sums, two-valued and quantised columns: limits and scores are finite and hold."""

    def build(seed: int, n: int) -> np.ndarray:
        record = plant(n, seed=seed)
        more = [
            record[:, 0], record[:, 1] + record[:, 2], np.round(record[:, 3]),
            (record[:, 4] > 0.0).astype(np.float64), record[:, 5] * 1e-90,
        ]  # fmt: skip
        return np.column_stack([record, *more])

    found = fit(build(0, 2_000))
    assert not found.notes
    scores = judged(found.groups[0], build(3, 20_000))
    assert np.isfinite(scores).all()
    assert ((scores > 1.0).mean(axis=0) <= 3.0 / ARL).all()


def test_rows_with_gaps_are_left_out() -> None:
    """A fifth of the rows incomplete: the fit goes on with the others."""
    matrix = plant(2_000)
    rng = np.random.default_rng(0)
    matrix[rng.random(2_000) < 0.2, 2] = np.nan
    found = fit(matrix)
    assert found.groups[0].components == 2
    assert (judged(found.groups[0], plant(20_000, seed=4)) > 1.0).mean() < 2.0 / ARL


@pytest.mark.parametrize("d", [1, 2, 3])
def test_few_inputs(d: int) -> None:
    """One input has no relation: no charts, and a note. Two or three have charts that hold."""
    matrix = plant(1_000, d=d)
    found = fit(matrix)
    if d == 1:
        assert not found.groups
        assert "no joint charts" in found.notes[0]
        return
    assert not found.notes
    over = judged(found.groups[0], plant(50_000, d=d, seed=3)) > 1.0
    assert (over.mean(axis=0) <= 1.5 / ARL).all()


def test_more_inputs_than_rows_are_split_into_groups_that_hold() -> None:
    """100 inputs and 90 rows: groups of inputs, every one in one group, each with its limits."""
    found = fit(plant(90, d=100))
    columns = np.sort(np.concatenate([group.columns for group in found.groups]))
    assert columns.tolist() == list(range(100))
    assert len(found.groups) > 1
    new = plant(5_000, d=100, seed=8)
    over = np.mean([(judged(group, new) > 1.0).any(axis=1) for group in found.groups])
    assert over < 5.0 / ARL


def test_groups_hold_what_belongs_together() -> None:
    """Of 120 inputs with two separate pairs of causes, related ones come into the same group."""
    left, right = plant(2_000, d=60, seed=1), plant(2_000, d=60, seed=2)
    order = np.random.default_rng(0).permutation(120)
    found = fit(np.column_stack([left, right])[:, order])
    assert len(found.groups) == 2
    for group in found.groups:
        of_left = (order[group.columns] < 60).mean()
        assert min(of_left, 1.0 - of_left) < 0.1


def test_too_short_a_record_is_said() -> None:
    """Fewer than 30 complete rows: no charts, a note, provisional, and how many more."""
    found = fit(plant(12))
    assert not found.groups
    assert "12 complete rows" in found.notes[0]
    assert found.provisional
    assert found.needed == 18


def test_provisional_ends_with_enough_data() -> None:
    """Few correlation times are provisional, with the need stated; enough are not."""
    short = fit(plant(500, phi=0.95))
    assert short.provisional
    assert short.needed > 1_000
    assert not fit(plant(60_000, phi=0.95)).provisional


def test_wrong_arguments_name_their_cause() -> None:
    """A matrix of another width, or a rate of more than one alarm a scan."""
    with pytest.raises(FieldwardenError, match="matrix"):
        fit_joint(plant(100), names(3), interval_ns=1, arl=ARL)
    with pytest.raises(FieldwardenError, match="arl"):
        fit(plant(100), arl=0.5)


@pytest.mark.parametrize("arl", [1e3, 1e5, 1e7])
def test_limit_of_a_known_distribution(arl: float) -> None:
    """For chi2 of 10 the limit is above the true quantile, and not by more than half."""
    from scipy.stats import chi2

    rng = np.random.default_rng(2)
    found = [limit_of(rng.chisquare(10, 5_000), arl).value for _ in range(20)]
    true = chi2.isf(1.0 / arl, 10)
    assert np.mean(np.array(found) >= true) >= 0.9
    assert np.mean(found) < 1.5 * true
    assert gaussian_limit(np.ones(10), 1.0, arl) == pytest.approx(true, rel=1e-6)


def test_independent_values_of_ar1() -> None:
    """n / ((1 + phi) / (1 - phi)) for AR(1)."""
    x = lfilter([1.0], [1.0, -0.9], np.random.default_rng(0).standard_normal(200_000))
    assert independent_values(x) == pytest.approx(200_000 / 19.0, rel=0.15)


def test_unrelated_slow_inputs_leave_no_direction_that_seems_to_stand_still() -> None:
    """Four inputs that wander on their own: in no direction is their slow variance taken for nil,
    though a few means always show one that hardly moved.
    """
    for seed in range(20):
        rng = np.random.default_rng(seed)
        walks = np.cumsum(rng.standard_normal((400, 4)), axis=0)
        x = walks / walks.std(axis=0) + rng.standard_normal((400, 4))
        moments = moments_of(x - x.mean(axis=0), fold_bounds(400))
        slow = moments.slow(moments.whole()[1])
        spread = np.sqrt(np.diag(slow))
        assert np.linalg.eigvalsh(slow / np.outer(spread, spread))[0] > 0.1, seed


def test_a_relation_that_holds_at_every_speed_is_not_widened_by_slow_movement() -> None:
    """Two inputs that show the same slow cause: their difference gets no more than a hundredth of
    the allowance that each of them gets.
    """
    rng = np.random.default_rng(5)
    cause = np.cumsum(rng.standard_normal(400))
    cause = (cause - cause.mean()) / cause.std() + rng.standard_normal(400)
    x = np.column_stack([cause, cause + 0.05 * rng.standard_normal(400)])
    moments = moments_of(x - x.mean(axis=0), fold_bounds(400))
    slow = moments.slow(moments.whole()[1])
    contrast = np.array([1.0, -1.0])
    assert slow[0, 0] > 0.2
    assert contrast @ slow @ contrast < 0.01 * slow[0, 0]
