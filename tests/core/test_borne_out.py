"""Whether the truth bears out inputs that moved, and that no other input predicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.core.borne_out import LABELS, borne_out, misread
from agent.core.engine import Engine
from agent.core.retraining_criteria import Criteria
from agent.core.trial import candidate_of
from tests.core.small import DETECTORS, SECOND, START, cut, events_of, output_of
from tests.core.test_truth import block_of, spec_of

RISK = 0.1


def errors(off, seed=0, count=2 * LABELS):
    """Of a model whose mean absolute error is `RISK`, and that is off by so much beside."""
    return (off + RISK * 1.25 * np.random.default_rng(seed).standard_normal(count)).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_a_true_reading_leaves_errors_as_they_were_and_a_false_one_does_not(seed):
    """A model errs by what a false reading moves its prediction, either way."""
    assert borne_out(errors(0.0, seed), [0.5], RISK) == [True]
    assert borne_out(errors(0.5, seed), [0.5], RISK) == [False]
    assert borne_out(errors(-0.5, seed), [-0.5], RISK) == [False]


@pytest.mark.parametrize("seed", range(20))
def test_of_two_that_moved_each_is_judged_by_itself(seed):
    """Errors tell which of the two is false, or that both are."""
    assert borne_out(errors(0.0, seed), [0.6, 1.2], RISK) == [True, True]
    assert borne_out(errors(1.2, seed), [0.6, 1.2], RISK) == [True, False]
    assert borne_out(errors(1.8, seed), [0.6, 1.2], RISK) == [False, False]


def test_two_that_may_make_up_for_each_other_are_both_in_doubt():
    """Two false readings whose effects cancel leave errors as they were, too."""
    assert borne_out(errors(0.0), [0.6, -0.6], RISK) == [False, False]


def test_what_the_model_hardly_uses_is_never_borne_out():
    """Labels know nothing of it."""
    assert borne_out(errors(0.0), [2.0 * RISK], RISK) == [False]


def test_a_model_that_became_wrong_bears_out_what_explains_none_of_it():
    """The truth moved farther than the prediction: no false reading does that."""
    assert borne_out(errors(-0.3), [0.5], RISK) == [True]
    assert borne_out(errors(0.25), [0.5], RISK) == [False]


def test_a_prediction_that_goes_beyond_the_relation_is_held_against_what_it_did():
    """Half as far again for a model that is no line; and one that did not follow tells nothing."""
    assert borne_out(errors(0.75), [0.5], RISK, beyond=0.25) == [False]
    assert borne_out(errors(0.0), [0.5], RISK, beyond=0.25) == [True]
    assert borne_out(errors(0.0), [0.5], RISK, beyond=-0.5) == [False]


@pytest.mark.parametrize("seed", range(20))
def test_errors_as_large_as_what_one_reading_moves_may_be_that_readings(seed):
    """Either way; not those of another size or side, nor of what the model hardly uses."""
    assert misread(errors(0.5, seed), [-0.6, 0.5], RISK)
    assert misread(errors(-0.5, seed), [-0.6], RISK)
    assert not misread(errors(-0.5, seed), [0.5], RISK)
    assert not misread(errors(1.5, seed), [0.5], RISK)
    assert not misread(errors(0.0, seed), [0.5], RISK)
    assert not misread(errors(0.2, seed), [0.2], RISK)


# --- in the engine --------------------------------------------------------------------------------

ROWS, SINCE, MOVE = 1_700, 200, 4.0


def watched():
    """A model that gives a; nothing predicts a; labels of it five seconds apart."""
    made = spec_of()
    one = made.models[0].baseline
    detectors = {name: DETECTORS[name] for name in ("range", "stuck", "level")}
    detectors["range"] = {"middle": 0.0, "half": 9.0, "hold": 5}
    items = tuple(replace(item, r2=0.1, detectors=detectors) for item in one.modes[0].inputs)
    mode = replace(one.modes[0], inputs=items, outputs=(output_of("y", [1.0, 0.0, 0.0]),))
    criteria = Criteria(inputs_shifted=1.0, shifted_for_ns=180 * SECOND, losses=False)
    model = replace(
        made.models[0], baseline=replace(one, modes=(mode,)), retraining=criteria
    )
    return replace(made, models=(model,))


def arrives(truth_follows):
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((ROWS, 3))
    inputs[SINCE:, 0] += MOVE
    rows = []
    for second in range(ROWS):
        now = START + second * SECOND
        rows += [(now, now, column + 1, inputs[second, column]) for column in range(3)]
        rows.append((now + SECOND // 4, now + SECOND // 4, 4, inputs[second, 0]))
        if second % 5 == 0 and second + 20 < ROWS:
            false = 0.0 if truth_follows or second < SINCE else MOVE
            truth = inputs[second, 0] - false + rng.choice([-1.0, 1.0])
            rows.append((now + 20 * SECOND, now + SECOND // 2, 5, truth))
    return block_of(rows, ROWS)


@pytest.mark.parametrize("truth_follows", [True, False])
def test_a_request_comes_of_a_reading_that_the_truth_bears_out(truth_follows):
    """Nothing predicts it, so its cause stays unknown; a false one asks for nothing."""
    engine = Engine(watched())
    events = events_of(engine, [arrives(truth_follows)])
    named = {(e.subject, e.data["cause"]) for e in events if e.kind == "condition"}
    assert ("tag/a", "unknown") in named
    asked = [e for e in events if e.kind == "retraining"]
    assert len(asked) == int(truth_follows)
    assert bool(engine.retraining.watch.borne) == truth_follows
    assert bool(engine.retraining.watch.doubts("m")) != truth_follows


@pytest.mark.parametrize(("of", "wanted"), [("reading", 0), ("truth", 1), ("both", 1)])
def test_errors_that_follow_a_reading_far_from_training_ask_for_nothing(of, wanted):
    """No chart of a warns: a slow drift of it shows in the output first. The truth's does ask, and
    so it does where a has drifted and truth with it.
    """
    made = watched()
    model = made.models[0]
    blind = {"range": {"middle": 0.0, "half": 99.0, "hold": 5}}
    mode = model.baseline.modes[0]
    items = tuple(replace(item, detectors=blind) for item in mode.inputs)
    mode = replace(mode, inputs=items)
    criteria = Criteria(outputs_shifted_ns=600 * SECOND)
    spec = replace(made, models=(replace(
        model, baseline=replace(model.baseline, modes=(mode,)), retraining=criteria
    ),))  # fmt: skip
    ramp = np.clip(np.arange(ROWS) - SINCE, 0, 600) / 600.0 * 5.0
    reads = ramp if of != "truth" else 0.0 * ramp
    is_true = {"reading": 0.0 * ramp, "truth": -ramp, "both": 2.5 * ramp}[of]
    rng = np.random.default_rng(4)
    inputs = rng.standard_normal((ROWS, 3))
    rows = []
    for second in range(ROWS):
        now = START + second * SECOND
        told = inputs[second] + [reads[second], 0.0, 0.0]
        rows += [(now, now, column + 1, told[column]) for column in range(3)]
        rows.append((now + SECOND // 4, now + SECOND // 4, 4, told[0]))
        if second % 5 == 0 and second + 20 < ROWS:
            truth = inputs[second, 0] + is_true[second] + rng.choice([-1.0, 1.0])
            rows.append((now + 20 * SECOND, now + SECOND // 2, 5, truth))
    events = events_of(Engine(spec), [block_of(rows, ROWS)])
    assert any(e.kind == "evidence" and e.data["change"] == "opened" for e in events)
    assert len([e for e in events if e.kind == "retraining"]) == wanted


def test_a_candidates_engine_charts_no_outputs_and_is_told_nothing_of_them():
    """Its baseline has their relations; inputs far from where it was trained must not end it."""
    made = watched()
    model = made.models[0]
    spec = candidate_of(made, model.name, "2", model.baseline)
    assert model.baseline.modes[0].outputs and not spec.models[0].charted
    drift = np.clip(np.arange(ROWS) - SINCE, 0, 600) / 600.0 * 5.0
    inputs = np.random.default_rng(4).standard_normal((ROWS, 3))
    inputs[:, 0] += drift
    rows = [
        (START + second * SECOND, START + second * SECOND, column + 1, inputs[second, column])
        for second in range(ROWS) for column in range(3)
    ]
    events = events_of(Engine(spec), [block_of(rows, ROWS)])
    assert any(e.kind in {"summary", "condition"} for e in events)


def test_what_is_borne_out_is_so_after_a_restart():
    """And the request that comes of it is the same."""
    whole, (made, again) = arrives(truth_follows=True), (Engine(watched()), Engine(watched()))
    stop = START + 1_250 * SECOND
    first, second = cut(whole, [stop])
    made.step(first)
    assert made.retraining.watch.borne
    again.resume(made.snapshot())
    assert again.retraining.watch.borne == made.retraining.watch.borne
    told = [[str(e) for e in engine.step(second).events] for engine in (made, again)]
    assert told[0] == told[1]
    assert any("kind='retraining'" in text for text in told[0])
