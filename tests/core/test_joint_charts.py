"""The joint charts in service: which inputs are named when a relation breaks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from agent.core.baseline import Baseline, ModeBaseline
from agent.core.joint_charts import JointCharts
from agent.core.spec import ModelSpec
from agent.fit.joint import fit_joint
from tests.core.small import SECOND, START, input_baseline

D = 8
CENTRE = np.array([20.0, 80.0, 5.0, 300.0, 1.2, 55.0, 410.0, 7.0])
SCALE = np.array([1.0, 3.0, 0.5, 10.0, 0.1, 4.0, 20.0, 0.3])
MIXING = np.random.default_rng(42).standard_normal((2, D))
MIXING /= np.sqrt((MIXING**2).sum(axis=0) + 0.04)  # unit variance with the noise below


def plant(n: int, seed: int, causes: np.ndarray | None = None) -> np.ndarray:
    """float64[n, D] in raw units: eight inputs that follow two causes, and noise of 0.2 each."""
    rng = np.random.default_rng(seed)
    drive = rng.standard_normal((n, 2)) if causes is None else causes
    z = drive @ MIXING + 0.2 * rng.standard_normal((n, D))
    return z * SCALE + CENTRE


def standard(raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((raw - CENTRE) / SCALE)


def spec(joint: dict[str, Any]) -> ModelSpec:
    names = tuple(f"i{j}" for j in range(D))
    inputs = tuple(
        input_baseline(name, centre=float(CENTRE[j]), scale=float(SCALE[j]))
        for j, name in enumerate(names)
    )
    trained = Baseline("m", "1", SECOND, (ModeBaseline("", None, inputs, joint),), False, "", 0)
    return ModelSpec("m", "1", SECOND, names, frozenset(names), trained)


def charts_of(raw: np.ndarray) -> JointCharts:
    found = fit_joint(standard(raw), [f"i{j}" for j in range(D)], interval_ns=SECOND, arl=1e4)
    return JointCharts(0, spec(found.to_json()))


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    found = fit_joint(
        standard(plant(4000, 0)), [f"i{j}" for j in range(D)], interval_ns=SECOND, arl=1e4
    )
    return found.to_json()


def test_the_single_biased_input_is_named_from_the_first_faulty_scan(
    trained: dict[str, Any],
) -> None:
    """A bias of 3 sd on any one input: it removes most of SPE, even with 15 normal scans before."""
    charts = JointCharts(0, spec(trained))
    for j in range(D):
        for faulty in (1, 3, 16):
            raw = plant(16, 10 + j)
            raw[-faulty:, j] += 3.0 * SCALE[j]
            shares = charts.shares(standard(raw), "spe")
            assert int(np.argmax(shares)) == j, (j, faulty, shares)
            assert shares[j] > 0.7, (j, faulty, shares)
            assert charts.swapped(standard(raw)) is None, (j, faulty)


def test_two_swapped_inputs_are_named_whatever_their_ranges(trained: dict[str, Any]) -> None:
    """Any pair exchanged, alike or apart by decades, is named as that pair and no other."""
    charts = JointCharts(0, spec(trained))
    for a in range(D):
        for b in range(a + 1, D):
            raw = plant(16, 100 + D * a + b)
            raw[:, [a, b]] = raw[:, [b, a]]
            assert charts.swapped(standard(raw)) == (a, b)


def test_no_exchange_is_named_where_it_would_not_leave_a_normal_scan(
    trained: dict[str, Any],
) -> None:
    """Swapped and beside that another input far off: an exchange does not explain it all."""
    charts = JointCharts(0, spec(trained))
    raw = plant(16, 7)
    raw[:, [0, 3]] = raw[:, [3, 0]]
    raw[:, 5] += 12.0 * SCALE[5]
    assert charts.swapped(standard(raw)) is None


def test_a_process_move_along_the_relations_is_no_single_sensor(trained: dict[str, Any]) -> None:
    """The causes move by 6 sd: T2 is over its limit, SPE is not, and nothing of SPE is attributed
    to any input, nor an exchange named.
    """
    charts = JointCharts(0, spec(trained))
    moved = plant(400, 3, causes=np.random.default_rng(3).standard_normal((400, 2)) + 6.0)
    times = START + np.arange(400) * SECOND
    flags, _ = charts.fold(times, standard(moved), np.full(400, 3, np.uint8))
    assert not {flag.detector for flag in flags if flag.up} & {"spe", "spe_smooth"}
    assert any(flag.detector == "t2" for flag in flags)
    for end in range(16, 400, 16):
        recent = standard(moved)[end - 16 : end]
        assert max(charts.shares(recent, "spe")) == 0.0
        assert charts.swapped(recent) is None


def lagging() -> np.ndarray:
    """float64[4000, D] in raw units: every other input follows its causes one scan later."""
    rng = np.random.default_rng(1)
    drive = rng.standard_normal((4001, 2))
    z = np.empty((4000, D))
    for j in range(D):
        late = j % 2
        z[:, j] = drive[1 - late : 4001 - late] @ MIXING[:, j]
    made: np.ndarray = (z + 0.2 * rng.standard_normal(z.shape)) * SCALE + CENTRE
    return made


@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("kind", ["noise", "spikes"])
def test_what_scatters_about_its_level_is_named_of_each_scan(
    kind: str, lags: bool, trained: dict[str, Any]
) -> None:
    """Noise and lone spikes on any input leave little in the mean, but stand out scan by scan."""
    rng = np.random.default_rng(2)
    raw = lagging()
    charts = charts_of(raw[:3900]) if lags else JointCharts(0, spec(trained))
    assert (len(charts._groups[0].ring) > 1) == lags
    named, in_mean = 0, 0
    for j in range(D):
        recent = raw[3950:3966].copy() if lags else plant(16, 60 + j)
        off = rng.standard_normal(16) if kind == "noise" else 3.0 * (np.arange(16) == 8)
        recent[:, j] += 1.2 * off * SCALE[j]
        named += int(np.argmax(charts.shares(standard(recent), "spe", each=True))) == j
        shares = charts.shares(standard(recent), "spe")
        in_mean += int(np.argmax(shares)) == j and shares[j] > 0.0
    assert named == D
    assert in_mean < D


@pytest.mark.parametrize("scans", range(5))
def test_too_few_scans_for_the_lags_name_nothing(scans: int, trained: dict[str, Any]) -> None:
    """Just started: fewer scans than a vector of lags takes, or none at all."""
    (group,) = trained["groups"]
    lags = 3
    wide = group | {
        "lags": lags, "loadings": np.tile(group["loadings"], (lags + 1, lags + 1)).tolist(),
        "offset": group["offset"] * (lags + 1),
        "adjusted": np.tile(group["adjusted"], (lags + 1, 1)).tolist(),
    }  # fmt: skip
    charts = JointCharts(0, spec(trained | {"groups": [wide]}))
    recent = standard(plant(scans, 1)) + 3.0
    assert any(charts.shares(recent, "spe", each=True)) == (scans > lags)


def test_with_lags_the_input_is_named_too() -> None:
    """Inputs that follow others one scan later: the vector holds lags, and names stay right."""
    raw = lagging()
    charts = charts_of(raw[:3900])
    assert len(charts._groups[0].ring) > 1
    for j in range(D):
        recent = raw[3950:3966].copy()
        recent[:, j] += 4.0 * SCALE[j]
        assert int(np.argmax(charts.shares(standard(recent), "spe"))) == j


def test_groups_name_inputs_by_their_place_in_the_model(trained: dict[str, Any]) -> None:
    """Two groups over interleaved columns: shares and swaps come back in the model's order."""

    def one_cause(n: int, seed: int) -> np.ndarray:
        cause = np.random.default_rng(1000 + seed).standard_normal(n)
        return plant(n, seed, np.column_stack([cause, np.zeros(n)]))

    even, odd = list(range(0, D, 2)), list(range(1, D, 2))
    groups = []
    raw = one_cause(4000, 0)
    for columns in (even, odd):
        part = fit_joint(
            np.ascontiguousarray(standard(raw)[:, columns]), [f"i{j}" for j in columns],
            interval_ns=SECOND, arl=1e4,
        ).to_json()["groups"][0]  # fmt: skip
        groups.append(part | {"columns": columns})
    charts = JointCharts(0, spec(trained | {"groups": groups}))
    for j in range(D):
        faulty = one_cause(16, 20 + j)
        faulty[:, j] += 5.0 * SCALE[j]
        assert int(np.argmax(charts.shares(standard(faulty), "spe"))) == j
    swapped = one_cause(16, 40)
    swapped[:, [1, 3]] = swapped[:, [3, 1]]
    assert charts.swapped(standard(swapped)) == (1, 3)


def test_one_chart_of_two_groups_is_one_flag(trained: dict[str, Any]) -> None:
    """The chart's flag goes up with the first group that raises it and clears with the last."""
    groups = [trained["groups"][0], trained["groups"][0]]
    charts = JointCharts(0, spec(trained | {"groups": groups}))
    raw = plant(300, 5)
    raw[100:140, 2] += 6.0 * SCALE[2]
    times = START + np.arange(300) * SECOND
    flags, _ = charts.fold(times, standard(raw), np.full(300, 3, np.uint8))
    smooth = [(flag.up, (flag.time_ns - START) // SECOND) for flag in flags
              if flag.detector == "spe_smooth"]  # fmt: skip
    assert [up for up, _ in smooth] == [True, False]
    assert 100 <= smooth[0][1] < 110
    assert 140 <= smooth[1][1] < 200


def sudden(charts: JointCharts, raw: np.ndarray, cuts: tuple[int, ...] = ()) -> tuple[int, ...]:
    """What the first sudden change is said to be about, judged in blocks that end at `cuts`."""
    times, flags = START + np.arange(len(raw)) * SECOND, []
    for a, b in itertools.pairwise([0, *cuts, len(raw)]):
        flags += charts.fold(times[a:b], standard(raw)[a:b], np.full(b - a, 3, np.uint8))[0]
    return next(flag.about for flag in flags if flag.detector == "change" and flag.up)


@pytest.mark.parametrize("cuts", [(), (151, 152, 153, 154, 155, 156, 157, 158, 159, 160)])
def test_a_step_of_one_input_is_about_that_input(trained: dict[str, Any], cuts) -> None:
    """Whatever else moves along the relations, and however the scans are cut into blocks."""
    for j in range(D):
        raw = plant(300, 30 + j)
        raw[150:, j] += 1.5 * SCALE[j]
        assert sudden(JointCharts(0, spec(trained)), raw, cuts) == (j,)


def test_a_step_of_all_inputs_is_about_none(trained: dict[str, Any]) -> None:
    """It is the process that moved, or something that they have in common."""
    raw = plant(300, 5)
    raw[150:] += np.array([2.0, -2.0] * (D // 2)) * SCALE
    assert sudden(JointCharts(0, spec(trained)), raw) == ()


def test_of_two_inputs_that_mirror_each_other_it_may_be_either() -> None:
    """Two that only each other predict: a step of one looks like the opposite step of the other."""
    def pair(n: int, seed: int) -> np.ndarray:
        raw = plant(n, seed)
        common = np.random.default_rng(500 + seed).standard_normal(n)
        for j in (2, 6):
            own = 0.1 * np.random.default_rng(600 + seed + j).standard_normal(n)
            raw[:, j] = (common + own) * SCALE[j] + CENTRE[j]
        return raw

    for j in (2, 6):
        raw = pair(300, 8)
        raw[150:, j] += 1.5 * SCALE[j]
        assert sorted(sudden(charts_of(pair(4000, 0)), raw)) == [2, 6]


def test_a_model_without_joint_structure_never_flags() -> None:
    """No groups: no flags, scores of 0, no shares, no exchange."""
    charts = JointCharts(0, spec({}))
    z = np.full((5, D), 50.0)
    assert charts.fold(np.arange(5) * SECOND, z, np.full(5, 3, np.uint8))[0] == []
    assert charts.scores() == [0.0, 0.0, 0.0, 0.0]
    assert charts.shares(z, "spe") == [0.0] * D
    assert charts.swapped(z) is None
