"""Figures in texts: as people write them, at every size."""

from __future__ import annotations

import pytest

from agent.core.figures import many, of_width, times


@pytest.mark.parametrize(
    ("beyond", "words"),
    [
        (0.0413, "4.13 % of"), (1.0, "100 % of"), (9.949, "995 % of"), (9.951, "9.95 times"),
        (19.6, "19.6 times"), (99.6, "100 times"), (1960.4, "1,960 times"),
        (3e7, "over 1,000,000 times"), (float("inf"), "over 1,000,000 times"),
    ],
)  # fmt: skip
def test_how_far_beyond_a_range(beyond, words):
    """In percent of the range's width where that is readable, else in widths."""
    assert of_width(beyond, 1.0) == words
    assert of_width(beyond * 0.25, 0.25) == words


@pytest.mark.parametrize("exponent", range(-2, 9))
def test_a_ratio_has_never_an_exponent(exponent):
    """Whatever its size, with few or more digits."""
    for digits in (2, 3):
        for ratio in (1.0, 2.34, 9.96, 9.996):
            assert "e" not in many(ratio * 10.0**exponent, digits).replace("over", "")


def test_how_many_times_it_is_what_it_was():
    """Nothing where that says nothing."""
    assert times(2.3, 1.0) == " (2.3 times)"
    assert times(230.0, 1.0) == " (230 times)"
    assert times(1.0, 0.0) == times(0.0, 1.0) == ""
