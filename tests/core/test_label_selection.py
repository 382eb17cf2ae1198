"""Whether labels are a sample of all scans is counted, and told from chance."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.label_selection import LabelSelection

COUNTS = st.lists(st.integers(0, 1000), min_size=8, max_size=8)
SELECTIONS = st.builds(LabelSelection, COUNTS, COUNTS)


def taken(chance, seed: int) -> LabelSelection:
    """5,000 scans, each labelled with a chance that may depend on its bin."""
    rng = np.random.default_rng(seed)
    found = LabelSelection()
    for novelty in rng.integers(0, 8, 5000):
        found.scans[novelty] += 1
        found.labelled[novelty] += int(rng.random() < chance(novelty))
    return found


def test_labels_taken_only_when_something_looks_odd_are_selected():
    """Of 5,000 scans 5 % of the newest, or of the least new; 100 rounds of any are neither."""
    assert taken(lambda novelty: 0.05 * (novelty >= 6), 1).selected == 1
    assert taken(lambda novelty: 0.05 * (novelty < 2), 1).selected == -1
    assert {taken(lambda _: 0.02, seed).selected for seed in range(100)} == {0}
    assert LabelSelection().selected == 0


def test_every_scan_labelled_is_no_selection():
    """The share is 1 and the chance exactly one half."""
    found = taken(lambda _: 1.0, 2)
    assert (found.share, found.newer, found.selected) == (1.0, 0.5, 0)


@given(SELECTIONS, SELECTIONS, SELECTIONS)
def test_counts_add_in_any_order_also_through_json(a, b, c):
    """Windows into longer ones, to the bit."""
    through = LabelSelection.from_json(json.loads(json.dumps(b.merge(c).to_json())))
    assert a.merge(through) == c.merge(a).merge(b)
    assert a.merge(through).newer == c.merge(a).merge(b).newer


@pytest.mark.parametrize("counts", [[1] * 7, [1.0] * 8, [-1] * 8, [True] * 8, None])
def test_counts_of_another_form_are_refused(counts):
    """What comes from elsewhere is checked."""
    with pytest.raises(ValueError, match="selection of labels"):
        LabelSelection.from_json(LabelSelection().to_json() | {"scans": counts})
