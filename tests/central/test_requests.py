"""Central shows who is asked to retrain which model, and whose errors grew."""

from __future__ import annotations

import io
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.central.gateway import REQUESTS_KEPT
from agent.central.lives import Place
from agent.central.memory import Memory
from agent.central.requests import ENDED, Request
from agent.central.subscriber import Central
from agent.central.table import table_of
from agent.forward.json_payload import event_message, schema
from agent.types import Event
from tests.central.test_subscriber import NOW, T0, S, sent, state, take, verdict, who


def told(change="requested", became="open", *, at_s=0, model="yield", number=1):
    """An event of the request number `number` of a model, as a gateway says it."""
    return {
        "change": change, "id": f"{model}@{number}", "model": model, "state": became,
        "owner": "process data <data@plant.example>", "since_ns": NOW + at_s * S,
        "opened_ns": NOW + at_s * S, "criteria": ["its errors grew: 2.5, 1.2 are allowed"],
        "moved": [], "left_out": [], "text": "its errors grew, since then", "hint": "find out",
    }  # fmt: skip


def event(number, data):
    jsonschema.Draft202012Validator(schema("event-retraining")).validate(data)
    return event_message(number, 0, Event("retraining", NOW, f"model/{data['model']}", data))


def seen(central):
    return central.document(T0)["gateways"][0]


def taken(events, order=None):
    central = Central()
    messages = [sent(event(i, data), i) for i, data in enumerate(events, 1)]
    for place in order or range(len(messages)):
        take(central, messages[place])
    return central


def shown(central):
    out = io.StringIO()
    Console(file=out, width=200).print(table_of(central.document(T0)))
    return " ".join(out.getvalue().split())


STORY = [
    told(at_s=9, model="energy"), told(), told("declared", "declared"),
    told("requested", "open", number=2, model="waste"),
    told("closed", "closed", number=2, model="waste"),
]  # fmt: skip


@given(st.permutations(range(len(STORY))))
def test_requests_that_wait_for_somebody_are_shown_whatever_comes_late(order):
    """With model, since, criteria, owner and state, the oldest first; what has ended is not."""
    gateway = seen(taken(STORY, order))
    assert gateway["open_requests"] == 2
    first, second = gateway["retraining"]
    assert first == {
        "id": "yield@1", "store": "00000001", "model": "yield", "state": "declared",
        "since": "2026-09-21T14:13:20Z", "owner": "process data <data@plant.example>",
        "criteria": ["its errors grew: 2.5, 1.2 are allowed"],
        "text": "its errors grew, since then", "hint": "find out",
    }  # fmt: skip
    assert (second["model"], second["state"]) == ("energy", "open")


def of_trial(became):
    """A trial of the request yield@1, as far as central reads it."""
    return told(became, became) | {"id": "yield:2@7", "request": "yield@1"}


@given(st.permutations(range(3)))
def test_a_request_whose_candidate_serves_waits_for_nobody(order):
    """Its trial was accepted; after a rollback it waits again. In whatever order that arrives."""
    declared, accepted = told("declared", "declared"), of_trial("accepted")
    for last, waiting in ((told(model="energy", became="closed"), []),
                          (of_trial("rolled back"), ["yield@1"])):  # fmt: skip
        central, story = Central(), (declared, accepted, last)
        for place in order:
            data = story[place]
            made = Event("retraining", NOW, f"model/{data['model']}", data)
            take(central, sent(event_message(place + 1, 0, made), place + 1))
        assert [one["id"] for one in seen(central)["retraining"]] == waiting


def test_what_central_kept_of_requests_before_is_read():
    """With and without what a trial answers."""
    for data in (told(), of_trial("accepted"), of_trial("in trial")):
        made = Request.told(Place("b", 1), data)
        again = Request.from_json(json.loads(json.dumps(made.to_json())))
        assert (again.state, again.answers, again.open) == (made.state, made.answers, made.open)
    assert Request.from_json(["b", 1, "closed"]).answers == ""
    assert Request.from_json(["b", 1, "open", "m", 1, "o", "t", "h", ["c"]]).model == "m"


@pytest.mark.parametrize("became", sorted(ENDED))
def test_what_has_ended_waits_for_nobody(became):
    """Whatever it came to."""
    data = told("closed", "closed") | {"state": became}
    central = Central()
    take(central, sent(event_message(1, 0, Event("retraining", NOW, "model/yield", told())), 1))
    take(central, sent(event_message(2, 0, Event("retraining", NOW, "model/yield", data)), 2))
    assert seen(central)["retraining"] == []


def test_requests_outlive_a_restart_of_central(tmp_path):
    """They are told once: what was acknowledged does not come again."""
    central, memory = taken(STORY), Memory(tmp_path / "c.db")
    memory.save(central)
    memory.close()
    memory, again = Memory(tmp_path / "c.db"), Central()
    memory.restore(again, T0)
    memory.close()
    assert seen(again)["retraining"] == seen(central)["retraining"] != []
    take(again, sent(event(9, told("closed", "closed")), 9))
    assert [one["model"] for one in seen(again)["retraining"]] == ["energy"]


def test_requests_of_a_store_that_was_replaced_do_not_stay():
    """A gateway on a new disk knows nothing of them, and nobody can decide on them."""
    central = taken([told()])
    assert seen(central)["open_requests"] == 1
    take(central, state(sender=who(store="00000002")))
    assert seen(central)["open_requests"] == 0


def test_requests_are_bounded_and_open_ones_stay_longest():
    """A gateway that talks for years costs so much and no more."""
    central = taken([told(model="first")])
    for number in range(2, REQUESTS_KEPT + 50):
        data = told("closed", "closed", number=number)
        take(central, sent(event(number, data), number))
    (view,) = central.gateways.values()
    assert len(view.requests) == REQUESTS_KEPT
    assert [one["model"] for one in seen(central)["retraining"]] == ["first"]


@pytest.mark.parametrize("more", [{"criteria": 3, "since_ns": "then"}, {"owner": None}])
def test_a_request_with_odd_facts_still_counts(more):
    """What can not be shown is left out."""
    central = Central()
    data = told() | more
    take(central, sent(event_message(1, 0, Event("retraining", NOW, "model/yield", data)), 1))
    assert seen(central)["open_requests"] == 1
    assert "yield" in shown(central)


def test_a_trial_is_shown_until_it_is_over():
    """It is a row of its own, by what it says: its criteria are not those of a request."""
    trial = told("in trial", "in trial", number=2) | {
        "criteria": {"lasts_ns": 5}, "text": "version 2 beside 1: 40 labels more",
        "request": "yield@1",
    }  # fmt: skip
    central = Central()
    take(central, sent(event_message(1, 0, Event("retraining", NOW, "model/yield", trial)), 1))
    assert "retraining │ in trial │ yield: version 2 beside 1: 40 labels more" in shown(central)
    over = trial | {"change": "accepted", "state": "accepted"}
    take(central, sent(event_message(2, 0, Event("retraining", NOW, "model/yield", over)), 2))
    assert seen(central)["open_requests"] == 0


def error(output, **more):
    return {
        "output": output, "loss": "absolute", "labels": 143, "recent_loss": 0.82,
        "recent_labels": 20, "expected_loss": 0.5, "raised": False, "not_assessed": "",
        "estimated": {"loss": 0.5, "low": 0.4, "high": 0.6}, **more,
    }  # fmt: skip


def test_errors_that_grew_and_labels_that_stopped_are_shown_under_their_gateway():
    """As the verdict told last; an output that errs as trained has no line."""
    central = Central()
    errors = [
        error("a"), error("b", not_assessed="b is not assessed since 14:00 (UTC): lab stopped"),
        error("c", raised=True),
    ]  # fmt: skip
    message = verdict("untrusted", "yield", errors=errors)
    take(central, sent(message, 1))
    gateway = seen(central)
    assert [(one["output"], one["model"]) for one in gateway["errors"]] == [
        ("c", "yield"), ("b", "yield")
    ]
    text = shown(central)
    assert "errors │ grew │ yield: c: mean loss (absolute) 0.82 over the latest 20 of" in text
    assert "errors │ no labels │ yield: b is not assessed since 14:00" in text
    assert "yield: a" not in text


@pytest.mark.parametrize("errors", [
    None, 3, ["x"], [{"raised": True}], [{"raised": True, "labels": "x", "recent_loss": [1]}],
])
def test_a_verdict_with_odd_errors_is_still_one(errors):
    """Older gateways say nothing of them."""
    central = Central()
    take(central, sent(verdict("trusted", "yield", errors=errors), 1))
    assert seen(central)["models"][0]["verdict"] == "trusted"
    assert "yield" in shown(central)


def test_the_table_says_who_is_asked_and_counts_the_rest():
    """Criteria, since when, the owner and the id, with which the command is typed."""
    text = shown(taken(STORY))
    assert (
        "retraining │ declared │ yield: its errors grew: 2.5, 1.2 are allowed (since "
        "2026-09-21T14:13:20Z; for process data <data@plant.example>; yield@1)"
    ) in text
    many = taken([told(model=f"m{i}", number=i) for i in range(8)])
    assert "and 3 requests more" in shown(many)
    assert json.dumps(many.document(T0))
