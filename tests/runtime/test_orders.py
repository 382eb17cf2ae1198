"""What a command is about: found by id, by subject, by a bare name; never by a guess."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agent.core.condition import Condition
from agent.errors import FieldwardenError
from agent.runtime.orders import Orders
from agent.runtime.requests import meant

OPEN = ("tag/boiler", "source/boiler", "tag/source/boiler", "tag/flow")


class Desk:
    """An agent of which only what `Orders` looks at is there; commands are committed at once."""

    def __init__(self, past=None, events=()):
        active = {}
        for place, subject in enumerate(OPEN, 1):
            active[subject] = Condition(subject, [], 1, 1, raised_ns=place)
        self.sequence = 7
        self.conditions = SimpleNamespace(active=active, shelved={})
        self.tags = {"flow": None, "a\u00a0b": None}
        self.subjects = {"tag/flow", "tag/a\u00a0b", "tag/level", "source/boiler", "model/yield"}
        self.reader = SimpleNamespace(
            last_occurrence=lambda *_: past, events=lambda **_: list(events) or [self.event]
        )
        self.taken = {}

    def command(self, kind, data, on_commit):
        self.taken = data
        subject = data.get("subject") or f"tag/{data['tag']}"
        changes = {"acknowledge": "acknowledged", "shelve": "shelved"}
        told = {"change": changes.get(kind, kind), "by": data["by"], "id": data.get("id")}
        self.event = {"subject": subject, "data": told}
        on_commit()
        return True


def orders(desk):
    return Orders(desk, desk, desk.reader)


async def order(kind, data, desk=None):
    desk = desk or Desk()
    answer = await orders(desk).carry_out(kind, {**data, "by": "ann"})
    return answer["event"]["subject"], desk.taken.get("id")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("flow", ("tag/flow", "tag/flow@4")),
        ("tag/flow@4", ("tag/flow", "tag/flow@4")),
        ("tag/boiler", ("tag/boiler", "tag/boiler@1")),
        ("source/boiler", ("source/boiler", "source/boiler@2")),
        ("tag/source/boiler", ("tag/source/boiler", "tag/source/boiler@3")),
    ],
)
async def test_a_command_names_the_occurrence_that_is_open(asked, found):
    """So that what clears before it is folded, and comes back, is not what it is about."""
    assert await order("shelve", {"subject": asked, "for_ns": 1}) == found


async def test_a_name_of_two_open_conditions_is_refused():
    """A tag, a source and a model may be called alike; the first found is not the one meant."""
    with pytest.raises(FieldwardenError, match="several") as caught:
        await order("acknowledge", {"subject": "boiler"})
    assert "source/boiler, tag/boiler" in caught.value.hint


async def test_a_tag_is_found_by_its_very_name():
    """Also where that has what is not printable."""
    assert (await order("in_service", {"tag": "a\u00a0b"}))[0] == "tag/a\u00a0b"
    with pytest.raises(FieldwardenError, match="no such tag"):
        await order("in_service", {"tag": "a b"})


async def test_the_event_of_another_occurrence_is_not_the_answer():
    """Two commands of one person on two occurrences may be committed together."""
    past = {"id": "tag/gone@3", "kind": "level shift"}
    events = [
        {"subject": "tag/gone", "data": {"change": "acknowledged", "by": "ann", "id": name}}
        for name in ("tag/gone@1", "tag/gone@3")
    ]
    answer = await orders(Desk(past, events)).carry_out(
        "acknowledge", {"subject": "tag/gone@3", "by": "ann"}
    )
    assert answer["event"] == events[1]
    with pytest.raises(FieldwardenError, match="nothing changed"):
        await order("acknowledge", {"subject": "tag/gone@3"}, Desk(past, events[:1]))


def asking(*states):
    """The requests of models, in these states; the evidence of the first stands."""
    from agent.core.engine import Engine
    from agent.core.retraining_request import Request
    from agent.core.retraining_watch import Counting
    from tests.core import small

    known = Engine(small.spec()).retraining
    for number, state in enumerate(states):
        one = Request(f"m@{number}", "m", "1", "", "", 1, 2, [], [], state=state)
        known.requests[one.id] = one
    known.watch.counting["x"] = Counting("tag/b", "process", ["m"], 1)
    return known


@pytest.mark.parametrize(("states", "kind", "asked", "found"), [
    (["open"], "declare", "m", "m@0"), (["open"], "declare", "model/m", "m@0"),
    (["open"], "close", "m@0", "m@0"), (["declared", "open"], "declare", "m", "m@1"),
    (["declared"], "close", "m", "m@0"),
    (["declared", "open"], "close", "m", "several"), (["open"], "declare", "m@7", "no such"),
    (["declared"], "declare", "m@0", "declared already"), (["open"], "withdraw", "m", "tag/b"),
    ([], "declare", "m", "no such"),
])  # fmt: skip
def test_a_request_is_meant_by_its_id_or_by_its_model(states, kind, asked, found):
    """Where there is one that it can be done with; else it is said what is in the way."""
    known = asking(*states)
    if found.startswith("m@"):
        assert meant(kind, asked, known) == found
        return
    with pytest.raises(FieldwardenError) as caught:
        meant(kind, asked, known)
    assert found in caught.value.cause


@pytest.mark.parametrize(("asked", "cause", "hint"), [
    ("flwo", "no tag, source or model of this name", "did you mean 'flow'?"),
    ("tag/levle", "no tag, source or model of this name", "did you mean 'tag/level'?"),
    ("yeild", "no tag, source or model of this name", "did you mean 'yield'?"),
    ("level", "no condition is open on it", "open are: source/boiler, tag/boiler, tag/flow"),
    ("model/yield", "no condition is open on it", "tag/flow"),
    ("tag/flow@99", "nothing is known of this occurrence", "fieldwarden status"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["acknowledge", "shelve", "unshelve"])
async def test_a_name_that_is_not_there_is_told_from_one_without_alarm(kind, asked, cause, hint):
    """Who mistypes is given the near names; who is right is told what is open."""
    with pytest.raises(FieldwardenError) as caught:
        await order(kind, {"subject": asked})
    assert cause in caught.value.cause and hint in caught.value.hint
