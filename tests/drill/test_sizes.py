"""How large a fault is, in the input's own unit: what is said is what is put in."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from agent.drill.faults import CAUSES, FAULTS, RIGHT, inject, quick_faults, recording
from agent.drill.sizes import size_of
from tests.core.small import SECOND, START, input_baseline

ITEM = replace(
    input_baseline("b", centre=50.0, scale=2.0), unit="bar", noise=0.5, trained=(40.0, 60.0)
)
BY_TEXT = {fault.text: fault for fault in FAULTS}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("bias of 1 sd", "±2 bar (1 sd)"), ("bias of 3 sd", "±6 bar (3 sd)"),
        ("drift of 3 sd over 600 samples", "±6 bar (3 sd) within 10 min"),
        ("spikes of 8 noise", "±4 bar (8 noise)"), ("noise x3", "0.5 becomes 1.5 bar (x3)"),
        ("values x1000", "50 reads 50,000 bar"), ("degC becomes degF", "50 reads 122 bar"),
        ("falls behind, up to 300 samples", "up to 5 min"),
        ("jump within the trained range", "to 45 or 55 bar"),
        ("ramp within the trained range in 30 samples", "to 45 or 55 bar within 30 s"),
        ("no more values", ""), ("stuck at its last value", ""),
    ],
)  # fmt: skip
def test_sizes_are_told_in_engineering_units(fault, text):
    """With the size in standard deviations behind it, by which inputs can be compared."""
    assert size_of(BY_TEXT[fault], ITEM) == text


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.kind in {"bias", "drift", "spikes"}])
def test_what_is_said_is_what_is_put_in(fault):
    """The largest departure from the normal values, to three digits."""
    times = START + np.arange(2_000, dtype=np.int64) * SECOND
    normal = recording(times, np.full((2_000, 1), 50.0))
    faulty = inject(normal, fault, 0, 100, ITEM, np.random.default_rng(1))
    most = float(np.abs(faulty.values - normal.values).max())
    assert float(re.search(r"±([\d.]+)", size_of(fault, ITEM))[1]) == pytest.approx(most, rel=0.01)


def test_every_fault_has_right_names_and_causes():
    """A new kind without them would count as always told wrong, or fail only when it is found."""
    kinds = {fault.kind for fault in FAULTS}
    assert kinds == set(RIGHT) == set(CAUSES)
    assert all(RIGHT[kind] and CAUSES[kind] for kind in kinds)
    assert {fault.kind for fault in quick_faults()} < kinds
