"""Outputs in the engine: charted beside the inputs, which never notice them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import identity
from agent.core.baseline import Baseline, from_document, to_document
from agent.core.engine import Engine
from agent.core.spec import INPUT, OUTPUT, EngineSpec, ModelSpec
from agent.errors import BaselineError
from agent.types import Block, Quality
from tests.core.small import (
    SECOND,
    START,
    baseline,
    block,
    command,
    cut,
    eventful,
    events_of,
    normal,
    output_of,
    spec,
    tell,
)

OF = ("a", "b")


def trained(*outputs: str, digest: str = "d" * 64, joint: bool = True) -> Baseline:
    """Inputs a and b, together; of the outputs, each is what half of them gives."""
    whole = baseline(OF, digest=digest, joint=joint)
    (mode,) = whole.modes
    own = tuple(output_of(tag, [0.5, 0.5], classes=True) for tag in outputs)
    return replace(whole, modes=(replace(mode, outputs=own),))


def guarded(
    *charted: str, declared: tuple[str, ...] = ("c",), digest: str = "d" * 64
) -> EngineSpec:
    """Model m of a and b with output c."""
    model = ModelSpec(
        "m", "1", SECOND, OF, frozenset(OF), trained(*charted, digest=digest),
        outputs=declared,
    )
    return replace(spec(), models=(model,))


def of_inputs(lines: list[str], *, keep: bool) -> list[str]:
    """Events that are about the output c, or (`keep`) all those of findings on other subjects."""
    about = [json.loads(line) for line in lines]
    return [
        json.dumps(one) for one in about
        if one[0] in {"finding", "condition"} and (one[2] == "tag/c") != keep
    ]


def test_rows_are_inputs_then_outputs_and_only_those_that_the_baseline_knows():
    """By role; a declared output without charts has no row, nor one that only one mode knows."""
    made = guarded("c")
    assert [(row.position, row.role) for row in made.rows] == [(0, INPUT), (1, INPUT), (2, OUTPUT)]
    assert (made.rows_of(0), made.outputs_of(0), made.charted_of(0)) == (
        range(2), range(2, 3), range(3),
    )
    assert [row.role for row in guarded().rows] == [INPUT, INPUT]
    model = guarded("c").models[0]
    (mode,) = model.baseline.modes
    other = replace(model.baseline, modes=(mode, replace(mode, outputs=())))
    assert replace(model, baseline=other).charted == ()


def test_one_models_output_may_be_anothers_input():
    """Two rows of one tag, each with its role; each model has its own finding of it."""
    first = guarded("c").models[0]
    second = ModelSpec("n", "1", SECOND, ("c",), frozenset("c"), baseline(("c",), digest="e" * 64))
    made = replace(spec(), models=(first, second))
    roles = [(made.models[row.model].name, row.role) for row in made.rows if row.tag == 2]
    assert roles == [("m", OUTPUT), ("n", INPUT)]
    values = normal(200)
    values[100:, 2] = values[100, 2]
    events = events_of(Engine(made), [block(values)])
    found = {event.data["model"] for event in events
             if event.kind == "finding" and event.data["detector"] == "stuck"}  # fmt: skip
    assert found == {"m", "n"}


@pytest.mark.parametrize("seed", [1, 2])
def test_an_output_moves_nothing_of_the_inputs(seed):
    """The same findings and conditions of inputs with and without it, whatever it does."""
    whole = eventful(seed=seed)
    wild = whole.value.copy()
    wild[whole.tag == 3] *= 50.0
    told = [
        tell(Engine(made), [replace(whole, value=value)])
        for made, value in ((guarded("c"), wild), (guarded("c"), whole.value),
                            (guarded(), whole.value))
    ]  # fmt: skip
    inputs = [of_inputs(one.events, keep=True) for one in told]
    joint = [line for line in inputs[0] if "finding" in line]
    assert len(joint) > 5
    assert inputs[1] == inputs[2]
    findings = [[line for line in one if json.loads(line)[0] == "finding"] for one in inputs]
    assert findings[0] == findings[1]
    assert any("given_inputs" in line for line in told[1].events + told[0].events)


@settings(max_examples=20, deadline=None)
@given(
    ends=st.lists(st.integers(0, 420 * 1000), max_size=6), seed=st.integers(1, 3),
    at=st.integers(1, 400),
)
def test_cuts_and_a_snapshot_change_nothing(ends, seed, at):
    """However samples are cut into blocks, and resumed from wherever: the same of outputs too."""
    whole = eventful(seed=seed)
    classes = np.where(whole.tag == 3, np.clip(np.round(whole.value), -40, 40), whole.value)
    whole = replace(whole, value=classes)
    expected = tell(Engine(guarded("c")), [whole])
    blocks = cut(whole, [START + end * SECOND // 1000 for end in ends])
    assert tell(Engine(guarded("c")), blocks) == expected
    first, *rest = cut(whole, [START + at * SECOND])
    engine = Engine(guarded("c"))
    before = tell(engine, [first])
    again = Engine(guarded("c"))
    again.resume(engine.snapshot())
    after = tell(again, rest)
    assert before.events + after.events == expected.events
    assert after.state == expected.state


def test_findings_of_an_output_go_with_its_charts():
    """A snapshot into a model that does not know the output, and back: nothing hangs."""
    values = normal(200)
    values[100:, 2] = values[100, 2]
    engine = Engine(guarded("c"))
    engine.step(block(values))
    assert [str(subject) for subject in engine.judge.conditions.active] == ["tag/c"]
    for other in (guarded(), guarded("c", digest="f" * 64), guarded("c", declared=())):
        again = Engine(other)
        again.resume(engine.snapshot())
        assert not again.judge.conditions.active[identity.tag("c")].findings
        again.step(block(normal(300, 5), start=200, sequence=2))
        assert identity.tag("c") not in again.judge.conditions.active


def test_what_came_before_a_pause_is_not_beside_what_comes_after_it():
    """The newest value waits for a scan; over a restart it does not."""
    engine = Engine(guarded("c"))
    engine.step(block(normal(50)))
    late = Block(2, START + 50 * SECOND + 1000, np.array([3], np.int32),
                 np.array([START + 50 * SECOND]), np.array([START + 50 * SECOND]),
                 np.array([1.0]), np.zeros(1, np.uint16))  # fmt: skip
    engine.step(late)
    state = engine.charts._scans.outputs
    assert state.newest["fresh"].tolist() == [1]
    engine.step(command(60, "boot", sequence=3))
    assert state.newest["fresh"].tolist() == [0]


@pytest.mark.parametrize("fault", ["bad output", "bad input", "input out of range"])
def test_nothing_is_judged_beside_what_is_no_evidence(fault):
    """A bad output, a bad input, one outside of its training: the residual's chart stays alone."""
    values, quality = normal(300), np.zeros((300, 3), np.uint16)
    if fault == "bad output":
        values[100:140, 2] = 1e6
        quality[100:140, 2] = Quality.BAD
    elif fault == "bad input":
        values[100:140, 0] = 1e6
        quality[100:140, 0] = Quality.BAD
    else:
        values[100:140, 0] = 50.0
    whole = block(values, quality=quality)
    seen = {}
    for name, kept in (("all", np.ones(len(whole), bool)),
                       ("cut", ~((whole.arrival_ns >= START + 100 * SECOND)
                                 & (whole.arrival_ns < START + 140 * SECOND) & (whole.tag == 3)))):
        columns = (whole.tag, whole.source_ns, whole.arrival_ns, whole.value, whole.quality)
        engine = Engine(guarded("c"))
        engine.step(Block(1, whole.sealed_ns, *(column[kept] for column in columns)))
        seen[name] = engine.charts._scans.outputs.charts["given_inputs"].tobytes()
    assert seen["all"] == seen["cut"]


def test_outputs_last_in_the_baseline_and_are_looked_at():
    """There and back, and a fault in it is told with its place."""
    whole = trained("c")
    document = json.loads(json.dumps(to_document(whole)))
    kept = from_document(document, "file")
    assert kept.modes[0].outputs == whole.modes[0].outputs
    assert kept.modes[0].of("c") == whole.modes[0].outputs[0].item
    assert "outputs" not in to_document(trained())["modes"][0]
    (mode,) = whole.modes
    short = replace(mode.outputs[0], relation={**mode.outputs[0].relation, "slopes": [1.0]})
    damaged = to_document(replace(whole, modes=(replace(mode, outputs=(short,)),)))
    with pytest.raises(BaselineError, match=r"outputs\[0\].relation.slopes"):
        from_document(damaged, "file")


def test_summaries_are_made_of_outputs_too():
    """Additive as those of inputs, with the histogram on the baseline's bins."""
    engine = Engine(guarded("c"))
    made = list(engine.step(block(normal(130))).summaries)
    own = [one for one in made if one["tag"] == "c"]
    assert own
    assert all(sum(one["histogram"]) == one["good"] == 60 for one in own[1:])
    assert all(one["scans"] == 0 for one in own)
