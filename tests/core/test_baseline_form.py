"""A baseline that was changed is refused with a cause, or is the same baseline: nothing between."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.baseline import digest_of, from_document, to_document
from agent.core.baseline_file import read_baseline, write_baseline
from agent.core.engine import Engine
from agent.core.kernels import DETECTORS
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.errors import BaselineError
from tests.core.small import baseline, block, joint_of


def whole():
    """Every detector with all its parameters, and joint charts: two modes of three inputs."""
    made = baseline()
    parameters = {
        d.name: {
            name: list(d.disabled[name]) if isinstance(d.disabled[name], tuple)
            else d.disabled[name]
            for name in d.params.names
        }
        for d in DETECTORS
    }
    inputs = tuple(replace(item, detectors=parameters) for item in made.modes[0].inputs)
    modes = tuple(
        replace(made.modes[0], name=f"mode {code}", code=float(code), inputs=inputs,
                joint=joint_of(len(inputs)))
        for code in (1, 2)
    )  # fmt: skip
    return to_document(replace(made, modes=modes))


DOCUMENT = json.loads(json.dumps(whole()))


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))
        else:
            yield (*path, key)


PLACES = [place for place in places(DOCUMENT) if place]
ODD = [
    None, True, False, "", "x", [], {}, [[]], [None], -1, 0, 1, 2, 1.5, -1e-9, 1e308, -1e308,
    1 << 40, 1 << 70, -(1 << 70), 10**400, math.nan, math.inf, -math.inf, [1] * 1000, "\ud800",
]  # fmt: skip


def changed(place, value, *, remove=False):
    document = copy.deepcopy(DOCUMENT)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


def signed(document):
    """With the digest that fits, where one can be made at all."""
    try:
        return document | {"digest": digest_of(document)}
    except (ValueError, TypeError):
        return document


def read(document):
    """The baseline; None where it is refused."""
    try:
        return from_document(document, "m.json")
    except BaselineError:
        return None


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(ODD), st.booleans())
def test_any_change_is_refused_by_the_digest(place, value, remove):
    """One value or key changed, and the digest left: refused with a hint, or nothing changed."""
    document = changed(place, value, remove=remove)
    found = read(document)
    assert found is None or to_document(found) == DOCUMENT


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from(ODD), st.booleans())
def test_what_is_accepted_can_be_judged_by(place, value, remove):
    """With a digest that fits: refused, or an engine takes it and folds samples with it."""
    found = read(signed(changed(place, value, remove=remove)))
    if found is None:
        return
    names = [item.tag for item in found.modes[0].inputs]
    if names != [item["tag"] for item in DOCUMENT["modes"][0]["inputs"]]:
        return  # of other inputs: `check_baseline` refuses it for the model
    if any(lacks(mode) for mode in found.modes):
        return
    tags = tuple(
        TagSpec(number, name, "plant", "", "input", None, 10**9, 5 * 10**9, by_exception=False,
                report_ns=0)
        for number, name in enumerate(names)
    )  # fmt: skip
    model = ModelSpec(
        name="m", version="1", scan_ns=10**9, inputs=tuple(names), required=frozenset(names),
        baseline=found, outputs=(), mode_tag=None,
    )
    engine = Engine(EngineSpec(tags, ("plant",), (model,), 600 * 10**9))
    engine.step(block(np.full((3, len(names)), 0.1)))


def lacks(mode):
    from agent.runtime.assemble import _lacking

    return bool(_lacking(mode))


ABSURD = {
    "a scale of 0": (("modes", 0, "inputs", 0, "scale"), 0.0),
    "a negative scale": (("modes", 0, "inputs", 0, "scale"), -1.0),
    "a scale that overflows": (("modes", 0, "inputs", 0, "scale"), 1e-320),
    "null": (("modes", 0, "inputs", 0, "centre"), None),
    "edges out of order": (("modes", 0, "inputs", 0, "edges"), [2.0, 1.0]),
    "an exchanged range": (("modes", 0, "inputs", 0, "trained"), [1.0, -1.0]),
    "a negative interval": (("interval_ns",), -5),
    "no mode": (("modes",), []),
    "a column that is not there": (("modes", 0, "joint", "groups", 0, "columns", 0), 10**9),
    "absurd lags": (("modes", 0, "joint", "groups", 0, "lags"), 1 << 40),
    "more components than there are": (("modes", 0, "joint", "groups", 0, "components"), 999),
    "a text for a number": (("modes", 0, "inputs", 0, "noise"), "0.1"),
    "a size of -1": (("modes", 0, "inputs", 0, "detectors", "level", "block"), -1),
    "more states than are kept": (("modes", 0, "inputs", 0, "detectors", "category", "count"), 99),
}


@pytest.mark.parametrize("kind", ABSURD)
def test_absurd_values_are_refused_by_name(kind):
    """Though the digest fits: the error says at which place of the document, and what is there."""
    place, value = ABSURD[kind]
    name = [key for key in place if isinstance(key, str)][-1]
    with pytest.raises(BaselineError, match=name):
        from_document(signed(changed(place, value)), "m.json")


FILES = {
    "not JSON": b"{",
    "nested": b"[" * 100_000,
    "nested in a key": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a long number": b'{"schema": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"schema": 2, "x": NaN}',
    "a large number": b'{"schema": 2, "x": 1e999}',
    "not UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "empty": b"",
    "half a letter": b'{"schema": 2, "digest": "", "x": "\\ud800"}',
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_holds_no_baseline_is_refused(tmp_path, kind):
    """Whatever is in it: an error with cause and hint, at once."""
    path = tmp_path / "m.json"
    path.write_bytes(FILES[kind])
    began = time.monotonic()
    with pytest.raises(BaselineError) as caught:
        read_baseline(path)
    assert caught.value.hint
    assert time.monotonic() - began < 5.0


def test_what_was_written_is_read_again(tmp_path):
    """Every parameter, mode and group, unchanged."""
    made = from_document(DOCUMENT, "m.json")
    write_baseline(tmp_path / "m.json", made)
    assert to_document(read_baseline(tmp_path / "m.json")) == DOCUMENT
