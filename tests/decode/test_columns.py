"""Scalars, texts as codes, and values that agree with their qualities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.columns import Dictionary, lost, scalar, settle, text_code
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


WRONG = UNDEFINED | Quality.WRONG_TYPE


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (None, UNDEFINED | Quality.NOT_AVAILABLE),
        *((value, UNDEFINED) for value in (math.nan, math.inf, -math.inf, 10**400, "1e999")),
        *((value, WRONG) for value in (
            [], {}, object(), b"1", "", "ERROR", "nan", "inf", "1_000", "0x10", "١٢", "1,5",
            "9" * 65,
        )),
    ],
)  # fmt: skip
def test_what_is_no_number_is_nan_and_bad(value, bits):
    """Anything else in a tag of numbers; never a dictionary code that looks like a measurement."""
    found, quality = number(value)
    assert math.isnan(found) and quality == bits


def test_texts_become_codes_in_tags_of_texts():
    """The same text has the same code; numbers in such a tag are texts too."""
    dictionary = Dictionary()
    values = ["running", "stopped", "running", 7, True]
    codes = [scalar(v, is_text=True, dictionary=dictionary) for v in values]
    texts = ["running", "stopped", "running", "7", "True"]
    assert codes == [(float(text_code(text)), 0) for text in texts]
    assert len(set(codes)) == 4
    assert math.isnan(scalar(None, is_text=True, dictionary=dictionary)[0])


def test_a_text_has_one_code_in_every_store():
    """It follows from the text alone; known ones are not told again, another program's are anew."""
    told = []
    known = {"a": text_code("a"), "b": 9}
    dictionary = Dictionary(known, on_new=lambda c, t: told.append((c, t)) or True)
    codes = [dictionary.code(t) for t in ("b", "a", "b", "c")]
    assert codes == [text_code(t) for t in ("b", "a", "b", "c")]
    assert told == [(text_code("b"), "b"), (text_code("c"), "c")]


@given(st.text(max_size=200))
def test_a_code_survives_as_a_number(text):
    """float64 holds it exactly, whatever the text."""
    code = text_code(text)
    assert 1 <= code <= 2**48 and int(float(code)) == code


def test_a_code_that_could_not_be_journaled_is_not_used():
    """Refused by the intake: no code, and the next try may get one."""
    answers = iter([False, True])
    dictionary = Dictionary(on_new=lambda _code, _text: next(answers))
    assert dictionary.code("a") is None
    assert dictionary.code("a") == text_code("a")


def test_the_dictionary_has_limits():
    """A device that sends ever new or endless texts fills nothing."""
    dictionary = Dictionary(limit=2, max_chars=3)
    a, b = text_code("a"), text_code("b")
    assert [dictionary.code(t) for t in ("a", "long", "b", "c", "a")] == [a, None, b, None, a]
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
