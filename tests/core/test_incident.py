"""Incidents: one fault is one, whatever conditions it brings about."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import identity
from agent.core.condition import Condition
from agent.core.delays import settling_ns
from agent.core.incident import KEPT, REMEMBERED_NS, Incidents, open_incidents

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
SETTLING = 10 * MINUTE


def condition(tag, now, models=("m",)):
    made = Condition(identity.tag(tag), list(models), SECOND, now)
    made.raised_ns, made.occurrence = now, f"tag/{tag}@{now}"
    return made


def joined(incidents, tag, now, models=("m",), open_ones=(), cause="unknown"):
    others = [condition(f"open {number}", 1) for number, _ in enumerate(open_ones)]
    for other, name in zip(others, open_ones, strict=True):
        other.incident = name
    made = condition(tag, now, models)
    made.cause = cause
    return incidents.join(made, others, SETTLING, now)


def test_what_begins_while_a_fault_settles_is_part_of_it():
    """The first one gives the name; each that joins gives the next one time."""
    incidents = Incidents()
    first = joined(incidents, "a", 0)
    assert first == "tag/a@0"
    assert joined(incidents, "b", 9 * MINUTE) == first
    assert joined(incidents, "c", 18 * MINUTE) == first
    assert joined(incidents, "d", 29 * MINUTE, open_ones={first}) != first


def test_what_somebody_must_mend_is_no_part_of_what_goes_on_from_one_to_the_next():
    """It joins while names are not sure yet; later it is another fault. Others still join."""
    incidents = Incidents()
    first = joined(incidents, "a", 0)
    assert joined(incidents, "b", 9 * MINUTE, cause="sensor") == first
    assert joined(incidents, "c", 18 * MINUTE, cause="integration") == f"tag/c@{18 * MINUTE}"
    assert joined(incidents, "d", 18 * MINUTE) == first
    assert joined(incidents, "b", 30 * MINUTE, cause="sensor") == first  # its subject's own


def test_what_outputs_do_brings_about_no_fault_of_an_instrument():
    """An output moved first: a sensor's fault is another incident, what the process does is not."""
    for cause, same in (("sensor", False), ("integration", False), ("process", True)):
        incidents = Incidents(lambda subject: subject.name == "out")
        first = joined(incidents, "out", 0)
        assert (joined(incidents, "a", MINUTE, cause=cause) == first) == same
        assert (joined(incidents, "b", MINUTE, cause=cause) == first) == same


def test_another_models_fault_is_another_incident():
    """But one that concerns both joins the first."""
    incidents = Incidents()
    first = joined(incidents, "a", 0)
    second = joined(incidents, "b", MINUTE, models=("n",))
    assert first != second
    assert joined(incidents, "c", 2 * MINUTE, models=("m", "n")) == first


def test_what_comes_back_within_a_week_continues_its_incident():
    """Counted from when it was last over, not from when it began."""
    incidents = Incidents()
    first = joined(incidents, "a", 0)
    incidents.left(first, 3 * REMEMBERED_NS)
    again = 4 * REMEMBERED_NS
    assert joined(incidents, "a", again) == first
    incidents.left(first, again)
    later = again + REMEMBERED_NS + SECOND
    assert joined(incidents, "a", later) == f"tag/a@{later}"


def test_an_open_incident_is_never_forgotten():
    """However long it is open, and however many came after it."""
    incidents = Incidents()
    first = joined(incidents, "a", 0)
    for number in range(2 * KEPT):
        now = (number + 1) * SETTLING * 2
        joined(incidents, f"t{number}", now, models=(f"m{number}",), open_ones={first})
    assert len(incidents.to_json()) <= KEPT
    assert joined(incidents, "a", 10**18, open_ones={first}) == first


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.sampled_from(["m", "n"])),
        max_size=25,
    ),
    at=st.integers(0, 25), shift=st.integers(-(10**12), 10**12),
)  # fmt: skip
def test_a_snapshot_and_a_set_clock_change_nothing(steps, at, shift):
    """The same conditions join the same incidents."""

    def run(*, cut):
        incidents, now, found, moved = Incidents(), 10**15, [], 0
        for number, (tag, minutes, model) in enumerate(steps):
            if cut and number == at:
                document = json.loads(json.dumps(incidents.to_json()))
                incidents = Incidents()
                incidents.from_json(document)
                incidents.move(shift)
                moved = shift
            now += minutes * MINUTE
            made = condition(tag, now, (model,))
            found.append(incidents.join(made, (), SETTLING, now + moved))
            if number % 3 == 0:
                incidents.left(found[-1], now + moved)
        return found

    assert run(cut=True) == run(cut=False)


def test_what_is_pending_is_in_no_incident():
    """Only what people know of counts."""
    raised, pending = condition("a", 1), Condition(identity.tag("b"), ["m"], SECOND, 1)
    raised.incident = "x"
    assert open_incidents([raised, pending]) == {"x"}


def test_settling_takes_two_minutes_at_least_and_a_day_at_most():
    """In between, 16 times the slowest correlation time."""
    assert settling_ns(0.0) == 2 * MINUTE
    assert settling_ns(60.0 * SECOND) == 16 * MINUTE
    assert settling_ns(1e18) == 1440 * MINUTE


def test_what_was_over_before_is_another_fault():
    """An incident of which no condition stands takes in nothing new a minute later, or 10 scans."""
    for interval_ns, over_ns in ((SECOND, MINUTE), (MINUTE, 10 * MINUTE)):
        incidents = Incidents()
        first = incidents.join(condition("a", 0), (), 100 * MINUTE, 0)
        incidents.left(first, MINUTE)
        for tag, now, same in (("b", MINUTE + over_ns, True), ("c", 2 * MINUTE + over_ns, False)):
            made = condition(tag, now)
            made.interval_ns = interval_ns
            assert (incidents.join(made, (), 100 * MINUTE, now) == first) == same
            incidents.left(first, MINUTE)
