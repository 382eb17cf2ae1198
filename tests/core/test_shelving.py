"""Shelving and acknowledgement: of one occurrence, for a time, by a person."""

from __future__ import annotations

import json

import pytest

from agent.core.identity import Subject
from tests.core.desk import SUBJECT, Desk
from tests.core.small import SECOND, START

OTHER = Subject.parse("tag/b")


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
    """Raised at 16, shelved from 20 to 320, cleared at 50."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    desk.say(20, "shelve", for_ns=300 * SECOND, by="ann")
    desk.at(30, "level@m", up=False)
    desk.until(51)
    assert desk.changes()[-1] == (50, "cleared")
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
    desk.at(200, "level@m", up=True, subject=OTHER)
    desk.until(210)
    assert desk.told[-1].data["state"] == "active"
    desk.until(321)
    assert (desk.told[-1].kind, desk.told[-1].subject) == ("configuration", str(SUBJECT))
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


@pytest.mark.parametrize("first", ["acknowledge", "shelve"])
def test_shelving_and_acknowledging_do_not_undo_each_other(first):
    """In either order it is both, and what is unshelved is acknowledged as it was."""
    desk = Desk()
    desk.at(10, "level@m", up=True)
    second = {"acknowledge": "shelve", "shelve": "acknowledge"}[first]
    for at, kind in ((20, first), (21, second)):
        desk.say(at, kind, for_ns=100 * SECOND, by="ann")
    condition = desk.conditions.active[SUBJECT]
    assert (condition.acknowledged, condition.shelved) == (True, True)
    assert desk.told[-1].data["acknowledged"] and desk.told[-1].data["shelved"]
    desk.until(200)
    assert desk.changes()[-1][1] == "unshelved"
    assert (condition.acknowledged, condition.shelved, condition.state) == (
        True, False, "acknowledged"
    )  # fmt: skip


def test_what_is_held_back_says_why():
    """Suppressed by a lost source and out of service are told apart, and from what people did."""
    desk = Desk(held=True)
    desk.at(10, "missing", up=True)
    desk.until(100)
    condition = desk.conditions.active[SUBJECT]
    assert (condition.suppressed, condition.out_of_service, condition.raised) == (
        True, False, False
    )  # fmt: skip
    desk.held, desk.out = False, True
    desk.conditions.refresh([SUBJECT], START + 100 * SECOND)
    desk.until(200)
    assert (condition.suppressed, condition.out_of_service, condition.raised) == (
        False, True, False
    )  # fmt: skip
    desk.out = False
    desk.conditions.refresh([SUBJECT], START + 200 * SECOND)
    desk.until(300)
    assert desk.changes() == [(206, "raised")]
    desk.out = True
    desk.conditions.refresh([SUBJECT], START + 300 * SECOND)
    desk.say(300, "acknowledge", by="ann")
    assert desk.told[-1].data["out_of_service"]
