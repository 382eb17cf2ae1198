"""Resuming: any snapshot into any configuration; what stayed goes on, what changed is as new."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import identity, state
from agent.core.baseline import Baseline, ModeBaseline
from agent.core.engine import Engine
from agent.core.identity import Place
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.errors import StoreError
from agent.types import Block, Quality
from tests.core.small import (
    SECOND,
    START,
    command,
    conditions,
    input_baseline,
    joint_of,
    output_of,
)

INPUTS = ("a", "b", "c", "d")
LEVEL = {"a": 0.0, "b": 100.0, "c": -40.0, "d": 7.0}
SHIFT = {0.0: 0.0, 1.0: 20.0, 2.0: 50.0}
"""How much higher the plant runs in each mode."""

ROWS = 160


@dataclass(frozen=True)
class Made:
    """A model by its parts, of which its baseline and so its digest follow."""

    name: str
    inputs: tuple[str, ...]
    modes: tuple[tuple[str, float], ...] = ()
    joint: bool = False
    scan_s: int = 1
    scale: float = 1.0
    outputs: tuple[str, ...] = ()

    def spec(self) -> ModelSpec:
        modes = self.modes or (("", 0.0),)
        baselines = tuple(
            ModeBaseline(
                name, code if self.modes else None,
                tuple(
                    input_baseline(tag, centre=LEVEL[tag] + SHIFT[code], scale=self.scale)
                    for tag in self.inputs
                ),
                joint_of(len(self.inputs)) if self.joint and len(self.inputs) > 1 else {},
                tuple(
                    output_of(tag, [0.1] * len(self.inputs), centre=LEVEL[tag] + SHIFT[code],
                              scale=self.scale, classes=True)
                    for tag in self.outputs
                ),
            )
            for name, code in modes
        )
        digest = hashlib.sha256(repr(replace(self, scan_s=1, name="")).encode()).hexdigest()
        baseline = Baseline(self.name, "1", SECOND, baselines, False, "", 5 * SECOND, {}, digest)
        return ModelSpec(
            self.name, "1", self.scan_s * SECOND, self.inputs, frozenset(self.inputs), baseline,
            mode_tag="mode" if self.modes else None, outputs=self.outputs,
        )


@dataclass(frozen=True)
class Plant:
    """A configuration: the order of its tags, whose source and interval may differ, its models."""

    models: tuple[Made, ...]
    order: tuple[str, ...] = (*INPUTS, "mode")
    moved: frozenset[str] = frozenset()
    slower: frozenset[str] = frozenset()

    def spec(self) -> EngineSpec:
        tags = tuple(
            TagSpec(
                (*INPUTS, "mode").index(tag) + 1, tag,
                "one" if (tag in "ab") != (tag in self.moved) else "two", "degC",
                interval_ns=(2 if tag in self.slower else 1) * SECOND,
                physical=(-1000.0, 1000.0),
            )
            for tag in self.order
        )
        models = tuple(model.spec() for model in self.models)
        return EngineSpec(tags, ("one", "two"), models, summary_ns=60 * SECOND)


def recording(rows: int = ROWS, seed: int = 1, *, faults: bool = True) -> Block:
    """All tags at 1 Hz; a is stuck, b shifts, c spikes and is bad, source two falls silent."""
    rng = np.random.default_rng(seed)
    mode = (np.arange(rows) // 40) % 3.0
    base = np.array([LEVEL[tag] for tag in INPUTS])
    level = np.array([SHIFT[code] for code in mode])[:, None]
    values = np.hstack([base + level + rng.standard_normal((rows, 4)), mode[:, None]])
    quality = np.zeros((rows, 5), np.uint16)
    if faults:
        values[60:90, 0] = values[60, 0]
        values[50:110, 1] += 9.0
        values[70:90:6, 2] += 40.0
        quality[100:106, 2] = Quality.BAD
        values[112:124, 2:] = np.nan
    row, column = np.nonzero(~np.isnan(values))
    times = START + row.astype(np.int64) * SECOND
    return Block(1, START + rows * SECOND, (column + 1).astype(np.int32), times.copy(), times,
                 values[row, column], quality[row, column])


def part(whole: Block, since: int, until: int, sequence: int) -> Block:
    """Rows [since, until) of a recording."""
    own = (whole.arrival_ns >= START + since * SECOND) & (whole.arrival_ns < START + until * SECOND)
    columns = (whole.tag, whole.source_ns, whole.arrival_ns, whole.value, whole.quality)
    return Block(sequence, START + until * SECOND, *(column[own] for column in columns))


def made_models(name: str) -> st.SearchStrategy[Made]:
    codes = st.lists(st.sampled_from(sorted(SHIFT)), unique=True, max_size=3)
    modes = st.tuples(codes, st.sampled_from(["x", "y"])).map(
        lambda drawn: tuple((f"{drawn[1]}{code:g}", code) for code in drawn[0])
    )
    inputs = st.lists(st.sampled_from(INPUTS), unique=True, min_size=1).map(tuple)
    made = st.builds(
        Made, st.just(name), inputs, modes, st.booleans(), st.sampled_from([1, 2]),
        st.sampled_from([1.0, 2.0]),
    )
    return st.tuples(made, st.integers(0, 2)).map(
        lambda drawn: replace(
            drawn[0], outputs=tuple(tag for tag in INPUTS if tag not in drawn[0].inputs)[: drawn[1]]
        )
    )


plants = st.builds(
    Plant,
    st.lists(st.sampled_from("mno"), unique=True, max_size=3).flatmap(
        lambda names: st.tuples(*(made_models(name) for name in names))
    ),
    st.permutations((*INPUTS, "mode")).map(tuple),
    st.frozensets(st.sampled_from(INPUTS), max_size=2),
    st.frozensets(st.sampled_from(INPUTS), max_size=1),
)
HERE = Plant((Made("m", ("a", "b", "c"), (("x0", 0.0), ("x1", 1.0), ("x2", 2.0)), joint=True),
              Made("n", ("d", "a"))))


def arrays_of(engine: Engine) -> dict[str, tuple[list[str], np.ndarray]]:
    """Every array that lasts, with the keys of its rows."""
    keys = engine.charts.keys()
    return {item.name: (list(keys[item.axis]), item.array) for item in engine._lasting()}


OF_MODELS = ("scan.", "joint.", "extrapolating.joint", "extrapolating.model")
"""Arrays, by the beginning of their names, that are about all inputs of a model together."""


def check_rows(old: Engine, new: Engine, before: Plant, after: Plant) -> None:
    """What stayed has the bytes that it had, what changed or is new has those of a new engine."""
    was, now, fresh = arrays_of(old), arrays_of(new), arrays_of(Engine(new.spec))
    same_tags = {
        tag for tag in after.order
        if (tag in before.moved, tag in before.slower) == (tag in after.moved, tag in after.slower)
    }
    same = {model.name for model in after.models if model in before.models}
    whole = {m.name for m in after.models if m.name in same and same_tags.issuperset(m.inputs)}
    for name, (keys, array) in now.items():
        for row, key in enumerate(keys):
            model, _, tag = key.partition("\n")
            stays = {
                "tag": key in same_tags,
                "held": tag in same_tags and name in was and key in was[name][0],
                "whole": model in whole,
                "input": model in same and tag in same_tags,
            }[
                "held" if name == "scan.held"
                else "whole" if name.startswith(OF_MODELS)
                else "tag" if name in {"last", "raw", "raw_trace", "raw_coarse", "raw_leaps"}
                or name.startswith("tag.") else "input"
            ]
            expected = was[name][1][was[name][0].index(key)] if stays else fresh[name][1][row]
            got = array[row]
            if name == "tag.missing" and not stays:
                got, expected = got["active"], expected["active"]  # it is watched from now on
            assert got.tobytes() == expected.tobytes(), (name, key)


def check_findings(engine: Engine) -> None:
    """Nothing is found that its chart does not see: it would never clear."""
    for subject, condition in engine.judge.conditions.active.items():
        assert set(condition.models) <= {model.name for model in engine.spec.models}
        for key in condition.findings:
            assert subject.place is Place.SOURCE or engine.judge._is_up(subject, key), str(key)


def check_modes(engine: Engine, after: Plant, mode: float) -> None:
    """Each model is judged by the baseline of the mode that its tag tells, if it was trained."""
    for index, model in enumerate(after.models):
        codes = [code for _, code in model.modes]
        if mode in codes:
            row = engine.spec.rows_of(index)[0]
            centre = engine.charts.parameters.baseline(row).centre
            assert centre == LEVEL[model.inputs[0]] + SHIFT[mode]


@settings(max_examples=60, deadline=None)
@given(
    before=plants, after=plants, at=st.integers(0, ROWS), changed=st.integers(0, 2),
    boot=st.booleans(),
)  # fmt: skip
def test_any_snapshot_resumes_into_any_configuration(before, after, at, changed, boot):
    """Never an exception; what stayed goes on, what changed is as new, and nothing hangs."""
    if changed == 0:
        after = before
    elif changed == 1:  # the same models in another order, and one more
        names = {model.name for model in before.models}
        more = tuple(model for model in after.models if model.name not in names)
        after = replace(before, models=(*more, *reversed(before.models)), order=after.order)
    whole = recording()
    engine = Engine(before.spec())
    if at:
        engine.step(part(whole, 0, at, 1))
    snapshot = engine.snapshot()
    again = Engine(after.spec())
    again.resume(snapshot)
    if after == before:
        assert again.snapshot() == snapshot
    check_rows(engine, again, before, after)
    check_findings(again)
    told = list(again.step(command(at, "boot" if boot else "reload", sequence=2)).events)
    told += again.step(part(whole, at, ROWS, 3)).events
    check_findings(again)
    calm = recording(2 * ROWS, 7, faults=False)
    rows = np.array([time // SECOND for time in calm.arrival_ns]) * SECOND - START
    calm = replace(
        calm, sealed_ns=START + 3 * ROWS * SECOND, sequence=4,
        arrival_ns=START + ROWS * SECOND + rows, source_ns=START + ROWS * SECOND + rows,
    )
    told += again.step(calm).events
    check_modes(again, after, (2 * ROWS - 1) // 40 % 3.0)
    times = [event.time_ns for event in told]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("modes", "judged"),
    [
        ((("x0", 0.0), ("x1", 1.0)), False),  # fewer: the present one is gone
        ((("x2", 2.0),), True),  # fewer: it is another one's place now
        ((("y", 1.0), ("x2", 2.0), ("x0", 0.0)), True),  # renamed, in another order
        ((("x0", 0.0), ("x1", 1.0), ("x2", 2.0)), True),  # the same
    ],
)
def test_a_refit_with_other_modes_is_judged_by_the_mode_that_the_tag_tells(modes, judged):
    """By its value: not by the place of a mode in a baseline that no longer has it there."""
    whole = recording(faults=False)
    engine = Engine(HERE.spec())
    engine.step(part(whole, 0, 110, 1))  # in mode 2
    refitted = replace(HERE, models=(replace(HERE.models[0], modes=modes, scale=1.1),))
    again = Engine(refitted.spec())
    again.resume(engine.snapshot())
    events = again.step(part(whole, 110, 120, 2)).events
    assert not [event for event in events if event.data.get("change") == "raised"]
    centre = again.charts.parameters.baseline(0).centre
    assert (centre == LEVEL["a"] + SHIFT[2.0]) == judged
    assert again.charts.modes.known(0) == judged
    assert (again.charts.scans[0].good_run > 0) == judged


def test_inputs_in_another_order_are_not_swapped():
    """A refit with its columns in another order: every value stays with its own input."""
    model = Made("m", ("a", "b", "c"), joint=True)
    whole = recording(150, faults=False)
    level = np.array([*LEVEL.values(), 0.0])[whole.tag - 1]
    noise = np.random.default_rng(3).standard_normal(len(level))
    whole = replace(whole, value=level + noise)
    engine = Engine(Plant((model,)).spec())
    engine.step(part(whole, 0, 100, 1))
    other = replace(model, inputs=("c", "a", "b"))
    again = Engine(Plant((other,)).spec())
    again.resume(engine.snapshot())
    # b is a scan late: what stands in its place until then is its own last value, nobody else's.
    rest = part(whole, 100, 150, 2)
    late = (rest.tag == 2) & (rest.arrival_ns < START + 102 * SECOND)
    columns = (rest.tag, rest.source_ns, rest.arrival_ns, rest.value, rest.quality)
    events = again.step(Block(2, rest.sealed_ns, *(column[~late] for column in columns))).events
    assert conditions(events) == []


def test_a_scan_of_another_length_goes_on_from_now():
    """Not where so many scans of the new length would have led since the first one."""
    model = Made("m", ("a", "b", "c"))
    whole = recording(faults=False)
    engine = Engine(Plant((model,)).spec())
    engine.step(part(whole, 0, 40, 1))
    for length in (1, 2):
        again = Engine(Plant((replace(model, scan_s=length),)).spec())
        again.resume(engine.snapshot())
        before = again.charts.scans[0].count
        again.step(part(whole, 40, 60, 2))
        assert again.charts.scans[0].count - before == 20 // length


def test_what_stayed_keeps_its_condition_beside_what_changed():
    """A stuck input goes on being stuck, and returns to normal, while another model is refitted."""
    whole = recording()
    engine = Engine(HERE.spec())
    engine.step(part(whole, 0, 79, 1))
    stuck = engine.judge.conditions.active[identity.tag("a")]
    assert {key.model for key in stuck.findings} == {"m", "n"}
    refitted = replace(HERE, models=(HERE.models[0], replace(HERE.models[1], scale=1.5)))
    again = Engine(refitted.spec())
    again.resume(engine.snapshot())
    kept = again.judge.conditions.active[identity.tag("a")]
    assert {key.model for key in kept.findings} == {"m"}
    assert kept.id == stuck.id


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("conditions", None), ("conditions", {"x": 1}), ("sources", "x"), ("sources", {"one": 3}),
        ("assessed", None), ("verdicts", [1]), ("verdicts", {"m": {}}), ("out_of_service", 3),
        ("joint_owner", {"spe@m": "nowhere"}), ("since", {"m": "long"}),
    ],
)  # fmt: skip
def test_a_snapshot_whose_facts_make_no_sense_leaves_a_new_engine(place, wrong):
    """An error with a name, and an engine as if nothing had been tried."""
    engine = Engine(HERE.spec())
    engine.step(part(recording(), 0, 79, 1))
    facts = dict(state.read(engine.snapshot()).facts)
    facts["judge"] = dict(facts["judge"]) | {place: wrong}
    lasting = [*engine.charts.modes.arrays(), *engine._lasting()]
    again = Engine(HERE.spec())
    with pytest.raises(StoreError, match="damaged"):
        again.resume(state.dump(lasting, engine.charts.keys(), facts))
    assert again.snapshot() == Engine(HERE.spec()).snapshot()


@pytest.mark.parametrize("window_s", [7, 60, 1000])
def test_summaries_of_another_length_end_after_what_was_judged(window_s):
    """A shorter window does not end in the past, and takes engine time nowhere back."""
    whole = recording(faults=False)
    before = replace(HERE.spec(), summary_ns=1800 * SECOND)
    engine = Engine(before)
    engine.step(part(whole, 0, 100, 1))
    again = Engine(replace(before, summary_ns=window_s * SECOND))
    again.resume(engine.snapshot())
    outcome = again.step(part(whole, 100, ROWS, 2))
    ends = [summary["end_ns"] for summary in outcome.summaries]
    assert all(end >= START + 100 * SECOND for end in ends)
    assert again.time_ns == START + ROWS * SECOND


def test_a_model_whose_mode_tag_starts_anew_does_too():
    """What it had counted was on the scale of a mode that is not known any more."""
    whole = recording(faults=False)
    engine = Engine(HERE.spec())
    engine.step(part(whole, 0, 110, 1))  # in mode 2
    spec = HERE.spec()
    tags = tuple(
        replace(tag, source="one") if tag.name == "mode" else tag for tag in spec.tags
    )
    again = Engine(replace(spec, tags=tags))
    parts = {event.data["part"] for event in again.resume(engine.snapshot())}
    assert parts == {"tag mode", "model m"}
    summaries = again.step(part(whole, 110, 130, 2)).summaries
    centres = [s["centre"] for s in summaries if (s["model"], s["tag"]) == ("m", "a")]
    assert centres == [LEVEL["a"] + SHIFT[2.0]]


def lost(spec: EngineSpec, *tags: str) -> tuple[Engine, Block]:
    """An engine after 60 rows of which these tags have no last 20, and the recording."""
    whole = recording(faults=False)
    rows = np.isin(whole.tag, [(*INPUTS, "mode").index(tag) + 1 for tag in tags])
    keep = ~(rows & (whole.arrival_ns >= START + 40 * SECOND))
    columns = (whole.tag, whole.source_ns, whole.arrival_ns, whole.value, whole.quality)
    whole = Block(1, whole.sealed_ns, *(column[keep] for column in columns))
    engine = Engine(spec)
    engine.step(part(whole, 0, 60, 1))
    return engine, whole


def test_a_new_model_is_not_trusted_without_an_output_that_was_lost_before():
    """What was found on a tag concerns the models that use it now, not those that did then."""
    spec = Plant((Made("m", ("a", "b")),)).spec()
    engine, whole = lost(spec, "b")
    more = replace(Made("n", ("a",)).spec(), outputs=("b",))
    again = Engine(replace(spec, models=(*spec.models, more)))
    again.resume(engine.snapshot())
    again.step(part(whole, 60, 100, 2))
    assert again.judge.verdicts["n"].verdict == "unassessable"
    assert again.judge.conditions.active[identity.tag("b")].models == ["m", "n"]


def test_silent_tags_are_told_once_their_source_is_not_held_to_be_lost():
    """With one more tag, they are no longer most of their source's: each is an alarm again."""
    spec = Plant((Made("m", INPUTS),)).spec()
    few = replace(spec, tags=tuple(tag for tag in spec.tags if tag.name != "mode"))
    engine, whole = lost(few, "c", "d")
    assert [str(key) for key in engine.judge.conditions.active if key.place is Place.SOURCE]
    again = Engine(spec)
    again.resume(engine.snapshot())
    events = again.step(part(whole, 60, 80, 2)).events
    assert ("raised", "tag/c", "missing") in conditions(events)
    assert ("raised", "tag/d", "missing") in conditions(events)
