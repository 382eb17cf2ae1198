"""Central shows each gateway's contract, its open changes with their age, and what is held."""

from __future__ import annotations

import io
import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agent.central.contracts import CHANGES_KEPT, KnownContract
from agent.central.memory import Memory
from agent.central.subscriber import Central
from agent.central.table import table_of
from agent.forward.json_payload import schema
from agent.runtime.contract_told import contract_told
from tests.central.test_subscriber import NOW, T0, S, state, take
from tests.status.fake_changes import change, changes

CONTRACT = {"hash": "5e1f" * 16, "made": "2026-11-29T10:00:00Z"}


def birth(known=(), contract=CONTRACT, **more):
    """What a gateway says of itself, as described."""
    told = contract_told(contract, list(known))
    message = state(**({} if told is None else {"contract": told}), **more)
    jsonschema.Draft202012Validator(schema("state")).validate(json.loads(message))
    return message


def seen(central, now=T0):
    return central.document(now)["gateways"][0]["contract"]


def shown(central, now=T0):
    out = io.StringIO()
    Console(file=out, width=250).print(table_of(central.document(now)))
    return " ".join(out.getvalue().split())


def test_a_birth_tells_the_contract_and_what_is_open_the_worst_first():
    """Hash, open changes, their age and whom they touch, how many tags are held."""
    central = Central()
    take(central, birth(changes(NOW)))
    told = seen(central, T0 + 3600 * S)
    assert told["hash"] == "5e1f" * 16
    assert (told["open_changes"], told["held_tags"]) == (3, 1)
    assert [one["id"] for one in told["changes"]] == ["utilities-3", "line-4", "reactor-5"]
    assert told["changes"][0] == {
        "id": "utilities-3", "source": "utilities", "state": "assessed", "grade": "breaking",
        "hold": "held", "text": "tag cooling.flow: unit was m3/h, is l/min", "tags": 1,
        "models": ["yield", "energy"], "needs": ["integration"],
        "since": "2026-09-21T13:57:20Z", "age_s": 960.0 + 3600.0,
    }  # fmt: skip
    text = shown(central)
    assert "contract 5e1f5e1f5e1f, 3 open changes, the oldest for 16 min, 1 tag held" in text
    assert (
        "change │ assessed │ tag cooling.flow: unit was m3/h, is l/min (utilities-3; for 16 min; "
        "held; models yield, energy; to be approved by integration)"
    ) in text


@pytest.mark.parametrize("over", ["ended", "expired", "approved"])
def test_what_is_over_leaves_the_list(over):
    """The birth is said again, under its number, without it; no event is needed for that."""
    central = Central()
    take(central, birth([change("a-1", "detected", NOW), change("a-2", "detected", NOW)]))
    assert seen(central)["open_changes"] == 2
    left = [change("a-1", over, NOW, ended_ns=NOW), change("a-2", "detected", NOW)]
    take(central, birth(left))
    assert [one["id"] for one in seen(central)["changes"]] == ["a-2"]
    take(central, birth([]))
    assert seen(central)["changes"] == []
    assert "1 open change" not in shown(central) and "contract 5e1f5e1f5e1f" in shown(central)
    take(central, birth(contract=None))
    assert seen(central) is None


def test_an_earlier_run_and_a_lost_link_change_nothing():
    """A birth of a run before, that comes again, is not believed; the will tells of no change."""
    central = Central()
    take(central, birth([], boot=1))
    take(central, birth([change("a-1", "detected", NOW)], boot=2))
    take(central, birth([], boot=1))
    take(central, state(online=False, boot=2, seq=2))
    assert [one["id"] for one in seen(central)["changes"]] == ["a-1"]


def test_it_outlives_a_restart_of_central(tmp_path):
    """Ages go on from when the gateway said it."""
    central, memory = Central(), Memory(tmp_path / "central.sqlite")
    take(central, birth(changes(NOW)))
    memory.save(central)
    memory.close()
    again, memory = Central(), Memory(tmp_path / "central.sqlite")
    memory.restore(again, 9 * S)
    memory.close()
    assert seen(again, 9 * S) == seen(central)
    assert seen(again, 69 * S)["changes"][0]["age_s"] == 1020.0


def test_many_changes_are_counted_and_the_worst_of_them_told():
    """A plant that was rebuilt makes no endless message."""
    many = [change(f"s-{n}", "detected", NOW, hold="would hold") for n in range(300)]
    many.append(change("s-held", "detected", NOW, text="x" * 900))
    central = Central()
    message = birth(many)
    assert len(message) < 20_000
    take(central, message)
    told = seen(central)
    assert (told["open_changes"], len(told["changes"])) == (301, CHANGES_KEPT)
    assert told["changes"][0]["id"] == "s-held"
    assert "and 296 changes more: see --json" in shown(central)


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("hash", "made", "held_tags", "open_changes", "changes")
OF_A_CHANGE = ("id", "source", "state", "hold", "since_ns", "tags", "models", "needs", "text")


@settings(max_examples=60, deadline=None)
@given(
    odd | st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, odd) | {
        "changes": st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(OF_A_CHANGE, odd))),
    })
)  # fmt: skip
def test_whatever_a_gateway_says_is_shown_and_kept(told):
    """It does no harm to the others, and comes back from central's file as it was."""
    central = Central()
    take(central, state(contract=told))
    json.dumps(central.document(T0), allow_nan=False)
    assert "north/gw" in shown(central)
    for one in central.gateways["north", "gw"].contracts.values():
        kept = json.loads(json.dumps(one.to_json(), allow_nan=False))
        assert KnownContract.from_json(kept, one.heard_ns) == one
