"""Samples in arrival order become tag-major columns, against a stable sort in numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.series import TagMajor
from agent.core.spec import TagSpec
from agent.types import Block, Quality

TAGS = (
    TagSpec(4, "a", "s", physical=(-1.0, 1.0)),
    TagSpec(1, "b", "s"),
    TagSpec(9, "never", "s"),
    TagSpec(6, "c", "s", physical=(0.0, 0.5)),
)
VALUES = [0.0, -0.0, 0.5, 1.0, -1.0, 1.0000001, 1e308, -1e308, np.nan, np.inf, -np.inf, 5e-324]


def block(tags: list[int], values: list[float], seed: int) -> Block:
    rng, n = np.random.default_rng(seed), len(tags)
    arrival = np.cumsum(rng.integers(0, 3, n)).astype(np.int64)
    return Block(
        1, 1 << 40, np.array(tags, np.int32), rng.integers(-9, 9, n), arrival,
        np.array(values, np.float64), rng.integers(0, 1024, n).astype(np.uint16),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    samples=st.lists(st.tuples(st.sampled_from([4, 1, 6, 0, 5, -1, 10, 2**31 - 1, -(2**31)]),
                               st.sampled_from(VALUES)), max_size=60),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_like_a_stable_sort(samples, seed):
    """Each tag in arrival order, unknown tags left out, quality bits added; to the last bit."""
    made = block([tag for tag, _ in samples], [value for _, value in samples], seed)
    series = TagMajor(TAGS).arrange(made)
    indexes = [tag.index for tag in TAGS]
    rows = np.array([indexes.index(t) if t in indexes else -1 for t in made.tag], np.int64)
    order = np.argsort(rows, kind="stable")[int((rows < 0).sum()) :]
    quality = made.quality[order].copy()
    for place, j in enumerate(order):
        low, high = TAGS[rows[j]].physical or (-np.inf, np.inf)
        if not np.isfinite(made.value[j]):
            if not quality[place] & (Quality.BAD | Quality.COMMUNICATION_LOST):
                quality[place] |= Quality.NOT_A_NUMBER
        elif not low <= made.value[j] <= high:
            quality[place] |= Quality.OUT_OF_PHYSICAL
    counts = [int((rows == row).sum()) for row in range(len(TAGS))]
    assert series.starts.tolist() == [0, *np.cumsum(counts).tolist()]
    assert series.arrival.tolist() == made.arrival_ns[order].tolist()
    assert series.source.tolist() == made.source_ns[order].tolist()
    assert series.value.tobytes() == made.value[order].tobytes()
    assert series.quality.tolist() == quality.tolist()
    kinds = {name: getattr(series, name).dtype for name in ("starts", "value", "quality")}
    assert kinds == {"starts": np.int64, "value": np.float64, "quality": np.uint16}


def test_the_block_itself_is_left_alone():
    """Nothing is written to a block: the journal keeps what arrived."""
    made = block([4, 6, 4], [9.0, np.nan, 0.0], 1)
    columns = (made.tag, made.source_ns, made.arrival_ns, made.value, made.quality)
    before = [column.tobytes() for column in columns]
    TagMajor(TAGS).arrange(made)
    assert [column.tobytes() for column in columns] == before
