"""From a changed plant to a model trained anew: what is said of each step is what came of it."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import click
import pytest
from rich.console import Console

from agent.cli import cli
from agent.configuration.load import load
from simulators.children import Children
from simulators.cli import cli as simulators_cli
from simulators.demo_course import NOT_YET, asked, course_table, in_one_line, late_labels, serves
from simulators.demo_log import DemoLog
from simulators.demo_report import rows_of, unexpected
from simulators.demo_seen import Seen, retraining_line
from simulators.demo_setup import (
    CANDIDATE,
    PERSON,
    PORTS,
    Place,
    copy_configuration,
    write_script,
)
from simulators.demo_steward import (
    FIELDWARDEN,
    SIMULATORS,
    Act,
    Steward,
    acts_of,
    answer,
    by_hand,
)
from simulators.faults import load_faults
from simulators.plant import PlantSettings
from tests.simulators.test_demo_parts import START, STUCK, condition, truth, verdict
from tests.waiting import START_S, wait_until

SHIFT = {
    "kind": "process", "disturbance": "steam header", "start": 86, "duration": 86400, "size": -8,
    "title": "lower pressure",
}  # fmt: skip
OUTPUT = {
    "kind": "bias", "tag": "yield.predicted", "start": 73, "duration": 9, "size": 1, "title": "off"
}  # fmt: skip


def caused(cause, second, subject, kind="drift", change="raised"):
    event = condition(second, subject, f"{subject} is off", change, kind)
    return replace(event, data={**event.data, "cause": cause})


def retraining(second, change, **data):
    told = condition(second, "model/yield")
    data = {"change": change, "id": "yield@1", "text": "at least 2 inputs shifted", **data}
    return replace(told, kind="retraining", data=data)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "event", "right"),
    [
        (STUCK, caused("sensor", 12, "tag/feed.flow", "stuck"), True),
        (STUCK, caused("sensor", 12, "tag/feed.flow", "drift"), False),
        (STUCK, caused("process", 12, "tag/feed.flow", "stuck"), False),
        (OUTPUT, caused("model", 74, "tag/yield.predicted", "bias"), True),
        (OUTPUT, caused("process", 74, "tag/yield.predicted", "bias"), False),
        (SHIFT, caused("process", 99, "tag/steam.pressure", "drift"), True),
    ],
)
def test_a_fault_is_named_rightly_by_its_name_and_by_who_must_act(fault, event, right):
    """An instrument's by its own name and never as the process; an output's as the model's."""
    (row,) = rows_of(truth(fault)[:1], [event], {event.key: 1}, [], START)
    assert row.detected_s is not None and row.right is right


def test_what_moves_many_inputs_is_shown_by_the_first_that_it_was_found_on():
    """Its cause finds it, whatever the subject; what others say of it is not its reason."""
    told = [
        caused("unknown", 92, "tag/steam.pressure", "level shift"),
        caused("process", 95, "tag/steam.pressure", "drift", "updated"),
        verdict(95, "yield", "untrusted", tag="steam.pressure"),
        caused("process", 99, "tag/feed.temperature"),
    ]
    (row,) = rows_of(truth(SHIFT)[:1], told, {one.key: 1 for one in told}, [], START)
    assert (row.detected_s, row.reason, row.verdict) == (
        pytest.approx(9.0), "tag/steam.pressure is off", "untrusted",
    )  # fmt: skip


def test_an_instrument_blamed_for_what_the_plant_did_is_unexpected():
    """While only the plant itself has changed, `sensor` and `integration` are false."""
    told = [
        caused("sensor", 100, "tag/feed.flow"),
        caused("process", 101, "tag/coolant.flow"),
        caused("unknown", 102, "tag/coolant.valve"),
    ]
    assert unexpected(told, truth(SHIFT)[:1], START) == told[:1]
    assert not unexpected(told, truth(SHIFT)[:1] + truth({**STUCK, "start": 99})[:1], START)


# --- the request ----------------------------------------------------------------------------------


def test_one_request_after_the_plant_changed_is_what_is_expected():
    """It came, at its time, in the agent's own words."""
    step = asked([retraining(118, "requested")], truth(STUCK, SHIFT), START)
    assert step.came and step.at_s == 118 and step.said == "at least 2 inputs shifted"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], NOT_YET),
        ([retraining(50, "requested")], "by a fault of an instrument"),
        ([retraining(118, "requested"), retraining(150, "requested")], "asked for 2 times"),
    ],
)
def test_no_request_an_early_one_and_two_are_told_as_such(told, says):
    """Nothing of it is taken for what was expected."""
    step = asked(told, truth(STUCK, SHIFT), START)
    assert not step.came and says in step.said


def test_a_request_counts_also_before_the_plant_changes():
    """From the first faults alone none is expected, and one that comes is told."""
    assert asked([], truth(STUCK), START) is None
    assert not asked([retraining(20, "requested")], truth(STUCK), START).came


def test_trusted_again_counts_from_the_switch_on():
    """What was trusted before it does not count; nothing accepted, nothing is expected."""
    told = [verdict(60, "yield", "trusted"), retraining(160, "accepted")]
    assert serves(told[:1], START) is None
    assert not serves(told, START).came
    told += [verdict(161, "yield", "unassessable"), verdict(162.5, "yield", "trusted")]
    step = serves(told, START)
    assert step.came and step.at_s == 162.5 and "2.5 s after the switch" in step.said


def test_late_labels_tell_how_many_were_compared():
    """Nothing known, nothing said; none compared, it did not come."""
    one = {"output": "yield.predicted", "labels": 0, "mean_loss": None, "expected_loss": 0.09}
    assert late_labels([], 6.0) is None
    assert not late_labels([one], 6.0).came
    step = late_labels([{**one, "labels": 31, "mean_loss": 0.1234}], 6.0)
    assert step.came and "31 compared" in step.said and "0.12 " in step.said


def test_each_reason_of_a_verdict_is_told_once_whatever_its_figures(tmp_path):
    """A fact whose value moves is not told again; another one is, and all anew after a change."""
    log = io.StringIO()
    seen = Seen(tmp_path, tmp_path / "truth", tmp_path / "sock", DemoLog(Console(file=log)))

    def says(now, was, *reasons):
        data = {"verdict": now, "was": was, "reasons": [{"text": t, "tag": g} for t, g in reasons]}
        seen.told.append(replace(verdict(1, "yield", now), data=data))
        seen._tell(seen.told[-1])
        seen._log.flush()
        text, _ = log.getvalue(), (log.seek(0), log.truncate())
        return " ".join(text.split())

    assert says("caution", "trusted", ("a reads 1", "a")).endswith("trusted -> caution: a reads 1")
    assert says("caution", "caution", ("a reads 2", "a")) == ""
    two = says("caution", "caution", ("b reads 1", "b"), ("a reads 3", "a"))
    assert two.endswith("still caution: b reads 1")
    assert says("untrusted", "caution", ("a reads 4", "a")).endswith(
        "caution -> untrusted: a reads 4"
    )
    assert seen.verdict == "untrusted"


# --- the person -----------------------------------------------------------------------------------


class Typist:
    """A steward whose commands are given as Python code."""

    def __init__(self, folder, monkeypatch, *acts):
        self.printed = Console(file=(folder / "said").open("w"), width=130)
        self.tasks = Children(folder / "log")
        real = self.tasks.start
        monkeypatch.setattr(
            self.tasks, "start",
            lambda name, command, env, niceness: real(
                name, [sys.executable, "-c", command[-1]], env, niceness=niceness
            ),
        )  # fmt: skip
        monkeypatch.setattr("simulators.demo_steward.PAUSE_NS", 0)
        self.steward = Steward(acts, self.tasks, DemoLog(self.printed), folder / "demo.toml")

    def until_over(self, told):
        wait_until(lambda: self.steward.look(told) or self.steward.over, START_S)
        return self.steward.steps(0)


def test_each_command_waits_for_what_is_told_before_it(tmp_path, monkeypatch):
    """Nothing runs before the request; then one after the other, and what they say is kept."""
    first = Act("one", "the first", ("print('done 1')",), "requested")
    second = Act("two", "the second", ("print('done 2'); print('next: rest')",), "declared")
    typist = Typist(tmp_path, monkeypatch, first, second)
    typist.steward.look([])
    assert not typist.tasks._running and typist.steward.waits_for == "the first"
    steps = typist.until_over([retraining(1, "requested"), retraining(2, "declared")])
    assert [(step.said, step.came) for step in steps] == [("done 1", True), ("done 2", True)]


def test_a_command_that_fails_ends_it_and_the_rest_did_not_come(tmp_path, monkeypatch):
    """Its words are shown; nothing is tried on top of it."""
    bad = Act("one", "the first", ("print('x'); raise SystemExit('Error: nobody declared it')",))
    typist = Typist(tmp_path, monkeypatch, bad, Act("two", "the second", ("print(1)",)))
    one, two = typist.until_over([])
    assert (one.came, one.said) == (False, "Error: nobody declared it")
    assert (two.came, two.said, two.at_s) == (False, NOT_YET, None)


def test_a_trial_that_is_rejected_is_told_and_nothing_is_accepted(tmp_path, monkeypatch):
    """Why it was stands where its acceptance was expected; no command runs."""
    accept = Act("accepted", "it serves", ("print('no')",), "passed", "rejected")
    typist = Typist(tmp_path, monkeypatch, accept)
    typist.steward.look([retraining(150, "in trial")])
    assert typist.steward.waits_for == "it serves"
    (step,) = typist.until_over([retraining(170, "rejected", text="own incidents: 4")])
    assert (step.came, step.said) == (False, "rejected: own incidents: 4")
    assert step.at_s == (START + 170 * 10**9) / 1e9 and not typist.tasks._running


def test_the_person_types_what_anybody_can(tmp_path):
    """The commands are the program's own, on the demo's configuration; a reason is quoted."""
    ports = {purpose: 20_000 + index for index, purpose in enumerate(PORTS)}
    place = Place(tmp_path, ports, PlantSettings())
    lines = by_hand(place)
    assert lines[0] == f"cd {tmp_path}; export CONFIG=$PWD/demo.toml"
    assert lines[2].startswith("fieldwarden retraining declare $CONFIG yield --reason '")
    assert not any(str(tmp_path) in line for line in lines[1:])
    programs = {FIELDWARDEN: cli, SIMULATORS: simulators_cli}
    for act in acts_of(place):
        command = programs[act.program]
        for word in act.command:
            if isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word)
        assert isinstance(command, click.Command) and not isinstance(command, click.Group), act


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("yield@1 is declared\nto do: train\n\n", "yield@1 is declared"),
        ("a table\nnote: short\nbaselines/x.json: 1234\nnext: drill\n", "baselines/x.json: 1234"),
        ("note: read\nError: no such file\n  hint: is it there?\n", "Error: no such file"),
        ("", "it said nothing"),
    ],
)
def test_what_a_command_answered_is_its_result_or_why_not(tmp_path, printed, said):
    """Tables, advice and empty lines are none."""
    (tmp_path / "log").write_text(printed, encoding="utf-8")
    assert answer(tmp_path / "log") == said


# --- what is prepared, and what is printed --------------------------------------------------------


def test_the_candidates_configuration_differs_in_version_and_baseline(tmp_path):
    """So that `fit` writes another file, for another version; the person who decides is in both."""
    ports = {purpose: 20_000 + index for index, purpose in enumerate(PORTS)}
    place = Place(tmp_path, ports, PlantSettings())
    copy_configuration(place)
    served, candidate = load(place.config), load(place.candidate)
    assert PERSON in served.people
    one, other = served.models["yield"], candidate.models["yield"]
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    assert other.version == CANDIDATE != one.version and other.baseline != one.baseline


def test_a_short_run_has_the_first_half_of_the_script_alone(tmp_path):
    """The whole has an output that goes wrong, and a plant that changes for good, after it."""
    place = Place(tmp_path, {}, PlantSettings())
    write_script(place, whole=False)
    first = load_faults(place.faults)
    write_script(place, whole=True)
    whole = load_faults(place.faults)
    assert whole[: len(first)] == first and max(fault.end for fault in first) <= 70
    output, shift = whole[len(first) :]
    assert output.tag == "yield.predicted" and output.start > 70 and output.end < shift.start
    assert shift.kind == "process" and shift.duration >= 3600


@pytest.mark.parametrize("width", [80, 130])
def test_course_shows_every_step_in_words(width):
    """What was expected, whether it came, and what came instead, at every width."""
    steps = [
        asked([retraining(118, "requested")], truth(SHIFT), START),
        asked([], truth(SHIFT), START),
    ]
    console = Console(width=width, record=True)
    console.print(course_table(steps, width))
    text = " ".join(console.export_text().split())
    for word in ("asked", "118.0 s", "yes", "no", NOT_YET, "at least 2 inputs shifted"):
        assert word in text


def test_the_last_lines_count_what_came():
    """Found, rightly named, false, and steps: by number."""
    told = [caused("sensor", 12, "tag/feed.flow", "stuck")]
    rows = rows_of(truth(STUCK, SHIFT), told, {}, [], START)
    steps = [asked([], truth(SHIFT), START)]
    assert in_one_line(rows, told, steps) == [
        "1 of 2 found, each within 2.0 s; 1 by the right name; 1 alarms without a fault",
        "trained anew: 0 of 1 steps came as expected",
    ]


def test_a_request_and_a_decision_are_told_in_plain_words():
    """Who decided, and why."""
    asks = retraining_line("yield", retraining(1, "requested").data)
    assert asks == "model yield asks for retraining (yield@1): at least 2 inputs shifted"
    decided = retraining_line("yield", retraining(1, "declared", by="Mara", note="for good").data)
    assert decided == "yield@1 is declared by Mara: for good"
