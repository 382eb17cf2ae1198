"""Through the engine: what happens together is one alarm, and one verdict."""

from __future__ import annotations

import numpy as np

from agent.core.engine import Engine
from agent.types import Event, Quality
from tests.core.desk import SUBJECT, Desk
from tests.core.small import (
    SECOND,
    block,
    command,
    conditions,
    events_of,
    normal,
    samples,
    spec,
    verdicts,
)


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
        "acknowledged": True, "active": False, "by": "ann", "note": "", "false": True,
    }  # fmt: skip
    assert not desk.conditions.active
    desk.say(2, "shelve", by="ann", for_ns=SECOND, occurrence=past)
    desk.say(2, "acknowledge", by="ann", occurrence="no facts")
    assert len(desk.told) == 1


def test_a_source_from_which_nothing_is_read_is_no_alarm():
    """Nobody misses it: that it failed is an event, and no condition."""
    whole = spec()
    engine = Engine(type(whole)(whole.tags, ("one", "two", "three"), whole.models))
    engine.step(block(normal(20)))
    failed = command(20, "source_state", sequence=2, source="three", state="failed", reason="gone")
    events = [*engine.step(failed).events, *engine.step(samples([], sequence=3, sealed=90)).events]
    assert [event.subject for event in events if event.kind == "source"] == ["source/three"]
    assert not [s for _, s, _ in conditions(events) if s == "source/three"]
