"""Evidence: whose a joint flag is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from agent.core.attribution import Attribution
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.delays import OFF_DELAY
from agent.core.engine import Engine
from agent.core.flag import Flag
from agent.core.identity import FindingKey, Subject
from agent.core.loop_evidence import LoopReader
from agent.core.spec import EngineSpec
from tests.core.small import (
    DETECTORS,
    SECOND,
    START,
    Baseline,
    baseline,
    block,
    cut,
    normal,
    spec,
    tell,
)


def detectors_of(values: np.ndarray) -> dict[str, set[str]]:
    """Which detectors each subject's condition was put down to."""
    events = Engine(spec(trained=baseline(joint=True))).step(block(values)).events
    seen: dict[str, set[str]] = {}
    for event in events:
        if event.kind == "condition":
            seen.setdefault(event.subject, set()).update(event.data["detectors"])
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_flag_is_not_put_down_to_a_tag_that_has_no_part_in_it(seed):
    """Input a has a condition and no part in SPE, which b and c then break: that is the model's."""
    values = normal(400, seed)
    values[100:, 0] += 8.0
    values[250:, 1:] = 3.5 + 0.1 * values[250:, 1:]
    seen = detectors_of(values)
    assert "range@m" in seen["tag/a"]
    assert not {"spe@m", "spe_smooth@m"} & seen["tag/a"]
    assert "spe@m" in seen["model/m"]


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_flag_that_an_open_tag_explains_is_its_own(seed):
    """One fault is one alarm: what c does to SPE belongs to the condition that c has."""
    values = normal(400, seed)
    values[100:, 2] += 8.0
    seen = detectors_of(values)
    assert set(seen) == {"tag/c"}
    assert {"range@m", "spe@m"} <= seen["tag/c"]


def causes_of(*moves: tuple[int, int, str]) -> dict[str, str]:
    """How each input is called in the end that others predict; moves are (column, second, how)."""
    values = normal(500, 3)
    for column, second, how in moves:
        rest = len(values) - second
        values[second:, column] += 12.0 if how == "jump" else np.linspace(0.0, 5.0, rest)
    inputs = tuple(replace(one, r2=0.9) for one in baseline().modes[0].inputs)
    mode = replace(baseline().modes[0], inputs=inputs)
    made = replace(baseline(), modes=(mode,))
    events = Engine(spec(trained=made)).step(block(values)).events
    return {event.subject: event.data["cause"] for event in events if event.kind == "condition"}


@pytest.mark.parametrize(("apart", "cause"), [(0, "process"), (40, "process"), (150, "unknown")])
def test_inputs_that_jump_each_at_a_time_of_its_own_do_not_move_together(apart, cause):
    """What makes several jump does so at once: two faults of instruments do not."""
    assert causes_of((0, 100, "jump"), (1, 100 + apart, "jump")) == {
        "tag/a": cause, "tag/b": cause,
    }  # fmt: skip


def test_what_jumps_beside_what_the_process_moved_long_ago_moved_with_it():
    """It is known why the others are elsewhere."""
    found = causes_of((0, 100, "jump"), (1, 100, "jump"), (2, 300, "jump"))
    assert found == dict.fromkeys(("tag/a", "tag/b", "tag/c"), "process")


def test_what_slides_may_be_seen_long_after_what_jumped():
    """Charts of slow inputs take their time."""
    assert causes_of((0, 100, "jump"), (1, 150, "slide"))["tag/b"] == "process"


@pytest.mark.parametrize("seed", range(5))
def test_noise_that_breaks_relations_is_the_noisy_tags_own(seed):
    """Its mean is where it was, so that only single scans tell whose the joint flag is."""
    values = normal(600, seed)
    values[100:, 2] *= 4.0
    values[100:103, 2] = 9.0, -9.0, 9.0  # its condition is open before relations break
    seen = detectors_of(values)
    assert set(seen) == {"tag/c"}
    assert {"spe@m", "spe_smooth@m"} & seen["tag/c"]


@pytest.mark.parametrize("column", [0, 1, 2])
def test_of_inputs_that_mirror_each_other_the_one_that_reads_unusually_is_named(column):
    """The relation of a and b may be broken by either; where each of them reads tells which."""
    made = baseline(joint=True)
    (mode,) = made.modes
    (group,) = mode.joint["groups"]
    half = 0.5**0.5
    loadings = [[half, half, 0.0], [half, -half, 0.0], [0.0, 0.0, 1.0]]
    inputs = tuple(
        replace(item, r2=0.9, detectors={"range": {"middle": 0.0, "half": 1e3, "hold": 5}})
        for item in mode.inputs
    )
    joint = {"groups": [group | {"loadings": loadings, "limit": [12.0, 12.0, 1e9, 6.0]}]}
    engine = Engine(spec(trained=replace(made, modes=(replace(mode, inputs=inputs, joint=joint),))))
    values = 0.1 * normal(200, 1)
    values[:, 1] = values[:, 0]
    values[100:, column] += 8.0
    told = [e for e in engine.step(block(values)).events if e.kind == "condition"]
    (subject,) = {event.subject for event in told}
    assert subject == f"tag/{'abc'[column]}"
    assert f"{'abc'[column]} is off: the other inputs say otherwise" in told[-1].data["text"]


def mirrored() -> Baseline:
    """Inputs a and b mirror each other: a step of one looks like one of the other, to `change`."""
    made = baseline(joint=True)
    (mode,) = made.modes
    (group,) = mode.joint["groups"]
    adjusted = [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    joint = {"groups": [group | {"adjusted": adjusted, "limit": [1e3, 1e3, 0.7, 1e3]}]}
    return replace(made, modes=(replace(mode, joint=joint),))


@pytest.mark.parametrize("length", [1, 7, 50])
def test_a_sudden_change_of_two_is_the_ones_that_its_own_charts_tell(length):
    """One alarm, however the samples are cut and wherever the agent starts again."""
    values = normal(400, 1)
    values[100:, 1] += 5.0
    made, whole = spec(trained=mirrored()), block(values)
    engine = Engine(made)
    told = tell(engine, [whole])
    raised = [json.loads(line) for line in told.events if '"change": "raised"' in line]
    assert [event[2] for event in raised] == ["tag/b"]
    seen = engine.judge.conditions.active[Subject.parse("tag/b")].seen.keys()
    assert {FindingKey("change", "m"), FindingKey("level", "m")} <= seen
    parts = cut(whole, [START + row * SECOND for row in range(length, 400, length)])
    events, engine = [], Engine(made)
    for part in parts:
        events += tell(engine, [part]).events
        again = Engine(made)
        again.resume(engine.snapshot())
        engine = again
    assert events == told.events


def slow() -> Baseline:
    """Inputs on whose charts on blocks a step has to wait for 480 intervals; these see nothing."""
    made = baseline()
    (mode,) = made.modes
    known = {name: DETECTORS[name] for name in ("range", "spike", "rate")}
    inputs = tuple(replace(item, tau=30.0, detectors=known) for item in mode.inputs)
    return replace(made, modes=(replace(mode, inputs=inputs),))


def story(values: np.ndarray, cuts: int = 0) -> list[tuple[int, str]]:
    """(row, what) of all that happened to input a; ``down``: a flag went."""
    whole = block(values)
    ends = [START + row * SECOND for row in range(cuts, len(values), cuts)] if cuts else []
    engine = Engine(spec(trained=slow()))
    return [
        ((event.time_ns - START) // SECOND, event.data.get("change", "down"))
        for part in cut(whole, ends)
        for event in engine.step(part).events
        if event.subject == "tag/a" and event.data.get("change") != "updated"
        and not event.data.get("up")
    ]


def test_a_tag_that_comes_back_into_the_midst_of_its_range_is_over_soon():
    """Out of the range and back: one alarm, cleared an off-delay after the last chart's flag."""
    values = normal(1_200)
    values[300:400, 0] = values[300:400, 0] * 1.8 + 32.0
    told = story(values)
    changes = [change for change in told if change[1] != "down"]
    last = max(row for row, what in told if what == "down")
    assert 400 <= last < 420
    assert changes == [(306, "raised"), (last + OFF_DELAY, "cleared")]
    assert story(values, cuts=7) == told


def test_a_tag_that_comes_back_but_to_another_level_is_waited_for():
    """It may be what charts on blocks find later: they have their time, and no second alarm."""
    values = normal(1_200)
    values[300:330, 0] += 32.0
    values[330:, 0] = 2.0 + 0.3 * values[330:, 0]
    told = story(values)
    last = max(row for row, what in told if what == "down")
    assert last < 350
    assert [what for _, what in told if what != "down"] == ["raised", "cleared"]
    assert told[-1] == (last + 480, "cleared")


def test_a_moment_within_the_range_is_over_half_a_minute_later():
    """Nothing is waited for: what comes back within a week continues its incident."""
    values = normal(1_200)
    values[300, 0] += 5.5
    values[301, 0] -= 5.5
    values[300:302, 0] = np.clip(values[300:302, 0], -5.9, 5.9)
    told = story(values)
    assert [what for _, what in told if what != "down"] == ["raised", "cleared"]
    assert told[-1][0] <= 301 + 30


@pytest.mark.parametrize(("about", "open_tag", "owner"), [
    (("a",), "", "tag/a"),  # one input explains it
    (("a",), "b", "tag/a"),  # whatever else is open
    (("a", "b"), "b", "tag/b"),  # of two that may be it, the one that is known to be off
    (("a", "b"), "c", "model/m"),  # another fault must not hide behind it
    (("a", "b"), "", "model/m"),
], ids=str)  # fmt: skip
def test_whose_a_sudden_change_is(about, open_tag, owner):
    """What it is about, and where it may be several, the one with an open condition."""
    made = spec(trained=baseline(joint=True))
    charts = Charts(made)
    attribution = Attribution(made, charts, LoopReader(made, charts))
    whole = Condition(
        Subject.parse("model/m"), ["m"], SECOND, START, seen={FindingKey("change", "m"): 1.1},
        about=about,
    )  # fmt: skip
    subject = Subject.parse(f"tag/{open_tag}")
    found = {FindingKey("level", "m"): 1.1}
    condition = Condition(subject, ["m"], SECOND, START, findings=found, seen=found)
    active = {whole.subject: whole} | ({subject: condition} if open_tag else {})
    assert str(attribution.owner(whole, START, active)) == owner


def predicting() -> EngineSpec:
    """The same, where they predict each other (r2 0.9) and SPE is of their difference, too."""
    trained = mirrored()
    (mode,) = trained.modes
    half, wide = 0.5**0.5, 0.5**0.5 / 0.3
    group = mode.joint["groups"][0] | {
        "components": 1, "loadings": [[half, wide, 0.0], [half, -wide, 0.0], [0.0, 0.0, 1.0]],
        "weight": [1.0, 1.0, 0.5], "limit": [12.0, 20.0, 0.9, 12.0],
    }  # fmt: skip
    charts = {name: DETECTORS[name] for name in ("range", "level")}
    inputs = tuple(replace(item, r2=0.9, detectors=charts) for item in mode.inputs)
    modes = (replace(mode, inputs=inputs, joint={"groups": [group]}),)
    return spec(trained=replace(trained, modes=modes))


@pytest.mark.parametrize("column", [0, 1])
def test_of_two_inputs_that_mirror_each_other_the_right_one_is_named(column):
    """SPE, the change and its smoothed SPE wait together until one's own chart tells: one alarm."""
    right = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        both = rng.standard_normal((500, 1))
        values = np.hstack([both + 0.2 * rng.standard_normal((500, 2)), rng.normal(size=(500, 1))])
        values[200:, column] += 2.5
        told = [
            event.subject for event in Engine(predicting()).step(block(values)).events
            if event.data.get("change") == "raised" and event.time_ns > START + 200 * SECOND
        ]
        right += told == [f"tag/{'ab'[column]}"]
    assert right >= 8


def test_a_change_that_comes_and_goes_is_not_put_off_again_and_again():
    """Undecided for 15 scans from the first flag on."""
    engine = Engine(spec(trained=baseline(joint=True)))
    flags = [
        Flag(START + at * SECOND, 22, 0, at % 8 == 0, 1.1, "change", "joint", (0, 1))
        for at in range(0, 80, 4)
    ]
    events = engine.judge.run(flags, START + 100 * SECOND)
    told = [event for event in events if event.data.get("change") == "raised"]
    assert [(event.time_ns - START) // SECOND for event in told] == [15]


@pytest.mark.parametrize("at_first", ["tag/a", "model/m"])
def test_a_finding_that_is_up_elsewhere_is_cleared_there(at_first, monkeypatch):
    """Given away when the on-delay ends, or as it comes to a model that is off already."""
    engine = Engine(spec(trained=baseline(joint=True)))

    def owner(condition, now, active):
        return Subject.parse(at_first if now <= START + 15 * SECOND else "tag/b")

    monkeypatch.setattr(engine.judge._attribution, "owner", owner)
    rows = [(0, 22, True, "change"), (0, 21, True, "spe"), (1, 21, False, "spe"),
            (4, 21, True, "spe"), (20, 21, False, "spe"), (22, 21, True, "spe"),
            (40, 21, False, "spe"), (41, 22, False, "change")]  # fmt: skip
    flags = [
        Flag(START + second * SECOND, rank, 0, up, 1.0, chart, "joint",
             (0, 1) if chart == "change" and up else ())
        for second, rank, up, chart in rows
    ]  # fmt: skip
    told = engine.judge.run(flags, START + 100_000 * SECOND)
    raised = [event.subject for event in told if event.data.get("change") == "raised"]
    assert raised == [at_first, "tag/b"]
    assert not engine.judge.conditions.active


@pytest.mark.parametrize("r2", [0.0, 0.9])
def test_what_others_predict_of_each_sample_is_in_the_tags_unit(r2):
    """By the trained relation, of the samples that were judged; nothing where it says little."""
    made = baseline(joint=True)
    (mode,) = made.modes
    relations = [
        {"r2": r2, "intercept": 0.1, "coefficients": [0.0, 0.5, 0.25], "residual_sd": 0.1},
        *({"r2": 0.0, "intercept": 0.0, "coefficients": [0.0] * 3, "residual_sd": 1.0},) * 2,
    ]
    inputs = tuple(replace(item, r2=r2 if item.tag == "a" else 0.0, centre=5.0, scale=2.0)
                   for item in mode.inputs)  # fmt: skip
    joint = {**mode.joint, "relations": relations}
    trained = replace(made, modes=(replace(mode, inputs=inputs, joint=joint),))
    engine = Engine(spec(trained=trained))
    z = normal(200)
    engine.step(block(5.0 + 2.0 * z))
    condition = Condition(Subject.parse("tag/a"), ["m"], SECOND, START)
    reader = engine.judge._evidence
    now = START + 199 * SECOND
    (seen,) = reader.of_tag(condition, now, {}, set(), lost=False, refusal="")
    if r2 == 0.0:
        assert len(seen.predicted) == 0
        return
    said = 0.1 + 0.5 * z[-64:, 1] + 0.25 * z[-64:, 2]
    np.testing.assert_allclose(seen.predicted, 5.0 + 2.0 * said)
    assert len(seen.raw) == len(seen.predicted)


def test_a_change_of_one_input_is_its_own_though_the_model_is_off_already():
    """Another fault must not hide behind what the inputs do together."""
    engine = Engine(spec(trained=baseline(joint=True)))
    flags = [
        Flag(START, 21, 0, True, 1.1, "spe", "joint"),
        Flag(START + 60 * SECOND, 22, 0, True, 1.1, "change", "joint", (1,)),
    ]
    events = engine.judge.run(flags, START + 100 * SECOND)
    told = [(event.subject, event.data["detectors"]) for event in events
            if event.data.get("change") == "raised"]  # fmt: skip
    assert told == [("model/m", ["spe@m"]), ("tag/b", ["change@m"])]
