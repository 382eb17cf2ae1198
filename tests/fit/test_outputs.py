"""What a fit learns of outputs: at their own interval, beside their inputs, and by class."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.schema import Tag
from agent.core.kernels import OUTPUT_CHARTS, mix
from agent.fit.held_back import _alarms
from agent.fit.kinds import Judged
from agent.fit.mix import fit_mix
from agent.fit.outputs import Column, OutputFit, fit_outputs, in_all, in_mode, thinned
from agent.types import Float64
from tests.core.small import SECOND, baseline
from tests.fit.streams import ar1

ROWS, MINUTE = 1_200, 60 * SECOND
MIX = next(one for one in OUTPUT_CHARTS if one.name == mix.NAME)


def column(values: Float64, name: str = "y", **settings: str) -> Column:
    tag = Tag(source="s", address="a", **settings)
    return Column(name, tag, values, Judged(values))


def fit(*columns: Column, rows: int = ROWS) -> list[OutputFit]:
    (mode,) = baseline(("a", "b")).modes
    values = np.column_stack([ar1(0.5, rows, 1), ar1(0.5, rows, 2)])
    return fit_outputs(mode, values, columns, interval_ns=MINUTE, alone_ns=1e7 * MINUTE)


def of_inputs(noise: float, rows: int = ROWS) -> Float64:
    """What a linear model gives of the inputs of `fit`."""
    rng = np.random.default_rng(3)
    return 20.0 + 2.0 * ar1(0.5, rows, 1) - ar1(0.5, rows, 2) + noise * rng.standard_normal(rows)


def test_an_output_has_a_series_of_its_own():
    """Its places by its usual step, whatever is missing; rows from value to value."""
    values = np.full(100, np.nan)
    values[3::10] = 1.0
    values[[43, 53]] = np.nan
    places, length, every = thinned(values)
    assert (places.tolist(), length, every) == ([0, 1, 2, 3, 6, 7, 8, 9], 10, 10)
    assert thinned(np.full(5, np.nan))[1:] == (0, 1)


def test_an_output_that_comes_seldom_is_fitted_at_its_interval():
    """Every fifth row: so long is its interval, and its inputs still explain it."""
    values = of_inputs(0.3)
    values[np.arange(ROWS) % 5 != 2] = np.nan
    (found,) = fit(column(values))
    item, relation = found.output.item, found.output.relation
    assert (item.interval_ns, item.longest_gap) == (5 * MINUTE, 0)
    assert relation["r2"] > 0.9
    slopes = np.array(relation["slopes"]) * item.scale  # inputs are standardised by 0 and 1
    assert slopes == pytest.approx([2.0, -1.0], abs=0.1)
    assert "level given its inputs" in found.watched.on


def test_a_relation_that_says_little_is_not_charted_and_that_is_said():
    """Its own level is watched all the same."""
    (found,) = fit(column(ar1(0.5, ROWS, 9)))
    assert not found.output.relation
    assert not found.output.charts
    assert "level" in found.watched.on
    assert ("level given its inputs", "its inputs do not predict it by a linear relation") in (
        found.watched.off
    )


@pytest.mark.parametrize(("phi", "charted"), [(0.5, False), (0.98, True)])
def test_a_chart_of_rows_close_together_allows_for_coming_late(phi, charted):
    """Beside the inputs of a row later nothing is found of slow ones; fast ones are not charted."""
    (mode,) = baseline(("a", "b")).modes
    values = np.column_stack([ar1(phi, ROWS, 1), ar1(phi, ROWS, 2)])
    exact = column(20.0 + 2.0 * values[:, 0] - values[:, 1])
    (found,) = fit_outputs(
        mode, values, [exact], interval_ns=SECOND, alone_ns=1e7 * SECOND
    )
    assert bool(found.output.relation) == charted
    if charted:
        item, relation = found.output.item, found.output.relation
        given = relation["intercept"] + values[1:] @ np.array(relation["slopes"])
        late = (exact.values[:-1] - item.centre) / item.scale - given
        assert late.std() < 1.2 * relation["spread"]


def test_an_output_that_one_mode_has_not_is_judged_in_none():
    """Which mode the plant will be in, nobody knows."""
    columns = [column(of_inputs(0.3)), column(of_inputs(0.5), "z")]
    early, late = np.arange(300), np.append(np.arange(600, 900), -1)
    columns[1].values[600:] = np.nan
    first, second = in_mode(columns, early), in_mode(columns, late)
    assert np.isnan(second[0].values[-1])
    assert np.isnan(second[1].values).all()
    modes = [fit(*first, rows=300), fit(*second, rows=301)]
    assert [len(mode) for mode in modes] == [2, 1]
    assert [[one.output.item.tag for one in mode] for mode in in_all(modes)] == [["y"], ["y"]]


def decided(rows: int, shares: tuple[float, ...], seed: int, stays: float = 0.0) -> Float64:
    """Classes 0, 1 ... in these shares; each decision is the one before it with chance `stays`."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(shares), rows, p=shares)
    again = rng.random(rows) < stays
    place = np.maximum.accumulate(np.where(again, 0, np.arange(rows)))
    return drawn[place].astype(np.float64)


@pytest.mark.parametrize("stays", [0.0, 0.9])
def test_the_class_mix_is_quiet_as_trained_and_finds_other_shares(stays):
    """Also where classes go along for a while, as those of a slow plant do."""
    shares = (0.5, 0.3, 0.2)
    chart, why = fit_mix(
        decided(4_000, shares, 1, stays), centre=1.0, scale=0.8, interval_ns=SECOND, arl=1e6,
        name="c",
    )
    assert why == ""
    assert chart["count"] == 3
    times = np.arange(1, 40_001, dtype=np.int64) * SECOND
    z = (decided(40_000, shares, 2, stays) - 1.0) / 0.8
    assert _alarms(MIX, [chart], z, times)[0] == 0
    other = (decided(4_000, (0.2, 0.3, 0.5), 3, stays) - 1.0) / 0.8
    assert _alarms(MIX, [chart], other, times[:4_000])[0] >= 1


@pytest.mark.parametrize(("values", "says"), [
    (ar1(0.5, 500, 1), "it gives no classes"),
    (np.zeros(500), "it gives no classes"),
    (np.append(np.zeros(495), np.ones(5)), "a class comes fewer than 20 times in the record"),
    (np.arange(60.0) % 2, "the record is too short to show its shares"),
])  # fmt: skip
def test_no_chart_of_classes_without_classes(values, says):
    """Nothing is made up of what a record does not show."""
    chart, why = fit_mix(
        values, centre=0.0, scale=1.0, interval_ns=SECOND, arl=1e6, name="c"
    )
    assert (chart, why) == ({}, says)


CONFIGURATION = """
schema = 1
[gateway]
site = "s"
name = "g"
[sources.s]
protocol = "mqtt"
host = "h"
[tags.a]
source = "s"
address = "a /v"
[tags.b]
source = "s"
address = "b /v"
[tags.y]
source = "s"
address = "y /v"
[tags.z]
source = "s"
address = "z /v"
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "60s"
inputs = ["a", "b"]
outputs = ["y", "z"]
"""


def test_the_command_learns_outputs_and_says_which_it_could_not(tmp_path):
    """One the record has, one it has not; how often they come stands in the baseline."""
    file, data = tmp_path / "c.toml", tmp_path / "train.csv"
    file.write_text(CONFIGURATION)
    times = 1_700_000_000 + 60 * np.arange(400)
    rows = zip(times, ar1(0.5, 400, 1), ar1(0.5, 400, 2), of_inputs(0.3, 400), strict=True)
    lines = [f"{time},{a:.5f},{b:.5f},{y:.5f}" for time, a, b, y in rows]
    data.write_text("time,a,b,y\n" + "\n".join(lines) + "\n")
    done = CliRunner().invoke(cli, ["fit", str(file), "--data", str(data), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output[done.output.index("{") :])
    assert [one["tag"] for one in report["inputs"]] == ["a", "b"]
    known, unknown = report["outputs"]
    assert "level given its inputs" in known["watched"]
    assert (unknown["tag"], unknown["watched"]) == ("z", [])
    assert unknown["not_watched"] == [
        {"what": "anything but its arrival", "why": "the record has no values of it"}
    ]
    document = json.loads((tmp_path / "m.json").read_text())
    assert document["paces"] == {"y": {"gap_ns": 0, "interval_ns": MINUTE}}
    assert [one["tag"] for one in document["modes"][0]["outputs"]] == ["y"]
    shown = CliRunner().invoke(cli, ["fit", str(file), "--data", str(data)])
    assert "y (output)" in shown.output
    assert "z (output)" in shown.output
    assert "the record has no values of it" in shown.output
