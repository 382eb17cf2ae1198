"""Alarms that cleared unseen stay until somebody acknowledges them, and acts keep their names."""

from __future__ import annotations

from agent.runtime.standings import LISTED, Standings
from agent.types import Event


class Stored:
    """A reader of events that are there already, newest first as the store gives them."""

    def __init__(self, *events):
        self._events = [
            {"sequence": i, "position": 0, "kind": e.kind, "time_ns": e.time_ns,
             "subject": e.subject, "data": dict(e.data)}
            for i, e in enumerate(events)
        ]  # fmt: skip

    def events(self, limit, kind):
        return [e for e in reversed(self._events) if e["kind"] == kind][:limit]


def told(change, at, subject="tag/a", raised=1, **more):
    facts = {"id": f"{subject}@{raised}", "change": change, "kind": "stuck", "text": "a is stuck",
             "raised_ns": raised, "acknowledged": False, "models": ["m"]}  # fmt: skip
    return Event("condition", at, subject, facts | more)


def test_what_cleared_unseen_stays_until_it_is_acknowledged():
    """ISA-18.2: returned to normal, unacknowledged; the act ends it, whether before or after."""
    standings = Standings(Stored())
    standings.count([told("raised", 1), told("cleared", 5)])
    (cleared,) = standings.cleared()
    assert (cleared["subject"], cleared["cleared_ns"], cleared["state"]) == ("tag/a", 5, "cleared")
    standings.count([told("acknowledged", 9, by="Mara")])
    assert standings.cleared() == []
    standings.count([told("raised", 11, raised=11), told("cleared", 15, raised=11,
                                                         acknowledged=True)])  # fmt: skip
    assert standings.cleared() == []


def test_a_restart_knows_the_same():
    """All of it comes from the store, in the order in which it was told."""
    events = [
        told("raised", 1), told("cleared", 5), told("raised", 11, raised=11),
        told("shelved", 12, raised=11, by="Ole", note="being changed", shelved_until_ns=99),
    ]  # fmt: skip
    again, live = Standings(Stored(*events)), Standings(Stored())
    live.count(events)
    assert again.cleared() == live.cleared()
    for one in (again, live):
        (act,) = one.acts("tag/a", "tag/a@11")
        assert (act["what"], act["by"], act["note"], act["until_ns"]) == (
            "shelved", "Ole", "being changed", 99,
        )  # fmt: skip


def test_acts_end_with_what_they_were_about():
    """Unshelved and back in service are no acts that stand; an acknowledgement is one alarm's."""
    standings = Standings(Stored())
    standings.count([
        told("acknowledged", 2, by="Mara"), told("shelved", 3, by="Ole"),
        Event("configuration", 4, "tag/a", {"change": "out_of_service", "by": "Kim"}),
    ])  # fmt: skip
    said = [act["what"] for act in standings.acts("tag/a", "tag/a@1")]
    assert said == ["acknowledged", "shelved", "out of service"]
    standings.count([
        told("unshelved", 5), Event("configuration", 6, "tag/a", {"change": "in_service"}),
    ])  # fmt: skip
    assert [act["what"] for act in standings.acts("tag/a", "tag/a@1")] == ["acknowledged"]
    assert standings.acts("tag/a", "tag/a@77") == []


def test_the_list_is_bounded():
    """The oldest go, however often something chatters with nobody there."""
    standings = Standings(Stored())
    standings.count([told("cleared", n, raised=n) for n in range(1, 3 * LISTED)])
    assert len(standings.cleared()) == LISTED
    assert standings.cleared()[0]["raised_ns"] == 3 * LISTED - 1
