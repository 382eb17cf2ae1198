"""Noise that goes along with the others' is the plant's; of one input alone it is a fault's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from agent.core.activity import BLOCK, EXPLAINS, goes_along
from agent.core.baseline import Baseline
from agent.fit import trial
from agent.fit.activity import FEWEST, fit_activity
from agent.fit.model import fit_model
from agent.records.table import Table
from tests.fit.test_model_notes import configured

START, MINUTE = 1_700_000_000_000_000_000, 60_000_000_000
ROWS = 6_000
ROUGH = 4.0


def rough(rows: int, seed: int) -> np.ndarray:
    """float64[rows]: the plant's activity, 1 to `ROUGH` times as large, over hundreds of rows."""
    rng = np.random.default_rng(seed)
    spans = np.repeat(rng.uniform(0.0, 1.0, rows // 200 + 1), 200)[:rows]
    return np.asarray(ROUGH**spans)


def record(seed: int = 1, rows: int = ROWS) -> np.ndarray:
    """float64[rows, 3]: two inputs whose noise follows the plant, and one whose noise does not."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((rows, 3))
    z[:, :2] *= rough(rows, seed)[:, None]
    return z


def latest(values: np.ndarray) -> list[np.ndarray]:
    return [values[-2 * BLOCK :, column] for column in range(values.shape[1])]


def test_what_goes_along_is_told_and_what_does_not_is_not():
    """Cross-validated: the two say of each other what to expect, and nothing of the third."""
    document = fit_activity(record())
    first, second, third = (one["r2"] for one in document["relations"])
    assert first > EXPLAINS and second > EXPLAINS and third < 0.1


@pytest.mark.parametrize("activity", [1.0, 2.0, ROUGH])
def test_at_each_activity_only_noise_of_one_alone_stands_out(activity):
    """Three times the noise in one, beside what both have: the first look at 40 draws of each.

    One companion leaves much open; what is explained once is looked at again, later.
    """
    document = fit_activity(record())
    along, alone = 0, 0
    for seed in range(40):
        values = np.random.default_rng([seed, 7]).standard_normal((2 * BLOCK, 3))
        values[:, :2] *= activity
        along += goes_along(document, 0, latest(values))
        values[:, 0] *= 3.0
        alone += goes_along(document, 0, latest(values))
    assert along >= 38 and alone <= 10


def test_nothing_is_explained_where_nothing_was_learnt():
    """A short record, an input by itself, a companion that is silent, one that nothing predicts."""
    assert fit_activity(record()[: FEWEST * BLOCK]) is None
    assert fit_activity(record()[:, :1]) is None
    document = fit_activity(record())
    values = latest(record(5))
    assert not goes_along(None, 0, values)
    assert not goes_along(document, 2, values)
    assert not goes_along(document, 0, [values[0], values[1][-BLOCK:], values[2]])


def test_missing_and_constant_columns_are_left_out():
    """Blocks with a missing value do not count, and what never moves is not predicted."""
    values = record()
    values[::500, 1] = np.nan
    values[:, 2] = 3.0
    document = fit_activity(values)
    assert document["relations"][0]["r2"] > EXPLAINS
    assert document["relations"][2]["r2"] == 0.0


@lru_cache(maxsize=1)
def trained() -> Baseline:
    times = START + np.arange(ROWS, dtype=np.int64) * MINUTE
    train = Table(times, ("a", "b"), np.asfortranarray(record()[:, :2]), MINUTE)
    return fit_model(configured(60), "m", train).baseline


def incidents(values: np.ndarray) -> dict[str, int]:
    """Incidents by the chart that began them, of what follows 6,000 rows of training."""
    times = START + np.arange(ROWS, ROWS + len(values), dtype=np.int64) * MINUTE
    later = Table(times, ("a", "b"), values, MINUTE)
    return trial.run(configured(60), "m", trained(), later, 0).charts


def test_a_long_rough_time_raises_nothing_and_one_rough_instrument_does():
    """As rough as training at its roughest, but for far longer, which the chart does not know."""
    rng = np.random.default_rng(11)
    values = np.asfortranarray(rng.standard_normal((2_000, 2)))
    rough_for_all = values.copy()
    rough_for_all[500:] *= 0.9 * ROUGH
    assert "noise" not in incidents(rough_for_all)
    values[500:, 0] *= 0.9 * ROUGH
    assert incidents(values).get("noise") == 1
