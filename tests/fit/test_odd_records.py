"""Records as plants export them: nothing odd in one ends `fit` with anything but a reason."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import BaselineError
from agent.fit.modes import split
from agent.fit.univariate import fit_input

SECOND = 1_000_000_000
KINDS = ("white", "walk", "rounded", "two values", "held", "periodic", "one off", "step", "wild")


def column(kind, n, rng):
    """float64[n] of one of `KINDS`."""
    noise = rng.standard_normal(n)
    one_off = np.zeros(n)
    one_off[n // 2] = 1.0
    return {
        "white": noise, "walk": noise.cumsum(), "rounded": np.round(noise),
        "two values": (noise > 1.0).astype(float), "held": np.repeat(noise, 7)[:n],
        "periodic": np.arange(n) % 2.0, "one off": one_off,
        "step": (np.arange(n) > n // 2).astype(float), "wild": rng.standard_cauchy(n),
    }[kind]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS), n=st.sampled_from([1, 2, 7, 15, 16, 33, 130, 600, 1500]),
    seed=st.integers(0, 1 << 16), rough=st.sampled_from([0.0, 10.0, 1e5]),
    gaps=st.sampled_from([0.0, 0.05, 0.95]), factor=st.sampled_from([1.0, 1e-290, 1e250]),
)  # fmt: skip
def test_any_column_has_finite_thresholds_or_a_reason_why_not(kind, n, seed, rough, gaps, factor):
    """Constant, short, mostly missing, held, periodic, with a rough stretch, at any scale."""
    rng = np.random.default_rng(seed)
    values = column(kind, n, rng)
    at = int(rng.integers(0, n))
    values[at : at + n // 20] += rough * rng.standard_normal(len(values[at : at + n // 20]))
    values = np.where(rng.random(n) < gaps, np.nan, values * factor)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if not np.isfinite(values).any():
            with pytest.raises(BaselineError, match="no usable value"):
                fit_input(values, interval_ns=SECOND, arl=1e7, name="t")
            return
        fitted = fit_input(values, interval_ns=SECOND, arl=1e7, name="t")
    numbers = [
        number for parameters in fitted.detectors.values() for value in parameters.values()
        for number in (value if isinstance(value, list) else [value])
    ]  # fmt: skip
    assert np.isfinite([*numbers, fitted.centre, fitted.scale, fitted.noise, fitted.n_eff]).all()


@pytest.mark.parametrize(("at", "length"), [(453, 44), (1265, 58), (875, 30)])
def test_one_rough_stretch_is_no_error(at, length):
    """All large second differences lie in it, closer than their tally forgets them."""
    rng = np.random.default_rng(at)
    values = rng.standard_normal(1500)
    values[at : at + length] += 100.0 * rng.standard_normal(length)
    fitted = fit_input(values, interval_ns=SECOND, arl=4e7, name="t")
    assert np.isfinite(list(fitted.detectors["spike"].values())).all()


def test_an_input_that_is_silent_in_one_mode_is_no_warning():
    """It says nothing of how long the change to that mode took."""
    mode = np.repeat([1.0, 2.0], 500)
    values = np.random.default_rng(1).standard_normal((1000, 2))
    whole = split(mode, values, {}, "m")
    values[500:, 1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, mask = split(mode, values, {}, "m")
    assert [len(one.rows) for one in found] == [len(one.rows) for one in whole[0]]
    assert mask == whole[1]
