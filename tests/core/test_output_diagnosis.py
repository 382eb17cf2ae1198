"""What an output's departure is called: in the words of a model, whatever is found of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import DETECTORS, OUTPUT_CHARTS, TAG_DETECTORS
from agent.core.output_diagnosis import OutputEvidence, name_of
from agent.core.tag_evidence import Evidence

NAMES = [one.name for one in (*DETECTORS, *OUTPUT_CHARTS, *TAG_DETECTORS)]
WORDS = ("sensor", "transmitter", "instrument", "wiring", "calibrat")
SHAPES = {
    "calm": np.zeros(64), "step": np.repeat([0.0, 4.0], 32), "ramp": np.linspace(0.0, 9.0, 64),
    "far": np.repeat([0.0, 40.0], [60, 4]), "spike": np.where(np.arange(64) == 40, 30.0, 0.0),
    "noise": 3.0 * np.random.default_rng(1).standard_normal(64),
}  # fmt: skip


def evidence(found: frozenset[str], shape: str = "step") -> Evidence:
    recent = SHAPES[shape] + 0.1 * np.random.default_rng(2).standard_normal(64)
    return Evidence(
        "y", "%", "models", found, recent=recent, means=recent[::4], raw=recent * 2.0 + 50.0,
        centre=50.0, scale=2.0, noise=0.1, trained=(42.0, 58.0), role="output",
    )


@settings(max_examples=300, deadline=None)
@given(
    found=st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=5),
    shape=st.sampled_from(sorted(SHAPES)), follows=st.sampled_from(["", "a (stuck)"]),
    process=st.booleans(), explained=st.booleans(),
    classes=st.sampled_from([(), (48.0, 50.0, 52.0)]),
)
def test_no_word_of_a_transmitter_is_said_of_an_output(
    found, shape, follows, process, explained, classes
):
    """Whatever charts found, in whatever shape: cause, text and hint fit a program."""
    named = name_of(OutputEvidence(
        evidence(found, shape), "yield", follows, process, 51.0, explained, ": x", classes
    ))  # fmt: skip
    assert named.cause in {"model", "process", "unknown", "integration"}
    assert named.cause != "model" or not follows or found - {one.name for one in DETECTORS}
    assert named.kind
    told = named.text.lower() + named.hint.lower()
    if named.cause == "model":
        assert not [word for word in WORDS if word in told], told


@pytest.mark.parametrize(("digits", "follows", "cause"), [
    (1, "", "model"), (1, "a (averaged)", "unknown"), (4, "", "integration"),
])  # fmt: skip
def test_what_is_smoother_is_the_models_unless_it_has_more_digits(digits, follows, cause):
    """Another program gives other values in the same form; means of them have more digits."""
    raw = np.round(np.concatenate([np.linspace(48.0, 52.0, 32), np.linspace(52.0, 50.1, 32)]), 1)
    raw[20:] = np.round(raw[20:] + (0.0 if digits == 1 else 0.0123), digits)
    recent = (raw - 50.0) / 2.0
    smooth = replace(evidence(frozenset({"averaged"})), raw=raw, recent=recent, step=0.1)
    named = name_of(OutputEvidence(smooth, "yield", follows))
    assert named.cause == cause
    assert ("smoother than in training" in named.text) == (digits == 1)


def test_what_inputs_within_their_training_explain_is_the_plants():
    """A level of its own that such inputs gave in training: no cause model."""
    moved = evidence(frozenset({"level"}))
    named = name_of(OutputEvidence(moved, "yield", given=57.0, explained=True))
    assert (named.kind, named.cause) == ("level shift", "process")
    assert "its inputs moved within their training" in named.text
    alone = name_of(OutputEvidence(moved, "yield"))
    assert (alone.kind, alone.cause) == ("level shift", "model")
    assert "while the inputs are as trained" in alone.text


def test_what_stands_still_is_explained_by_no_level():
    """Inputs may explain where it is, but not that it repeats itself."""
    still = evidence(frozenset({"stuck", "level"}), "calm")
    named = name_of(OutputEvidence(still, "yield", given=50.0, explained=True))
    assert (named.kind, named.cause) == ("stuck", "model")


@pytest.mark.parametrize(
    ("name", "kind", "cause"),
    [("missing", "missing", "integration"), ("bad", "bad quality", "model"),
     ("late", "late data", "integration"), ("bad_range", "out of physical range", "model")],
)  # fmt: skip
def test_how_it_arrives_is_told_as_before(name, kind, cause):
    """Nothing usable is no value of now, whatever else the charts still show."""
    for more in (frozenset(), frozenset({"level"})):
        named = name_of(OutputEvidence(evidence(more | {name}), "yield"))
        assert (named.kind, named.cause) == (kind, cause)
