"""The scorers of the benchmark of trust, on event lists written by hand: they can not flatter."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "trust"))

from _faults import KINDS, LAG, SENSOR, Column, is_small, is_there, predicted
from _said import conditions_of, incidents_of, verdicts_of, without_clean
from _score import (
    amid,
    attributed,
    began,
    beyond,
    called_sensor,
    held,
    is_true_gap,
    lengths_s,
    longest_after_return,
    loop_outcome,
    most_incidents,
    outcome_of,
    poisson_95,
    tally,
    time_lost,
    verdict_on,
    warned,
)

from agent.types import Event

S = 1_000_000_000


def condition(at_s, tag, change="raised", *, cause="sensor", kind="bias", id_="", **more):
    subject = tag if "/" in tag else f"tag/{tag}"
    data = {"id": id_ or f"{subject}@{at_s}", "change": change, "kind": kind, "cause": cause,
            "models": ["m"], "text": "", **more}
    return Event("condition", at_s * S, subject, data)


def verdict(at_s, word, *reasons):
    return Event("verdict", at_s * S, "model/m", {"verdict": word, "reasons": list(reasons)})


def reason(kind, condition_="", tag="", cause="unknown"):
    return {"kind": kind, "condition": condition_, "tag": tag, "cause": cause}


def found(*events, onset=100, until=600, causes=SENSOR, tags=("a",)):
    own = began(conditions_of(events), onset * S, "m")
    return attributed(incidents_of(own), until_ns=until * S, found_until_ns=until * S,
                      causes=causes, may_name=tags)


# --- conditions and incidents ---------------------------------------------------------------------


def test_a_condition_has_its_names_in_time_and_its_end():
    """A later name replaces an earlier one; clearing is no name."""
    (one,) = conditions_of([
        condition(10, "a", id_="x", cause="unknown"),
        condition(20, "a", "updated", id_="x", cause="integration"),
        condition(30, "a", "cleared", id_="x", cause="sensor"),
    ])
    assert (one.raised_ns, one.cleared_ns, one.incident) == (10 * S, 30 * S, "x")
    assert one.name_at(15 * S).cause == "unknown"
    assert one.name_at(99 * S).cause == "integration"


def test_conditions_of_one_incident_are_one():
    """Ids of incidents group; without them every condition is an incident of its own."""
    events = [condition(10, "a", incident="i"), condition(20, "b", incident="i"), condition(5, "c")]
    assert [len(item.members) for item in incidents_of(conditions_of(events))] == [1, 2]


def test_a_continued_incident_began_when_it_began_first():
    """What joins an incident from before the onset is not what the fault brought."""
    events = [condition(50, "a", incident="i"), condition(120, "a", incident="i", id_="later")]
    assert began(conditions_of(events), 100 * S, "m") == []


def test_a_condition_of_another_model_does_not_count():
    """Only what touches the model is an attribution of its fault."""
    assert began(conditions_of([condition(120, "a", models=["other"])]), 100 * S, "m") == []


def test_a_clean_run_takes_away_what_it_raises_itself_once():
    """Same subject, near in time: one each; what is later, or of another tag, stays."""
    clean = conditions_of([condition(105, "a")])
    faulty = conditions_of([condition(110, "a"), condition(300, "a"), condition(106, "b")])
    left = without_clean(faulty, clean, 20 * S)
    assert sorted((item.subject, item.raised_ns // S) for item in left) == [
        ("tag/a", 300), ("tag/b", 106),
    ]


# --- attribution ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "tags", "expected"),
    [
        ("sensor", ["a"], "right"), ("sensor", ["b"], "wrong"), ("process", ["a"], "wrong"),
        ("unknown", ["a"], "unknown"), ("", ["a"], "unknown"),
        ("sensor", [], "wrong"), ("sensor", ["a", "b"], "wrong"),
    ],
)  # fmt: skip
def test_an_attribution_is_right_only_with_cause_and_tag(cause, tags, expected):
    """A right cause on another tag, on none, or on the tag and another one is wrong."""
    assert verdict_on(cause, tags, {"sensor"}, {"a"}) == expected


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        ([], "missed"), (["right"], "right"), (["right", "right"], "right"),
        (["right", "unknown"], "right among unknown"), (["right", "wrong"], "right among wrong"),
        (["wrong", "unknown"], "wrong"), (["unknown", "unknown"], "unknown"),
    ],
)  # fmt: skip
def test_one_wrong_incident_makes_the_fault_wrong(judged, expected):
    """One that is unknown makes it not right; how many there are is counted elsewhere."""
    assert outcome_of(judged) == expected


def test_the_latest_name_counts_not_the_best():
    """A right name that was replaced by a wrong one is wrong, and the other way round."""
    right, wrong = {"cause": "sensor"}, {"cause": "process"}
    assert found(condition(120, "a", id_="x", **right),
                 condition(200, "a", "updated", id_="x", **wrong)).outcome == "wrong"
    assert found(condition(120, "a", id_="x", **wrong),
                 condition(200, "a", "updated", id_="x", **right)).outcome == "right"


def test_what_comes_too_late_or_stood_before_is_missed():
    """Before the onset and after the time allowed are both not found."""
    assert found(condition(99, "a")).outcome == "missed"
    assert found(condition(601, "a")).outcome == "missed"
    assert found(condition(600, "a")).outcome == "right"


def test_an_incident_on_a_model_names_the_tags_that_it_lists():
    """A condition of a model is right only where it names the tag."""
    assert found(condition(120, "model/m")).outcome == "wrong"
    assert found(condition(120, "model/m", tags=["a"])).outcome == "right"


def test_of_two_swapped_tags_either_may_be_named_and_no_third():
    """Both of a pair are right, each in an incident of its own or both in one."""
    both = [condition(120, "a"), condition(130, "b")]
    assert found(*both, tags=("a", "b")).outcome == "right"
    assert found(*both, tags=("a", "b")).incidents == 2
    assert found(condition(120, "a", tags=["b"]), tags=("a", "b")).outcome == "right"
    assert found(*both, condition(140, "c"), tags=("a", "b")).outcome == "right among wrong"


def test_shares_are_of_what_was_found_and_mixed_ones_are_wrong():
    """Missed ones lower only the share of found; right among wrong counts as wrong."""
    result = tally(["right", "right among wrong", "wrong", "unknown", "missed",
                    "right among unknown"])
    assert result.found_percent == 83.3
    assert result.right_percent_of_found == 20.0
    assert result.wrong_percent_of_found == 40.0
    assert result.unknown_percent_of_found == 20.0
    assert result.among_unknown_percent_of_found == 20.0
    assert tally(["missed"]).right_percent_of_found is None


# --- closed loops ---------------------------------------------------------------------------------


def loop(cause, *events, tags=("a",), visible=True):
    own = incidents_of(began(conditions_of(events), 100 * S, "m"))
    return loop_outcome(cause, tags, visible, own, 600 * S).outcome


def test_an_actuator_may_be_called_process_and_nothing_else_may():
    """The only alias that the truth allows."""
    assert loop("actuator", condition(120, "a", cause="process")) == "right"
    assert loop("actuator", condition(120, "a", cause="actuator")) == "right"
    assert loop("sensor", condition(120, "a", cause="process")) == "wrong"
    assert loop("process", condition(120, "a", cause="sensor")) == "wrong"


def test_silence_is_right_for_an_operator_and_excused_only_where_nothing_shows():
    """A fault that is visible is missed; a wrong name is wrong even where nothing shows."""
    assert loop("operator") == "right"
    assert loop("operator", condition(120, "a", cause="sensor")) == "wrong"
    assert loop("sensor") == "missed"
    assert loop("sensor", visible=False) == "invisible"
    assert loop("sensor", condition(120, "b"), visible=False) == "wrong"


def test_an_output_called_sensor_is_seen_also_under_an_earlier_name():
    """Any name at any time counts, only for the tags that never may."""
    told = conditions_of([
        condition(10, "out", id_="x", cause="sensor"),
        condition(20, "out", "updated", id_="x", cause="process"),
        condition(30, "pv", cause="sensor"), condition(40, "sp", cause="integration"),
    ])
    assert called_sensor(told, {"out", "sp"}) == ["out"]


# --- promises, ranges, time -----------------------------------------------------------------------


def test_the_limit_of_a_count_is_of_poisson_where_few_are_promised():
    """Published 95 % points: 0.05 -> 0 or 1, 1 -> 3, 5 -> 9; 1.5 times where many."""
    assert [poisson_95(mean) for mean in (0.05, 0.2, 1.0, 5.0)] == [0, 1, 3, 9]
    assert most_incidents(1.0) == 3.0
    assert most_incidents(100.0) == 150.0


def test_beyond_is_more_than_two_percent_of_the_trained_width_on_either_side():
    """The margin itself is not beyond; missing values are held, and unknown before the first."""
    train = np.array([[0.0], [100.0], [np.nan]])
    judged = held(np.array([[np.nan], [102.0], [102.1], [np.nan], [-2.1], [50.0]]))
    assert beyond(train, judged)[:, 0].tolist() == [False, False, True, True, True, False]


def test_scans_beyond_are_counted_as_warned_only_by_caution_or_worse():
    """Trusted is not warned, unassessable counts neither way; the grace leaves out first scans."""
    is_beyond = np.array([True] * 5 + [False, True])
    words = ["trusted", "caution", "untrusted", "unassessable", "caution", "caution", "trusted"]
    assert warned(is_beyond, words) == (3, 5)
    assert warned(is_beyond, words, grace=1) == (3, 3)


def test_a_reason_lingers_only_while_the_value_is_amid_its_training():
    """Longest run of both; a value at the edge of training is no return."""
    train = np.arange(1001.0)[:, None]
    inside = amid(train, np.array([[500.0], [500.0], [1000.0], [500.0], [np.nan]]))[:, 0]
    assert inside.tolist() == [True, True, False, True, False]
    assert longest_after_return(inside, np.array([True] * 5)) == 2
    assert longest_after_return(inside, np.array([False] * 5)) == 0


def test_lost_time_is_that_of_conditions_and_unassessable_time_is_said_apart():
    """A fact is no alarm; time before the first assessment is nobody's; what stands at the end
    counts until there.
    """
    verdicts = verdicts_of([
        verdict(0, "unassessable"), verdict(100, "trusted"),
        verdict(200, "caution", reason("extrapolating", tag="a")),
        verdict(300, "caution", reason("out of trained range", "id1", "a")),
        verdict(400, "untrusted", reason("bias", "id2", "a")),
        verdict(500, "unassessable", reason("missing", "id3", "a")),
        verdict(600, "caution", reason("new operating region", "id4")),
    ], "m")
    lost = time_lost(verdicts, 0, 1100 * S)
    assert lost.by_conditions == 60.0
    assert lost.by_any_condition == 70.0
    assert lost.unassessable == 10.0


def test_a_model_that_is_never_assessed_is_unassessable_all_the_time():
    """It does not read as time without alarms."""
    lost = time_lost(verdicts_of([verdict(10, "unassessable")], "m"), 0, 100 * S)
    assert lost.unassessable == 100.0


def test_an_open_condition_lasts_until_the_end():
    """Lengths do not leave out what never cleared."""
    told = conditions_of([condition(10, "a", id_="x"), condition(40, "a", "cleared", id_="x"),
                          condition(50, "b")])
    assert lengths_s(told, 100 * S) == [30.0, 50.0]


def test_only_a_gap_that_the_record_has_is_no_alarm():
    """Missing while values came, and any other kind during a gap, are alarms."""
    times = np.arange(10) * S
    usable = np.array([True] * 5 + [False] * 5)
    (gap,) = conditions_of([condition(8, "a", kind="missing", cause="integration")])
    (early,) = conditions_of([condition(5, "a", kind="missing", cause="integration")])
    (other,) = conditions_of([condition(8, "a", kind="stuck")])
    assert [is_true_gap(item, times, usable, S) for item in (gap, early, other)] == [
        True, False, False,
    ]


# --- faults ---------------------------------------------------------------------------------------


def test_there_are_nineteen_kinds_and_each_changes_values_as_it_says():
    """Every kind gives as many values as there are after the onset, and none before is touched."""
    rng = np.random.default_rng(1)
    values = rng.normal(50.0, 2.0, 300)
    column = Column(values.copy(), 100, 2.0, 1.0, 50.0)
    assert len(KINDS) == 19
    for kind in KINDS:
        made = kind.change(column, np.random.default_rng(2))
        assert made.shape == (200,), kind.name
        assert np.array_equal(column.values, values)
        assert kind.name == "swap" or is_there(column.after, made, 2.0), kind.name
    by_name = {kind.name: kind.change(column, np.random.default_rng(2)) for kind in KINDS}
    assert np.array_equal(by_name["lag of 20"], values[100 - LAG : 300 - LAG])
    assert np.allclose(by_name["degC to degF"], values[100:] * 1.8 + 32.0)
    assert np.allclose(np.abs(by_name["bias 3 sd"] - values[100:]), 6.0)
    assert abs(np.std(by_name["noise x3"] - values[100:]) / np.sqrt(8.0) - 1.0) < 0.2
    assert np.isnan(by_name["dropout"]).all()


def test_a_fault_that_changes_nothing_is_none_and_a_small_one_is_said_to_be_small():
    """Stuck on a standing value is no fault; a bias of a tenth of an sd is small."""
    assert not is_there(np.full(100, 5.0), np.full(100, 5.0), 1.0)
    assert is_small(np.zeros(100), np.full(100, 0.1), 1.0)
    assert not is_small(np.zeros(100), np.full(100, 1.0), 1.0)


def test_what_others_say_of_an_input_is_judged_on_rows_that_were_not_fitted():
    """A relation is found; noise and an input alone give nothing."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2000, 3))
    x[:, 2] = x[:, 0] + 0.1 * rng.normal(size=2000)
    assert predicted(x, 2) > 0.9
    assert predicted(x, 1) < 0.1
    assert predicted(x[:, :1], 0) == 0.0
