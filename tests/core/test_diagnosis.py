"""Diagnosis: from what is seen of a tag to the name that a plant engineer would give it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.configuration import units
from agent.core import figures
from agent.core.baseline import Baseline
from agent.core.conversions import Change, Trace
from agent.core.conversions import explain_jump as explained
from agent.core.diagnosis import Diagnosis, diagnose
from agent.core.engine import Engine
from agent.core.group_diagnosis import group_text, joint_diagnosis
from agent.core.kernels.bad import KINDS
from agent.core.names import EXCURSION
from agent.core.spec import EngineSpec
from agent.core.tag_evidence import Evidence
from agent.types import Block, Event, Float64, Quality
from tests.core.small import SECOND, START, baseline, block, command, events_of, normal, spec, tick

CHANGES = units.changes()


def explain_jump(of: Evidence) -> tuple[Change, ...]:
    found = explained(Trace(of.raw), of.unit, of.noise * of.scale, of.scale, CHANGES)
    return found.changes


# Where such a signal runs, in its unit: (mean, noise).
POINTS = {
    "degC": [(5.0, 0.1), (20.0, 0.5), (80.0, 0.3), (180.0, 2.0), (-20.0, 0.2)],
    "degF": [(70.0, 0.5), (180.0, 1.0), (400.0, 2.0)],
    "K": [(290.0, 0.5), (450.0, 2.0)],
    "bar": [(1.0, 0.01), (6.0, 0.1), (120.0, 1.0)],
    "psi": [(15.0, 0.2), (90.0, 1.0)],
    "kPa": [(101.0, 0.5), (600.0, 8.0)],
    "MPa": [(0.6, 0.01), (12.0, 0.1)],
    "m3/h": [(3.0, 0.05), (40.0, 1.0)],
    "l/s": [(2.0, 0.05), (15.0, 0.3)],
    "l/min": [(40.0, 0.5), (600.0, 10.0)],
    "kg/h": [(800.0, 10.0)],
    "t/h": [(0.8, 0.01), (20.0, 0.3)],
    "mbar": [(900.0, 3.0)],
    "Pa": [(4000.0, 50.0)],
    "gpm": [(35.0, 0.4)],
    "%": [(40.0, 0.5)],
    "fraction": [(0.4, 0.005)],
    "mm": [(800.0, 3.0)],
    "ft": [(12.0, 0.1)],
    "rpm": [(1480.0, 5.0), (2950.0, 10.0)],
    "Hz": [(25.0, 0.1), (50.0, 0.02)],
    "m": [(1.5, 0.01), (8.0, 0.05)],
}
PAIRS = tuple(change for change in CHANGES if change.old)
CASES = [(change, point) for change in PAIRS for point in POINTS[change.old]]


def jump(
    before: float, after: float, noise: float, *, gain: float = 1.0, n: int = 12, seed: int = 0
) -> Float64:
    """30 values about `before`, then n about `after`, with white noise (`gain` times it, after)."""
    rng = np.random.default_rng(seed)
    first = before + noise * rng.standard_normal(30)
    return np.concatenate([first, after + gain * noise * rng.standard_normal(n)])


def evidence(raw: Float64, unit: str, noise: float, *found: str, **more: object) -> Evidence:
    centre = float(np.nanmean(raw[:30])) if len(raw) else 0.0
    return Evidence(
        "t", unit, "s", frozenset(found or {"range"}), raw=raw, recent=(raw - centre) / noise,
        centre=centre, scale=noise, noise=1.0, trained=(centre - 5 * noise, centre + 5 * noise),
        changes=CHANGES, **more,
    )  # fmt: skip


# --- integration: units, scales, swaps --------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "point"), CASES,
    ids=[f"{c.old}-{c.new}-at-{p[0]:g}".replace("/", "_") for c, p in CASES],
)
@pytest.mark.parametrize("n", [6, 12, 30])
def test_every_conversion_is_recognised(change, point, n):
    """A jump from one unit into another is named by both units, from 6 samples after it on."""
    gain, offset = change.gain, change.offset
    mean, noise = point
    for seed in range(2):
        raw = jump(mean, gain * mean + offset, noise, gain=gain, n=n, seed=seed)
        found = diagnose(evidence(raw, change.old, noise))
        assert (found.kind, found.cause) == ("unit change", "integration")
        assert f"{change.new} instead of {change.old}" in found.text


@pytest.mark.parametrize("factor", [1000.0, 100.0, 10.0, 0.1, 0.01, 0.001, -1.0])
@pytest.mark.parametrize("mean", [0.7, 35.0, -12.0])
def test_a_scale_or_sign_change_is_recognised(factor, mean):
    """A decimal factor, or a changed sign, is a scale change with its factor."""
    noise = abs(mean) / 100
    found = diagnose(evidence(jump(mean, factor * mean, noise, gain=factor), "mm/s", noise))
    assert (found.kind, found.cause) == ("scale change", "integration")
    assert f"multiplied by {factor:g}: it reads " in found.text
    assert found.text.endswith("times likelier than a move of the plant")


@pytest.mark.parametrize("unit", sorted(POINTS))
@pytest.mark.parametrize("noise", [1.0, 0.1, 0.0])
def test_a_value_that_falls_to_zero_is_no_scale_change(unit, noise):
    """A motor that stops, or a broken loop, is not "now in Hz" nor "multiplied by 0.001"."""
    for after in (0.0, 0.5, -0.5):
        raw = jump(60.0, after, noise)
        raw[30:] = after
        assert explain_jump(evidence(raw, unit, max(noise, 1e-3))) == ()


@pytest.mark.parametrize(("after", "name"), [(300.0, ("", "10")), (303.15, ("degC", "K"))])
def test_of_two_changes_that_fit_the_better_one_is_named(after, name):
    """30 degC in kelvin, and multiplied by ten, lie near one another."""
    raw = jump(30.0, after, 0.05, gain=10.0 if name[0] == "" else 1.0)
    assert name in [(found.old, found.new) for found in explain_jump(evidence(raw, "degC", 0.05))]
    assert len({(c.gain, c.offset) for c in explain_jump(evidence(raw, "degC", 0.05))}) == 1


@pytest.mark.parametrize("unit", ["degC", "", "%", "Grad Celsius", "bar"])
def test_a_conversion_is_recognised_whatever_the_unit_text_says(unit):
    """A contract may be empty, oddly spelt or wrong: the numbers tell."""
    found = diagnose(evidence(jump(20.0, 68.0, 0.1, gain=1.8), unit, 0.1))
    assert (found.kind, found.cause) == ("unit change", "integration")
    assert "degF instead of degC" in found.text


@settings(max_examples=200, deadline=None)
@given(
    unit=st.sampled_from(["degC", "bar", "m3/h", "rpm", "%"]), seed=st.integers(0, 99),
    mean=st.floats(5.0, 200.0), bias=st.floats(-0.8, 1.5), rel=st.floats(0.001, 0.02),
)  # fmt: skip
def test_a_bias_that_fits_no_conversion_is_no_unit_change(unit, seed, mean, bias, rel):
    """A step to anywhere else than a conversion leads to is not blamed on the integration."""
    after = mean * (1.0 + bias)
    targets = [change.gain * mean + change.offset for change in CHANGES]
    for target in targets:
        assume(abs(after - target) > 0.04 * abs(target - mean) + 10 * rel * mean)
    raw = jump(mean, after, rel * mean, seed=seed)
    assert explain_jump(evidence(raw, unit, rel * mean)) == ()


@pytest.mark.parametrize(("mean", "noise"), POINTS["degC"])
@pytest.mark.parametrize("bias", [3.0, 8.0, -6.0, 60.0])
def test_a_bias_in_degc_is_no_unit_change(mean, noise, bias):
    """Biases that a transmitter may have, at the points where a change to degF is recognised."""
    after = mean + bias
    if abs(1.8 * mean + 32.0 - after) < 3.0:
        pytest.fail("this point can not be told apart: choose another")
    assert explain_jump(evidence(jump(mean, after, noise), "degC", noise)) == ()


def test_too_little_after_the_jump_is_not_judged():
    """Five samples after a jump are too few; six are enough."""
    for n, expected in ((5, []), (6, [("degC", "degF")])):
        raw = jump(20.0, 68.0, 0.1, gain=1.8, n=n)
        found = explain_jump(evidence(raw, "degC", 0.1))
        assert [(change.old, change.new) for change in found] == expected


def test_swapped_tags_are_named_both():
    """The other tag is in the sentence, and the address list in the hint."""
    found = diagnose(evidence(jump(20.0, 70.0, 0.1), "degC", 0.1, swapped_with="u"))
    assert (found.kind, found.cause) == ("swapped tags", "integration")
    assert "t and u" in found.text
    assert "address" in found.hint


# --- what arrives, or does not ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "lost", "kind", "cause"),
    [
        (("missing",), True, "source lost", "integration"),
        (("missing", "level"), False, "missing", "integration"),
        (("bad", "stuck"), False, "bad quality", "sensor"),
        (("source_clock",), False, "frozen source clock", "integration"),
    ],
)
def test_nothing_usable_is_named_first(found, lost, kind, cause):
    """Lost, silent, bad or frozen in time comes before anything that values may say."""
    raw = jump(20.0, 68.0, 0.1, gain=1.8)
    named = diagnose(evidence(raw, "degC", 0.1, *found, lost=lost))
    assert (named.kind, named.cause) == (kind, cause)
    assert "s" in named.text


def test_what_can_not_be_is_said_with_its_value():
    """Out of the physical range: the value, its unit, and what to check."""
    raw = np.full(40, 812.0)
    named = diagnose(evidence(raw, "degC", 1.0, "bad_range", physical=(0.0, 200.0)))
    assert (named.kind, named.cause) == ("out of physical range", "sensor")
    assert named.text == "t reads 812 degC, which can not be: its physical range is 0 to 200 degC"


REASONS = {
    "bad_link": ("communication lost", "integration"),
    "bad_access": ("not authorised", "integration"),
    "bad_address": ("address refused", "integration"), "bad_type": ("wrong type", "integration"),
    "bad_void": ("no value", "sensor"), "bad_number": ("no number", "sensor"),
    "bad": ("bad quality", "sensor"), "bad_range": ("out of physical range", "sensor"),
}  # fmt: skip


def quality_of(kind: str) -> Quality:
    return KINDS[kind] | (Quality.BAD if kind in list(KINDS)[1:5] else Quality.GOOD)


def patient() -> EngineSpec:
    """Without a limit of silence: a sample that says "lost" is no news of a tag."""
    plain = spec()
    return replace(plain, tags=tuple(replace(t, max_silence_ns=1 << 60) for t in plain.tags))


def marked(first: Quality, then: Quality = Quality.GOOD, *, value: float = np.nan) -> Block:
    """300 rows; tag a has the first quality from row 60 on, the other from row 100 to 140."""
    values, quality = normal(300), np.zeros((300, 3), np.uint16)
    quality[60:100, 0], quality[100:140, 0] = first, then
    values[60 : 140 if then else 100, 0] = value
    return block(values, quality=quality)


def of_tag_a(events: Iterable[Event], *changes: str) -> list[tuple[str, str, str, str]]:
    return [
        (e.data["kind"], e.data["cause"], e.data["text"], e.data["hint"]) for e in events
        if e.kind == "condition" and e.subject == "tag/a" and e.data["change"] in changes
    ]


def told_of(kind: str, **about: str) -> tuple[str, str, str, str]:
    """How tag a is told where its samples are of a kind of bad."""
    plain = patient()
    tags = (replace(plain.tags[0], **about), *plain.tags[1:])
    value = 5000.0 if kind == "bad_range" else np.nan
    bits = Quality.GOOD if kind in {"bad_range", "bad_number"} else quality_of(kind)
    made = marked(bits, value=value) if bits else block(
        np.where((np.arange(300) // 40 == 2)[:, None] & (np.arange(3) == 0), value, normal(300)),
        quality=np.full((300, 3), Quality.UNCERTAIN),
    )
    (found,) = of_tag_a(Engine(replace(plain, tags=tags)).step(made).events, "raised")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_reason_of_the_protocol_reaches_the_person(kind):
    """Each kind of bad has its own name and cause, with the address where that is the matter."""
    where = {"address": "holding 5", "refusal": "the device refuses holding 5: illegal address"}
    name, cause, text, hint = told_of(kind, **where)
    assert (name, cause) == REASONS[kind]
    assert hint
    assert ("marked bad" in text) == (kind == "bad")
    assert ("holding 5" in text) == (kind in {"bad_link", "bad_access", "bad_address", "bad_type"})
    assert (where["refusal"] in text) == (kind == "bad_address")


@pytest.mark.parametrize("role", ["output", "label", "mode"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_no_transmitter_measures_is_not_told_to_check_one(kind, role):
    """A prediction, a laboratory value and a mode: neither wiring nor sensor, whatever is wrong."""
    _, cause, text, hint = told_of(kind, role=role)
    said = f"{text} {hint}".lower()
    assert not [word for word in ("transmitter", "wiring", "sensor", "calibrate") if word in said]
    assert cause != "sensor"


@settings(max_examples=100, deadline=None)
@given(found=st.sets(st.sampled_from(["stuck", "range", "rate", "spike", "level", "noise", "spe"])))
def test_no_name_of_an_output_blames_an_instrument(found):
    """Also where it is an input of another model."""
    named = diagnose(Evidence("t", "degC", "s", frozenset(found), role="output", joint=True,
                              share=0.8, r2=0.9))  # fmt: skip
    said = f"{named.text} {named.hint}"
    assert not [w for w in ("transmitter", "wiring", "sensor", "instrument") if w in said]
    assert named.cause != "sensor"


@settings(max_examples=200, deadline=None)
@given(
    found=st.sets(
        st.sampled_from(["stuck", "range", "rate", "spike", "level", "noise", "spe", "change"])
    ),
    part=st.sampled_from(["set point", "controller output", "loop mode"]),
    r2=st.sampled_from([0.0, 0.9]), companions=st.integers(0, 1), joint=st.booleans(),
)  # fmt: skip
def test_what_a_controller_or_a_person_sets_is_never_a_sensor(found, part, r2, companions, joint):
    """Whatever was seen of it; a set point or mode was moved by somebody, so it is the plant's."""
    named = diagnose(Evidence("t", "%", "s", frozenset(found), loop="TIC-1", loop_part=part,
                              joint=joint, share=0.8, r2=r2, companions=companions))  # fmt: skip
    said = f"{named.text} {named.hint}"
    assert not [w for w in ("transmitter", "wiring", "sensor", "instrument") if w in said]
    assert "TIC-1" in named.hint
    assert named.cause in ({"process", "unknown"} if part == "controller output" else {"process"})


def test_a_loops_measurement_may_be_a_faulty_sensor():
    """Being in a loop alone excuses nothing."""
    named = diagnose(Evidence("t", "%", "s", frozenset({"stuck"}), loop="TIC-1",
                              loop_part="measurement"))  # fmt: skip
    assert (named.kind, named.cause) == ("stuck", "sensor")


@pytest.mark.parametrize("first", [kind for kind in KINDS if kind != "bad_range"])
@pytest.mark.parametrize("then", [kind for kind in KINDS if kind != "bad_range"])
def test_the_text_follows_the_cause(first, then):
    """Another reason for which there is no value: the same alarm, in the words of the other one."""
    if "bad_number" in {first, then} or first == then:
        return
    events = Engine(patient()).step(marked(quality_of(first), quality_of(then))).events
    (raised,) = of_tag_a(events, "raised")
    assert raised[:2] == REASONS[first]
    assert of_tag_a(events, "updated")[0][:2] == REASONS[then]


@pytest.mark.parametrize("kind", ["bad_address", "bad_access", "bad_type"])
def test_a_source_that_answers_nothing_but_refusals_says_so(kind):
    """Not "check the cable": all its addresses may be wrong by one namespace or offset."""
    quality = np.zeros((300, 3), np.uint16)
    quality[60:100, 1:] = quality_of(kind)
    entries = [command(0, "source_state", source="two", state="live", reason="")]
    entries.append(block(normal(300), quality=quality, sequence=2))
    told = [e.data for e in events_of(Engine(spec()), entries) if e.kind == "condition"]
    raised = [data for data in told if data["change"] == "raised"]
    assert [(data["kind"], data["cause"]) for data in raised] == [REASONS[kind]]
    assert "two answers" in raised[0]["text"]
    assert "cable" not in raised[0]["hint"]


@pytest.mark.parametrize("most", [False, True])
def test_a_refused_address_is_told_in_the_words_of_its_source(most):
    """Which exception it was, also after a start from a snapshot, and when it is another one."""
    quality = np.zeros((100, 3), np.uint16)
    quality[60:, 1:] = quality_of("bad_address")
    if not most:
        quality[:, 2] = 0

    def because(second, text, sequence):
        told = {"b": text, "c": text, "stranger": text}
        return command(second, "refused", source="two", tags=told, sequence=sequence)

    before = Engine(spec())
    events_of(before, [
        command(0, "source_state", source="two", state="live", reason=""),
        because(1, "exception 2", 2), command(2, "refused", source="none", tags=[], sequence=3),
        command(2, "refused", source="two", tags=7, sequence=4),
    ])  # fmt: skip
    engine = Engine(spec())
    engine.resume(before.snapshot())
    told = [e.data for e in events_of(engine, [
        block(normal(100), start=3, quality=quality, sequence=5), because(104, "exception 3", 6),
    ]) if e.kind == "condition"]  # fmt: skip
    assert [data["change"] for data in told] == ["raised", "updated"]
    assert "exception 2" in told[0]["text"] and "exception 3" in told[1]["text"]


def test_a_source_that_is_lost_otherwise_is_told_otherwise():
    """First refused, then silent: the open alarm follows, once."""
    say = partial(command, kind="source_state", source="one", state="failed")
    entries = [
        block(normal(20)), say(20, reason="connection refused", sequence=2),
        block(normal(20)[:, 1:] @ np.eye(2, 3, 1) + [np.nan, 0, 0], start=20, sequence=3),
        say(41, reason="connection refused", sequence=4),
        say(42, reason="no answer within 5 s", sequence=5), tick(60, 6),
    ]
    told = [e for e in events_of(Engine(spec()), entries) if e.subject == "source/one"]
    texts = [(e.data["change"], e.data["text"].partition(": ")[2]) for e in told
             if e.kind == "condition"]  # fmt: skip
    since = "since 2023-11-14T22:13:40Z"
    assert texts == [("raised", f"connection refused, {since}"),
                     ("updated", f"no answer within 5 s, {since}")]  # fmt: skip


# --- the sensor -------------------------------------------------------------------------------


def test_stuck_says_at_which_value():
    """The reason names the value and the unit."""
    raw = np.concatenate([20.0 + np.random.default_rng(1).standard_normal(20), np.full(40, 21.375)])
    named = diagnose(evidence(raw, "degC", 1.0, "stuck"))
    assert (named.kind, named.cause) == ("stuck", "sensor")
    assert "stuck at 21.375 degC" in named.text


def test_spikes_and_noise_are_told_apart():
    """A few large steps are spikes; most steps larger are noise; both are the sensor's."""
    rng = np.random.default_rng(2)
    calm = rng.standard_normal(64)
    spiky = calm.copy()
    spiky[[10, 25, 33, 48, 60]] += 15.0
    for recent, found, kind in ((spiky, {"spike", "rate"}, "spikes"),
                                (3.5 * calm, {"spike", "rate", "noise"}, "noise"),
                                (3.5 * calm, {"noise"}, "noise"),
                                (spiky, {"spike", "noise"}, "spikes")):
        named = diagnose(Evidence("t", "degC", "s", frozenset(found), recent=recent, raw=recent))
        assert (named.kind, named.cause) == (kind, "sensor")


def test_a_jump_that_comes_back_is_a_spike_and_one_that_stays_a_shift():
    """A step too fast for training alone: where the value is afterwards tells which it was."""
    calm = np.random.default_rng(4).standard_normal(60)
    back, stays = calm.copy(), calm.copy()
    back[50] += 14.0
    stays[50:] += 14.0
    for recent, kind in ((back, "spikes"), (stays, "level shift")):
        for found in ({"rate"}, {"spike"}, {"spike", "rate"}):
            seen = frozenset(found)
            assert diagnose(Evidence("t", "%", "s", seen, recent=recent, raw=recent)).kind == kind
    seen = frozenset({"spike", "noise"})
    assert diagnose(Evidence("t", "%", "s", seen, recent=stays, raw=stays)).kind == "level shift"


def test_less_noise_than_in_training_is_not_called_noisier():
    """A filter switched on is named as a change of noise, without claiming which way."""
    recent = 0.1 * np.random.default_rng(3).standard_normal(64)
    named = diagnose(Evidence("t", "degC", "s", frozenset({"noise"}), recent=recent, raw=recent))
    assert named.kind == "noise"
    assert "quieter" in named.text


@pytest.mark.parametrize(("ramp", "kind"), [(True, "drift"), (False, "bias")])
def test_one_tag_that_left_the_others_is_the_sensors(ramp, kind):
    """It dominates the residual, the others predict it, nothing else moved: sensor."""
    means = np.linspace(0.0, 4.0, 24) if ramp else np.repeat([0.0, 4.0], 12)
    facts = {"joint": True, "share": 0.8, "r2": 0.9, "means": means}
    named = diagnose(Evidence("t", "degC", "s", frozenset({"level"}), **facts))
    assert (named.kind, named.cause) == (kind, "sensor")
    assert "other inputs say otherwise" in named.text
    for weaker in ({"share": 0.3}, {"r2": 0.2}, {"joint": False}, {"companions": 2}):
        named = diagnose(Evidence("t", "degC", "s", frozenset({"level"}), **(facts | weaker)))
        assert named.cause != "sensor"


def test_one_tag_is_named_without_any_joint_chart_and_with_figures():
    """Surely off what the others say is enough; what it reads and what they say is in the text."""
    facts = {
        "share": 0.7, "r2": 0.9, "off": 6.0, "said": 20.0, "raw": np.full(20, 24.5),
        "means": np.repeat([0.0, 4.0], 12),
    }
    named = diagnose(Evidence("t", "degC", "s", frozenset({"level"}), **facts))
    assert (named.kind, named.cause) == ("bias", "sensor")
    figures = "it reads 24.5 degC, they say 20 degC (6 sd apart, 70 % of all that is off)"
    assert named.text.endswith(figures)
    others = {"companions": 2}
    for more, blamed in ((others, False), (others | {"share": 0.95}, True), ({"off": 2.0}, False)):
        named = diagnose(Evidence("t", "degC", "s", frozenset({"level"}), **(facts | more)))
        assert (named.cause == "sensor") == blamed


# --- what moved, and who ----------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
def test_drift_and_step_are_told_apart(noise):
    """A ramp of the means is a drift, a single step is a level shift, at any place in the trace."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        wander = noise * rng.standard_normal(28)
        ramp = np.concatenate([np.zeros(10), np.linspace(0.0, 5.0, 18)]) + wander
        step = np.concatenate([np.zeros(10), np.full(18, 5.0)]) + wander
        kinds = [
            diagnose(Evidence("t", "degC", "s", frozenset({"level"}), means=means)).kind
            for means in (ramp, step)
        ]
        assert kinds == ["drift", "level shift"]


def test_out_of_trained_range_says_value_and_range():
    """What it reads, what it was trained on, and that the cause is not known."""
    raw = 20.0 + np.cumsum(np.full(64, 0.2))
    trained = (10.0, 25.0)
    named = diagnose(Evidence("t", "degC", "s", frozenset({"range"}), raw=raw, trained=trained))
    assert (named.kind, named.cause) == ("out of trained range", "unknown")
    assert "32.8 degC, trained on 10 to 25" in named.text
    assert "(sensor or process)" in named.text


@pytest.mark.parametrize("found", [{"range"}, {"range", "rate"}, {"range", "spike", "level"}])
def test_a_value_back_in_its_range_made_an_excursion(found):
    """Its name says that it was out, not that it is."""
    raw = np.concatenate([np.full(40, 20.0), np.full(12, 33.0), np.full(12, 20.0)])
    recent = (raw - 20.0) / 2.0
    named = diagnose(Evidence("t", "degC", "s", frozenset(found), raw=raw, recent=recent,
                              centre=20.0, scale=2.0, trained=(10.0, 25.0)))  # fmt: skip
    assert (named.kind, named.cause) == (EXCURSION, "unknown")
    assert "left the trained range of 10 to 25 degC for a moment" in named.text


@pytest.mark.parametrize("companions", [0, 2])
def test_a_value_without_a_unit_leaves_no_gap_in_the_sentence(companions):
    """No blank before a comma, and none twice."""
    raw = 20.0 + np.cumsum(np.full(64, 0.2))
    for trained, found in (((10.0, 25.0), "range"), ((10.0, 40.0), "range")):
        named = diagnose(Evidence("t", "", "s", frozenset({found}), raw=raw, trained=trained,
                                  companions=companions, r2=0.9))  # fmt: skip
        assert named.kind == "out of trained range"
        assert " ," not in named.text and "  " not in named.text


def test_an_unknown_cause_names_its_candidates():
    """Where the evidence can not tell the sensor from the process it says so."""
    for found in ({"level"}, {"drift", "level"}, {"range"}, {"rate"}):
        named = diagnose(Evidence("t", "degC", "s", frozenset(found), r2=0.3))
        assert named.cause == "unknown"
        assert "sensor or process" in named.text


def test_several_that_moved_together_are_the_process():
    """Companions moved, and the others predict this one: the plant did it."""
    named = diagnose(Evidence("t", "degC", "s", frozenset({"level"}), r2=0.9, companions=2))
    assert (named.kind, named.cause) == ("level shift", "process")
    assert "together with other inputs" in named.text


@pytest.mark.parametrize("found", [{"level"}, {"drift", "level"}])
def test_what_to_do_is_for_whom_the_cause_names(found):
    """Nobody is sent to an instrument that the plant moved, or that a signal does not have."""
    of = partial(Evidence, "t", "degC", "s", frozenset(found))
    plant, either = of(r2=0.9, companions=2), of(r2=0.3)
    by_controller = of(r2=0.3, loop_part="controller output")
    assert diagnose(plant).hint == "find out what the plant did"
    assert re.search("sensor|instrument", diagnose(either).hint)
    told = diagnose(by_controller)
    assert "what sets it, or the process" in told.text
    assert "controller" in told.hint and not re.search("sensor|instrument", told.hint)


def test_what_no_rule_knows_is_an_anomaly():
    """The vaguest name has the lowest rank, so that any other replaces it."""
    named = diagnose(Evidence("t", "degC", "s", frozenset({"spe"})))
    assert (named.kind, named.cause, named.rank) == ("anomaly", "unknown", 1)


def test_the_order_of_the_design_is_kept():
    """Integration before sensor, sensor before process: by rank too, so a name only improves."""
    raw = jump(20.0, 68.0, 0.1, gain=1.8)
    both = evidence(raw, "degC", 0.1, "range", "stuck", "level", companions=2, r2=0.9)
    assert diagnose(both).kind == "unit change"
    ranks = [
        diagnose(evidence(raw, "degC", 0.1)).rank,
        diagnose(evidence(np.full(40, 20.0), "degC", 0.1, "stuck")).rank,
        diagnose(Evidence("t", "degC", "s", frozenset({"range"}))).rank,
        diagnose(Evidence("t", "degC", "s", frozenset({"level"}))).rank,
    ]
    assert ranks == sorted(set(ranks), reverse=True)


# --- groups -----------------------------------------------------------------------------------


def test_a_lost_source_says_how_much_is_lost_and_why():
    """One sentence with the source, its tags and the reason."""
    named = group_text("boiler", "connection refused", 12)
    assert named.text == "source boiler is lost with 12 tags: connection refused"
    assert (named.kind, named.cause) == ("source lost", "integration")
    assert group_text("boiler", "", 12).text.endswith("12 tags: it gave no reason")


def test_joint_charts_name_the_inputs_that_matter():
    """SPE: the relations changed, cause open; T2: a new region, the process; change: only that."""
    shares = {"a": 0.1, "b": 0.6, "c": 0.2, "d": 0.05}
    relations, region = joint_diagnosis("spe", shares), joint_diagnosis("t2", shares)
    assert (relations.kind, relations.cause) == ("relations changed", "unknown")
    assert (region.kind, region.cause) == ("new operating region", "process")
    change = joint_diagnosis("change", shares)
    assert (change.kind, change.cause) == ("sudden change", "unknown")
    assert change.rank < min(relations.rank, region.rank)
    assert "b (60 %), c (20 %), a (10 %)" in relations.text
    assert "d" not in region.text.rpartition(" in ")[2]


# --- anything at all --------------------------------------------------------------------------

anything = st.lists(
    st.floats(width=64) | st.sampled_from([0.0, 1e308, -1e308, np.nan, np.inf, 20.0, 68.0]),
    max_size=64,
)
clipped = st.lists(st.floats(-1e9, 1e9), max_size=64)
DETECTORS = ["missing", *KINDS, "source_clock", "stuck", "range", "rate", "spike", "level", "drift",
             "noise", "spe", "change", "category", "pace", "late", "step"]


@settings(max_examples=300, deadline=None)
@given(
    raw=anything, recent=clipped, means=clipped.map(lambda values: values[:32]),
    unit=st.sampled_from(["degC", "bar", "", "K"]), found=st.sets(st.sampled_from(DETECTORS)),
    noise=st.floats(0.0, 10.0), r2=st.floats(-1.0, 1.0), joint=st.booleans(),
    out=st.booleans(), companions=st.integers(0, 3),
)  # fmt: skip
def test_anything_gets_a_name(raw, recent, means, unit, found, noise, r2, joint, out, companions):
    """Whatever the traces hold, there is one sentence, one hint and a known cause."""
    named = diagnose(
        Evidence(
            "t", unit, "s", frozenset(found), np.array(recent), np.array(means), np.array(raw),
            scale=2.0, noise=noise, r2=r2, joint=joint, share=0.7, companions=companions,
            physical=(-50.0, 50.0) if out else None,
        )
    )
    assert isinstance(named, Diagnosis)
    assert named.cause in {"integration", "sensor", "process", "model", "unknown"}
    assert named.text
    assert named.hint
    assert "  " not in named.text
    assert 1 <= named.rank <= 9


@pytest.mark.parametrize(("found", "alike", "text"), [
    ({"spe"}, (), "t is off: the other inputs say otherwise"),
    ({"spe"}, ("u", "v", "w"), "t is off, or u or v is: how they relate can not tell which"),
    ({"spe", "level"}, ("u",), "t is off: the other inputs say otherwise"),
])  # fmt: skip
def test_a_bias_that_may_be_anothers_says_so(found, alike, text):
    """Unless the tag's own charts have seen it move."""
    named = diagnose(
        Evidence("t", "bar", "s", frozenset(found), joint=True, share=0.8, r2=0.9, alike=alike)
    )
    assert (named.kind, named.text) == ("bias", text)


def moved(found: str, recent: Float64, means: Float64) -> str:
    """The text of a tag about 20 degC, sd 2, whose latest samples are these."""
    return diagnose(Evidence(
        "t", "degC", "s", frozenset({found}), recent, means, raw=20.0 + 2.0 * recent,
        centre=20.0, scale=2.0,
    )).text  # fmt: skip


def test_reasons_say_what_is_read_and_what_was_expected_from_what():
    """Level, drift, noise and change of unit: each with its figures, in the tag's unit."""
    white = np.random.default_rng(1).standard_normal(64)
    reads = ": it reads 28 degC, in training 20 degC (4.0 sd apart)"
    step, ramp = np.repeat([0.0, 4.0], 12), np.linspace(0.0, 4.0, 24)
    assert moved("level", np.full(20, 4.0), step) == (
        f"t moved to a new level (sensor or process){reads}"
    )
    assert moved("level", np.full(20, 4.0), ramp) == (
        f"t is drifting away from where it was trained (sensor or process){reads}"
    )
    told = re.search(r"noisier than in training \((\S+) times\)", moved("noise", 3.0 * white, step))
    assert told is not None
    assert float(told[1]) == pytest.approx(3.0, rel=0.2)
    named = diagnose(evidence(jump(20.0, 68.0, 0.1, gain=1.8), "degC", 0.1)).text
    assert re.fullmatch(
        r"unit change: t now arrives in degF instead of degC: it reads 6[78]\.?\d* where "
        r"(20\.?\d*|19\.9\d*) degC was expected; a change of unit or scale is "
        r"(more than )?[\d,.]+ times likelier than a move of the plant", named
    )
    spiked = 0.1 * white
    spiked[30] = 9.0
    assert moved("spike", spiked, np.zeros(24)).startswith(
        "t shows spikes that training never had: the farthest reads 38 degC, the rest about "
    )


@given(ratio=st.floats(0.1, 1e4))
def test_odds_are_told_to_two_figures_and_not_beyond_a_million(ratio):
    """A likelihood ratio as people say it."""
    text = figures.odds(ratio)
    told = float(text.removeprefix("more than ").removesuffix(" times likelier").replace(",", ""))
    assert text.startswith("more than ") <= (told == 1e6)
    assert text.startswith("more than ") >= (ratio > 14.0)
    assert told == pytest.approx(min(np.exp(min(ratio, 50.0)), 1e6), rel=0.06)


def test_reasons_say_since_when():
    """Since the first finding, in UTC: in the condition's events and in the verdict's reasons."""
    values = normal(400)
    values[100:, 0] += 8.0
    told = [e for e in Engine(spec()).step(block(values)).events
            if e.kind in {"condition", "verdict"}]  # fmt: skip
    since = f", since {figures.clock(START + 100 * SECOND)}"
    own = [e for e in told if e.subject == "tag/a"]
    assert own
    assert all(e.data["text"].endswith(since) for e in own)
    reasons = [one["text"] for e in told if e.kind == "verdict" for one in e.data["reasons"]
               if one["condition"] == own[0].data["id"]]  # fmt: skip
    assert reasons
    assert all(text.endswith(since) for text in reasons)


# --- through the engine -----------------------------------------------------------------------


def names_of(values: Float64, centre: float, scale: float) -> list[tuple[str, str]]:
    """(kind, cause) as the condition of tag a is named, in order."""
    trained = baseline(centre=centre, scale=scale)
    told: list[Event] = list(Engine(spec(trained=trained)).step(block(values)).events)
    return [
        (event.data["kind"], event.data["cause"]) for event in told
        if event.kind == "condition" and event.subject == "tag/a"
        and event.data["change"] in {"raised", "updated"}
    ]  # fmt: skip


@pytest.mark.parametrize("centre", [-10.0, 5.0, 20.0, 80.0, 180.0, 350.0])
@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0])
def test_degc_becomes_degf_at_any_operating_point(centre, scale):
    """The unit change is the name that the condition ends with, at any temperature and noise."""
    values = centre + scale * normal(200)
    values[100:, 0] = values[100:, 0] * 1.8 + 32.0
    assert names_of(values, centre, scale)[-1] == ("unit change", "integration")


@pytest.mark.parametrize("bias", [10.0, 15.0, -12.0])
def test_a_bias_ends_with_a_name_that_blames_no_unit(bias):
    """The same machinery over a step that is none of the conversions."""
    values = 80.0 + normal(200)
    values[100:, 0] += bias
    names = names_of(values, 80.0, 1.0)
    assert names
    assert not {"unit change", "scale change"} & {kind for kind, _ in names}


def test_a_slow_ramp_ends_as_a_drift():
    """Seen first as a shift or as out of range, and named a drift when the means show it."""
    values = 80.0 + normal(600)
    values[100:, 0] += np.minimum(np.arange(500) / 40.0, 5.0)
    assert ("drift", "unknown") in names_of(values, 80.0, 1.0)


# --- evidence that lasts, through the engine --------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_tags_that_trade_places_are_swapped_and_one_that_jumps_there_is_not(seed):
    """Where no joint chart relates them the traces show it: both must have jumped, and crossed."""
    base = baseline()
    a, *others = base.modes[0].inputs
    far = replace(a, centre=300.0, trained=(296.0, 304.0))
    trained = replace(base, modes=(replace(base.modes[0], inputs=(far, *others)),))
    values = normal(300, seed)
    values[:, 0] += 300.0
    swapped, one = values.copy(), values.copy()
    swapped[200:, [0, 1]] = values[200:, [1, 0]]
    one[200:, 0] -= 300.0
    names = last_names(swapped, trained)
    assert {names["tag/a"], names["tag/b"]} == {"swapped tags"}
    alone = last_names(one, trained)
    assert alone["tag/a"] == "out of trained range"
    assert "swapped tags" not in alone.values()


@pytest.mark.parametrize("seed", range(8))
def test_tags_that_cross_in_a_trip_and_go_where_neither_was_trained_are_not_swapped(seed):
    """One falls and one rises as the plant trips, each to somewhere near the other's old place."""
    base = baseline()
    a, *others = base.modes[0].inputs
    far = replace(a, centre=300.0, trained=(296.0, 304.0))
    trained = replace(base, modes=(replace(base.modes[0], inputs=(far, *others)),))
    values = normal(300, seed)
    values[:, 0] += 300.0
    off = np.random.default_rng(seed + 100).uniform(15.0, 60.0, 2)
    values[200:, 0] += off[0] - 300.0
    values[200:, 1] += 300.0 - off[1]
    names = last_names(values, trained)
    assert {"tag/a", "tag/b"} <= names.keys() and "swapped tags" not in names.values()


@pytest.mark.parametrize("seed", range(4))
def test_tags_of_different_models_that_trade_places_are_swapped(seed):
    """Where they come from one source; another's are not looked at."""
    one = spec().models[0]
    models = []
    for name, tag, centre in (("m", "b", 0.0), ("n", "c", 300.0)):
        trained = baseline((tag,), centre=centre)
        models.append(replace(one, name=name, inputs=(tag,), required=frozenset({tag}),
                              baseline=trained))  # fmt: skip
    values = normal(300, seed)
    values[:, 2] += 300.0
    values[200:, [1, 2]] = values[200:, [2, 1]]
    for source, kinds in (("two", {"swapped tags"}), ("one", {"out of trained range"})):
        tags = (*spec().tags[:2], replace(spec().tags[2], source=source))
        engine = Engine(replace(spec(), models=tuple(models), tags=tags))
        told = [e for e in engine.step(block(values)).events if e.kind == "condition"]
        last = {event.subject: event.data["kind"] for event in told}
        assert last.keys() == {"tag/b", "tag/c"} and set(last.values()) == kinds


def last_names(values: Float64, trained: Baseline) -> dict[str, str]:
    """The last name of each condition, by its subject."""
    events = Engine(spec(trained=trained)).step(block(values)).events
    return {event.subject: event.data["kind"] for event in events if event.kind == "condition"}


@pytest.mark.parametrize("order", [("wide", "narrow"), ("narrow", "wide")])
def test_a_tag_of_two_models_is_diagnosed_with_the_baseline_that_saw_it(order):
    """What lies beyond one model's training is told by that training, not by the first one's."""
    made = {}
    for name, scale in (("wide", 10.0), ("narrow", 1.0)):
        trained = baseline(scale=scale, digest=name)
        (mode,) = trained.modes
        own = mode.inputs[0].detectors
        charts = {name: own[name] for name in ("range", "rate")}
        inputs = tuple(replace(item, detectors=charts) for item in mode.inputs)
        trained = replace(trained, modes=(replace(mode, inputs=inputs),))
        made[name] = replace(spec().models[0], name=name, baseline=trained)
    both = replace(spec(), models=tuple(made[name] for name in order))
    values = normal(120)
    values[60:, 0] += 9.0
    told = [e for e in Engine(both).step(block(values)).events if e.kind == "condition"]
    assert {event.subject for event in told} == {"tag/a"}
    assert told[-1].data["models"] == ["narrow"]
    assert "trained on -4 to 4" in told[-1].data["text"], told[-1].data["text"]


def _stepped(before: float, after: float, gain: float, offset: float) -> Evidence:
    """A step on samples rounded to `before`, then to `after` and converted; trained on tenths."""
    rng = np.random.default_rng(3)
    level = 60.0 + rng.normal(0.0, 0.8, 60)
    raw = np.concatenate([np.round(level[:40] / before) * before,
                          np.round(level[40:] / after) * after * gain + offset])
    return Evidence(
        "t", "degC", "line", frozenset({"level"}), recent=raw - 60.0, raw=raw,
        centre=60.0, scale=1.0, noise=1.2, trained=(57.0, 63.0), step=0.1, changes=CHANGES,
    )


@pytest.mark.parametrize(
    ("before", "after", "gain", "offset", "is_rescaled"),
    [
        (0.1, 0.1, 1.3, 0.0, True), (0.1, 0.1, 0.77, 3.0, True),
        (0.1, 0.1, 1.0, 17.123, False),  # a bias, of an instrument or added to a record
        (0.1, 0.05, 1.0, 17.123, False), (0.1, 1e-6, 1.0, 17.0, False),
        (0.1, 1e-6, 1.3, 0.0, False),
        (1e-6, 1e-6, 1.3, 0.0, False), (1e-6, 0.1, 1.3, 0.0, False),
    ],
)  # fmt: skip
def test_a_step_is_a_change_of_scale_only_where_the_steps_of_values_changed_with_it(
    before, after, gain, offset, is_rescaled
):
    """A bias leaves them; a record that was rounded as it was written has others at all times."""
    diagnosis = diagnose(_stepped(before, after, gain, offset))
    assert (diagnosis.kind == "scale change") is is_rescaled
