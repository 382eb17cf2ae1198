"""Trials of candidates in the fold: figures, outcomes, the switch and the way back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.retraining_request import Request
from agent.core.steward import Steward
from agent.core.trial_criteria import TrialCriteria, missing
from agent.core.trial_losses import FIRST, Losses
from tests.core import test_truth
from tests.core.small import (
    SECOND,
    START,
    baseline,
    block,
    command,
    cut,
    eventful,
    normal,
    spec,
    state_of,
    tell,
)
from tests.core.test_retraining import CHARTS

NEW, OLD = "e" * 64, "d" * 64
SHIFT = 4.0
FOR = 200
CRITERIA = TrialCriteria(lasts_ns=FOR * SECOND, at_most_ns=3 * FOR * SECOND, own_incidents=1)
"""The shift is the new normal after a trial of minutes."""


def trained(digest, centre):
    """A baseline with few charts, seldom up at random."""
    one = baseline(digest=digest, centre=centre)
    items = tuple(replace(item, detectors=CHARTS) for item in one.modes[0].inputs)
    return replace(one, modes=(replace(one.modes[0], inputs=items),))


def guarded(*candidates, unfit=None, **more):
    """Model m by a baseline of before the shift; `candidates` are those that are kept."""
    kept = {one.digest: one for one in candidates or (trained(NEW, SHIFT),)}
    made = spec(trained=trained(OLD, 0.0), **more)
    return replace(made, kept=kept, unfit=unfit or {})


def began(second=100, *, sequence, criteria=CRITERIA, digest=NEW, request="", version="2"):
    return command(
        second, "trial", sequence=sequence, model="m", digest=digest, version=version,
        criteria=criteria.to_json(), request=request, by="ann", note="new catalyst",
    )  # fmt: skip


def act(second, kind, *, sequence, **data):
    return command(second, kind, sequence=sequence, model="m", by="ann", note="because", **data)


def accept(second, *, sequence, **data):
    known = {"digest": NEW, "version": "2", "replaces": OLD, "trial": "m/2@1", "request": ""}
    return act(second, "accept", sequence=sequence, **(known | data))


def rows(start, stop, added=SHIFT, sequence=1, seed=5):
    return block(normal(stop, seed)[start:] + added, start=start, sequence=sequence)


def told(outcomes):
    return [event for one in outcomes for event in one.events if event.kind == "retraining"]


def steps(engine, *entries):
    return [engine.step(entry) for entry in entries]


def tried(engine=None, *, until=100 + FOR + 30, criteria=CRITERIA, added=SHIFT):
    """An engine in whose trial the plant runs shifted, as the candidate was trained."""
    engine = engine or Steward(guarded())
    steps(engine, rows(0, 100, 0.0), began(sequence=2, criteria=criteria),
          rows(100, until, added, sequence=3))  # fmt: skip
    return engine


def judge(engine, second, *, sequence):
    return told(steps(engine, *(
        command(second, "trial_judged", sequence=sequence, **data) for data in engine.due()
    )))  # fmt: skip


def test_only_the_model_in_service_is_heard():
    """Verdicts, conditions and summaries are the same with a trial beside as without one."""
    plain, engine = Engine(guarded()), Steward(guarded())
    entries = [rows(0, 100, 0.0), rows(100, 330, sequence=3)]
    alone = tell(plain, entries)
    beside = tell(engine, [entries[0], began(sequence=2), entries[1]])
    own = [event for event in beside.events if '["retraining"' not in event]
    assert len(beside.events) == len(own) + 1
    assert (own, beside.summaries) == (alone.events, alone.summaries)


def test_a_candidate_that_fits_is_passed_and_accepted_and_rolled_back():
    """Each act once, in its event with who, why and figures; each switch judges anew."""
    engine = tried()
    assert engine.judge.verdicts["m"].verdict != "trusted"
    (passed,) = judge(engine, 330, sequence=4)
    assert (passed.data["change"], passed.data["state"]) == ("passed", "passed")
    assert passed.data["left_ns"] == 0 and engine.lacking("m") == []
    figures = passed.data["figures"]
    assert figures["candidate"]["watched_ns"] == figures["champion"]["watched_ns"] == 230 * SECOND
    assert figures["candidate"]["spent_ns"]["trusted"] > 215 * SECOND
    assert figures["champion"]["spent_ns"]["trusted"] < 60 * SECOND
    assert figures["champion"]["outside"] > 200 and figures["candidate"]["outside"] < 5
    assert engine.due() == []

    outcome = engine.step(accept(331, sequence=5))
    (accepted,) = told([outcome])
    assert accepted.data["in_service"] == {"version": "2", "baseline": NEW}
    assert (accepted.data["by"], accepted.data["note"]) == ("ann", "because")
    assert (engine.spec.models[0].version, engine.spec.models[0].baseline.digest) == ("2", NEW)
    assert engine.configured.models[0].version == "1" and not engine.trials
    made = engine.step(rows(331, 400, sequence=6))
    assert engine.judge.verdicts["m"].verdict == "trusted"
    verdicts = [event.data for event in made.events if event.kind == "verdict"]
    assert {one["version"] for one in verdicts} == {"2"}
    assert steps(engine, accept(401, sequence=7))[0].events == ()  # it serves already

    assert "rollback" in engine.trials_shown()[0]["hint"]
    assert told([engine.step(act(402, "rollback", sequence=8, digest=OLD))]) == []
    (back,) = told([engine.step(act(403, "rollback", sequence=9, digest=NEW))])
    assert back.data["change"] == "rolled back"
    assert back.data["in_service"] == {"version": "1", "baseline": OLD}
    assert engine.spec.models[0].version == "1"
    (over,) = engine.trials_shown()  # nothing of it can be rolled back any more
    assert (over["text"], over["hint"]) == ("version 2 serves no more", "")


def test_a_candidate_that_does_not_fit_is_rejected_with_figures():
    """At its end, by nobody; the text says which criteria it missed, and by how much."""
    engine = tried(Steward(guarded(trained(NEW, -SHIFT))))
    (event,) = judge(engine, 331, sequence=4)
    assert (event.data["change"], event.data.get("by")) == ("rejected", None)
    states = {one["name"]: one["state"] for one in event.data["judged"]}
    assert states["extrapolating"] == states["trusted"] == "not met"
    assert states["time"] == states["assessable"] == "met"
    assert "of its scans outside of its training: 100.00 % so far" in event.data["text"]
    assert not engine.trials and engine.spec.models[0].version == "1"
    (known,) = engine.trials_shown()
    assert known["figures"] == event.data["figures"]


def test_no_trial_ends_before_its_time():
    """Nor is a second one begun; one of a baseline that is not there any more is over at once."""
    engine = tried(until=250)
    assert engine.due() == []
    assert [one["name"] for one in engine.lacking("m")] == ["time"]
    assert "watched for 3.33 min: 2.5 min so far" in missing(engine.lacking("m"))
    assert told(steps(engine, began(251, sequence=4))) == []
    assert judge(engine, 252, sequence=5) == []
    (event,) = told(steps(engine, act(253, "reject", sequence=6)))
    assert (event.data["change"], event.data["by"]) == ("rejected", "ann")
    steps(engine, began(254, sequence=7, digest="f" * 64))
    (event,) = judge(engine, 255, sequence=8)
    assert event.data["change"] == "rejected" and "missing or damaged" in event.data["text"]


def test_a_candidates_engine_that_fails_hurts_nobody(monkeypatch):
    """The trial is rejected with the reason; the model in service is judged as without it."""
    engine = tried(until=150)
    trial = engine.trials["m"]
    monkeypatch.setattr(trial.engine, "step", lambda entry: 1 // 0)
    made = tell(engine, [rows(150, 200, sequence=4)])
    alone = Engine(guarded())
    tell(alone, [rows(0, 100, 0.0), rows(100, 150, sequence=3)])
    assert made.events == tell(alone, [rows(150, 200, sequence=4)]).events
    (event,) = judge(engine, 201, sequence=5)
    assert event.data["change"] == "rejected" and "ZeroDivisionError" in event.data["text"]


@settings(max_examples=8, deadline=None)
@given(ends=st.lists(st.integers(101 * 4, 400 * 4), max_size=12), at=st.integers(110, 390))
def test_cuts_and_restarts_change_no_figure(ends, at):
    """Of the candidate, the model in service, nor of losses; events have the same times."""
    whole = eventful()
    head, tail = cut(whole, [START + 100 * SECOND])
    # what lies beyond is of a plant that is disturbed in many ways: both engines see conditions
    start = [head, began(sequence=2)]
    engine = Steward(guarded())
    expected = tell(engine, [*start, replace(tail, sequence=3)])
    parts = cut(tail, [START + end * SECOND // 4 for end in ends] + [START + at * SECOND], first=3)
    other = Steward(guarded())
    events = tell(other, start).events
    for part in parts:
        events += tell(other, [part]).events
        if part.sealed_ns == START + at * SECOND:
            resumed = Steward(guarded())
            resumed.resume(other.snapshot())
            other = resumed
    assert events == expected.events
    assert other.trials_shown() == engine.trials_shown()
    candidate = [one.trials["m"].engine for one in (engine, other)]
    assert state_of(candidate[0]) == state_of(candidate[1])
    figures = engine.trials_shown()[0]["figures"]
    assert figures["candidate"]["incidents"] and figures["champion"]["incidents"]


def test_time_in_which_nobody_watched_counts_for_nothing():
    """A run that ended, and a clock that was set back: of neither is a second counted."""
    engine = tried(until=200)
    boot = {"boot": 2, "away_ns": 500 * SECOND, "boot_id": "x", "quality": "synchronised"}
    steps(engine, command(700, "boot", sequence=4, **boot), rows(700, 750, sequence=5))
    watched = [one["watched_ns"] for one in engine.trials_shown()[0]["figures"].values()
               if isinstance(one, dict)]  # fmt: skip
    assert watched == [150 * SECOND, 150 * SECOND]
    back = {"shift_ns": -300 * SECOND, "away_ns": 0, "boot_id": "x", "quality": "synchronised"}
    steps(engine, command(450, "clock", sequence=6, **back), rows(450, 480, sequence=7))
    (shown,) = engine.trials_shown()
    assert shown["figures"]["candidate"]["watched_ns"] == 180 * SECOND
    assert shown["since_ns"] == START - 200 * SECOND


def test_a_begin_that_is_folded_again_without_its_baseline_is_told_as_before():
    """The copy was lost since: the same event, and then the end of the trial."""
    entries = [rows(0, 100, 0.0), began(sequence=2)]
    (first,) = told(steps(Steward(guarded()), *entries))
    other = Steward(replace(guarded(), kept={}))
    assert told(steps(other, *entries)) == [first]
    (event,) = judge(other, 101, sequence=3)
    assert "missing or damaged" in event.data["text"]


def test_the_switch_is_in_the_fold():
    """A snapshot of before it, folded on by a new process, judges each entry as the first did."""
    engine = tried()
    before = engine.snapshot()
    later = [accept(331, sequence=4), rows(331, 400, sequence=5)]
    made = tell(engine, later)
    resumed = Steward(guarded())
    resumed.resume(before)
    assert tell(resumed, later) == made
    again = Steward(guarded())
    again.resume(engine.snapshot())
    assert state_of(again) == state_of(engine)


def changed(of, **model):
    return replace(of, models=(replace(of.models[0], **model),))


@pytest.mark.parametrize(("what", "text"), [
    ({"version": "3"}, "was changed to version 3, which wins"),
    ({"baseline": trained("f" * 64, 1.0)}, "was changed to version 1, which wins"),
    ({"version": "2", "baseline": trained(NEW, SHIFT)}, "itself says version 2 now"),
    (None, "no such model any more"),
    ({"kept": {}}, "missing or damaged"),
    ({"unfit": {("m", NEW): "a was fitted in bar, configured is degC"}}, "fitted in bar"),
])  # fmt: skip
def test_the_configuration_wins_over_what_was_accepted(what, text):
    """Whatever was changed in it; people are told once, by an event of an entry."""
    engine = tried()
    engine.step(accept(331, sequence=4))
    configured = guarded()
    if what is None:
        configured = replace(configured, models=())
    elif what.keys() & {"kept", "unfit"}:
        configured = replace(configured, **what)
    else:
        configured = changed(configured, **what)
    other = Steward(configured)
    other.resume(engine.snapshot())
    assert other.spec.models == configured.models
    (dropped,) = other.dropped
    assert (dropped.model, dropped.served.version) == ("m", "2") and text in dropped.text
    (event,) = told(steps(other, command(
        332, "superseded", sequence=5, model="m", version="2", digest=NEW, reason=dropped.text
    )))  # fmt: skip
    assert event.data["change"] == "superseded" and text in event.data["text"]
    assert not other.dropped


@pytest.mark.parametrize(("what", "text"), [
    ({"models": ()}, "no such model"), ({"kept": {}}, "missing or damaged"),
    ({"unfit": {("m", NEW): "its inputs differ: without c"}}, "without c"),
    ({"baseline": trained("f" * 64, 1.0)}, "another one than the trial began beside"),
])  # fmt: skip
def test_a_configuration_in_which_a_trial_can_not_go_on_ends_it(what, text):
    """It is rejected with the reason; a reload that touches other things changes no figure."""
    engine = tried(until=250)
    same = Steward(replace(guarded(), false_alarm_ns=7))
    same.resume(engine.snapshot())
    assert same.trials_shown() == engine.trials_shown()
    configured = changed(guarded(), **what) if "baseline" in what else replace(guarded(), **what)
    other = Steward(configured)
    other.resume(engine.snapshot())
    (event,) = judge(other, 251, sequence=4)
    assert event.data["change"] == "rejected" and text in event.data["text"]
    assert not other.trials


def test_a_request_goes_along():
    """Declared, in trial, declared again where it is rejected; accepted, and back by roll-back."""
    engine = Steward(guarded())
    engine.retraining.requests["m@1"] = Request(
        "m@1", "m", "1", "t", OLD, START, START, [], [], state="declared", until_ns=START + SECOND
    )

    def state():
        request = engine.retraining.requests["m@1"]
        assert request.until_ns == START + SECOND
        return request.state

    steps(engine, rows(0, 100, 0.0), began(sequence=2, request="m@1"))
    assert state() == "in trial" and engine.retraining.pins() == {"m": START}
    steps(engine, act(101, "reject", sequence=3))
    assert state() == "declared"
    steps(engine, began(102, sequence=4, request="m@1"), rows(102, 320, sequence=5))
    steps(engine, accept(321, sequence=6, request="m@1"))
    assert state() == "accepted" and engine.retraining.pins() == {}
    steps(engine, act(322, "rollback", sequence=7, digest=NEW))
    assert state() == "declared" and engine.retraining.pins() == {"m": START}
    assert [one["state"] for one in engine.retraining.requests["m@1"].decisions] == [
        "in trial", "declared", "in trial", "accepted", "declared"
    ]  # fmt: skip


# --- losses -----------------------------------------------------------------------------------


def paired(labels, candidate, *, seed=1, margin=0.2, clip=6.0, spread=1.0):
    """Losses of both: the candidate's are `candidate` times as large in the mean."""
    rng = np.random.default_rng(seed)
    made = Losses("y", "absolute", margin, clip=clip)
    for own, other in np.abs(rng.standard_normal((labels, 2))) * [1.0, candidate * spread]:
        made.add(float(own), float(other))
    return made


def test_bets_say_which_errs_more_and_seldom_wrongly():
    """A candidate with the largest loss that must not pass does in at most 5 % of trials."""
    assert paired(120, 0.4).pro.evidence >= 20.0
    assert paired(120, 3.0).contra.evidence >= 20.0
    wrong = sum(max(_evidence(seed)) >= 20.0 for seed in range(100))
    assert wrong <= 5 + 2 * 2.2  # two standard errors


def test_labels_that_a_trial_needs():
    """Medians, as docs/retraining.md has them: bets on normal errors that do not go along."""
    for ratio, least, most in ((0.5, 30, 60), (1.0, 150, 600)):
        needed = []
        for seed in range(15):
            made, rng = Losses("y", "absolute", 0.2, clip=3.3), np.random.default_rng(seed)
            while made.pro.evidence < 20.0 and made.labels < 2000:
                own, other = np.abs(rng.standard_normal(2)) * [1.0, ratio]
                made.add(float(own), float(other))
            needed.append(made.labels)
        assert least <= np.median(needed) <= most, (ratio, needed)


def _evidence(seed):
    """After each label, where the candidate errs 20 % more: exactly what is bet against."""
    rng = np.random.default_rng(seed)
    made = Losses("y", "absolute", 0.2, clip=60.0)
    for own, other in np.abs(rng.standard_normal((300, 2))) * [1.0, 1.2]:
        made.add(float(own), float(other))
        yield made.pro.evidence


def test_losses_without_a_known_clip_bet_once_it_is_fixed():
    """On the first labels nothing is bet: they say how large losses are."""
    made = paired(FIRST, 0.1, clip=0.0)
    assert made.pro.evidence == 1.0 and made.clip == pytest.approx(3.0 * made.largest)
    later = paired(FIRST + 50, 0.1, clip=0.0)
    assert later.pro.evidence > 20.0 and later.clip == made.clip
    assert Losses.from_json(json.loads(json.dumps(later.to_json()))) == later


def labelled(candidate_errs, count, criteria, until=200):
    """A trial from second 30 on, in which both versions predict, and labels come for both."""
    made = test_truth.spec_of()
    engine = Steward(replace(made, kept={NEW: replace(baseline(digest=NEW), losses={})}))
    told = [(30, began(30, sequence=1, criteria=criteria))]
    for number in range(count):
        second, name = 31 + 4 * number, f"{number}"
        said = [{"id": name, "value": 1.0 + 0.1 * (number % 3), "version": ""},
                {"id": name, "value": candidate_errs, "version": "2"},
                {"id": name, "value": 9.0, "version": "7"}]  # fmt: skip
        for step, kind, items in ((0, "predictions", said),
                                  (2, "labels", [{"id": name, "value": 0.0}])):  # fmt: skip
            whole = [{"output": "y", "time_ns": 0, "version": "", "class": "", "scores": {}} | one
                     for one in items]  # fmt: skip
            at = second + step
            told.append((at, command(at, kind, model="m", by="x", items=whole)))
    whole = test_truth.block_of(test_truth.timed(test_truth.calm(until)), until)
    parts = cut(whole, [START + at * SECOND for at, _ in told])
    entries = [one for part, (_, act) in zip(parts, told, strict=False) for one in (part, act)]
    steps(engine, *(
        replace(one, sequence=place) for place, one in enumerate([*entries, parts[-1]], 1)
    ))  # fmt: skip
    return engine


def test_losses_of_both_are_compared_on_the_same_labels():
    """The candidate's by its version alone; a third version is no matter of this trial."""
    criteria = replace(CRITERIA, labels=20, lasts_ns=SECOND, assessable=0.0)
    engine = labelled(0.3, 40, criteria)
    (shown,) = engine.trials_shown()
    (losses,) = shown["figures"]["losses"]
    assert (losses["labels"], losses["better"]) == (40, 40)
    assert losses["candidate"] == pytest.approx(0.3)
    assert losses["champion"] == pytest.approx(1.1, abs=0.01)
    (found,) = [one for one in shown["judged"] if one["name"] == "losses"]
    assert found["state"] == "met" and "0.3 beside 1.1 in 40 labels" in found["found"]
    worse = labelled(5.0, 40, criteria).trials_shown()[0]["judged"]
    assert [one["state"] for one in worse if one["name"] == "losses"] == ["not met"]


def test_a_trial_waits_for_labels_and_not_for_ever():
    """While nothing but labels is lacking it goes on, up to its longest time."""
    criteria = replace(CRITERIA, labels=20, lasts_ns=30 * SECOND, at_most_ns=90 * SECOND,
                       assessable=0.0, trusted=0.0, extrapolating=1.0)  # fmt: skip
    engine = labelled(0.3, 10, criteria, until=80)
    assert engine.due() == [] and [one["name"] for one in engine.lacking("m")] == ["losses"]
    late = labelled(0.3, 0, criteria)
    (event,) = judge(late, 201, sequence=99)
    assert event.data["change"] == "rejected"
    assert "no label with a prediction of both" in event.data["text"]


def test_candidates_keep_the_scores_of_classes():
    """Else what a candidate is unsure of would cost it as if it had been sure."""
    label = replace(test_truth.LABEL, loss="brier", classes=("7", "8"))
    engine = test_truth.by_commands(
        (15.5, "predictions", test_truth.item(id="one", value=7.0)),
        (15.6, "predictions", test_truth.item(
            id="one", value=7.0, version="2", scores={"7": 0.75, "8": 0.25})),
        (30, "labels", test_truth.item(id="one", value=7.0)), label=label,
    )  # fmt: skip
    found = engine.truth.pairs[0][0].state.rivals["2"]
    assert (found["labels"], found["total"]) == (1, 2 * 0.25**2)
