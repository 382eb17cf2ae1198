"""Conditions: delays, names, one alarm for one fault, and timers that know their occurrence."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.condition import Condition, Conditions, severity
from agent.core.diagnosis import Diagnosis
from agent.core.engine import Engine
from agent.core.flag import Flag
from agent.types import Event, Quality
from tests.core.small import (
    SECOND,
    START,
    baseline,
    block,
    command,
    conditions,
    events_of,
    normal,
    samples,
    spec,
    verdicts,
)

SUBJECT = "tag/a"
OFF = 60


@dataclass
class Desk:
    """Conditions with names by hand: times are seconds, what was said is kept."""

    name: Diagnosis = field(default_factory=lambda: named("level shift", 2))
    suppressed: bool = False
    over: bool = False
    owners: dict[str, str] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conditions = Conditions(
            lambda *_: self.name, lambda _: self.suppressed, lambda *_: self.over,
            lambda one, _: {
                key: subject for key, subject in self.owners.items()
                if key in one.seen and subject != one.subject
            },
        )

    def at(self, second: float, detector: str, *, up: bool, subject: str = SUBJECT,
           score: float = 1.0, linger: int = OFF, back: int = 0,
           settle: int | None = None) -> None:
        self.until(second)
        self.told += self.conditions.finding(
            subject, detector, score, START + round(second * SECOND), SECOND, ["m"], up=up,
            linger=linger, back=back, settle=settle,
        )

    def until(self, second: float) -> None:
        while (fired := self.conditions.fire(START + round(second * SECOND))) is not None:
            self.told += fired[2]

    def say(self, second: float, kind: str, **data: object) -> None:
        self.until(second)
        self.told += self.conditions.command(
            kind, SUBJECT, START + round(second * SECOND), dict(data)
        )

    def changes(self) -> list[tuple[float, str]]:
        return [((e.time_ns - START) / SECOND, e.data["change"]) for e in self.told]


def named(kind: str, rank: int, cause: str = "unknown") -> Diagnosis:
    return Diagnosis(kind, cause, f"it is {kind}", "look", rank)


# --- delays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("detector", "delay"), [("missing", 2), ("source", 0), ("level@m", 6)])
def test_a_condition_is_raised_after_its_on_delay(detector, delay):
    """Not before, and at that very time, whenever anybody looks."""
    desk = Desk()
    desk.at(10, detector, up=True)
    desk.until(10 + delay)
    assert desk.changes() == []
    desk.until(10_000)
    assert desk.changes() == [(10 + delay, "raised")]


@pytest.mark.parametrize(
    ("seconds", "readings"), [(0.5, 60), (1, 60), (3, 20), (180, 10), (3600, 10)]
)
def test_the_off_delay_is_a_minute_of_ten_to_sixty_readings(seconds, readings):
    """A reading an hour that was wrong once does not keep its model from being trusted for days."""
    interval = round(seconds * SECOND)
    desk = Desk()
    for at, up in ((0, True), (20, False)):
        desk.told += desk.conditions.finding(
            SUBJECT, "level@m", 1.0, START + at * interval, interval, ["m"], up=up
        )
        desk.until((at + 19) * seconds)
    desk.until(10_000 * seconds)
    assert desk.changes() == [(6 * seconds, "raised"), ((20 + readings) * seconds, "cleared")]


@pytest.mark.parametrize(("detector", "delay"), [("change", 1), ("spe_smooth", 1), ("spe", 6)])
def test_scans_that_agreed_already_raise_their_models_condition_at_once(detector, delay):
    """A smoothed joint chart does not wait as one scan's statistic does; nor does it raise what is
    over by the next scan.
    """
    for lasts, expected in ((10, [delay]), (0.5, [])):
        engine = Engine(spec())
        flags = [
            Flag(START, 20, 0, True, 1.1, detector, "joint"),
            Flag(START + round(lasts * SECOND), 20, 0, False, 0.9, detector, "joint"),
        ]
        events = engine.judge.run(flags, START + 100 * SECOND)
        told = [event for event in events if event.data.get("change") == "raised"]
        assert [(event.time_ns - START) // SECOND for event in told] == expected
        assert all(event.subject == "model/m" for event in told)


@pytest.mark.parametrize(("lasts", "expected"), [(40, [15]), (5, [15]), (0.5, [])])
def test_a_change_that_several_inputs_may_explain_waits_to_be_told_whose(lasts, expected):
    """Nothing told: after 15 scans it is the model's, also where it has come back by then."""
    engine = Engine(spec(trained=baseline(joint=True)))
    flags = [
        Flag(START, 22, 0, True, 1.1, "change", "joint", (0, 1)),
        Flag(START + round(lasts * SECOND), 22, 0, False, 0.9, "change", "joint"),
    ]
    events = engine.judge.run(flags, START + 100 * SECOND)
    told = [event for event in events if event.data.get("change") == "raised"]
    assert [(event.time_ns - START) // SECOND for event in told] == expected
    assert all(event.subject == "model/m" for event in told)


def test_what_turns_out_to_be_of_an_open_tag_is_its_own_and_no_second_alarm():
    """The model's finding joins the tag's condition, which a person reads with its name."""
    desk = Desk()
    desk.at(0, "change@m", up=True, subject="model/m", settle=15)
    desk.at(8, "spe@m", up=True)
    desk.owners = {"change@m": SUBJECT}
    desk.until(100)
    assert [(e.subject, e.data["change"]) for e in desk.told] == [(SUBJECT, "raised")]
    assert desk.conditions.active.keys() == {SUBJECT}
    assert desk.conditions.active[SUBJECT].findings.keys() == {"change@m", "spe@m"}
    desk.at(100, "change@m", up=False)
    desk.at(110, "spe@m", up=False)
    desk.until(171)
    assert not desk.conditions.active


def test_what_turns_out_to_be_of_an_open_tag_is_told_of_it_though_it_has_gone():
    """A change that came back before it was known whose it was."""
    desk = Desk()
    desk.at(0, "change@m", up=True, subject="model/m", settle=15)
    desk.at(5, "change@m", up=False, subject="model/m")
    desk.at(8, "spe@m", up=True)
    desk.owners = {"change@m": SUBJECT}
    desk.until(100)
    assert desk.conditions.active[SUBJECT].seen.keys() == {"change@m", "spe@m"}
    assert desk.conditions.active[SUBJECT].findings.keys() == {"spe@m"}


def test_what_turns_out_to_be_of_one_tag_is_raised_as_its_own():
    """Though that had no condition; what is left stays the model's."""
    desk = Desk()
    desk.at(0, "change@m", up=True, subject="model/m", settle=15)
    desk.at(1, "t2@m", up=True, subject="model/m", settle=15)
    desk.owners = {"change@m": SUBJECT}
    desk.until(100)
    raised = [(e.subject, e.data["detectors"]) for e in desk.told]
    assert sorted(raised) == [("model/m", ["t2@m"]), (SUBJECT, ["change@m"])]


def test_what_is_left_of_a_condition_whose_findings_were_given_away_does_not_stay_open():
    """Another finding of it had gone before: it is over, and no timer would ever clear it."""
    desk = Desk()
    desk.at(0, "t2@m", up=True, subject="model/m", settle=15)
    desk.at(1, "change@m", up=True, subject="model/m", settle=15)
    desk.at(3, "t2@m", up=False, subject="model/m")
    desk.at(8, "spe@m", up=True)
    desk.owners = {"change@m": SUBJECT}
    desk.until(1000)
    assert [(e.subject, e.data["change"]) for e in desk.told] == [(SUBJECT, "raised")]
    assert desk.conditions.active.keys() == {SUBJECT}


def test_what_cleared_early_was_not_waited_for():
    """The way back amid the range ended it after an off-delay: another fault is no chattering."""
    desk = Desk(over=True)
    desk.at(0, "step@m", up=True, linger=480)
    desk.at(10, "step@m", up=False)
    desk.at(1000, "spe@m", up=True)
    desk.over = False
    desk.at(1010, "spe@m", up=False)
    desk.until(2000)
    assert [second for second, change in desk.changes() if change == "cleared"] == [70, 1070]


def test_bad_quality_settles_for_longer_than_one_bad_sample_takes_to_clear():
    """One bad sample clears after three good ones: it must not have raised an alarm before."""
    desk = Desk()
    desk.at(10, "bad", up=True)
    desk.at(13, "bad", up=False)
    desk.until(1000)
    assert desk.told == []
    assert SUBJECT not in desk.conditions.active


def test_the_quickest_finding_sets_the_delay():
    """A tag that is missing is told as soon as missing data may be, whatever came first."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(11, "missing", up=True)
    desk.until(100)
    assert desk.changes()[0] == (13, "raised")


def test_what_clears_before_the_on_delay_raises_nothing():
    """A pending condition whose finding goes is forgotten after the off-delay."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(15, "level@m", up=False)
    desk.until(75)
    assert SUBJECT in desk.conditions.active
    desk.until(75.1)
    assert SUBJECT not in desk.conditions.active
    assert desk.told == []


def test_a_condition_clears_after_the_off_delay():
    """It clears once no finding has been active for the off-delay, at that very time."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(50, "level@m", up=False)
    desk.until(10_000)
    assert desk.changes() == [(16, "raised"), (50 + OFF, "cleared")]


def test_a_finding_that_comes_back_starts_the_off_delay_again():
    """A timer of an earlier quiet stretch does not end a later one early."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(50, "level@m", up=False)
    desk.at(70, "level@m", up=True)
    desk.at(80, "level@m", up=False)
    desk.until(10_000)
    assert desk.changes() == [(16, "raised"), (80 + OFF, "cleared")]


def test_all_findings_must_go():
    """One detector that clears while another still sees the fault clears nothing."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(11, "range@m", up=True)
    desk.at(20, "level@m", up=False)
    desk.until(500)
    assert [change for _, change in desk.changes()] == ["raised"]
    desk.at(500, "range@m", up=False)
    desk.until(1000)
    assert desk.changes()[-1] == (500 + OFF, "cleared")


@pytest.mark.parametrize("detector", ["spike@m", "rate@m"])
def test_a_momentary_finding_counts_for_the_settling_time(detector):
    """A spike has gone before its delay is over, and is told all the same."""
    desk = Desk()
    desk.at(10, detector, up=True)
    desk.at(11, detector, up=False)
    desk.until(10_000)
    assert desk.changes() == [(16, "raised"), (11 + OFF, "cleared")]


def test_a_finding_cleared_that_was_never_raised_is_nothing():
    """Clearing what is not there makes no condition."""
    desk = Desk()
    desk.at(10, "level@m", up=False)
    assert not desk.conditions.active
    desk.at(11, "level@m", up=True)
    desk.at(12, "range@m", up=False)
    desk.until(100)
    assert desk.changes() == [(17, "raised")]


@pytest.mark.parametrize(
    ("over_at", "cleared"), [(0, 80), (79, 80), (81, 140), (139, 140), (205, 220), (1000, 220)]
)
def test_what_may_come_back_is_waited_for_until_it_is_seen_to_be_over(over_at, cleared):
    """A step lingers 200 intervals; at each off-delay it is looked at whether that is needed."""
    desk = Desk()
    desk.at(10, "step@m", up=True, linger=200)
    desk.at(20, "step@m", up=False)
    desk.until(over_at)
    desk.over = True
    desk.until(2_000)
    assert desk.changes() == [(16, "raised"), (cleared, "cleared")]


def test_a_finding_that_comes_again_starts_the_wait_anew():
    """Timers of the wait before clear nothing, whatever they find."""
    desk = Desk(over=True)
    desk.at(10, "step@m", up=True, linger=200)
    desk.at(20, "step@m", up=False)
    desk.at(70, "level@m", up=True)
    desk.at(75, "level@m", up=False)
    desk.until(2_000)
    assert desk.changes() == [(16, "raised"), (135, "cleared")]


@pytest.mark.parametrize(("step_at", "raised_again"), [(250, False), (310, True)])
@pytest.mark.parametrize("snapshot", [False, True])
def test_the_way_back_from_what_cleared_opens_nothing(step_at, raised_again, snapshot):
    """A chart that compares with 200 s before sees, from 100 s on, a fault that ended then."""
    desk = Desk()
    desk.at(0, "range@m", up=True)
    desk.at(100, "range@m", up=False)
    desk.until(200)
    assert [change for _, change in desk.changes()] == ["raised", "cleared"]
    if snapshot:
        kept = json.loads(json.dumps(desk.conditions.to_json()))
        desk.conditions.from_json(kept)
    desk.at(step_at, "step@m", up=True, back=200)
    desk.at(step_at + 30, "step@m", up=False)
    desk.until(1000)
    later = [change for second, change in desk.changes() if second > 200]
    assert later == (["raised", "cleared"] if raised_again else [])


def test_the_way_back_counts_where_a_condition_is_open_or_was_of_another_subject():
    """It prolongs what is open; what was mended elsewhere explains nothing here."""
    desk = Desk()
    desk.at(0, "range@m", up=True)
    desk.at(100, "range@m", up=False)
    desk.at(150, "step@m", up=True, back=200)
    desk.at(400, "step@m", up=False)
    desk.until(430)
    assert SUBJECT in desk.conditions.active
    desk.until(461)
    assert SUBJECT not in desk.conditions.active
    desk.at(470, "step@m", up=True, subject="tag/b", back=200)
    assert "tag/b" in desk.conditions.active


@pytest.mark.parametrize(
    ("calm_s", "again"),
    [(120, []), (150, ["raised", "cleared"]), (900, ["raised", "cleared"])],
)
def test_a_mended_fault_does_not_come_back_in_a_chart_that_looks_far_back(calm_s, again):
    """Eight blocks of 32 s see a fault's end after its condition has cleared; a step later counts,
    also where it comes before they have forgotten the fault.

    The step that counts is one of 2, which the range does not see.
    """
    trained = baseline()
    step = {"block": 32, "sides": 4, "limit": 1.2, "hold": 1, "gap_ns": 2 * SECOND}
    mode = trained.modes[0]
    charts = {"range": mode.inputs[0].detectors["range"], "step": step}
    inputs = tuple(replace(item, detectors=charts) for item in mode.inputs)
    engine = Engine(spec(trained=replace(trained, modes=(replace(mode, inputs=inputs),))))
    values = normal(2800)
    values[300:606, 0] += 12.0
    if again:
        values[600 + calm_s :, 0] += 2.0
    told = engine.step(block(values)).events
    steps = [e for e in told if e.kind == "finding" and e.data["detector"] == "step"]
    cleared = next(
        e.time_ns for e in told if e.kind == "condition" and e.data["change"] == "cleared"
    )
    assert any(e.data["up"] and cleared < e.time_ns < cleared + 300 * SECOND for e in steps)
    changes = [change for change, subject, _ in conditions(told) if subject == "tag/a"]
    assert [c for c in changes if c != "updated"] == ["raised", "cleared", *again]


def test_a_fault_that_was_never_raised_hides_no_step():
    """Nobody was told of it, so it was no condition that has ended."""
    desk = Desk()
    desk.at(0, "range@m", up=True)
    desk.at(2, "range@m", up=False)
    desk.at(150, "step@m", up=True, back=200)
    desk.until(160)
    assert [change for _, change in desk.changes()] == ["raised"]


@pytest.mark.parametrize("snapshot", [False, True])
def test_what_chatters_is_waited_for_twice_as_long_each_time(snapshot):
    """A fault at the limit of what is seen: its condition stays open longer, up to ten minutes."""
    desk = Desk()
    cleared = []
    at = 0.0
    for _ in range(6):
        desk.at(at, "spe@m", up=True)
        desk.at(at + 10, "spe@m", up=False)
        desk.until(at + 700)
        when, change = desk.changes()[-1]
        assert change == "cleared"
        cleared.append(when - at - 10)
        if snapshot:
            desk.conditions.from_json(json.loads(json.dumps(desk.conditions.to_json())))
        at += 500 if len(cleared) == 1 else 1000
    assert cleared == [60, 120, 240, 480, 600, 600]


def test_what_comes_back_after_a_long_while_is_waited_for_as_at_first():
    """More than ten times what it had waited."""
    desk = Desk()
    for at in (0, 681, 1362):
        desk.at(at, "spe@m", up=True)
        desk.at(at + 10, "spe@m", up=False)
        desk.until(at + 680)
    assert [second for second, change in desk.changes() if change == "cleared"] == [70, 751, 1432]


def test_sudden_change_holds_nothing_open_that_is_seen_to_be_over():
    """It follows the way back for hundreds of scans; where nobody sees that, it counts."""
    for over, first, cleared in ((True, "range@m", 90), (False, "range@m", 460),
                                 (False, "change@m", 460)):  # fmt: skip
        desk = Desk(over=over)
        desk.at(10, first, up=True)
        desk.at(12, "change@m", up=True)
        if first != "change@m":
            desk.at(30, first, up=False)
        desk.at(400, "change@m", up=False)
        desk.until(2_000)
        assert desk.changes() == [(16, "raised"), (cleared, "cleared")]


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
    desk.name = named("stuck", 6, "sensor")
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
    desk.name = named("level shift", 2)
    desk.at(17, "rate@m", up=True)
    desk.at(18, "rate@m", up=False)
    desk.until(1000)
    assert desk.changes() == [(16, "raised")]


def test_a_name_of_equal_rank_replaces_only_at_a_review():
    """Drift instead of out of range: when the evidence is looked at again, 6 intervals on."""
    desk = Desk(named("out of trained range", 4))
    desk.at(10, "range@m", up=True)
    desk.until(17)
    desk.name = named("drift", 4)
    desk.at(17, "level@m", up=True)
    desk.until(200)
    assert desk.changes() == [(16, "raised"), (22, "updated")]


@pytest.mark.parametrize("lost", ["source lost", "missing", "bad quality", "out of physical range"])
def test_a_name_that_says_lost_gives_way_when_data_arrive_again(lost):
    """What remains wrong is named as what it is, though that is vaguer."""
    desk = Desk(named(lost, 8, "integration"))
    detector = "missing" if lost in {"source lost", "missing"} else "bad"
    desk.at(10, detector, up=True)
    desk.at(11, "level@m", up=True)
    desk.until(30)
    desk.name = named("level shift", 2)
    desk.at(30, detector, up=False)
    assert desk.changes()[-1] == (30, "updated")
    assert desk.told[-1].data["kind"] == "level shift"


def test_a_silent_tag_whose_values_come_again_bad_is_called_bad():
    """"Missing" is not true of what arrives, although it is the more specific name."""
    desk = Desk(named("missing", 8, "integration"))
    desk.at(10, "missing", up=True)
    desk.at(30, "missing", up=False)
    desk.name = named("bad quality", 7, "sensor")
    desk.at(31, "bad", up=True)
    assert desk.changes() == [(12, "raised"), (31, "updated")]


def test_a_person_reads_no_news_where_only_the_number_changed():
    """The same kind and cause in other words is no update."""
    desk = Desk(Diagnosis("stuck", "sensor", "stuck at 1", "look", 6))
    desk.at(10, "stuck@m", up=True)
    desk.until(17)
    desk.name = Diagnosis("stuck", "sensor", "stuck at 2", "look", 6)
    desk.until(1000)
    assert desk.changes() == [(16, "raised")]


def test_severity_follows_the_cause_and_then_the_rank():
    """What must be mended is high, what is vague is low."""
    made = {}
    for kind, rank, cause in (("stuck", 6, "sensor"), ("unit change", 8, "integration"),
                              ("error", 3, "model"), ("drift", 4, "unknown"),
                              ("relations changed", 3, "process"), ("level shift", 2, "unknown"),
                              ("sudden change", 2, "unknown")):
        made[kind] = severity(Condition("tag/a", [], 1, 1, kind=kind, cause=cause, rank=rank))
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
    desk.name = named("drift", 4)
    desk.until(151)
    assert desk.changes()[-1] == (136, "raised")
    desk.until(153)
    assert desk.changes()[-1] == (152, "updated")


def test_on_timers_of_an_earlier_occurrence_do_not_raise_a_later_one():
    """A pending condition's timer that outlives it must not shorten another one's delay."""
    desk = Desk()
    desk.suppressed = True
    desk.at(10, "missing", up=True)
    desk.at(11, "missing", up=False)
    desk.until(72)
    assert SUBJECT not in desk.conditions.active
    desk.suppressed = False
    desk.at(72, "level@m", up=True)
    desk.until(200)
    assert desk.changes() == [(78, "raised")]


def test_shelving_again_in_a_later_occurrence_prolongs_it():
    """The end that was set first does nothing: the subject is shelved until the later one."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.say(20, "shelve", for_ns=300 * SECOND, by="ann")  # until 320
    desk.at(30, "level@m", up=False)  # cleared at 90
    desk.at(100, "level@m", up=True)
    desk.say(110, "shelve", for_ns=1000 * SECOND, by="ann")
    desk.until(1000)
    assert desk.conditions.active[SUBJECT].state == "shelved"
    desk.until(1111)
    assert desk.changes()[-1] == (1110, "unshelved")


def come_and_gone() -> Desk:
    """Raised at 16, shelved from 20 to 320, cleared at 90."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.say(20, "shelve", for_ns=300 * SECOND, by="ann")
    desk.at(30, "level@m", up=False)
    desk.until(91)
    assert desk.changes()[-1] == (90, "cleared")
    return desk


def test_what_clears_and_comes_back_while_shelved_comes_back_shelved():
    """Until the time is over: then it is active, and people are told."""
    desk = come_and_gone()
    desk.at(100, "level@m", up=True)
    desk.until(110)
    assert desk.changes()[-1] == (106, "raised")
    assert desk.told[-1].data["state"] == "shelved"
    assert desk.conditions.active[SUBJECT].shelved_until_ns == START + 320 * SECOND
    desk.until(321)
    assert desk.changes()[-1] == (320, "unshelved")
    assert desk.conditions.active[SUBJECT].state == "active"


def test_a_shelving_that_ends_while_all_is_well_is_told_and_over():
    """What comes back after it is active from the start; another subject never was shelved."""
    desk = come_and_gone()
    desk.at(200, "level@m", up=True, subject="tag/b")
    desk.until(210)
    assert desk.told[-1].data["state"] == "active"
    desk.until(321)
    assert (desk.told[-1].kind, desk.told[-1].subject) == ("configuration", SUBJECT)
    assert desk.changes()[-1] == (320, "unshelved")
    desk.at(330, "level@m", up=True)
    desk.until(340)
    assert desk.told[-1].data["state"] == "active"
    assert desk.conditions.shelved == {}


def test_a_person_can_end_a_shelving_of_what_has_cleared():
    """Who did it is told once; the end that was set does nothing any more."""
    desk = come_and_gone()
    desk.say(100, "unshelve", by="bob")
    assert desk.told[-1].data["by"] == "bob"
    count = len(desk.told)
    desk.say(101, "unshelve", by="bob")
    desk.until(1000)
    assert len(desk.told) == count
    desk.at(1010, "level@m", up=True)
    desk.until(1020)
    assert desk.told[-1].data["state"] == "active"


@pytest.mark.parametrize("ended", [{"by": "bob"}, {}])
def test_the_end_of_a_shelving_is_told_of_what_was_acknowledged_meanwhile(ended):
    """It stays acknowledged; without the event nobody would know that it would alarm again."""
    desk = Desk()
    desk.at(10, "level", up=True)
    desk.until(20)
    desk.say(20, "shelve", for_ns=300 * SECOND, by="ann")
    desk.say(30, "acknowledge", by="ann")
    if ended:
        desk.say(100, "unshelve", **ended)
    desk.until(1000)
    assert desk.changes()[-1] == (100 if ended else 320, "unshelved")
    assert desk.told[-1].data["state"] == "acknowledged"
    assert desk.conditions.shelved == {}


@pytest.mark.parametrize("kind", ["acknowledge", "shelve"])
def test_a_command_about_one_occurrence_leaves_the_next_one_alone(kind):
    """Between a person's look and the command that one cleared, and another was raised."""
    desk = Desk()
    desk.at(10, "level", up=True)
    desk.until(20)
    seen = desk.conditions.active[SUBJECT].id
    desk.at(30, "level", up=False)
    desk.at(100, "level", up=True)
    desk.until(110)
    desk.say(110, kind, id=seen, by="ann", for_ns=SECOND)
    assert desk.changes()[-1][1] == "raised"
    assert desk.conditions.active[SUBJECT].state == "active"
    desk.say(111, kind, id=desk.conditions.active[SUBJECT].id, by="ann", for_ns=SECOND)
    assert desk.conditions.active[SUBJECT].state == f"{kind}d"


def test_a_shelving_outlasts_a_snapshot_and_time_away():
    """Taken while all is well: it comes back shelved, and ends at the time that was said."""
    desk = come_and_gone()
    again = Desk()
    again.conditions.from_json(json.loads(json.dumps(desk.conditions.to_json())))
    assert again.conditions.to_json() == desk.conditions.to_json()
    again.conditions.pause(START + 95 * SECOND, START + 200 * SECOND)
    again.at(210, "level@m", up=True)
    again.until(1000)
    assert again.changes() == [(216, "raised"), (320, "unshelved")]


def test_nothing_is_left_behind():
    """Timers end: a subject that comes and goes for ever does not fill the memory."""
    desk = Desk()
    for round_ in range(200):
        desk.at(100 * round_ + 10, "level@m", up=True)
        desk.at(100 * round_ + 20, "level@m", up=False)
    assert len(desk.conditions._timers) < 60


def test_a_snapshot_that_knows_no_shelvings_has_those_of_its_conditions():
    """Of an agent from before they outlasted occurrences."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.say(20, "shelve", for_ns=300 * SECOND)
    old = json.loads(json.dumps(desk.conditions.to_json()))
    del old["shelved"]
    again = Desk()
    again.conditions.from_json(old)
    assert again.conditions.to_json() == desk.conditions.to_json()


# --- suppression ------------------------------------------------------------------------------


def test_a_suppressed_condition_is_not_raised_until_it_is_its_own():
    """While its source is lost a silent tag says nothing; if it stays silent after, it does."""
    desk = Desk(suppressed=True)
    desk.at(10, "missing", up=True)
    desk.until(100)
    assert desk.told == []
    desk.suppressed = False
    desk.conditions.release([SUBJECT], START + 100 * SECOND)
    desk.until(200)
    assert desk.changes() == [(106, "raised")]


def test_a_tag_that_recovers_with_its_source_is_never_told():
    """Between the source's return and the tag's own nothing is raised."""
    desk = Desk(suppressed=True)
    desk.at(10, "missing", up=True)
    desk.until(100)
    desk.suppressed = False
    desk.conditions.release([SUBJECT], START + 100 * SECOND)
    desk.at(104, "missing", up=False)
    desk.until(1000)
    assert desk.told == []


# --- what lasts -------------------------------------------------------------------------------


def test_conditions_and_their_timers_survive_a_snapshot():
    """After a round trip through JSON everything due comes due."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(12, "spike@m", up=True, subject="tag/b")
    desk.at(13, "spike@m", up=False, subject="tag/b")
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
        (16, "raised"), (20, "shelved"), (70, "unshelved"), (1090, "cleared")
    ]


def test_findings_of_detectors_that_start_anew_are_forgotten():
    """What nobody will ever clear is dropped; the condition then clears in its time."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.at(11, "missing", up=True)
    desk.until(20)
    desk.conditions.forget(lambda _, key: key.endswith("@m"), START + 20 * SECOND)
    assert desk.conditions.active[SUBJECT].findings.keys() == {"missing"}
    desk.at(30, "missing", up=False)
    desk.until(1000)
    assert desk.changes()[-1] == (90, "cleared")


# --- through the engine -----------------------------------------------------------------------


def raised(events: list[Event]) -> list[tuple[str, str]]:
    return [(subject, kind) for change, subject, kind in conditions(events) if change == "raised"]


def test_a_whole_source_that_falls_silent_is_one_alarm_and_recovers():
    """Two tags of source two stop together: one condition, of the source; all clears by itself."""
    values = normal(300)
    values[60:90, 1:] = np.nan
    events = events_of(Engine(spec()), [block(values)])
    assert raised(events) == [("source/two", "source lost")]
    assert conditions(events)[-1] == ("cleared", "source/two", "source lost")
    assert verdicts(events) == ["trusted", *["unassessable"] * 3, "trusted"]


def test_a_whole_source_that_sends_bad_values_only_is_one_alarm():
    """Connected, and every tag bad: the source's condition, not one a tag."""
    quality = np.zeros((300, 3), np.uint16)
    quality[60:90, 1:] = Quality.BAD
    events = events_of(Engine(spec()), [block(normal(300), quality=quality)])
    assert raised(events) == [("source/two", "source lost")]


def test_the_tags_of_a_source_lost_one_after_the_other_are_still_one_alarm():
    """A device that dies tag by tag within the delay is one fault."""
    values = normal(300)
    values[60:, 1] = np.nan
    values[61:, 2] = np.nan
    events = events_of(Engine(spec()), [block(values)])
    assert raised(events) == [("source/two", "source lost")]


def test_one_tag_of_a_source_that_falls_silent_is_the_tags_own():
    """The other tag lives, so the source does."""
    values = normal(300)
    values[60:100, 2] = np.nan
    events = events_of(Engine(spec()), [block(values)])
    assert raised(events) == [("tag/c", "missing")]
    assert conditions(events)[-1][0] == "cleared"


def test_a_tag_that_stays_away_when_its_source_is_back_is_told():
    """After the source's recovery the tag that did not come with it has its own alarm."""
    values = normal(400)
    values[60:90, 1:] = np.nan
    values[90:, 2] = np.nan
    events = events_of(Engine(spec()), [block(values)])
    assert raised(events) == [("source/two", "source lost"), ("tag/c", "missing")]


def test_a_failed_connection_and_silence_are_one_alarm():
    """The source says that it failed, then its tags fall silent: nothing new is raised."""
    engine = Engine(spec())
    values = normal(60)
    events = events_of(engine, [block(values)])
    failed = command(60, "source_state", sequence=2, source="two", state="failed", reason="gone")
    events += engine.step(failed).events
    events += engine.step(samples(
        [(60.1, tag, np.nan, Quality.COMMUNICATION_LOST) for tag in "bc"], sequence=3, sealed=60.2
    )).events
    more = normal(60, 2)
    more[:, 1:] = np.nan
    events += events_of(engine, [block(more, start=61, sequence=4)])
    assert raised(events) == [("source/two", "source lost")]


def test_a_source_lost_with_one_tag_is_one_alarm():
    """A source of a single tag: its failure is told once, by the source."""
    engine = Engine(spec())
    events = events_of(engine, [block(normal(60))])
    failed = command(60, "source_state", sequence=2, source="one", state="failed", reason="gone")
    events += engine.step(failed).events
    more = normal(60, 2)
    more[:, 0] = np.nan
    events += events_of(engine, [block(more, start=60, sequence=3)])
    assert raised(events) == [("source/one", "source lost")]


def test_a_fault_before_the_loss_keeps_its_condition():
    """A stuck tag whose source is then lost does not become a second alarm."""
    values = normal(300)
    values[60:, 1] = values[60, 1]
    values[120:160, 1:] = np.nan
    events = events_of(Engine(spec()), [block(values)])
    assert raised(events) == [("tag/b", "stuck"), ("source/two", "source lost")]
    assert [e for e in conditions(events) if e[0] == "cleared"] == [
        ("cleared", "source/two", "source lost")
    ]


def test_findings_of_the_same_instant_make_one_verdict():
    """A verdict is said once an instant, however many findings it has."""
    values = normal(120)
    values[60:, :] += 20.0
    events = events_of(Engine(spec()), [block(values)])
    times = [event.time_ns for event in events if event.kind == "verdict"]
    assert len(times) == len(set(times))


def test_what_has_cleared_is_acknowledged_with_the_facts_that_the_command_brings():
    """The fold keeps nothing of the past; it tells the word on that occurrence, and no more."""
    desk = Desk()
    past = {"id": f"{SUBJECT}@7", "text": "level shift", "change": "cleared", "by": "nobody"}
    desk.say(1, "acknowledge", by="ann", false=True, occurrence=past)
    (event,) = desk.told
    assert event.data == {
        "id": f"{SUBJECT}@7", "text": "level shift", "change": "acknowledged", "state": "cleared",
        "by": "ann", "note": "", "false": True,
    }  # fmt: skip
    assert not desk.conditions.active
    desk.say(2, "shelve", by="ann", for_ns=SECOND, occurrence=past)
    desk.say(2, "acknowledge", by="ann", occurrence="no facts")
    assert len(desk.told) == 1
