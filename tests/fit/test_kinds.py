"""Kinds of tags in a training record: the same as admission makes of them in service."""

from __future__ import annotations

import numpy as np
import pytest

from agent.configuration.load import load
from agent.configuration.schema import Configuration
from agent.core.kernels import admission
from agent.fit.kinds import Judged, emptiest, judged
from agent.fit.model import fit_model
from agent.fit.of_kind import of_kind
from agent.fit.univariate import fit_input
from agent.records.table import Table

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


def total(n=3000, seed=1, start=0.0):
    rng = np.random.default_rng(seed)
    return start + np.cumsum(rng.uniform(8.0, 12.0, n))


@pytest.mark.parametrize(
    ("turn", "low"), [(1e4, 0.0), (1e5, 0.0), (2.0**16, 0.0), (6553.6, 0.0), (2.0**16, -32768.0)]
)
def test_a_roll_over_is_found_in_the_record(turn, low):
    """Decimal, 16 bit, 16 bit scaled by 0.1, and signed: no difference is lost to it."""
    found = judged(np.mod(total(20000), turn) + low, "counter", interval_ns=MINUTE)
    assert found.turn == turn
    assert np.isfinite(found.values[1:]).all()
    assert np.nanmin(found.values) > 400.0
    assert np.nanmax(found.values) < 800.0


def test_a_reset_costs_one_difference():
    """A reset costs one difference."""
    values = total()
    values[1000:] -= values[1000] - 3.0
    found = judged(values, "totaliser", interval_ns=MINUTE)
    assert np.flatnonzero(np.isnan(found.values)).tolist() == [0, 1000]


def test_missing_values_give_the_mean_rate_over_the_gap():
    """Missing values give the mean rate over the gap."""
    values = np.arange(200) * 10.0
    values[50:60] = np.nan
    found = judged(values, "counter", interval_ns=MINUTE)
    assert found.values[60] == pytest.approx(600.0)
    assert np.isnan(found.values[50:60]).all()


@pytest.mark.parametrize("seed", range(4))
def test_fit_and_service_make_the_same_rates(seed):
    """With resets, roll-overs and missing values, to the last bit but for rounding."""
    rng = np.random.default_rng(seed)
    values = np.mod(total(3000, seed), 2.0**12 * 16)
    values[700:] = np.where(np.arange(700, 3000) < 2000, np.abs(values[700:]), values[700:] * 0.5)
    values[rng.random(3000) < 0.02] = np.nan
    found = judged(values, "counter", interval_ns=MINUTE)
    params, state = np.zeros(1, admission.PARAMS), np.zeros(1, admission.STATE)
    params[0] = (
        0, 0.0, 1.0, MINUTE, 0, 0, 0, admission.COUNTER, found.turn, 0.0, found.fastest,
    )  # fmt: skip
    place = np.flatnonzero(np.isfinite(values))
    time_ns = 10**18 + place * MINUTE
    out = [np.zeros(4000, kind) for kind in (np.int64, np.int64, np.float64, np.uint16)]
    written = admission.admit(
        params, state, np.array([0, len(place)]), int(time_ns[-1]) + 1, time_ns, time_ns,
        values[place], np.zeros(len(place), np.uint16), np.zeros(2, np.int64),
        np.zeros(0, np.int64), np.zeros(2, np.int64), *out,
    )
    expected = found.values[np.isfinite(found.values)]
    np.testing.assert_allclose(out[2][:written], expected, rtol=1e-9)


@pytest.mark.parametrize(("turn", "shift"), [(360.0, 0.0), (2 * np.pi, 0.0), (360.0, -180.0)])
def test_a_circle_is_cut_where_no_values_are(turn, shift):
    """Values about north, one way or the other, have one narrow spread."""
    rng = np.random.default_rng(0)
    north = np.mod(rng.normal(0.0, turn / 40, 2000) - shift, turn) + shift
    found = judged(north, "angle", interval_ns=MINUTE, period=turn)
    assert found.values.std() < turn / 30
    assert emptiest(north, turn) == pytest.approx(turn / 2, abs=turn / 4)


CONFIGURATION = """
schema = 1
[gateway]
site = "s"
name = "g"
[sources.one]
protocol = "mqtt"
host = "127.0.0.1"
[tags.total]
source = "one"
address = "t /a"
unit = "m3"
kind = "totaliser"
[tags.wind]
source = "one"
address = "t /b"
unit = "deg"
kind = "angle"
[tags.set]
source = "one"
address = "t /c"
kind = "set point"
[tags.limit]
source = "one"
address = "t /d"
kind = "constant"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "1min"
inputs = ["total", "wind", "set", "limit"]
"""


def test_a_model_of_all_kinds_is_fitted(tmp_path):
    """Ranges are of the rate and of the circle; what is set has no charts of its own."""
    file = tmp_path / "c.toml"
    file.write_text(CONFIGURATION)
    rng = np.random.default_rng(5)
    n = 4000
    table = Table(
        np.arange(n, dtype=np.int64) * MINUTE + 10**18,
        ("total", "wind", "set", "limit"),
        np.column_stack([
            total(n), np.mod(rng.normal(0.0, 8.0, n), 360.0), np.repeat([50.0, 60.0], n // 2),
            np.full(n, 7.0),
        ]),
        interval_ns=MINUTE,
    )  # fmt: skip
    inputs = fit_model(load(file), "m", table).baseline.modes[0].inputs
    rate, wind, setting, limit = inputs
    assert 470 < rate.trained[0] < rate.trained[1] < 730
    assert rate.kind == "totaliser"
    assert wind.trained[1] - wind.trained[0] < 90
    off = {name: dict(d) for name, d in setting.detectors.items()}
    assert off["range"]["half"] == 1e300
    assert off["step"]["limit"] >= 1e290
    assert setting.trained == (50.0, 60.0)
    assert limit.detectors["range"]["half"] == 1.0


def configured_kind(kind):
    """Model m of tag a of a kind, and b."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {"a": {"source": "s", "address": "a /v", "kind": kind},
                 "b": {"source": "s", "address": "b /v"}},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": "1s", "inputs": ["a", "b"],
        }},
    })  # fmt: skip


def fitted(kind, values):
    """The fit of an input of a kind."""
    item = fit_input(values, interval_ns=SECOND, arl=1e6, name="a")
    return of_kind(item, kind=kind, judged=Judged(values), column=values, name="a")


CLIMBS = np.repeat([1.0, 2.0, 3.0, 2.0], 100)
"""Like a measurement: no state by its data."""


@pytest.mark.parametrize("values", [CLIMBS, np.repeat([4.0], 800)])
def test_a_tag_that_is_said_to_be_a_state_is_judged_by_its_states(values):
    """However few visits the record shows: every other state is one that training never had."""
    item = fitted("state", values)
    assert item.detectors["category"]["count"] == len(np.unique(values))
    assert not fitted("", values).detectors["category"]["count"]


def test_what_a_person_says_a_tag_is_reaches_the_baseline():
    """A fit of the model watches a state for its states, and says so."""
    other = np.random.default_rng(9).standard_normal(len(CLIMBS))
    table = Table(np.arange(len(CLIMBS), dtype=np.int64) * SECOND, ("a", "b"),
                  np.asfortranarray(np.column_stack([CLIMBS, other])), SECOND)  # fmt: skip
    report = fit_model(configured_kind("state"), "m", table)
    assert report.rows[0].watched.on == ("states",)
    assert report.rows[0].thresholds["category"].startswith("states 1, 2, 3")


def test_a_tag_that_is_said_to_be_a_state_and_has_none_says_so():
    """Broken numbers are no codes: that is told, and nothing is judged by them."""
    item = fitted("state", np.random.default_rng(1).standard_normal(800))
    assert not item.detectors["category"]["count"]
    assert any("its kind is state, but" in note for note in item.notes)


def test_values_of_a_quantised_tag_are_equal_within_a_quarter_of_its_step():
    """What jitters in its last digits is stuck; all else of the chart is as it was."""
    rng = np.random.default_rng(2)
    values = 0.5 * np.round(2.0 * (20.0 + rng.standard_normal(2000)))
    item, plain = fitted("quantised", values), fitted("", values)
    assert item.resolution == 0.5
    assert item.detectors["stuck"]["tolerance"] * item.scale >= 0.125
    assert plain.detectors["stuck"] | {"tolerance": 0.0} == item.detectors["stuck"] | {
        "tolerance": 0.0
    }
