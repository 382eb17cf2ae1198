"""Losses of one prediction, and sums of them that come out the same however they are cut."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import reduce
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.loss import (
    CLASS_LOSSES,
    LEAST_SCORE,
    MOST,
    OTHER,
    LossSums,
    absolute,
    brier,
    decided,
    log_loss,
    pinball,
    squared,
)
from agent.errors import FieldwardenError

ANY = st.floats(allow_nan=True, allow_infinity=True)
LOSSES = st.lists(st.one_of(st.floats(0.0, 1e140), st.floats(0.0, 10.0)), max_size=30)
CLASSES = st.sampled_from(["good", "scrap", "never declared"])
DECISIONS = st.lists(st.tuples(CLASSES, CLASSES), max_size=10)


def sums_of(losses: list[float], decisions: list[tuple[str, str]] = ()) -> LossSums:
    sums = LossSums("absolute", 5.0, ("good", "scrap"))
    for loss in losses:
        sums.add(loss)
    for truth, said in decisions:
        sums.add_class(truth, said)
    return sums


def test_losses_of_a_number():
    """Errors upwards cost `quantile`, errors downwards the rest."""
    assert absolute(3.0, 5.0) == absolute(5.0, 3.0) == 2.0
    assert squared(3.0, 5.0) == 4.0
    assert pinball(3.0, 5.0, 0.9) == pytest.approx(1.8)
    assert pinball(5.0, 3.0, 0.9) == pytest.approx(0.2)


@given(ANY, ANY)
def test_a_loss_of_a_number_is_bounded_or_not_known(prediction, truth):
    """NaN for what is no number, never negative, and its square stays finite."""
    for loss in (absolute(prediction, truth), squared(prediction, truth),
                 pinball(prediction, truth, 0.3)):  # fmt: skip
        assert math.isnan(loss) or 0.0 <= loss <= MOST
    if math.isfinite(prediction) and math.isfinite(truth):
        assert not math.isnan(squared(prediction, truth))


@given(st.floats(LEAST_SCORE, 1.0))
def test_the_log_loss_is_the_logarithm(share):
    """The system's own logarithm, which differs between machines, agrees to 15 digits."""
    assert log_loss({"a": share, "b": 1.0 - share}, "a") == pytest.approx(
        -math.log(share), rel=1e-14, abs=1e-15
    )


def test_losses_of_classes():
    """Scores count by their shares; a class without a score was held impossible."""
    assert brier({"a": 3.0, "b": 1.0}, "a") == pytest.approx(2 * 0.25**2)
    assert brier({"a": 1.0}, "c") == 2.0
    assert log_loss({"a": 1.0}, "c") == pytest.approx(-math.log(LEAST_SCORE))
    for loss in CLASS_LOSSES.values():
        assert loss({"a": 1.0, "b": 0.0}, "a") == 0.0
        for broken in ({}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": math.nan}, {"a": math.inf}):
            assert math.isnan(loss(broken, "a"))


def test_the_decision_is_the_largest_score():
    """Of equal ones the first by name, whatever their order."""
    assert decided({"b": 0.4, "a": 0.4, "c": 0.2}) == decided({"a": 0.4, "b": 0.4}) == "a"
    assert decided({"a": math.nan}) == decided({}) == OTHER


@given(LOSSES, DECISIONS, st.lists(st.integers(0, 30), max_size=5), st.randoms())
def test_any_cut_in_any_order_gives_the_same_sums(losses, decisions, cuts, random):
    """To the bit: windows of a batch, merged in whatever order, also through JSON."""
    whole = sums_of(losses, decisions)
    bounds = sorted({0, len(losses), *(min(cut, len(losses)) for cut in cuts)})
    parts = [sums_of(losses[a:b]) for a, b in pairwise(bounds)]
    parts.append(sums_of([], decisions))
    random.shuffle(parts)
    through = [LossSums.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    merged = reduce(LossSums.merge, through)
    assert merged == whole
    assert json.dumps(merged.to_json()) == json.dumps(whole.to_json())


@given(LOSSES, LOSSES, LOSSES)
def test_merging_is_associative_and_commutative(a, b, c):
    """(a + b) + c = a + (c + b), to the bit."""
    x, y, z = sums_of(a), sums_of(b), sums_of(c)
    assert x.merge(y).merge(z) == x.merge(z.merge(y))


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30))
def test_mean_and_variance_are_those_of_exact_arithmetic(losses):
    """The mean is correctly rounded, the variance that of the rounded squares and not negative."""
    sums = sums_of(losses)
    exact = sum(map(Fraction, losses)) / len(losses)
    assert sums.mean == float(exact)
    spread = sum(Fraction(loss * loss) for loss in losses) / len(losses) - exact**2
    assert sums.variance == pytest.approx(max(float(spread), 0.0), rel=1e-12)
    assert sums.clipped == sum(loss > 5.0 for loss in losses)


def test_what_is_no_loss_is_counted_and_not_summed():
    """A NaN would make every later sum one."""
    sums = sums_of([math.nan, math.inf, -1.0, 2.0])
    assert (sums.unusable, sums.count, sums.mean) == (3, 1, 2.0)
    assert math.isnan(sums_of([]).mean)


@given(LOSSES.map(lambda losses: [*losses, math.nan, 1.0, -1.0]), st.randoms())
def test_corrections_leave_what_was_right_at_once(losses, random):
    """Also where the first or the second truth of a label gives no loss."""
    right = random.sample(losses, len(losses))
    sums = sums_of(losses)
    for was, now in zip(losses, right, strict=True):
        sums.correct(was, now)
    assert sums == sums_of(right) == LossSums.from_json(json.loads(json.dumps(sums.to_json())))


def test_a_class_that_was_not_declared_is_another():
    """The confusion can not grow with what a stream says."""
    sums = sums_of([], [("good", "scrap"), ("x", "good"), ("y", "good")])
    assert sums.confusion == {("good", "scrap"): 1, (OTHER, "good"): 2}


@pytest.mark.parametrize("other", [
    LossSums("squared", 5.0, ("good", "scrap")), LossSums("absolute", 6.0, ("good", "scrap")),
    LossSums("absolute", 5.0, ("good",)),
])  # fmt: skip
def test_other_losses_do_not_merge(other):
    """Sums of another loss, clip or other classes mean something else."""
    with pytest.raises(FieldwardenError, match="merging losses"):
        sums_of([1.0]).merge(other)


@pytest.mark.parametrize(("key", "value"), [
    ("count", 1 << 63), ("count", True), ("sum", 3.0), ("sum", [math.nan]), ("sum", [math.inf]),
    ("sum", [1.0] * 100), ("clip", "x"), ("confusion", [["good", "scrap"]]), ("classes", None),
])  # fmt: skip
def test_sums_of_another_form_are_refused(key, value):
    """What comes from elsewhere is checked before it is added."""
    with pytest.raises(FieldwardenError, match="reading sums of losses"):
        LossSums.from_json(sums_of([1.0]).to_json() | {key: value})
