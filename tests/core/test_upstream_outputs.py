"""A change upstream that values show: outputs and losses go on from where they were before it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from agent.configuration import units
from agent.core.engine import Engine
from agent.core.kernels import OUTPUT_CHARTS
from agent.records.replay import table_entries
from agent.types import Block, Command, Entry
from tests.core import modelled, test_truth
from tests.core.small import SECOND, START, command, events_of

AGREED = {"how": "connected", "since_ns": 0, "contract": "c", "differences": [], "hold": "hold",
          "compatibility": "backward", "needs": ["owner"]}  # fmt: skip
APPROVED = {"side": "owner", "by": "Ada", "note": "new scale"}
SINCE, END = 400, 460


def test_charts_of_outputs_are_put_back_with_those_of_the_input():
    """The model was given another input: what its outputs were says nothing of the model."""
    of = modelled.inputs(700, 100)
    of[SINCE:END, 0] *= 0.1
    values = modelled.given(of, 101)
    engine = Engine(modelled.spec_of(modelled.fitted().baseline))
    whole = table_entries(engine.spec, modelled.table(values), 64)
    end_ns = START + END * modelled.EVERY
    before = [one for one in whole if one.sealed_ns <= end_ns]
    told = events_of(engine, [Command(1, START - SECOND, "contract", {"source": "s"} | AGREED),
                              *numbered(before, 2)])  # fmt: skip
    (change,) = [e for e in told if e.kind == "change" and e.data["change"] == "detected"]
    assert change.data["tags"] == ["a"]
    found = engine.judge.upstream.found["a"]
    charts = engine.charts._scans.outputs
    moved = {d.name: charts.charts[d.name].copy() for d in OUTPUT_CHARTS if d.blocked}
    last = max(one.sealed_ns for one in before)
    approve = Command(900, last, "approve", {"change": change.data["id"]} | APPROVED)
    events = events_of(engine, [approve])
    assert {e.data["change"] for e in events if e.kind == "change"} == {"approved"}
    assert len(charts.rows) == 2
    for row, place in charts.rows.items():
        kept = found.kept[engine.judge.upstream._key(row)]
        for name in moved:
            assert charts.charts[name][place].tobytes().hex() == kept[name]
        assert any(was[place].tobytes().hex() != kept[name] for name, was in moved.items())
    of[SINCE:] = modelled.inputs(700, 100)[SINCE:]
    good = table_entries(engine.spec, modelled.table(modelled.given(of, 101)), 64)
    after = [one for one in good if one.sealed_ns > last]
    later = events_of(engine, numbered(after, 1_000))
    assert modelled.raised(later) == []


def numbered(entries: list[Block], first: int) -> list[Entry]:
    return [replace(one, sequence=first + number) for number, one in enumerate(entries)]


@pytest.mark.parametrize("approved", [True, False])
def test_losses_between_onset_and_end_move_no_chart(approved):
    """Labels that came before the change was found said that the model erred: it did not."""
    spec = replace(test_truth.spec_of(), changes=units.changes())
    since, end = 400, 440
    block = test_truth.plant(700, off={range(since, end): 9.0}, delay=1)
    values = block.value.copy()
    wrong = (block.tag == 1) & (block.arrival_ns >= START + since * SECOND)
    wrong &= block.arrival_ns < START + end * SECOND
    values[wrong] = (values[wrong] + 7.0) * 1_000.0
    values[(block.tag == 1) & ~wrong] += 7.0
    engine = Engine(shifted(spec))
    entries = cut_at(replace(block, value=values), [START + at * SECOND for at in (end, 560)])
    agreed = command(0, "contract", sequence=1, source="one", **AGREED)
    told = events_of(engine, [agreed, *numbered(entries[:1], 2)])
    (change,) = [e for e in told if e.kind == "change" and e.data["change"] == "detected"]
    pair = engine.truth.pairs[0][0]
    kept = engine.judge.upstream.found["a"].losses
    assert pair.state.chart.cusum > 0.0
    if approved:
        events_of(engine, [Command(900, START + end * SECOND, "approve",
                                   {"change": change.data["id"]} | APPROVED)])  # fmt: skip
        (was,) = kept.values()
        assert pair.state.chart.to_json() == was
    later = events_of(engine, numbered(entries[1:], 1_000))
    assert not [e for e in later if e.kind == "evidence" and e.data["change"] == "opened"]
    assert not engine.retraining.requests
    assert pair.state.spoilt > 0
    again = Engine(engine.configured)
    again.resume(engine.snapshot())
    assert again.snapshot() == engine.snapshot()


def shifted(spec):
    """Tag a lies about 7: a factor shows in its level."""
    (model,) = spec.models
    mode = model.baseline.modes[0]
    own = mode.inputs[0]
    first = replace(own, centre=7.0, trained=tuple(x + 7.0 for x in own.trained),
                    edges=tuple(x + 7.0 for x in own.edges))  # fmt: skip
    mode = replace(mode, inputs=(first, *mode.inputs[1:]))
    return replace(spec, models=(replace(model, baseline=replace(model.baseline, modes=(mode,))),))


def cut_at(block: Block, ends: list[int]) -> list[Block]:
    places = [0, *np.searchsorted(block.arrival_ns, ends).tolist(), len(block)]
    sealed = [*ends, block.sealed_ns]
    return [
        Block(number + 1, sealed[number], block.tag[a:b], block.source_ns[a:b],
              block.arrival_ns[a:b], block.value[a:b], block.quality[a:b])
        for number, (a, b) in enumerate(pairwise(places))
    ]  # fmt: skip
