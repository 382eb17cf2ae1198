"""The trace keeps raw values of every kind, NaN and infinities too; its bits are everyone's."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import base, trace


def plain():
    """The module once more, its kernel left as Python."""
    spec = importlib.util.spec_from_file_location("plain_trace", Path(trace.__file__))
    module = importlib.util.module_from_spec(spec)
    before, base.kernel = base.kernel, lambda function: function
    try:
        spec.loader.exec_module(module)
    finally:
        base.kernel = before
    return module.remember


PLAIN = plain()
NANS = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123], np.uint64)
values = st.sampled_from([0.0, -0.0, 1.5, 1e308, -1e308, np.inf, -np.inf]) | st.sampled_from(
    NANS.view(np.float64).tolist()
)


def remembered(remember, value, cuts):
    """All bytes that last, of one row's samples in blocks that end at `cuts`."""
    state = np.zeros(1, trace.STATE)
    fine, coarse, leaps = (np.zeros((1, n)) for n in (trace.FINE, trace.COARSE, trace.COARSE))
    edges = [0, *sorted(cut for cut in set(cuts) if cut < len(value)), len(value)]
    for start, stop in itertools.pairwise(edges):
        part = value[start:stop]
        with np.errstate(all="ignore"):
            remember(
                state, fine, coarse, leaps, np.array([0, len(part)]), 1 << 62,
                np.arange(start, stop), part,
            )  # fmt: skip
    return state.tobytes() + fine.tobytes() + coarse.tobytes() + leaps.tobytes()


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(values, min_size=16, max_size=90), cuts=st.lists(st.integers(1, 90), max_size=4)
)  # fmt: skip
def test_compiled_and_plain_give_the_same_bits(values, cuts):
    """Whatever NaN a sum of them has on this machine: the snapshot holds one."""
    value = np.array(values)
    assert remembered(trace.remember, value, cuts) == remembered(PLAIN, value, [])


def test_a_mean_of_infinities_is_the_one_nan():
    """Not that of the processor, whose sign differs from that of the C library."""
    value = np.array([np.inf, -np.inf] * 8)
    kept = np.frombuffer(remembered(trace.remember, value, []), np.uint64)
    assert NANS[0] in kept
    assert NANS[1] not in kept
