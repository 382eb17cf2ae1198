"""Category: states and changes of state that training never had, and when a record says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import DETECTORS
from agent.fit.category import read_states
from agent.fit.record import read_record
from agent.fit.univariate import fit_input
from tests.core.kernels.folding import SECOND, START, detector, fold, params

CATEGORY = detector("category")
CYCLE = [[1], [2], [0, 3], [0]]  # 0 -> 1 -> 2 -> 0, or 2 -> 3 -> 0
ALL = (1 << 16) - 1


def judged(hold: int = 5, successors: list[list[int]] | None = None) -> np.ndarray:
    """Parameters of codes 0 to 3 with the cycle above."""
    bits = [sum(1 << k for k in row) for row in (CYCLE if successors is None else successors)]
    return params(
        CATEGORY, count=4, tolerance=0.25, hold=hold, gap_ns=3 * SECOND // 2,
        values=[0.0, 1.0, 2.0, 3.0] + [0.0] * 12, next=bits + [ALL] * 12,
    )  # fmt: skip


def walk(*stays: tuple[float, int]) -> np.ndarray:
    return np.concatenate([np.full(n, code, float) for code, n in stays])


def batch(seed: int, visits: int, dwell: int = 20) -> np.ndarray:
    """A record of the cycle above, with 2 -> 3 every fourth round."""
    rng = np.random.default_rng(seed)
    stays, code, rounds = [], 0, 0
    for _ in range(visits):
        stays.append((code, int(rng.integers(dwell // 2, 2 * dwell))))
        if code == 2:
            rounds += 1
            code = 3 if rounds % 4 == 0 else 0
        else:
            code = {0: 1, 1: 2, 3: 0}[code]
    return walk(*stays)


# --- the kernel ----------------------------------------------------------------------------------


def test_golden_unseen_state():
    """A state that training never had is flagged at once, while it stays, and `hold` longer."""
    values = walk((0, 10), (1, 10), (7, 8), (1, 20))
    told = fold(CATEGORY, judged(), values)
    assert told.flags == [(20, 1), (32, 0)]
    assert told.score == pytest.approx(4.0 / 0.25)


def test_golden_illegal_transition():
    """A change that training never had is flagged where it happens; those it had are not."""
    values = walk((0, 10), (1, 10), (2, 10), (3, 10), (0, 10), (2, 10), (0, 5))
    assert fold(CATEGORY, judged(), values).flags == [(50, 1), (55, 0)]


def test_a_second_piece_of_evidence_keeps_the_flag_up():
    """No chatter: two illegal changes within `hold` are one flag."""
    values = walk((0, 10), (2, 3), (1, 3), (2, 20))
    assert fold(CATEGORY, judged(), values).flags == [(10, 1), (18, 0)]


def test_a_state_may_stay_for_hours():
    """How long a state lasts is no evidence."""
    assert fold(CATEGORY, judged(), walk((0, 5), (1, 50_000))).flags == []


def test_a_change_across_a_gap_is_not_judged():
    """What happened while nothing arrived was not seen; a state that is unseen still is."""
    values = walk((0, 10), (3, 10), (9, 2))
    arrival = START + np.arange(22, dtype=np.int64) * SECOND
    arrival[10:] += 5 * SECOND
    assert fold(CATEGORY, judged(), values, arrival=arrival).flags == [(20, 1)]


def test_changes_from_and_to_an_unseen_state_are_one_finding():
    """Coming back from an unseen state is not an illegal change besides."""
    told = fold(CATEGORY, judged(hold=1), walk((0, 5), (9, 1), (3, 5)))
    assert told.flags == [(5, 1), (6, 0)]


def test_all_bits_set_judges_no_change():
    """Where changes out of a state can not be judged, any is allowed."""
    free = judged()
    free["next"] = ALL
    assert fold(CATEGORY, free, walk((0, 5), (3, 5), (1, 5), (0, 5))).flags == []


def test_sixteen_states_have_a_bit_each():
    """The last of 16 states is found and its changes are judged."""
    full = params(
        CATEGORY, count=16, tolerance=0.25, hold=1, gap_ns=2 * SECOND,
        values=list(range(16)), next=[1 << (k + 1) % 16 for k in range(16)],
    )  # fmt: skip
    cycle = np.repeat(np.arange(32) % 16, 3).astype(float)
    assert fold(CATEGORY, full, cycle).flags == []
    assert fold(CATEGORY, full, walk((14, 3), (15, 3), (14, 3))).flags == [(6, 1), (7, 0)]


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_disabled_never_flags(values):
    """The parameters of an input that is no state tag flag nothing, and touch no state."""
    told = fold(CATEGORY, params(CATEGORY), values)
    assert told.flags == []
    assert told.state == np.zeros(1, CATEGORY.state).tobytes()


@settings(max_examples=60, deadline=None)
@given(
    codes=st.lists(st.integers(0, 5), min_size=2, max_size=80),
    cuts=st.lists(st.integers(1, 79), max_size=6),
    hold=st.integers(1, 8),
)
def test_cutting_blocks_changes_nothing(codes, cuts, hold):
    """The same flags and the same state bytes, however the samples are cut."""
    whole = fold(CATEGORY, judged(hold), codes)
    parts = fold(CATEGORY, judged(hold), codes, cuts=[cut for cut in cuts if cut < len(codes)])
    assert whole == parts


@settings(max_examples=60, deadline=None)
@given(codes=st.lists(st.integers(0, 5), min_size=2, max_size=80))
def test_flags_as_a_plain_look_up_would(codes):
    """Without hysteresis, a flag is up exactly at samples that are new by the definition."""
    new = [
        now > 3 or (before is not None and before <= 3 and now not in (before, *CYCLE[before]))
        for before, now in zip([None, *codes[:-1]], codes, strict=True)
    ]
    want, up = [], False
    for j, flagged in enumerate(new):
        if flagged != up:
            want.append((j, int(flagged)))
            up = flagged
    assert fold(CATEGORY, judged(hold=1), codes).flags == want


# --- the fit -------------------------------------------------------------------------------------


def fit(values: np.ndarray) -> tuple[dict, object]:
    fitted = fit_input(values, interval_ns=SECOND, arl=1e7, name="x")
    return json.loads(json.dumps(fitted.detectors, allow_nan=False)), fitted


def serve(fitted, values: np.ndarray) -> list[tuple[int, int]]:
    """Values in the tag's unit, as admission standardises them."""
    parameters = params(CATEGORY, **fitted.detectors["category"])
    return fold(CATEGORY, parameters, (values - fitted.centre) * (1.0 / fitted.scale)).flags


def test_a_state_tag_is_judged_by_its_states_alone():
    """Every other detector is off, the note says so, and nothing is provisional."""
    detectors, fitted = fit(batch(1, 200))
    off = {one.name: one.disabled for one in DETECTORS if one.name != "category"}
    assert {name: detectors[name] for name in off} == off
    assert detectors["category"]["count"] == 4
    assert fitted.thresholds == {"category": "states 0, 1, 2, 3; changes"}
    assert any("a state tag (0, 1, 2, 3)" in note for note in fitted.notes)
    assert not fitted.provisional


def test_a_state_tag_in_service():
    """More of the same raises nothing; a new code, a new change and a scaled code do."""
    _, fitted = fit(batch(1, 200))
    assert serve(fitted, batch(2, 2000)) == []
    assert serve(fitted, walk((0, 9), (4, 9)))[0] == (9, 1)
    assert serve(fitted, walk((0, 9), (1, 9), (0, 9)))[0] == (18, 1)
    assert serve(fitted, 10.0 * walk((0, 9), (1, 9)))[0] == (9, 1)
    assert serve(fitted, walk((1, 9), (1.5, 9)))[0] == (9, 1)


def test_codes_far_apart_do_not_hide_what_lies_between():
    """Trained on 0, 100 and 200, the code 120 is unseen."""
    _, fitted = fit(100.0 * np.minimum(batch(3, 200), 2.0))
    assert fitted.detectors["category"]["count"] == 3
    assert serve(fitted, walk((100, 9), (120, 9)))[0] == (9, 1)


def test_a_switch_needs_no_long_record():
    """0 and 1 are all that a switch has: another value is new after three stays."""
    _, fitted = fit(walk((0, 300), (1, 500), (0, 200)))
    assert serve(fitted, walk((0, 9), (1, 90_000), (0, 9))) == []
    assert serve(fitted, walk((0, 9), (2, 9)))[0] == (9, 1)


def test_few_visits_are_no_evidence():
    """15 visits are too few to judge, 80 are enough; a state seen once says there may be more."""
    few, fitted = fit(batch(1, 15))
    assert few["category"] == dict(CATEGORY.disabled)
    assert few["range"] == detector("range").disabled
    assert fitted.thresholds == {"category": "off"}
    assert "too few to say" in fitted.notes[-1]
    enough, _ = fit(batch(1, 80))
    assert (enough["category"]["count"], enough["category"]["next"][0]) == (4, 1 << 1)
    rarely, _ = fit(np.concatenate([batch(1, 80), walk((9, 30))]))
    assert rarely["category"]["count"] == 0


def test_a_rare_change_says_that_there_may_be_others():
    """Where a kind of change was seen once, no change is judged, and unseen states still are."""
    rare = np.concatenate([batch(1, 84), walk((1, 20), (3, 20), (0, 20))])
    _, fitted = fit(rare)
    assert fitted.thresholds == {"category": "states 0, 1, 2, 3"}
    assert serve(fitted, walk((0, 9), (2, 9), (1, 9), (0, 9))) == []
    assert serve(fitted, walk((0, 9), (4, 9)))[0] == (9, 1)


@pytest.mark.parametrize("visits", [100, 1000])
def test_rare_branches_stay_rare_alarms(visits):
    """Random machines with rare kinds of change: in as long a service, few of them are flagged."""
    alarms = judged = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        chances = rng.dirichlet(np.full(5, 0.3), size=6)
        path = [0]
        for _ in range(2 * visits):
            others = [code for code in range(6) if code != path[-1]]
            path.append(int(rng.choice(others, p=chances[path[-1]])))
        codes = np.repeat(np.array(path, float), 8)
        _, fitted = fit(codes[: 8 * visits])
        judged += fitted.detectors["category"]["count"] > 0
        alarms += sum(up for _, up in serve(fitted, codes[8 * visits :]))
    assert judged >= 10
    assert alarms <= 0.25 * judged


def test_changes_across_missing_rows_are_not_learnt():
    """A change that nobody saw is none; the record's other changes stay judged."""
    record = batch(1, 200)
    ends = np.flatnonzero((record[:-1] == 0) & (record[1:] == 1))
    holes = record.copy()
    holes[ends[::2] + 1] = np.nan
    holes[ends[::2]] = 3.0
    holes[ends[::2] - 1] = np.nan
    states = read_states(read_record(holes, "x"))
    assert states is not None
    assert states.changes[0, 3] == states.changes[3, 1] == 0
    assert states.changes[0, 1] > 0


MEASUREMENTS = {
    "noise on a coarse instrument": lambda rng: np.round(rng.normal(0, 2, 6000)),
    "two values of a coarse instrument": lambda rng: 20 + np.repeat(rng.integers(0, 2, 300), 20),
    "a slow coarse one": lambda rng: np.round(slow(rng, 0.995, 2.0)),
    "a very slow coarse one": lambda rng: np.round(slow(rng, 0.9995, 1.5)),
    "steps of 0.1": lambda rng: 0.1 * np.round(slow(rng, 0.99, 4.0)),
    "a fast coarse one": lambda rng: np.round(slow(rng, 0.9, 1.5)),
    "many codes": lambda rng: np.repeat(rng.integers(0, 40, 600), 10),
    "constant": lambda rng: np.full(6000, 3.0),
    "one step": lambda rng: np.repeat([5.0, 7.0], 3000),
}


def slow(rng: np.random.Generator, phi: float, sd: float) -> np.ndarray:
    x, e = np.zeros(6000), rng.normal(0, sd * np.sqrt(1 - phi**2), 6000)
    for t in range(1, 6000):
        x[t] = phi * x[t - 1] + e[t]
    return x


@pytest.mark.parametrize("name", MEASUREMENTS)
@pytest.mark.parametrize("seed", range(5))
def test_a_measurement_is_no_state_tag(name, seed):
    """Few values do not make a state: a coarse measurement keeps its calibrated charts."""
    values = np.asarray(MEASUREMENTS[name](np.random.default_rng(seed)), np.float64)
    assert read_states(read_record(values, name)) is None


STATES = {
    "switch": lambda rng: rng.integers(0, 2, 6000),
    "modes": lambda rng: np.repeat(rng.choice([0, 1, 4], 150), 40),
    "codes from a recipe": lambda rng: np.repeat(rng.choice([10, 20, 35, 70], 300), 20),
    "a cycle of 16": lambda rng: np.repeat(np.arange(320) % 16, 12),
    "on and off as per cent": lambda rng: np.repeat(rng.choice([0, 100], 150), 40),
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("seed", range(3))
def test_states_are_recognised(name, seed):
    """Whole numbers that are stayed in, come back and are jumped between are states."""
    values = np.asarray(STATES[name](np.random.default_rng(seed)), np.float64)
    states = read_states(read_record(values, name))
    assert states is not None
    assert set(states.codes) == set(values)
