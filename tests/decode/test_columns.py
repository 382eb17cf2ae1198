"""Scalars, texts as codes, and values that agree with their qualities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.columns import Dictionary, lost, scalar, settle
from agent.types import NOT_USABLE, Quality

UNDEFINED = Quality.BAD | Quality.NOT_A_NUMBER


def number(value):
    return scalar(value, is_text=False, dictionary=Dictionary())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1.0), (True, 1.0), (False, 0.0), (-2.5, -2.5), ("12.5", 12.5), (" -3e2 ", -300.0)],
)
def test_numbers(value, expected):
    """Numbers, truth values, and texts that read as a number."""
    assert number(value) == (expected, 0)


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, object(), b"1", math.nan, math.inf, -math.inf, 10**400, "1e999"),
        *("", "ERROR", "nan", "inf", "1_000", "0x10", "١٢", "1,5", "9" * 65),
    ],
)
def test_what_is_no_number_is_nan_and_bad(value):
    """Anything else in a tag of numbers; never a dictionary code that looks like a measurement."""
    found, quality = number(value)
    assert math.isnan(found) and quality == UNDEFINED


def test_texts_become_codes_in_tags_of_texts():
    """The same text has the same code; numbers in such a tag are texts too."""
    dictionary = Dictionary()
    values = ["running", "stopped", "running", 7, True]
    codes = [scalar(v, is_text=True, dictionary=dictionary) for v in values]
    assert codes == [(1.0, 0), (2.0, 0), (1.0, 0), (3.0, 0), (4.0, 0)]
    assert math.isnan(scalar(None, is_text=True, dictionary=dictionary)[0])


def test_codes_continue_where_the_journal_ended():
    """Known codes stay, new ones come after them, and each new one is told before its use."""
    told = []
    dictionary = Dictionary({"a": 3, "b": 9}, on_new=lambda c, t: told.append((c, t)) or True)
    assert [dictionary.code(t) for t in ("b", "c", "a", "c", "d")] == [9, 10, 3, 10, 11]
    assert told == [(10, "c"), (11, "d")]


def test_a_code_that_could_not_be_journaled_is_not_used():
    """Refused by the intake: no code, and the next try may get one."""
    answers = iter([False, True])
    dictionary = Dictionary(on_new=lambda _code, _text: next(answers))
    assert dictionary.code("a") is None
    assert dictionary.code("a") == 1


def test_the_dictionary_has_limits():
    """A device that sends ever new or endless texts fills nothing."""
    dictionary = Dictionary(limit=2, max_chars=3)
    assert [dictionary.code(t) for t in ("a", "long", "b", "c", "a")] == [1, None, 2, None, 1]
    value, quality = scalar("c", is_text=True, dictionary=dictionary)
    assert math.isnan(value) and quality == Quality.BAD


def test_texts_can_always_be_stored():
    """A lone surrogate, which JSON can carry, is replaced."""
    told = []
    dictionary = Dictionary(on_new=lambda _code, text: told.append(text) or True)
    assert dictionary.code("a\ud800") == dictionary.code("a?")
    assert told == ["a?"]


@given(st.lists(st.tuples(st.floats(), st.sampled_from([0, 1, 2, 3, 16, 17]))))
def test_settled_columns_agree(pairs):
    """After `settle`: usable means finite, and NaN means not usable; other bits stay."""
    value = np.array([v for v, _ in pairs], np.float64)
    quality = np.array([q for _, q in pairs], np.uint16)
    before = value.copy(), quality.copy()
    settle(value, quality)
    usable = (quality & NOT_USABLE) == 0
    assert np.array_equal(usable, np.isfinite(value))
    assert np.array_equal(value[usable], before[0][usable])
    assert np.array_equal(quality & before[1], before[1])


def test_lost_is_one_sample_a_tag():
    """Communication lost: NaN, no source time, exactly that bit."""
    samples = lost(np.array([4, 7], np.int32))
    assert samples.tag.tolist() == [4, 7] and np.isnan(samples.value).all()
    assert samples.quality.tolist() == [Quality.COMMUNICATION_LOST] * 2
    assert samples.source_ns.tolist() == [0, 0]
