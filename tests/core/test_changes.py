"""Changes upstream: what is open, who decided what, and what is held."""

from __future__ import annotations

import json
from dataclasses import replace
from time import process_time
from typing import Any

import pytest

from agent.core.change import text_of
from agent.core.changes import ENDED_KEPT, Changes
from agent.core.spec import EngineSpec, TagSpec
from tests.core import small

SECOND = 10**9
UNIT = {
    "subject": "tag/TI1", "source": "line", "term": "served unit", "was": "degC", "now": "degF",
    "grade": "breaking", "models": ["m"], "text": "TI1: engineering unit was degC, is degF",
}  # fmt: skip
CODE = UNIT | {"term": "served unit_id", "was": 4408652, "now": 4604232,
               "text": "TI1: code of the engineering unit was 4408652, is 4604232"}  # fmt: skip
TYPE = UNIT | {"term": "served data_type", "was": "Float", "now": "Int16", "text": "TI1: type"}
VERSION = {
    "subject": "source/line", "source": "line", "term": "served version", "was": "1", "now": "2",
    "grade": "compatible", "models": ["m"], "text": "source line: version",
}  # fmt: skip
ON = {"change": "line-1"}
BY = {"by": "Ada", "note": "new transmitter"}


def changes() -> Changes:
    tags = tuple(TagSpec(i, name, "line") for i, name in enumerate(("TI1", "TI2")))
    return Changes(EngineSpec(tags, ("line", "other"), ()))


def told(*found: dict[str, Any], hold: str = "hold", compatibility: str = "backward") -> Any:
    return {"source": "line", "how": "interval", "since_ns": 5, "contract": "c",
            "differences": list(found), "hold": hold, "compatibility": compatibility,
            "needs": ["owner", "integration"]}  # fmt: skip


def names(events: Any) -> list[str]:
    return [event.data["change"] for event in events]


def test_a_breaking_difference_is_held_until_reality_is_as_agreed() -> None:
    """A breaking difference is held until reality is as agreed."""
    one = changes()
    assert names(one.command("contract", SECOND, told(UNIT), 7)) == ["detected"]
    assert list(one.holding()) == ["TI1"]
    assert one.known["line-1"].since_ns == 5
    assert one.command("contract", 2 * SECOND, told(UNIT), 8) == []
    ended = one.command("contract", 3 * SECOND, told(), 9)
    assert names(ended) == ["ended"] and ended[0].data["why"] == "reality is as agreed again"
    assert one.holding() == {}


@pytest.mark.parametrize(("hold", "compatibility", "grade", "expected", "open_"), [
    ("report", "backward", "breaking", "would hold", True),
    ("hold", "none", "breaking", "none", True),
    ("hold", "backward", "additive", "", False),
    ("hold", "full", "additive", "none", True),
    ("hold", "full", "breaking", "held", True),
])  # fmt: skip
def test_policy(hold: str, compatibility: str, grade: str, expected: str, open_: bool) -> None:
    """The policy of a source says what is decided on, and what is held."""
    one = changes()
    data = told(UNIT | {"grade": grade}, hold=hold, compatibility=compatibility)
    events = one.command("contract", SECOND, data, 1)
    assert [change.hold for change in one.known.values()] == ([expected] if open_ else [])
    assert names(events) == (["detected"] if open_ else ["noticed"])
    assert bool(one.holding()) == (expected == "held")


def test_what_goes_leaves_its_change_and_what_comes_is_another() -> None:
    """What goes leaves its change and what comes is another."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    other = UNIT | {"subject": "tag/TI2"}
    assert names(one.command("contract", 2 * SECOND, told(UNIT, other), 2)) == ["detected"]
    assert set(one.holding()) == {"TI1", "TI2"}
    assert names(one.command("contract", 3 * SECOND, told(other), 3)) == ["ended"]
    assert set(one.holding()) == {"TI2"}


def test_what_becomes_another_difference_is_the_same_change() -> None:
    """A source that says that something is new, and then what, brings one change, not two."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    one.command("assessed", SECOND, {**ON, "assessment": {"text": "much"}}, 2)
    other = UNIT | {"now": "K", "text": "TI1: engineering unit was degC, is K"}
    assert names(one.command("contract", 2 * SECOND, told(other), 3)) == ["updated"]
    (change,) = one.known.values()
    assert (change.state, change.assessment, change.text) == ("detected", None, other["text"])


def test_both_sides_approve_and_the_map_is_in_force() -> None:
    """Both sides approve and the map is in force."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    part = {"TI1": {"factor": 5 / 9, "offset": -160 / 9}}
    owner = {"change": "line-1", "sides": ["owner"], "map": part, **BY}
    assert names(one.command("approve", 2 * SECOND, owner, 2)) == ["approved by one side"]
    assert set(one.holding()) == {"TI1"} and one.maps() == {}
    assert one.shown()[0]["needs"] == ["integration"]
    other = {"change": "line-1", "sides": ["integration"], **BY}
    assert names(one.command("approve", 3 * SECOND, other, 3)) == ["approved"]
    assert one.holding() == {} and one.maps() == part
    assert one.known["line-1"].in_force_from == 3
    assert one.command("contract", 4 * SECOND, told(UNIT), 4) == []  # no difference any more
    assert names(one.command("revert", 5 * SECOND, {"change": "line-1", **BY}, 5)) == ["reverted"]
    assert set(one.holding()) == {"TI1"} and one.maps() == {}


def test_another_map_makes_approvals_void() -> None:
    """Another map makes approvals void."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    for side, factor in (("owner", 2.0), ("integration", 3.0)):
        part = {"TI1": {"factor": factor}}
        data = {"change": "line-1", "sides": [side], "map": part, **BY}
        one.command("approve", 2 * SECOND, data, 2)
    assert one.shown()[0]["needs"] == ["owner"]


@pytest.mark.parametrize(("left", "why"), [
    ((), "reality is as agreed again"), ((TYPE,), "reality is other than was approved"),
])  # fmt: skip
def test_an_approved_change_ends_where_reality_is_another(left: Any, why: str) -> None:
    """An approved change ends where reality is another."""
    one = changes()
    one.command("contract", SECOND, told(UNIT, TYPE), 1)
    one.command("approve", 2 * SECOND, {**ON, "map": {"TI1": {"factor": 2.0}}, **BY}, 2)
    events = one.command("contract", 3 * SECOND, told(*left), 3)
    assert names(events) == ["ended", "detected"][: 1 + len(left)]
    assert events[0].data["why"] == why and one.maps() == {}
    assert bool(one.holding()) == bool(left)


def test_a_change_that_is_read_otherwise_stands_while_its_differences_go() -> None:
    """A change that is read otherwise stands while its differences go."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    part = {"TI1": {"address": "ns=2;s=New"}}
    one.command("approve", 2 * SECOND, {"change": "line-1", "map": part, **BY}, 2)
    assert one.command("contract", 3 * SECOND, told(), 3) == []
    assert one.maps() == part


def test_a_rejected_change_stays_held_until_reality_is_as_agreed() -> None:
    """A rejected change stays held until reality is as agreed."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    assert names(one.command("reject_change", SECOND, {**ON, **BY}, 2)) == ["rejected"]
    assert set(one.holding()) == {"TI1"}
    assert names(one.command("contract", 3 * SECOND, told(), 3)) == ["ended"]


def test_nobody_decides_without_name_and_reason() -> None:
    """Nobody decides without name and reason."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    for kind in ("approve", "reject_change", "revert"):
        for data in ({"by": "Ada"}, {"note": "why"}):
            assert one.command(kind, SECOND, {"change": "line-1", **data}, 2) == []


def test_a_proposal_that_was_approved_is_in_force_once_it_is_there() -> None:
    """A proposal that was approved is in force once it is there."""
    one = changes()
    one.command("contract", SECOND, told(), 1)
    document = {"source": "line", "differences": [UNIT], "map": {"TI1": {"factor": 2.0}}}
    one.command("propose", 2 * SECOND, {"change": document, "expires_after_ns": 99, **BY}, 2)
    one.command("approve", 2 * SECOND + 1, {**ON, "map": {"TI1": {"factor": 2.0}}, **BY}, 3)
    assert one.maps() == {} and one.next_due_ns > 1 << 60
    assert names(one.command("contract", 3 * SECOND, told(UNIT), 4)) == ["in force"]
    assert one.maps() == {"TI1": {"factor": 2.0}} and one.holding() == {}


def test_a_proposal_expires_and_a_window_begins_and_ends() -> None:
    """A proposal expires and a window begins and ends."""
    one = changes()
    one.command("propose", SECOND, {"change": {"source": "line", "tags": ["TI1"]},
                                    "expires_after_ns": 10, **BY}, 1)  # fmt: skip
    assert one.next_due_ns == SECOND + 10
    assert names(one.fire(SECOND + 10)) == ["expired"]
    window = {"tags": ["TI2"], "from_ns": 2 * SECOND, "until_ns": 3 * SECOND, **BY}
    assert names(one.command("announce", SECOND + 20, window, 2)) == ["announced"]
    assert one.maintained() == {} and one.next_due_ns == 2 * SECOND
    assert names(one.fire(2 * SECOND)) == ["begun"] and set(one.maintained()) == {"TI2"}
    assert names(one.fire(3 * SECOND)) == ["ended"] and one.maintained() == {}


def test_found_in_values() -> None:
    """What values show is a change too, where there is a contract."""
    one = changes()
    assert one.found_in_values(SECOND, "TI1", "unit", 1, {}, None) == []  # no contract
    one.command("contract", SECOND, told(), 1)
    part = {"TI1": {"factor": 2.0}}
    assert names(one.found_in_values(SECOND, "TI1", "unit", 1, {}, part)) == ["detected"]
    assert one.found_in_values(SECOND, "TI1", "unit", 1, {}, part) == []
    assert names(one.found_in_values(2 * SECOND, "TI2", "unit", 1, {}, None)) == ["updated"]
    assert one.holding() == {} and one.known["line-1"].hold == "none"  # a person is asked
    assert one.known["line-1"].suggested == part
    assert names(one.as_agreed("line-1", 4 * SECOND)) == ["ended"] and one.holding() == {}


def test_all_models_that_use_what_values_show_are_named() -> None:
    """Also that of the tag it was exchanged with, whose own charts found nothing yet."""
    plain = small.spec()
    models = tuple(
        replace(plain.models[0], name=name, inputs=(tag,), required=frozenset({tag}))
        for name, tag in (("m", "b"), ("n", "c"), ("o", "a"))
    )
    one = Changes(replace(plain, models=models))
    one.command("contract", SECOND, told() | {"source": "two"}, 1)
    swap = {"b": {"swap_with": "c"}, "c": {"swap_with": "b"}}
    one.found_in_values(SECOND, "b", "swapped tags", 1, {}, swap)
    assert one.known["two-1"].models == ("m", "n")


def test_state_goes_on_also_where_a_tag_is_gone() -> None:
    """State goes on also where a tag is gone."""
    one = changes()
    other = UNIT | {"subject": "tag/TI2"}
    one.command("contract", SECOND, told(UNIT, other, VERSION), 1)
    window = {"tags": ["TI2"], "from_ns": 1, "until_ns": 9 * SECOND, **BY}
    one.command("announce", SECOND, window, 2)
    document = json.loads(json.dumps(one.to_json()))
    again = changes()
    again.from_json(document)
    assert again.to_json() == one.to_json()
    fewer = Changes(EngineSpec((TagSpec(0, "TI1", "line"),), ("line",), ()))
    fewer.from_json(document)
    assert set(fewer.holding()) == {"TI1"} and list(fewer.known) == ["line-1"]
    none = Changes(EngineSpec((), ("other",), ()))
    none.from_json(document)
    assert none.known == {} and none.sources == {}


def test_what_is_over_is_kept_up_to_a_limit() -> None:
    """What is over is kept up to a limit."""
    one = changes()
    for turn in range(2 * ENDED_KEPT + 10):
        one.command("contract", SECOND, told(*[UNIT] * (turn % 2)), turn)
    assert len(one.known) <= ENDED_KEPT + 1


def test_a_map_in_force_outlasts_its_contract() -> None:
    """Made anew with what is served by now, or gone: who converts is told by people alone."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    part = {"TI1": {"factor": 2.0}}
    one.command("approve", 2 * SECOND, {**ON, "map": part, **BY}, 2)
    assert one.command("contract", 3 * SECOND, {**told(), "contract": "other"}, 3) == []
    assert one.command("contract", 4 * SECOND, {**told(), "contract": "other"}, 4) == []
    assert one.maps() == part
    other = UNIT | {"subject": "tag/TI2"}
    one.command("contract", 5 * SECOND, {**told(other), "contract": "other"}, 5)
    ended = one.command("contract", 6 * SECOND, {"source": "line", "contract": ""}, 6)
    assert [event.data["why"] for event in ended] == ["there is no contract any more"]
    assert one.maps() == part and one.holding() == {} and one.sources == {}


OTHER_TAG = UNIT | {"subject": "tag/TI2"}


def test_a_tag_that_is_put_back_is_converted_no_more_though_another_is_read_elsewhere() -> None:
    """Only what is read otherwise is expected to go, and not the unit that it is converted from."""
    one = changes()
    one.command("contract", SECOND, told(UNIT, OTHER_TAG), 1)
    part = {"TI1": {"address": "ns=2;s=New"}, "TI2": {"factor": 0.5}}
    one.command("approve", 2 * SECOND, {**ON, "map": part, **BY}, 2)
    assert one.command("contract", 3 * SECOND, told(OTHER_TAG), 3) == []  # TI1 is read elsewhere
    assert names(one.command("contract", 4 * SECOND, told(), 4)) == ["ended"]
    assert one.maps() == {}
    one = changes()
    one.command("contract", SECOND, told(UNIT, TYPE), 1)
    part = {"TI1": {"data_type": "Int16", "unit": "degF", "factor": 0.5}}
    one.command("approve", 2 * SECOND, {**ON, "map": part, **BY}, 2)
    assert one.command("contract", 3 * SECOND, told(UNIT), 3) == []
    assert names(one.command("contract", 4 * SECOND, told(), 4)) == ["ended"]


def test_what_is_read_as_before_again_is_not_held_for_ever() -> None:
    """Taken back, its differences are expected until the source tells anew."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    part = {"TI1": {"address": "ns=2;s=New"}}
    one.command("approve", 2 * SECOND, {**ON, "map": part, **BY}, 2)
    one.command("contract", 3 * SECOND, told(), 3)
    assert names(one.command("revert", 4 * SECOND, {**ON, **BY}, 4)) == ["reverted"]
    assert set(one.holding()) == {"TI1"}
    assert one.sources["line"]["differences"] == [UNIT]  # so that none is told to be another
    assert names(one.command("contract", 5 * SECOND, told(), 5)) == ["ended"]
    assert one.holding() == {}


@pytest.mark.parametrize("after", [
    {**told(), "contract": "other"}, {"source": "line", "contract": ""},
])  # fmt: skip
def test_a_map_that_is_taken_back_is_over_where_nothing_is_different(after: Any) -> None:
    """The contract agrees to it by now, or is gone: nothing of it would ever end it else."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    one.command("approve", 2 * SECOND, {**ON, "map": {"TI1": {"factor": 2.0}}, **BY}, 2)
    one.command("contract", 3 * SECOND, after, 3)
    (event,) = one.command("revert", 4 * SECOND, {**ON, **BY}, 4)
    assert (event.data["change"], event.data["state"]) == ("reverted", "ended")
    assert one.holding() == {} and one.maps() == {} and not one.known["line-1"].live


def test_a_conversion_is_taken_whole() -> None:
    """A later map of a tag has no offset: the one of an earlier map is not meant."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    first = {"TI1": {"unit": "degF", "factor": 5 / 9, "offset": -160 / 9, "swap_with": "TI2"}}
    one.command("approve", 2 * SECOND, {**ON, "map": first, **BY}, 2)
    one.command("contract", 3 * SECOND, told(UNIT, TYPE), 3)
    second = {"change": "line-2", "map": {"TI1": {"factor": 0.1}}, **BY}
    one.command("approve", 4 * SECOND, second, 4)
    assert one.maps() == {"TI1": {"swap_with": "TI2", "factor": 0.1}}


def test_what_values_show_behind_a_map_is_told_as_a_map_of_what_is_served() -> None:
    """The device was put back unheard: converted by ten, its values ask for a tenth more."""
    one = changes()
    one.command("contract", SECOND, told(), 1)
    first = {"TI1": {"factor": 10.0, "offset": 5.0}, "TI2": {"swap_with": "TI1"}}
    one.found_in_values(SECOND, "TI1", "scale", 1, {}, first)
    one.command("approve", 2 * SECOND, {**ON, "map": first, **BY}, 2)
    again = {"TI1": {"factor": 0.1, "offset": -0.5}, "TI2": {"swap_with": "TI1"}}
    one.found_in_values(3 * SECOND, "TI1", "scale", 1, {}, again)
    assert one.known["line-2"].suggested == {"TI1": {"factor": 1.0, "offset": 0.0}}


def test_what_one_side_approved_is_void_where_less_is_there() -> None:
    """A tag that was put back meanwhile is not converted by the other side's word."""
    one = changes()
    one.command("contract", SECOND, told(UNIT, OTHER_TAG), 1)
    part = {"TI1": {"factor": 0.5}, "TI2": {"factor": 0.5}}
    one.command("approve", 2 * SECOND, {**ON, "sides": ["owner"], "map": part, **BY}, 2)
    one.command("contract", 3 * SECOND, told(UNIT), 3)
    one.command("approve", 4 * SECOND, {**ON, "sides": ["integration"], **BY}, 4)
    assert one.maps() == {} and set(one.holding()) == {"TI1"}


def test_what_was_proposed_comes_in_parts() -> None:
    """Each part is held until all of it is there; then the map is in force, and nothing is held."""
    one = changes()
    one.command("contract", SECOND, told(), 1)
    part = {"TI1": {"factor": 0.5}, "TI2": {"factor": 0.5}}
    document = {"source": "line", "differences": [UNIT, OTHER_TAG], "map": part}
    one.command("propose", 2 * SECOND, {"change": document, "expires_after_ns": 99, **BY}, 2)
    one.command("approve", 2 * SECOND, {**ON, "map": part, **BY}, 3)
    one.command("contract", 3 * SECOND, told(UNIT), 4)
    assert set(one.holding()) == {"TI1"} and one.maps() == {}
    came = one.command("contract", 4 * SECOND, told(UNIT, OTHER_TAG), 5)
    assert names(came)[-2:] == ["in force", "ended"]
    assert one.holding() == {} and one.maps() == part


def test_the_order_of_keys_and_the_form_of_lists_make_no_other_difference() -> None:
    """After a restart terms are of JSON; a map in force stays."""
    one = changes()
    keys = UNIT | {"term": "served keys", "now": {"/a": "number", "/b": (1.0, 2.0)}}
    one.command("contract", SECOND, told(keys), 1)
    one.command("approve", SECOND, {**ON, "map": {"TI1": {"factor": 2.0}}, **BY}, 2)
    again = changes()
    again.from_json(json.loads(json.dumps(one.to_json())))
    turned = keys | {"now": {"/b": [1.0, 2.0], "/a": "number"}}
    assert again.command("contract", 2 * SECOND, told(turned), 3) == []
    assert again.maps() == {"TI1": {"factor": 2.0}}


def test_thousands_of_tags_that_change_one_after_the_other_are_folded_in_time() -> None:
    """What a command costs grows with the differences, not with their square."""
    tags = tuple(TagSpec(i, f"T{i}", "line") for i in range(3_000))
    one = Changes(EngineSpec(tags, ("line",), ()))
    found = [UNIT | {"subject": f"tag/T{i}"} for i in range(3_000)]
    one.command("contract", SECOND, told(*found[:1_500]), 1)
    began = process_time()
    one.command("contract", SECOND, told(*found), 2)
    assert process_time() - began < 1.0  # 0.05 s; every tag beside every tag takes 5 s
    assert len(one.holding()) == 3_000


def test_what_one_side_approved_is_void_where_values_show_more() -> None:
    """Another tag that joins a change is approved by nobody, whoever approved the first."""
    one = changes()
    one.command("contract", SECOND, told(), 1)
    one.found_in_values(2 * SECOND, "TI1", "unit or scale changed", SECOND, {}, {"TI1": {}})
    part = {"TI1": {"factor": 0.5}, "TI2": {"factor": 0.5}}
    one.command("approve", 3 * SECOND, {**ON, "sides": ["owner"], "map": part, **BY}, 2)
    one.found_in_values(4 * SECOND, "TI2", "unit or scale changed", SECOND, {}, {"TI2": {}})
    assert one.known["line-1"].tags == ("TI1", "TI2")
    assert one.shown()[0]["needs"] == ["owner", "integration"] and one.maps() == {}


def test_an_approval_is_of_what_was_seen() -> None:
    """A change that has grown since somebody looked at it is another revision of it."""
    one = changes()
    one.command("contract", SECOND, told(UNIT), 1)
    seen = one.shown()[0]["revision"]
    one.command("contract", SECOND, told(UNIT, TYPE), 2)
    now = one.shown()[0]["revision"]
    assert now != seen
    assert one.command("approve", 2 * SECOND, {**ON, "revision": seen, **BY}, 3) == []
    assert set(one.holding()) == {"TI1"}
    events = one.command("approve", 2 * SECOND, {**ON, "revision": now, **BY}, 4)
    assert names(events) == ["approved"] and one.holding() == {}


def test_the_revision_is_of_what_is_different_and_not_of_when_or_whose() -> None:
    """Time, assessments and approvals leave it; the order of differences does, too."""
    first, other = changes(), changes()
    first.command("contract", SECOND, told(UNIT, TYPE), 1)
    other.command("contract", 5 * SECOND, told(TYPE, UNIT), 9)
    other.command("approve", 6 * SECOND, {**ON, "sides": ["owner"], **BY}, 10)
    assert first.shown()[0]["revision"] == other.shown()[0]["revision"]


def test_a_unit_is_told_once_and_not_by_its_code_as_well():
    """OPC UA tells a unit by name and number; where the number alone changes, it is told."""
    other = CODE | {"subject": "tag/TI2", "text": "TI2: code"}
    assert text_of([UNIT, CODE]) == text_of([CODE, UNIT]) == UNIT["text"]
    assert text_of([CODE]) == CODE["text"]
    assert text_of([UNIT, CODE, other, TYPE]) == f"{UNIT['text']}; TI2: code; TI1: type"
