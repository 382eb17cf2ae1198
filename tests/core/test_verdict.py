"""The verdict: one golden test a row of its table, alone and through the whole engine."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.baseline import Baseline
from agent.core.condition import Condition
from agent.core.engine import Engine
from agent.core.flag import Flag
from agent.core.identity import Subject
from agent.core.spec import EngineSpec
from agent.core.verdict import (
    LOST_KINDS,
    ORDER,
    PROVISIONAL_KINDS,
    Concern,
    Concerns,
    Verdict,
    grade,
    judge,
    reasons_of,
    same_to_read,
)
from agent.types import Quality
from tests.core.small import SECOND, baseline, block, command, events_of, normal, spec


def concern(subject: str = "tag/a", kind: str = "level shift", cause: str = "unknown",
            *, required: bool = True, provisional: bool = False, lost: bool = False) -> Concern:
    return Concern(f"{subject}@1", Subject.parse(subject), kind, cause, f"{subject} {kind}", "do",
                   required, provisional, lost)


# (what is true, the verdict): the design's table, row by row
TABLE = [
    # a required input held, lost, bad, stale, out of service
    (concern(kind="source lost", cause="integration"), "unassessable"),
    (concern(kind="missing", cause="integration"), "unassessable"),
    (concern(kind="bad quality", cause="sensor"), "unassessable"),
    (concern(kind="out of physical range", cause="sensor"), "unassessable"),
    (concern(kind="out of service"), "unassessable"),
    (concern(kind="level shift", lost=True), "unassessable"),
    (concern("source/two", "source lost", "integration"), "unassessable"),
    # a confirmed cause on a required input or output, or the joint score over its limit
    (concern(kind="unit change", cause="integration"), "untrusted"),
    (concern(kind="scale change", cause="integration"), "untrusted"),
    (concern(kind="swapped tags", cause="integration"), "untrusted"),
    (concern(kind="frozen source clock", cause="integration"), "untrusted"),
    (concern(kind="stuck", cause="sensor"), "untrusted"),
    (concern(kind="bias", cause="sensor"), "untrusted"),
    (concern(kind="drift", cause="sensor"), "untrusted"),
    (concern(kind="noise", cause="sensor"), "untrusted"),
    (concern(kind="error", cause="model"), "untrusted"),
    (concern("model/m", "relations changed"), "untrusted"),
    (concern("model/m", "new operating region", "process"), "untrusted"),
    (concern("model/m", "sudden change", "unknown"), "untrusted"),
    (concern(kind="sudden change"), "untrusted"),  # of the one input that explains it
    (concern(kind="sudden change", required=False), "untrusted"),
    # out of trained range, a shift whose cause is pending or the process
    (concern(kind="out of trained range"), "caution"),
    (concern(kind="out of trained range", cause="process"), "caution"),
    (concern(kind="level shift", cause="process"), "caution"),
    (concern(kind="drift"), "caution"),
    (concern(kind="anomaly"), "caution"),
    # provisional thresholds exceeded
    (concern(kind="bias", cause="sensor", provisional=True), "caution"),
    (concern("model/m", "relations changed", provisional=True), "caution"),
    (concern(kind="sudden change", provisional=True), "caution"),
    # but not what needs no calibrated threshold
    (concern(kind="stuck", cause="sensor", provisional=True), "untrusted"),
    (concern(kind="unit change", cause="integration", provisional=True), "untrusted"),
    (concern(kind="missing", cause="integration", provisional=True), "unassessable"),
    # an optional input lost, or wrong
    (concern(kind="missing", cause="integration", required=False), "caution"),
    (concern(kind="level shift", lost=True, required=False), "caution"),
    (concern(kind="stuck", cause="sensor", required=False), "caution"),
    (concern(kind="out of service", required=False), "caution"),
    (concern("source/two", "source lost", "integration", required=False), "caution"),
]


@pytest.mark.parametrize(
    ("what", "expected"), TABLE,
    ids=[f"{w.subject}-{w.kind}-{w.cause}-{'required' if w.required else 'optional'}"
         f"{'-provisional' if w.provisional else ''}{'-lost' if w.lost else ''}"
         for w, _ in TABLE],
)  # fmt: skip
def test_one_concern_gives_the_verdict_of_its_row(what, expected):
    """Each row of the table, alone: the verdict, with the concern as its only reason."""
    assert judge([what], "waiting", assessed=True) == Verdict(expected, (what,))


def test_nothing_and_enough_evidence_is_trusted():
    """The last row: none of these, and enough good scans seen."""
    assert judge([], "waiting", assessed=True) == Verdict("trusted", ())


def test_nothing_and_too_little_evidence_is_unassessable():
    """A verdict is never better than its evidence, and says what it waits for."""
    verdict = judge([], "too few scans", assessed=False)
    assert verdict.verdict == "unassessable"
    assert [reason["text"] for reason in reasons_of(verdict)] == ["too few scans"]


def test_concerns_stay_named_while_evidence_is_gathered():
    """Not assessed yet and already something wrong: both are said, the waiting first."""
    stuck = concern(kind="stuck", cause="sensor")
    verdict = judge([stuck], "too few scans", assessed=False)
    assert verdict.verdict == "unassessable"
    assert [reason.kind for reason in verdict.reasons] == ["waiting", "stuck"]


def test_a_lost_input_needs_no_other_excuse():
    """What is lost says so; that evidence is also missing then is no news."""
    lost = concern(kind="missing", cause="integration")
    assert judge([lost], "too few scans", assessed=False) == Verdict("unassessable", (lost,))


concerns = st.builds(
    concern, st.sampled_from(["tag/a", "tag/b", "source/two", "model/m"]),
    st.sampled_from(sorted({*LOST_KINDS, *PROVISIONAL_KINDS, "stuck", "unit change"})),
    st.sampled_from(["integration", "sensor", "process", "model", "unknown"]),
    required=st.booleans(), provisional=st.booleans(), lost=st.booleans(),
)  # fmt: skip


@given(many=st.lists(concerns, max_size=6), assessed=st.booleans())
def test_a_verdict_is_as_bad_as_its_worst_concern(many, assessed):
    """Never better than any concern; worst first; every concern is named."""
    verdict = judge(many, "waiting", assessed=assessed)
    grades = [ORDER.index(grade(item)) for item in many]
    worst = max([*grades, 0])
    assert verdict.verdict == ("unassessable" if not assessed else ORDER[worst])
    told = [ORDER.index(grade(item)) for item in verdict.reasons if item.kind != "waiting"]
    assert told == sorted(grades, reverse=True)


@given(many=st.lists(concerns, max_size=5))
def test_more_concerns_never_make_it_better(many):
    """Adding a concern to any of them keeps the verdict or makes it worse."""
    seen = [judge(many[:n], "waiting", assessed=True).verdict for n in range(len(many) + 1)]
    assert all(ORDER.index(a) <= ORDER.index(b) for a, b in itertools.pairwise(seen))


def test_only_what_a_person_reads_makes_a_new_verdict():
    """A reason whose wording alone changed is no news; another kind, cause or subject is."""
    one = judge([concern()], "", assessed=True)
    assert same_to_read(one, judge([replace(concern(), text="moved by 2.1")], "", assessed=True))
    for other in (concern(kind="drift"), concern(cause="process"), concern("tag/b")):
        assert not same_to_read(one, judge([other], "", assessed=True))
    assert not same_to_read(one, judge([concern(), concern("tag/b")], "", assessed=True))


def test_reasons_name_the_tag_or_the_source():
    """Consumers find the subject without parsing a sentence."""
    verdict = judge([concern("source/two", "source lost"), concern("tag/a")], "", assessed=True)
    assert [(r["tag"], r["source"]) for r in reasons_of(verdict)] == [("", "two"), ("a", "")]


# --- through the engine -----------------------------------------------------------------------


def last_verdict(what: EngineSpec, values: np.ndarray, quality: np.ndarray | None = None,
                 commands: tuple = ()) -> tuple[str, str, str]:
    """(verdict, kind and subject of the first reason) after 60 rows of normal and `values`."""
    engine = Engine(what)
    engine.step(block(normal(60)))
    events = []
    for sequence, (kind, data) in enumerate(commands, 2):
        events += engine.step(command(60, kind, sequence=sequence, **data)).events
    events += events_of(engine, [block(values, start=60, sequence=9, quality=quality)])
    told = [event for event in events if event.kind == "verdict"]
    verdict = engine.judge.verdicts["m"]
    assert not told or told[-1].data["verdict"] == verdict.verdict
    first = verdict.reasons[0] if verdict.reasons else None
    return verdict.verdict, first.kind if first else "", str(first.subject) if first else ""


def marked(column: int, mark: Quality) -> np.ndarray:
    quality = np.zeros((40, 3), np.uint16)
    quality[:, column] = mark
    return quality


def test_engine_trusts_what_looks_as_in_training():
    """Row 4."""
    assert last_verdict(spec(), normal(40, 2)) == ("trusted", "", "")


def test_engine_a_silent_required_input():
    """Row 1: stale, and a small tag of a source that lives is missing, not lost."""
    values = normal(40, 2)
    values[:, 1] = np.nan
    assert last_verdict(spec(), values) == ("unassessable", "missing", "tag/b")


def test_engine_a_bad_required_input():
    """Row 1: bad quality."""
    found = last_verdict(spec(), normal(40, 2), marked(2, Quality.BAD))
    assert found == ("unassessable", "bad quality", "tag/c")


def test_engine_a_lost_source():
    """Row 1: a source that failed counts once, not once a tag."""
    values = normal(40, 2)
    values[:, 1:] = np.nan
    failed = ("source_state", {"source": "two", "state": "failed", "reason": "refused"})
    found = last_verdict(spec(), values, commands=(failed,))
    assert found == ("unassessable", "source lost", "source/two")


def test_engine_out_of_service():
    """Row 1: taken out of service."""
    out = ("out_of_service", {"tag": "b"})
    assert last_verdict(spec(), normal(40, 2), commands=(out,)) == (
        "unassessable", "out of service", "tag/b"
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"by": "Ada", "note": "calibration"}, "b is out of service, by Ada: calibration"),
        ({"by": "Ada"}, "b is out of service, by Ada"),
        ({}, "b is out of service"),
    ],
)
def test_engine_out_of_service_says_by_whom_and_why(said, words):
    """Also by an engine that goes on from a snapshot; the latest that was said stands."""
    engine = Engine(spec())
    engine.step(block(normal(60)))
    for sequence, data in enumerate(({"note": "first", "by": "Olaf"}, said), 2):
        engine.step(command(60, "in_service", sequence=2 * sequence, tag="b"))
        engine.step(command(60, "out_of_service", sequence=2 * sequence + 1, tag="b", **data))
    again = Engine(spec())
    again.resume(engine.snapshot())
    for one in (engine, again):
        one.step(block(normal(40, 2), start=60, sequence=9))
        reason = one.judge.verdicts["m"].reasons[0]
        assert reason.text == words
        assert reason.hint == 'once it serves again: fieldwarden in-service CONFIG b --reason "..."'


def test_tags_out_of_service_of_a_former_snapshot_stay_so():
    """Then they were a list."""
    verdicts = Engine(spec()).judge.worth
    verdicts.from_json(verdicts.to_json() | {"out_of_service": ["b"]}, ("m",))
    assert verdicts.out_of_service == {"b": ""}


def test_engine_a_stuck_sensor():
    """Row 2: a confirmed sensor cause on a required input."""
    values = normal(40, 2)
    values[:, 0] = values[0, 0]
    assert last_verdict(spec(), values) == ("untrusted", "stuck", "tag/a")


def test_engine_a_unit_change():
    """Row 2: a confirmed integration cause on a required input."""
    values = normal(40, 2)
    values[:, 0] = values[:, 0] * 1.8 + 32.0
    assert last_verdict(spec(), values) == ("untrusted", "unit change", "tag/a")


def joint_only(*, provisional: bool = False) -> Baseline:
    """A baseline whose inputs alone never flag: only their relations are judged."""
    whole = baseline(joint=True, provisional=provisional)
    (mode,) = whole.modes
    silent = tuple(replace(item, detectors={}) for item in mode.inputs)
    return replace(whole, modes=(replace(mode, inputs=silent),))


def test_engine_joint_limit_exceeded():
    """Row 2: each input near what it was, all of them together not."""
    values = normal(60, 2) + np.array([0.0, 3.2, -3.2])
    trained = joint_only()
    assert last_verdict(spec(trained=trained), values)[0] == "untrusted"


def test_engine_out_of_trained_range():
    """Row 3: out of the trained range, cause unknown."""
    values = normal(40, 2)
    values[:, 0] += 14.0
    assert last_verdict(spec(), values) == ("caution", "out of trained range", "tag/a")


def test_engine_a_shift_whose_cause_is_pending():
    """Row 3: a new level within the range, sensor or process."""
    values = normal(60, 2)
    values[:, 0] += 2.5
    assert last_verdict(spec(), values) == ("caution", "level shift", "tag/a")


def test_engine_an_optional_input_lost():
    """Row 3: the model does without, and its users are told."""
    values = normal(40, 2)
    values[:, 1] = np.nan
    assert last_verdict(spec(optional=("b",)), values) == ("caution", "missing", "tag/b")


def test_engine_provisional_thresholds_exceeded():
    """Row 3: a short record's joint limit makes careful, not distrustful."""
    values = normal(60, 2) + np.array([0.0, 3.2, -3.2])
    trained = joint_only(provisional=True)
    assert last_verdict(spec(trained=trained), values)[0] == "caution"


@pytest.mark.parametrize(("column", "verdict"), [(0, "untrusted"), (1, "caution")])
def test_engine_provisional_thresholds_are_of_an_input_not_of_its_model(column, verdict):
    """A short record of b makes careful about b; what the charts of a confirm stays confirmed."""
    whole = baseline()
    (mode,) = whole.modes
    inputs = tuple(
        replace(item, provisional=item.tag == "b", trained=(-40.0, 40.0)) for item in mode.inputs
    )
    trained = replace(whole, modes=(replace(mode, inputs=inputs),), provisional=True)
    values = normal(60, 2)
    values[:, column] *= 4.0
    assert last_verdict(spec(trained=trained), values) == (verdict, "noise", f"tag/{'ab'[column]}")


def test_engine_an_output_or_a_mode_tag_that_is_lost_counts():
    """Every tag that a model needs does, not its inputs alone."""
    whole = spec()
    for needed in ({"outputs": ("c",)}, {"mode_tag": "c"}):
        model = replace(whole.models[0], inputs=("a", "b"), required=frozenset("ab"), **needed)
        (mode,) = model.baseline.modes
        trained = replace(mode, inputs=mode.inputs[:2], code=5.0)
        model = replace(model, baseline=replace(model.baseline, modes=(trained,)))
        one = replace(whole, models=(model,))
        engine, values = Engine(one), normal(80)
        values[:, 2] = 5.0
        values[40:, 2] = np.nan
        told = [e for e in engine.step(block(values)).events if e.kind == "verdict"]
        assert [event.data["verdict"] for event in told][-2:] == ["unassessable"] * 2
        assert told[-1].data["reasons"][0]["tag"] == "c"
        assert "trusted" in [event.data["verdict"] for event in told]
        back = normal(40, 3)
        back[:, 2] = 5.0
        told = engine.step(block(back, start=80, sequence=2)).events
        assert [e.data["verdict"] for e in told if e.kind == "verdict"][-1] == "trusted"


@pytest.mark.parametrize("provisional", [False, True])
def test_a_condition_of_which_a_models_charts_know_nothing_any_more(provisional):
    """Its findings were forgotten, for a change of mode: they were as sure as its baseline is."""
    subject = Subject.parse("tag/a")
    drifted = Condition(subject, ["m"], 1, 1, raised_ns=1, kind="bias", cause="sensor")
    concerns = Concerns(spec(trained=baseline(provisional=provisional)))
    (found,) = concerns.of("m", {subject: drifted}, {}, lambda _, key: False, lambda _: False)
    assert found.provisional == provisional


def test_a_name_that_one_models_chart_brings_is_told_of_every_model_of_the_tag():
    """A condition has one name: no model's verdict stays with the one that it had before."""
    one = spec()
    both = replace(one, models=(one.models[0], replace(one.models[0], name="n")))
    engine = Engine(both)
    engine.step(block(normal(60)))
    now = engine.time_ns
    engine.judge.run([Flag(now, 0, 0, True, 1.0, "pace", "tag")], now + 10 * SECOND)
    own = both.rows_of(1)[0]
    engine.judge.run(
        [Flag(now + 20 * SECOND, 0, own, True, 1.0, "stuck", "input")], now + 21 * SECOND
    )
    kinds = {name: [r.kind for r in found.reasons] for name, found in engine.judge.verdicts.items()}
    assert kinds == {"m": ["stuck"], "n": ["stuck"]}


@pytest.mark.parametrize(("lapse_s", "rows", "verdict"), [
    (60, 50, "caution"), (60, 140, "trusted"), (10_000, 140, "caution"),
])  # fmt: skip
def test_an_alarm_that_may_be_false_costs_no_more_time_than_is_promised(lapse_s, rows, verdict):
    """A new level within the range, sensor or process: it stays open, and the verdict goes on."""
    values = normal(rows, 2)
    values[:, 0] += 2.5
    engine = Engine(replace(spec(), false_alarm_ns=lapse_s * SECOND))
    engine.step(block(values))
    (condition,) = engine.judge.conditions.active.values()
    assert (condition.raised, condition.kind) == (True, "level shift")
    assert engine.judge.verdicts["m"].verdict == verdict


def test_a_fault_that_somebody_must_mend_counts_for_as_long_as_it_lasts():
    """A unit that was changed, far longer than a false alarm may."""
    values = normal(140, 2)
    values[20:, 0] = values[20:, 0] * 1.8 + 32.0
    engine = Engine(replace(spec(), false_alarm_ns=60 * SECOND))
    engine.step(block(values))
    assert engine.judge.verdicts["m"].verdict == "untrusted"


def test_a_jump_out_of_the_trained_range_is_told_and_is_a_fact_besides():
    """The jump is an alarm; that the value is out there is true whatever becomes of it."""
    values = normal(60, 2)
    values[30:, 0] += 12.0
    engine = Engine(spec())
    told = engine.step(block(values)).events
    assert any(e.kind == "condition" and e.data["change"] == "raised" for e in told)
    verdict = engine.judge.verdicts["m"]
    assert (verdict.verdict, [r.kind for r in verdict.reasons]) == (
        "caution", ["out of trained range", "extrapolating"]
    )


def test_one_input_far_off_says_nothing_of_how_the_others_relate():
    """Joint charts take a value to its trained range: beyond, it is a fact of that input."""
    trained = baseline(joint=True)
    (mode,) = trained.modes
    silent = tuple(replace(item, detectors={}, trained=(-2.0, 2.0)) for item in mode.inputs)
    trained = replace(trained, modes=(replace(mode, inputs=silent),))
    values = np.clip(normal(200, 2), -2.0, 2.0)
    values[50:, 1] = 90.0
    engine = Engine(spec(trained=trained))
    told = engine.step(block(values)).events
    flags = {e.data["detector"] for e in told if e.kind == "finding" and e.data["up"]}
    assert "spe" not in flags
    assert {e.data["verdict"] for e in told if e.kind == "verdict"} >= {"trusted", "caution"}
