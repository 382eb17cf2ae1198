"""Central counts incidents: conditions of one fault are one, also from gateways that do not say."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.central.incidents import Condition
from agent.central.lives import Place
from agent.central.memory import Memory
from agent.central.rows import _incidents
from agent.central.subscriber import Central
from agent.central.table import table_of
from tests.central.test_subscriber import NOW, T0, S, event, sent, take


def told(name, incident, change="raised", *, at_s=0, model="yield"):
    data = {
        "id": name, "change": change, "text": f"{name} is stuck", "cause": "sensor",
        "raised_ns": NOW + at_s * S, "models": [model],
    }  # fmt: skip
    return data | ({} if incident is None else {"incident": incident})


def seen(central):
    return central.document(T0)["gateways"][0]


def taken(events, order=None):
    central = Central()
    messages = [sent(event(i, "condition", **data), i) for i, data in enumerate(events, 1)]
    for place in order or range(len(messages)):
        take(central, messages[place])
    return central


FAULT = [
    told("tag/a@1", "tag/a@1"), told("tag/b@2", "tag/a@1", at_s=60, model="energy"),
    told("tag/c@3", "tag/a@1", at_s=70), told("source/s@9", "source/s@9", at_s=90),
    told("tag/c@3", "tag/a@1", "cleared", at_s=70),
]  # fmt: skip


@given(st.permutations(range(len(FAULT))))
def test_conditions_of_one_fault_are_one_incident(order):
    """It is told by its first condition, whatever comes late: text, cause, since, models."""
    gateway = seen(taken(FAULT, order))
    assert (gateway["open_incidents"], gateway["open_conditions"]) == (2, 3)
    assert gateway["incidents"] == [
        {"incident": "source/s@9", "store": "00000001", "text": "source/s@9 is stuck",
         "cause": "sensor", "since": "2026-09-21T14:14:50Z", "models": ["yield"],
         "conditions": 1},
        {"incident": "tag/a@1", "store": "00000001", "text": "tag/a@1 is stuck",
         "cause": "sensor", "since": "2026-09-21T14:13:20Z", "models": ["energy", "yield"],
         "conditions": 2},
    ]  # fmt: skip


def test_an_incident_stays_open_until_its_last_condition_clears():
    """Its first may clear before: then the first that is open tells of it."""
    first_over = [*FAULT[:2], told("tag/a@1", "tag/a@1", "cleared")]
    gateway = seen(taken(first_over))
    assert gateway["open_incidents"] == 1
    assert gateway["incidents"][0]["text"] == "tag/b@2 is stuck"
    over = [*first_over, told("tag/b@2", "tag/a@1", "cleared")]
    assert seen(taken(over))["open_incidents"] == 0


@pytest.mark.parametrize("incident", [None, ""])
def test_of_an_older_gateway_each_condition_is_an_incident(incident):
    """It says nothing of incidents: none is lost, and none joined with another."""
    gateway = seen(taken([told("tag/a@1", incident), told("tag/b@2", incident)]))
    assert (gateway["open_incidents"], gateway["open_conditions"]) == (2, 2)
    assert {one["incident"] for one in gateway["incidents"]} == {"tag/a@1", "tag/b@2"}


def test_what_an_earlier_central_wrote_down_is_read():
    """Then a condition was (boot, seq, open) alone."""
    assert Condition.from_json("tag/a@1", [1, 7, True]) == Condition(
        Place(1, 7), open=True, incident="tag/a@1"
    )


@pytest.mark.parametrize("more", [{"models": 3, "raised_ns": "then"}, {"models": None}])
def test_a_condition_with_odd_facts_still_counts(more):
    """What can not be shown is left out."""
    central = Central()
    take(central, sent(event(1, "condition", **(told("tag/a@1", "tag/a@1") | more)), 1))
    assert seen(central)["open_incidents"] == 1
    assert seen(central)["incidents"][0]["models"] == []


def test_incidents_outlive_a_restart_of_central(tmp_path):
    """With all that tells of them."""
    central, memory = taken(FAULT), Memory(tmp_path / "c.db")
    memory.save(central)
    memory.close()
    memory, again = Memory(tmp_path / "c.db"), Central()
    memory.restore(again, T0)
    memory.close()
    assert seen(again)["incidents"] == seen(central)["incidents"]


def test_the_table_has_a_line_for_each_incident_and_counts_the_rest():
    """Beside the gateway stands how many there are, of how many conditions."""
    many = [told(f"tag/{i}@{i}", f"tag/{i}@{i}", at_s=i) for i in range(8)]
    random.Random(1).shuffle(many)
    out = io.StringIO()
    Console(file=out, width=200).print(table_of(taken([*many, *FAULT]).document(T0)))
    text = out.getvalue()
    assert "10 open incidents of 11 conditions" in text
    assert "source/s@9 is stuck (since 2026-09-21T14:14:50Z; yield)" in text
    assert "tag/a@1 is stuck" not in text
    assert "and 5 incidents more" in text
    out = io.StringIO()
    Console(file=out, width=200).print(table_of(taken(FAULT).document(T0)))
    assert "is stuck (since 2026-09-21T14:13:20Z; 2 conditions; energy, yield)" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "models", "row"),
    [
        ("a is stuck, since T1", ["yield"], "a is stuck, since T1 (yield)"),
        ("a is stuck, since T1", [], "a is stuck, since T1"),
        ("a is stuck", ["yield"], "a is stuck (since T2; yield)"),
    ],
)
def test_since_when_is_told_once(text, models, row):
    """A condition's text says it itself, by when the fault began."""
    one = {"text": text, "cause": "sensor", "since": "T2", "conditions": 1, "models": models}
    gateway = {"site": "s", "gateway": "g", "models": [], "incidents": [one], "open_incidents": 1}
    assert _incidents(gateway) == [("  incident", "sensor", row)]
