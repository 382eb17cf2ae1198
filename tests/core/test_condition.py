"""Conditions: one alarm for one fault, names, timers that know their occurrence, and what lasts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.condition import Condition, severity
from agent.core.diagnosis import Diagnosis
from agent.core.identity import Subject
from agent.core.names import EXCURSION
from tests.core.desk import MODEL, SUBJECT, Desk, keys, named
from tests.core.small import SECOND, START

OTHER = Subject.parse("tag/b")

# --- one fault, one alarm ---------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 90), st.sampled_from(["level@m", "range@m", "spike@m", "missing"]),
            st.booleans(),
        ), max_size=40,
    )
)  # fmt: skip
def test_raised_and_cleared_alternate(steps):
    """However findings come and go: one alarm at a time, each cleared, each with its own name."""
    desk, now = Desk(), 0.0
    for step, detector, up in steps:
        now += step
        desk.at(now, detector, up=up)
    for detector in ("level@m", "range@m", "spike@m", "missing"):
        desk.at(now + 1, detector, up=False)
    desk.until(now + 1000)
    changes = [change for _, change in desk.changes() if change != "updated"]
    assert changes == ["raised", "cleared"] * (len(changes) // 2)
    raised = [event.data["id"] for event in desk.told if event.data["change"] == "raised"]
    assert len(set(raised)) == len(raised)
    assert not desk.conditions.active
    assert [time for time, _ in desk.changes()] == sorted(time for time, _ in desk.changes())


def test_every_detector_of_a_fault_is_named_in_one_condition():
    """The condition lists all that saw it, with the highest score."""
    desk = Desk()
    seen = ((10, "level@m", 1.5), (12, "range@m", 4.0), (13, "rate@m", 2.0))
    for second, detector, score in seen:
        desk.at(second, detector, up=True, score=score)
    desk.until(100)
    (event,) = desk.told
    assert event.data["detectors"] == ["level@m", "range@m", "rate@m"]
    assert event.data["score"] == 4.0


# --- names ------------------------------------------------------------------------------------


def test_a_more_specific_name_replaces_a_vaguer_one_at_once():
    """With the finding that brings it, not only at the next review."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.until(17)
    desk.called = named("stuck", 6, "sensor")
    desk.at(17, "stuck@m", up=True)
    assert desk.changes() == [(16, "raised"), (17, "updated")]
    assert desk.told[-1].data["kind"] == "stuck"
    assert desk.told[0].data["id"] == desk.told[1].data["id"]


def test_a_vaguer_name_never_replaces_a_more_specific_one():
    """Not with a finding, not at a review, not when a finding goes."""
    desk = Desk(named("unit change", 8, "integration"))
    desk.at(10, "level@m", up=True)
    desk.at(11, "range@m", up=True)
    desk.until(17)
    desk.called = named("level shift", 2)
    desk.at(17, "rate@m", up=True)
    desk.at(18, "rate@m", up=False)
    desk.until(1000)
    assert desk.changes() == [(16, "raised")]


def test_a_name_of_equal_rank_replaces_only_at_a_review():
    """Drift instead of out of range: when the evidence is looked at again, 6 intervals on."""
    desk = Desk(named("out of trained range", 4))
    desk.at(10, "range@m", up=True)
    desk.until(17)
    desk.called = named("drift", 4)
    desk.at(17, "level@m", up=True)
    desk.until(200)
    assert desk.changes() == [(16, "raised"), (22, "updated")]


@pytest.mark.parametrize("lost", ["source lost", "missing", "bad quality", "out of physical range"])
def test_a_name_that_says_lost_gives_way_when_data_arrive_again(lost):
    """What remains wrong is named as what it is, though that is vaguer."""
    desk = Desk(named(lost, 8, "integration"))
    detector = {"bad quality": "bad", "out of physical range": "bad_range"}.get(lost, "missing")
    desk.at(10, detector, up=True)
    desk.at(11, "level@m", up=True)
    desk.until(30)
    desk.called = named("level shift", 2)
    desk.at(30, detector, up=False)
    assert desk.changes()[-1] == (30, "updated")
    assert desk.told[-1].data["kind"] == "level shift"


def test_a_silent_tag_whose_values_come_again_bad_is_called_bad():
    """"Missing" is not true of what arrives, although it is the more specific name."""
    desk = Desk(named("missing", 8, "integration"))
    desk.at(10, "missing", up=True)
    desk.at(30, "missing", up=False)
    desk.called = named("bad quality", 7, "sensor")
    desk.at(31, "bad", up=True)
    assert desk.changes() == [(12, "raised"), (31, "updated")]


@pytest.mark.parametrize("further", [(), ("spike@m",)])
def test_a_value_back_in_its_range_is_not_said_to_be_out_of_it(further):
    """Neither while another chart holds the condition open, nor while the off-delay runs."""
    desk = Desk(named("out of trained range", 4))
    for detector in ("range@m", *further):
        desk.at(10, detector, up=True)
    desk.until(30)
    desk.called = named(EXCURSION, 3)
    desk.at(30, "range@m", up=False)
    assert desk.changes() == [(16, "raised"), (30, "updated")]
    assert desk.told[-1].data["kind"] == EXCURSION
    desk.called = named("out of trained range", 4)
    desk.at(40, "range@m", up=True)
    assert desk.told[-1].data["kind"] == EXCURSION  # not at once again, see below
    desk.until(631)
    assert desk.told[-1].data["kind"] == "out of trained range"


@pytest.mark.parametrize(
    ("kind", "detector"),
    [("interpolated", "lines@m"), ("averaged", "averaged@m"), ("coarser resolution", "digits@m"),
     ("old values repeated", "again@m"), ("old values repeated", "stuck@m")],
)
def test_how_values_are_served_is_said_only_while_they_are(kind, detector):
    """What holds the condition open afterwards is named as what it is, though that is vaguer."""
    desk = Desk(named(kind, 7, "integration"))
    desk.at(10, detector, up=True)
    desk.at(10, "noise@m", up=True)
    desk.until(60)
    desk.called = named("noise", 3, "sensor")
    desk.at(60, detector, up=False)
    assert desk.told[-1].data["kind"] == "noise"


@pytest.mark.parametrize("kind", ["interpolated", "unit change"])
def test_what_ends_with_its_only_finding_keeps_its_name(kind):
    """While the off-delay runs nothing says otherwise."""
    desk = Desk(named(kind, 7, "integration"))
    desk.at(10, "lines@m", up=True)
    desk.until(60)
    desk.called = named("anomaly", 1)
    desk.at(60, "lines@m", up=False)
    desk.until(70)
    assert desk.told[-1].data["kind"] == kind


def test_what_flickers_at_the_edge_of_its_range_is_told_seldom():
    """Out and in every 20 s for an hour: two updates in ten minutes at most."""
    desk = Desk(named("out of trained range", 4))
    desk.at(10, "spike@m", up=True)
    desk.until(20)
    for start in range(20, 3620, 20):
        desk.called = named("out of trained range", 4)
        desk.at(start, "range@m", up=True)
        desk.until(start + 10)
        desk.called = named(EXCURSION, 3)
        desk.at(start + 10, "range@m", up=False)
        desk.until(start + 20)
    assert 1 <= len(desk.changes()) <= 2 * 7


def test_a_person_reads_no_news_where_only_the_number_changed():
    """The same kind and cause in other words is no update."""
    desk = Desk(Diagnosis("stuck", "sensor", "stuck at 1", "look", 6))
    desk.at(10, "stuck@m", up=True)
    desk.until(17)
    desk.called = Diagnosis("stuck", "sensor", "stuck at 2", "look", 6)
    desk.until(1000)
    assert desk.changes() == [(16, "raised")]


def test_severity_follows_the_cause_and_then_the_rank():
    """What must be mended is high, what is vague is low."""
    made = {}
    for kind, rank, cause in (("stuck", 6, "sensor"), ("unit change", 8, "integration"),
                              ("error", 3, "model"), ("drift", 4, "unknown"),
                              ("relations changed", 3, "process"), ("level shift", 2, "unknown"),
                              ("sudden change", 2, "unknown")):
        made[kind] = severity(Condition(SUBJECT, [], 1, 1, kind=kind, cause=cause, rank=rank))
    assert made == {"stuck": "high", "unit change": "high", "error": "high", "drift": "medium",
                    "relations changed": "medium", "level shift": "low",
                    "sudden change": "medium"}

# --- timers of another occurrence -------------------------------------------------------------


def test_reviews_of_an_earlier_occurrence_do_not_rename_a_later_one():
    """A condition that cleared left reviews behind; the next one of the subject ignores them."""
    desk = Desk(named("out of trained range", 4))
    desk.at(10, "range@m", up=True)  # raised at 16: reviews at 22, 32, 64, 144 and 400
    desk.at(20, "range@m", up=False)  # cleared at 80
    desk.at(130, "range@m", up=True)  # raised at 136: reviews at 142, 152 ...
    desk.until(143)
    desk.called = named("drift", 4)
    desk.until(151)
    assert desk.changes()[-1] == (136, "raised")
    desk.until(153)
    assert desk.changes()[-1] == (152, "updated")


def test_on_timers_of_an_earlier_occurrence_do_not_raise_a_later_one():
    """A pending condition's timer that outlives it must not shorten another one's delay."""
    desk = Desk()
    desk.held = True
    desk.at(10, "missing", up=True)
    desk.at(11, "missing", up=False)
    desk.until(72)
    assert SUBJECT not in desk.conditions.active
    desk.held = False
    desk.at(72, "level@m", up=True)
    desk.until(200)
    assert desk.changes() == [(78, "raised")]

# --- suppression ------------------------------------------------------------------------------


def test_a_suppressed_condition_is_not_raised_until_it_is_its_own():
    """While its source is lost a silent tag says nothing; if it stays silent after, it does."""
    desk = Desk(held=True)
    desk.at(10, "missing", up=True)
    desk.until(100)
    assert desk.told == []
    desk.held = False
    desk.conditions.refresh([SUBJECT], START + 100 * SECOND)
    desk.until(200)
    assert desk.changes() == [(106, "raised")]


def test_a_tag_that_recovers_with_its_source_is_never_told():
    """Between the source's return and the tag's own nothing is raised."""
    desk = Desk(held=True)
    desk.at(10, "missing", up=True)
    desk.until(100)
    desk.held = False
    desk.conditions.refresh([SUBJECT], START + 100 * SECOND)
    desk.at(104, "missing", up=False)
    desk.until(1000)
    assert desk.told == []

# --- what lasts -------------------------------------------------------------------------------


def test_conditions_and_their_timers_survive_a_snapshot():
    """After a round trip through JSON everything due comes due."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(12, "spike@m", up=True, subject=OTHER)
    desk.at(13, "spike@m", up=False, subject=OTHER)
    desk.say(20, "shelve", for_ns=5 * SECOND)
    desk.at(21, "level@m", up=False)
    again = Desk()
    again.conditions.from_json(json.loads(json.dumps(desk.conditions.to_json())))
    assert again.conditions.to_json() == desk.conditions.to_json()
    seen = len(desk.told)
    desk.until(1000)
    again.until(1000)
    assert again.told == desk.told[seen:]
    assert [change for _, change in again.changes()] == ["unshelved", "cleared", "cleared"]


def test_time_away_does_not_run_delays_down():
    """A pause moves what is due, but not the end of a shelving that a person set by the clock."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.say(20, "shelve", for_ns=50 * SECOND)
    desk.at(30, "level@m", up=False)
    desk.until(40)
    desk.conditions.pause(START + 40 * SECOND, START + 1040 * SECOND)
    desk.until(5000)
    assert desk.changes() == [
        (16, "raised"), (20, "shelved"), (70, "unshelved"), (1050, "cleared")
    ]


def test_findings_of_detectors_that_start_anew_are_forgotten():
    """What nobody will ever clear is dropped; the condition then clears in its time."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(11, "missing", up=True)
    desk.until(20)
    desk.conditions.active[SUBJECT].about = ("gone",)
    desk.conditions.forget(lambda _, key: key.model == "m", START + 20 * SECOND)
    assert desk.conditions.active[SUBJECT].findings.keys() == keys("missing")
    assert not desk.conditions.active[SUBJECT].about
    desk.at(30, "missing", up=False)
    desk.until(1000)
    assert desk.changes()[-1] == (50, "cleared")


def test_what_comes_undecided_after_a_pause_waits_as_ever():
    """A pause moves the wait for an owner only where there is one."""
    desk = Desk()
    desk.at(0, "spe@m", up=True, subject=MODEL, delay=100)
    desk.conditions.pause(START + SECOND, START + 11 * SECOND)
    desk.at(12, "change@m", up=True, subject=MODEL, delay=15, about=("a", "b"))
    assert desk.conditions.active[MODEL].not_before_ns == START + 27 * SECOND
