"""How much a change is: additive, compatible or breaking, term by term."""

from __future__ import annotations

import pytest

from agent.contract import grades
from agent.contract.grades import Change


@pytest.mark.parametrize(
    ("was", "now", "grade"),
    [
        ("Float", "Double", "compatible"), ("Double", "Float", "breaking"),
        ("int16", "int32", "compatible"), ("Int32", "Int16", "breaking"),
        ("int16", "uint32", "breaking"), ("sbyte", "byte", "breaking"),
        ("uint16", "int32", "compatible"), ("uint32", "int32", "breaking"),
        ("float32", "Float", "compatible"), ("UInt32", "Float", "breaking"),
        ("uint16", "int16", "breaking"), ("int16", "uint16", "breaking"),
        ("Int16", "Double", "compatible"), ("Int32", "Float", "breaking"),
        ("Double", "String", "breaking"),
        (None, "Double", "additive"), ("Double", None, "breaking"),
        ("Duration", "Double", "breaking"),
    ],
)  # fmt: skip
def test_a_type_may_only_become_one_that_holds_every_value(was, now, grade):
    """And has fractions where the one before had; what is not known may be anything."""
    assert grades.data_type(Change(was, now)) == grade


@pytest.mark.parametrize(
    ("was", "now", "grade"),
    [
        ("integer", "number", "compatible"), ("number", "integer", "compatible"),
        ("number", "string", "breaking"), ("number", "boolean", "breaking"),
        ("string", "number", "breaking"), (None, "number", "additive"),
        ("number", None, "breaking"),
    ],
)  # fmt: skip
def test_json_knows_one_kind_of_number(was, now, grade):
    """20.0 and 20 are the same to whoever writes it; all else is another type."""
    assert grades.SERVED["json_type"][1](Change(was, now)) == grade


@pytest.mark.parametrize(
    ("now", "grade"),
    [
        ([0.0, 200.0], "compatible"), ([10.0, 60.0], "compatible"), ([20.0, 60.0], "breaking"),
        ([10.0, 59.0], "breaking"), (None, "compatible"), ([5.0], "breaking"),
        (["a", "b"], "breaking"), ([60.0, 10.0], "breaking"),
    ],
)  # fmt: skip
def test_a_range_must_cover_what_was_trained(now, grade):
    """Narrower than before is fine as long as it does."""
    assert grades.value_range(Change([0.0, 100.0], now, (10.0, 60.0))) == grade


def test_without_a_model_a_range_must_cover_the_one_before():
    """Nobody knows what is read of it."""
    assert grades.value_range(Change([0.0, 10.0], [0.0, 20.0])) == "compatible"
    assert grades.value_range(Change([0.0, 10.0], [0.0, 9.0])) == "breaking"


def test_a_unit_may_be_told_for_the_first_time_and_left_out_but_not_be_another():
    """What is not told any more leaves values as they are."""
    assert grades.told_or_not(Change(None, "degC")) == "additive"
    assert grades.told_or_not(Change("degC", None)) == "compatible"
    assert grades.told_or_not(Change("degC", "K")) == "breaking"


def test_a_unit_that_is_spelt_otherwise_is_the_same():
    """Degrees Celsius by any of its names; upper case alone may mean a million times as much."""
    for was, now in (("degC", "°C"), ("m3/h", "m³/h"), ("bar", " bar ")):
        assert grades.SERVED["unit"][1](Change(was, now)) == "compatible"
    for was, now in (("degC", "degF"), ("mW", "MW"), ("mpa", "MPa"), ("degC", "K")):
        assert grades.SERVED["unit"][1](Change(was, now)) == "breaking"
    assert grades.SERVED["unit"][1](Change("degC", None)) == "compatible"


def test_a_server_may_tell_who_it_is_but_not_become_another():
    """And not fall silent about it."""
    assert grades.told_now(Change(None, "urn:a")) == "additive"
    assert grades.told_now(Change("urn:a", "urn:b")) == "breaking"
    assert grades.told_now(Change("urn:a", None)) == "breaking"


def test_scans_may_become_denser_only():
    """A slower source leaves scans without news."""
    assert grades.faster(Change(1.0, 0.5)) == "compatible"
    assert grades.faster(Change(1.0, 2.0)) == "breaking"


@pytest.mark.parametrize(("was", "now", "grade"), [
    (["off", "on"], ["off", "on", "fault"], "additive"), (["off", "on"], ["off"], "breaking"),
    (["off", "on"], ["on", "off"], "breaking"), (None, ["off"], "additive"),
    (["off"], None, "compatible"),
    ({"1": "off", "5": "on"}, {"1": "off", "3": "idle", "5": "on"}, "additive"),
    ({"1": "off", "5": "on"}, {"1": "off", "5": "run"}, "breaking"),
    ({"1": "off", "5": "on"}, {"1": "off"}, "breaking"),
])  # fmt: skip
def test_more_states_are_more_and_others_are_others(was, now, grade):
    """By their place, or by the value that each has."""
    assert grades.SERVED["states"][1](Change(was, now)) == grade
    assert grades.SERVED["state_values"][1](Change(was, now)) == grade


@pytest.mark.parametrize(("was", "now", "grade"), [
    (4408652, 4604232, "breaking"),  # CEL, FAH
    (4408652, None, "compatible"), (None, 4408652, "additive"),
    (7, 4408652, "compatible"), (4408652, 7, "compatible"), (1684367171, 12759107, "compatible"),
])  # fmt: skip
def test_codes_of_units_say_something_where_they_are_of_unece(was, now, grade):
    """A server's own numbers are other ones with the next version of it; the name says the unit."""
    assert grades.SERVED["unit_id"][1](Change(was, now)) == grade
