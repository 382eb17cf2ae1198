"""What is different between two contracts, whom it touches, and what stays in a file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.contract.differences import differences
from agent.contract.document import (
    Contract,
    ModelTerms,
    SourceTerms,
    TagTerms,
    contract_of,
    text_of,
    without_served,
)
from agent.errors import FieldwardenError

TAG = TagTerms(
    {"address": "holding 0", "unit": "degC"},
    {"data_type": "Float", "range": [0.0, 100.0], "unit": "degC"},
)


def contract(**tags):
    """One source with these tags, and a model `m` that reads `a`, trained on 10 to 60."""
    own = {"a": TAG, "b": TAG} | tags
    source = SourceTerms(
        {"protocol": "opcua", "place": "h:1"}, {"server_uri": "urn:a", "version": "1"},
        {name: terms for name, terms in own.items() if terms is not None},
    )  # fmt: skip
    model = ModelTerms(
        "1", "t <c>", "0" * 64, {"a": {"role": "input", "trained": [10.0, 60.0], "unit": "degC"}}
    )
    return Contract("north", "gw", {"s": source}, {"m": model}, "2026-11-29T00:00:00Z")


def served(**terms):
    """Tag `a` with other terms of its source; None: not told."""
    own = {key: value for key, value in (TAG.served | terms).items() if value is not None}
    return TagTerms(TAG.agreed, own)


def test_nothing_differs_from_itself_nor_by_when_it_was_made():
    """The hash is of the terms alone."""
    later = replace(contract(), made="2027-01-01T00:00:00Z")
    assert differences(contract(), later) == []
    assert later.digest == contract().digest


@pytest.mark.parametrize(
    ("terms", "grade", "term"),
    [
        ({"unit": "K"}, "breaking", "served unit"),
        ({"data_type": "Double"}, "compatible", "served data_type"),
        ({"data_type": "Int16"}, "breaking", "served data_type"),
        ({"range": [0.0, 50.0]}, "breaking", "served range"),
        ({"range": [5.0, 80.0]}, "compatible", "served range"),
        ({"refused": "BadNodeIdUnknown"}, "breaking", "served refused"),
        ({"never_heard_of": 1}, "breaking", "served never_heard_of"),
    ],
)
def test_a_term_of_a_tag_says_how_much_and_whom(terms, grade, term):
    """One difference, with the model that reads the tag; its text has both values."""
    (found,) = differences(contract(), contract(a=served(**terms)))
    assert (found.grade, found.term, found.models) == (grade, term, ("m",))
    assert found.text.startswith("a: ") and " was " in found.text and ", is " in found.text
    json.dumps(found.to_json())


@pytest.mark.parametrize(("told", "grade"), [
    ("degC", "additive"), ("°C", "additive"), ("Celsius", "additive"), ("Wms", "additive"),
    ("degF", "breaking"), ("K", "breaking"), ("bar", "breaking"),
])  # fmt: skip
def test_a_unit_told_first_must_not_contradict_the_agreed_one(told, grade):
    """It was trained in that. Of a unit that nobody knows nothing can be said against it."""
    was = {key: value for key, value in TAG.served.items() if key != "unit"}
    before = contract(a=TagTerms(TAG.agreed, was))
    (found,) = differences(before, contract(a=TagTerms(TAG.agreed, was | {"unit": told})))
    assert (found.grade, found.models) == (grade, ("m",))
    if grade == "breaking":
        assert found.text == f"a: engineering unit was not told, is {told}, and degC was agreed"
    no_unit = {"address": "holding 0"}
    (found,) = differences(contract(a=TagTerms(no_unit, was)),
                           contract(a=TagTerms(no_unit, was | {"unit": told})))  # fmt: skip
    assert found.grade == "additive"


def test_of_a_tag_that_nobody_reads_no_model_is_touched():
    """It is told all the same."""
    (found,) = differences(contract(), contract(b=served(unit="K")))
    assert (found.subject, found.grade, found.models) == ("tag/b", "breaking", ())


def test_tags_come_and_go():
    """A new one is additive; a lost one breaks where a model reads it."""
    found = differences(contract(), contract(a=None, b=None, c=TAG))
    assert {(one.subject, one.grade) for one in found} == {
        ("tag/a", "breaking"), ("tag/b", "compatible"), ("tag/c", "additive"),
    }  # fmt: skip
    assert found[0].grade == "breaking"  # what breaks stands first


def test_another_server_at_the_same_place_touches_all_its_models():
    """A newer version of the same one does not break."""
    was = contract()
    other = replace(was.sources["s"], served={"server_uri": "urn:b", "version": "2"})
    found = differences(was, replace(was, sources={"s": other}))
    assert [(one.term, one.grade, one.models) for one in found] == [
        ("served server_uri", "breaking", ("m",)), ("served version", "compatible", ("m",)),
    ]  # fmt: skip


def test_a_unit_edited_after_fit_is_a_change():
    """Also where the contract has it already: the model was fitted in another one."""
    edited = contract(a=TagTerms({**TAG.agreed, "unit": "K"}, TAG.served))
    assert [one.term for one in differences(contract(), edited)] == ["fitted unit", "unit"]
    (found,) = differences(edited, edited)
    assert found.text == "a: model m was fitted in degC, configured is K"


def test_a_source_that_does_not_answer_differs_in_what_is_agreed_only():
    """What it served is not held against it."""
    was = contract()
    silent = replace(was, sources={"s": replace(was.sources["s"], served={}, tags={
        name: TagTerms(terms.agreed) for name, terms in was.sources["s"].tags.items()
    })})  # fmt: skip
    assert differences(was, silent)
    assert differences(without_served(was, {"s"}), silent) == []


words = st.text('aé\u2028"\\\n €/', max_size=4)
json_terms = st.dictionaries(
    words, st.one_of(st.integers(-(2**53), 2**53), words, st.booleans(),
                     st.floats(allow_nan=False, allow_infinity=False)), max_size=3,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(agreed=json_terms, told=json_terms, name=words)
def test_a_file_holds_any_contract(agreed, told, name):
    """Whatever is in it: read again it is the same, with the same hash."""
    source = SourceTerms(agreed, told, {name: TagTerms(told, agreed)})
    made = Contract(name, "gw", {name: source}, {name: ModelTerms("1", "o", "", {name: told})}, "")
    again = contract_of(text_of(made).encode(), "file")
    assert again == made and again.digest == made.digest


def test_a_file_changed_by_hand_is_no_contract():
    """Nor one cut short, nor one of another version, nor another file."""
    text = text_of(contract())
    for bad in (
        text.replace("degC", "degF"), text[: len(text) // 2], "[]", "{}", "no",
        text.replace('"schema": 1', '"schema": 9'), "[" * 100_000,
    ):  # fmt: skip
        with pytest.raises(FieldwardenError, match="reading the contract"):
            contract_of(bad.encode(), "file")
