"""Bets against a mean: fair at the edge of what is allowed, and paid in evenly with time."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from agent.core.betting import ALPHA, SHARES, YEAR_NS, Bets, Wealth

MONTH = YEAR_NS // 12


def folded(bets: Bets, xs, gap_ns: int = MONTH) -> Wealth:
    wealth = Wealth()
    for number, x in enumerate(xs):
        bets.fold(wealth, number * gap_ns, x)
    return wealth


@pytest.mark.parametrize("block", [1, 2])
def test_evidence_is_worth_what_was_paid_in_where_the_mean_is_just_allowed(block):
    """The exact mean over all ways that ten coins can fall, of a coin of mean .3 and least -1."""
    bets = Bets(allowed=0.3, least=-1.0, block=block, deviation=0.2)
    chance = {-1.0: 0.7 / 2.0, 1.0: 1.3 / 2.0}
    mean = sum(
        np.prod([chance[x] for x in xs]) * folded(bets, xs).evidence
        for xs in product(chance, repeat=10)
    )
    assert mean == pytest.approx(0.25 + 0.75 * (10 - block) / 12.0, rel=1e-9)


def test_requests_without_cause_stay_within_alpha_a_year():
    """2,000 model-years of a skewed loss at the edge of what is allowed: 20 are promised."""
    rng = np.random.default_rng(1)
    bets, opened = Bets(allowed=1.0, least=0.0, deviation=1.0), 0
    for _ in range(200):
        wealth = Wealth()
        for number, x in enumerate(rng.exponential(size=500)):  # ten years of weeks
            bets.fold(wealth, number * YEAR_NS // 50, float(x))
            if wealth.evidence >= 1.0 / ALPHA:
                opened += 1
                wealth.begin_anew()
    assert opened <= 20


def test_a_mean_above_what_is_allowed_is_found_after_years_without():
    """What years cost is not carried on: a loss that doubled is found as fast as in the first."""
    rng = np.random.default_rng(2)
    bets = Bets(allowed=1.1, least=0.0)
    needed = []
    for years in (1, 10):
        wealth = folded(bets, rng.exponential(size=years * 365), YEAR_NS // 365)
        begin = years * 365
        for number, x in enumerate(2.0 * rng.exponential(size=1000), begin):
            bets.fold(wealth, number * (YEAR_NS // 365), float(x))
            if wealth.evidence >= 1.0 / ALPHA:
                needed.append(number - begin)
                break
    assert len(needed) == 2
    assert max(needed) < 150


def test_the_careful_keep_their_money_while_nothing_is_wrong():
    """So a doubling within the first months is found by half of the labels that others need."""
    needed = {}
    for deviation in (0.0, 1.0):
        rng = np.random.default_rng(3)
        bets, needed[deviation] = Bets(allowed=1.3, least=0.0, deviation=deviation), []
        for _ in range(20):
            wealth = folded(bets, rng.exponential(size=50), YEAR_NS // 8766)
            for number, x in enumerate(2.6 * rng.exponential(size=2000), 50):
                bets.fold(wealth, number * (YEAR_NS // 8766), float(x))
                if wealth.evidence >= 1.0 / ALPHA:
                    needed[deviation].append(number - 50)
                    break
    assert np.median(needed[1.0]) < 0.6 * np.median(needed[0.0])


def test_nothing_is_paid_in_where_time_stands_still_or_goes_back():
    """A flood of labels of one instant buys no chance of a false request."""
    bets = Bets(allowed=1.0, least=0.0)
    wealth = Wealth()
    for time_ns in (MONTH, MONTH, 0, MONTH):
        bets.fold(wealth, time_ns, 1.0)
    assert wealth.evidence == 0.25  # what the careful have from the first day on
    bets.fold(wealth, 2 * MONTH, 1.0)
    assert wealth.evidence == pytest.approx(0.25 + 0.75 / 12.0)


def test_state_survives_json_to_the_bit():
    """And what is no state is refused."""
    wealth = folded(Bets(1.0, 0.0, block=3, deviation=0.1), [0.3, 3.7, 3.0, 2.1, 0.2])
    data = json.loads(json.dumps(wealth.to_json()))
    assert Wealth.from_json(data) == wealth
    for broken in ({"invested": [0.0]}, {"invested": [float("nan")] * len(SHARES)},
                   {"count": -1}, {"rose": -1}, {"careful": [1.0]}, {"risen": float("nan")},
                   {"summed": float("inf")}):  # fmt: skip
        with pytest.raises(ValueError, match="state of bets"):
            Wealth.from_json(data | broken)


@pytest.mark.parametrize("wrong", [3.0, 5.0])
def test_what_a_wrong_observation_won_is_lost_when_it_is_corrected(wrong):
    """To what the right one would have made of money that was there; and never above it."""
    bets = Bets(allowed=1.0, least=0.0, deviation=0.1)
    right, corrected = Wealth(), Wealth()
    for wealth, x in ((right, 0.8), (corrected, wrong)):
        bets.fold(wealth, 0, 1.0)
        bets.fold(wealth, MONTH, x)
        bets.fold(wealth, MONTH, 1.5)
    bets.take_back(corrected, wrong, 0.8)
    assert corrected.invested == pytest.approx(right.invested)
    assert all(a <= b for a, b in zip(corrected.careful, right.careful, strict=True))
    was = (list(corrected.invested), list(corrected.careful))
    bets.take_back(corrected, 0.8, wrong)
    assert (corrected.invested, corrected.careful) == was
