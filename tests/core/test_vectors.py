"""Any vector beside training: the same facts as the stream's, without a stream."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.spec import ModelSpec
from agent.core.vectors import Training
from tests.core import small

FARTHEST = 12.0


def baseline(**inputs):
    """Three independent inputs whose squares may add up to `FARTHEST`; `inputs` changes some."""
    made = small.baseline(joint=True)
    joint = {"groups": [{**made.modes[0].joint["groups"][0], "farthest": FARTHEST}]}
    own = tuple(
        dataclasses.replace(item, **inputs.get(item.tag, {})) for item in made.modes[0].inputs
    )
    mode = dataclasses.replace(made.modes[0], joint=joint, inputs=own)
    return dataclasses.replace(made, modes=(mode,))


def training(**inputs):
    tags = small.TAGS
    return Training(ModelSpec("m", "1", small.SECOND, tags, frozenset(tags), baseline(**inputs)), 0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-6, 6), min_size=3, max_size=3))
def test_a_vector_that_lasts_is_judged_as_the_stream_judges_it(vector):
    """Outside or inside, alone or together: the same as the engine says of such scans, and asking
    changes no bit of its state.
    """
    engine = Engine(small.spec(trained=baseline()))
    engine.step(small.block(np.tile(vector, (15, 1))))
    before = small.state_of(engine)
    found = training().compare(np.array([vector]))
    assert small.state_of(engine) == before
    beyond = not found.inside.all() or bool(found.distance[0] > 1.0)
    assert engine.judge.extrapolating(0) == beyond
    held = np.clip(vector, -4.0, 4.0)
    assert found.distance[0] == pytest.approx(float(held @ held) / FARTHEST, abs=1e-6)


def test_what_is_not_known_says_nothing_and_takes_the_joint_distance_with_it():
    """A missing input, and a counter, whose one value tells no rate."""
    found = training().compare(np.array([[1.0, np.nan, 9.0], [1.0, 1.0, 1.0]]))
    assert found.known.tolist() == [[True, False, True], [True] * 3]
    assert found.inside.tolist() == [[True, True, False], [True] * 3]
    assert np.isnan(found.distance[0]) and found.distance[1] == pytest.approx(3 / FARTHEST)
    assert found.whole.tolist() == [False, True]
    counted = training(b={"kind": "totaliser"}).compare(np.array([[1.0, 1e9, 1.0]]))
    assert counted.known.tolist() == [[True, False, True]] and not counted.whole[0]


def test_an_angle_is_judged_by_its_place_on_the_circle():
    """Whole turns change nothing."""
    angle = {"kind": "angle", "turn": 360.0, "cut": -180.0, "trained": (-20.0, 20.0)}
    found = training(a=angle).compare(np.array([[10.0 + 720, 0, 0], [-15.0 - 360, 0, 0]]))
    assert found.inside.all()
    assert not training(a=angle).compare(np.array([[90.0, 0, 0]])).inside[0, 0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3))
def test_no_value_breaks_it(vector):
    """Whatever the bits: an answer, without a warning."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = training().compare(np.array([vector]))
    assert found.inside.shape == (1, 3)
    assert not np.isinf(found.distance).any()
