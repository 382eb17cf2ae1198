"""What people say, at any place among samples of any kind, is judged the same whatever the cuts.

Commands, joint charts, source states and operating modes together; an engine that is made anew
from a snapshot between any two entries goes on as the one that never stopped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.spec import EngineSpec, TagSpec
from agent.types import Block, Command
from tests.core.small import SECOND, START, TAGS, baseline, eventful, samples, spec, tell

EVENTFUL = eventful()
MODE = TagSpec(9, "mode", "one", "", interval_ns=SECOND, max_silence_ns=1 << 60, by_exception=True)
SUBJECTS = ("tag/a", "tag/b", "tag/c", "source/one", "source/two", "model/m")


def moded() -> EngineSpec:
    """The small model with joint charts in two operating modes, the second off by one."""
    one, two = baseline(joint=True), baseline(joint=True, centre=1.0)
    modes = (
        replace(one.modes[0], name="low", code=0.0), replace(two.modes[0], name="high", code=1.0)
    )  # fmt: skip
    small = spec(trained=replace(one, modes=modes, mask_ns=7 * SECOND))
    model = replace(small.models[0], mode_tag="mode")
    return replace(small, tags=(*small.tags, MODE), models=(model,))


def changing() -> EngineSpec:
    """The small model with nothing but the chart of sudden change: conditions of it alone."""
    one = baseline(joint=True)
    (mode,) = one.modes
    (group,) = mode.joint["groups"]
    items = tuple(replace(item, detectors={}) for item in mode.inputs)
    joint = {"groups": [group | {"limit": [1e9, 1e9, 0.7, 1e9]}]}
    return spec(trained=replace(one, modes=(replace(mode, inputs=items, joint=joint),)))


SPECS = {
    "plain": spec(), "joint": spec(trained=baseline(joint=True)),
    "held": spec(by_exception=True, trained=baseline(joint=True)), "modes": moded(),
    "changing": changing(),
}  # fmt: skip


def difference(tag, now):
    """A tag's unit is another one."""
    return {"subject": f"tag/{tag}", "source": "two", "term": "served unit", "was": "degC",
            "now": now, "grade": "breaking", "models": ["m"], "text": f"{tag}: is {now}"}


def told_of_contract(draw):
    """(kind, data) of what is different upstream, or decided on it."""
    differences = [difference(tag, now) for tag, now in draw(
        st.sets(st.tuples(st.sampled_from(["b", "c"]), st.sampled_from(["degF", "K"])), max_size=2)
    )]  # fmt: skip
    differences.sort(key=str)
    begin = START + draw(st.integers(0, 400)) * SECOND
    proposal = {"source": "two", "tags": ["b"], "differences": differences[:1], "text": "soon"}
    return draw(st.sampled_from([
        ("contract", {"source": "two", "how": "interval", "contract": "c", "hold": "hold",
                      "compatibility": "backward", "differences": differences}),
        ("contract", {"source": "two", "how": "interval", "contract": "c", "hold": "report",
                      "compatibility": "full", "differences": differences}),
        ("approve", {"change": "two-1", "map": {"b": {"factor": 2.0}}}),
        ("approve", {"change": "two-2", "sides": ["owner"], "needs": ["owner", "integration"]}),
        ("reject_change", {"change": "two-1"}), ("revert", {"change": "two-1"}),
        ("assessed", {"change": "two-1", "assessment": {"text": "nothing"}}),
        ("propose", {"change": proposal, "expires_after_ns": 60 * SECOND}),
        ("announce", {"tags": ["a", "c"], "from_ns": begin, "until_ns": begin + 60 * SECOND}),
    ]))  # fmt: skip


@st.composite
def commands(draw):
    """(ns after the start, kind, data), in order of time."""
    said = []
    for at in sorted(draw(st.lists(st.integers(0, 420 * 4), max_size=14, unique=True))):
        kind = draw(st.sampled_from(
            ["acknowledge", "shelve", "shelve", "unshelve", "out_of_service", "in_service",
             "source_state", "contract", "contract"]
        ))  # fmt: skip
        data = {"by": "ann", "note": ""}
        if kind == "contract":
            kind, told = told_of_contract(draw)
            said.append((START + at * SECOND // 4 + 1, kind, data | {"note": "why"} | told))
            continue
        if kind == "source_state":
            data = {"source": draw(st.sampled_from(["one", "two"])), "reason": "",
                    "state": draw(st.sampled_from(["live", "failed", "stale"]))}  # fmt: skip
        elif kind in {"out_of_service", "in_service"}:
            data["tag"] = draw(st.sampled_from(TAGS))
        else:
            data["subject"] = draw(st.sampled_from(SUBJECTS))
            data["false"] = draw(st.booleans())
            data["for_ns"] = draw(st.sampled_from([1, 5 * SECOND, 30 * SECOND, 400 * SECOND]))
        said.append((START + at * SECOND // 4 + 1, kind, data))
    return said


def entries(whole, said, ends):
    """The samples cut at every command and at `ends`, and the commands between them."""
    places = sorted({*(end for end in ends if end < whole.sealed_ns), whole.sealed_ns,
                     *(at for at, _, _ in said)})  # fmt: skip
    made, start = [], 0
    for end in places:
        stop = int(np.searchsorted(whole.arrival_ns, end))
        part = slice(start, stop)
        columns = (whole.tag, whole.source_ns, whole.arrival_ns, whole.value, whole.quality)
        made.append(Block(len(made) + 1, end, *(column[part] for column in columns)))
        for at, kind, data in said:
            if at == end:
                made.append(Command(len(made) + 1, at, kind, data))
        start = stop
    return made


def with_modes(whole, changes):
    """The samples with the mode tag's own among them, at seconds after the start."""
    at = np.array([START + second * SECOND for second in sorted(set(changes))], np.int64)
    code = np.arange(len(at)) % 3.0  # 2 was never trained
    place = np.searchsorted(whole.arrival_ns, at)
    return Block(
        1, max(whole.sealed_ns, int(at.max(initial=0)) + 1),
        np.insert(whole.tag, place, 9).astype(np.int32), np.insert(whole.source_ns, place, at),
        np.insert(whole.arrival_ns, place, at), np.insert(whole.value, place, code),
        np.insert(whole.quality, place, 0).astype(np.uint16),
    )


def pieced(one, parts, stops):
    """All that is told where the engine is made anew from its snapshot before some entries."""
    engine, events, summaries, told = Engine(one), [], [], None
    for number, part in enumerate(parts):
        if number in stops:
            state, engine = engine.snapshot(), Engine(one)
            assert engine.resume(state) == []
            assert engine.snapshot() == state
        told = tell(engine, [part])
        events += told.events
        summaries += told.summaries
    return events, summaries, told.state


instants = st.integers(START, EVENTFUL.sealed_ns)
ALL = [
    (START + 80 * SECOND + 1, "shelve", {"subject": "tag/a", "by": "x", "for_ns": 400 * SECOND}),
    (START + 90 * SECOND + 1, "acknowledge", {"subject": "tag/a", "by": "x", "false": True}),
    (START + 150 * SECOND + 1, "shelve", {"subject": "tag/b", "by": "x", "for_ns": SECOND}),
    (START + 151 * SECOND + 1, "out_of_service", {"tag": "c", "by": "x"}),
    (START + 300 * SECOND + 1, "in_service", {"tag": "c", "by": "x"}),
    (START + 310 * SECOND + 1, "contract", {
        "source": "two", "contract": "c", "hold": "hold", "differences": [difference("b", "K")],
    }),
    (START + 320 * SECOND + 1, "approve", {"change": "two-1", "by": "x", "note": "new one"}),
    (START + 321 * SECOND + 1, "revert", {"change": "two-1", "by": "x", "note": "not yet"}),
    (START + 330 * SECOND + 1, "announce", {
        "tags": ["a"], "from_ns": 1, "until_ns": START + 340 * SECOND, "by": "x", "note": "valve",
    }),
]


@settings(max_examples=30, deadline=None)
@given(
    which=st.sampled_from(list(SPECS)), said=commands(), ends=st.lists(instants, max_size=8),
    stops=st.sets(st.integers(0, 30)), changes=st.lists(st.integers(0, 400), max_size=4),
)  # fmt: skip
@example("joint", ALL, [], set(range(30)), [])
@example("modes", ALL, [START + 95 * SECOND, START + 203 * SECOND], set(range(30)), [0, 95, 210])
@example("changing", [], [START + at * SECOND for at in range(400)], set(range(400)), [])
@example("held", ALL, [START + 95 * SECOND], set(range(30)), [])
def test_commands_fold_the_same_whatever_the_cuts_and_restarts(which, said, ends, stops, changes):
    """The same events, summaries and state bytes."""
    one = SPECS[which]
    whole = with_modes(EVENTFUL, [0, *changes]) if which == "modes" else EVENTFUL
    told = tell(Engine(one), entries(whole, said, []))
    assert pieced(one, entries(whole, said, ends), stops) == (
        told.events, told.summaries, told.state
    )  # fmt: skip


values = st.sampled_from([0.0, 0.0, 1.0, -1.5, 9.0, -30.0, 2000.0, np.nan, np.inf])
rows = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(TAGS), values, st.sampled_from([0, 0, 0, 1, 2])),
    min_size=1, max_size=150,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(which=st.sampled_from(["plain", "joint", "held", "changing"]), rows=rows, said=commands(),
       ends=st.lists(instants, max_size=6), stops=st.sets(st.integers(0, 30)))  # fmt: skip
def test_commands_among_any_samples_fold_the_same(which, rows, said, ends, stops):
    """Any mix of tags, values, qualities and silences, several at one arrival time."""
    second, placed = 0.0, []
    for step, tag, value, mark in rows:
        second += {0: 0.0, 8: 0.1, 9: 20.0}.get(step, 1.0)
        placed.append((second, tag, value, mark))
    whole = samples(placed, sealed=max(second, 420.0) + 200)
    told = tell(Engine(SPECS[which]), entries(whole, said, []))
    assert pieced(SPECS[which], entries(whole, said, ends), stops) == (
        told.events, told.summaries, told.state
    )  # fmt: skip


def test_the_recording_with_commands_tells_of_them():
    """Else the properties above would hold of nothing."""
    for which in ("joint", "modes"):
        whole = with_modes(EVENTFUL, [0, 95, 210]) if which == "modes" else EVENTFUL
        told = "".join(tell(Engine(SPECS[which]), entries(whole, ALL, [])).events)
        for change in ("shelved", "unshelved", "acknowledged", "out_of_service", "in_service",
                       "detected", "approved", "reverted", "announced", "begun", "ended"):
            assert f'"change": "{change}"' in told
