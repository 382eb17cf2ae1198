"""The drill over a small history of the simulated plant: what it finds, names, counts and draws."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.schema import Configuration
from agent.core.baseline_file import write_baseline
from agent.core.spec import EngineSpec
from agent.drill.faults import FAULTS, QUICK, Fault
from agent.drill.picture import picture, unit_of
from agent.drill.report import document, left_out_text, rows_of, totals_text
from agent.drill.trials import Trial, few, left_out, normal_run, trials
from agent.errors import FieldwardenError
from agent.fit.model import fit_model
from agent.records.replay import recorded_spec
from agent.records.table import Table
from agent.workers import each
from simulators.history import HistoryOrder, make_history, write_history
from simulators.tags import TAGS

INPUTS = ("feed.temperature", "reactor.temperature", "jacket.outlet_temperature", "coolant.flow")
BY_KIND = {fault.kind: fault for fault in reversed(FAULTS)}  # the promised size of each
TOML = """
schema = 1
[gateway]
site = "s"
name = "g"
[sources.s]
protocol = "mqtt"
host = "h"
{tags}
[models.m]
version = "1"
owner = {{ team = "t", contact = "c" }}
baseline = "m.json"
scan = "1s"
inputs = {inputs}
"""


def configuration_text() -> str:
    units = {tag.name: tag.unit for tag in TAGS}
    tags = "\n".join(
        f'[tags."{name}"]\nsource = "s"\naddress = "{name} /v"\nunit = "{units[name]}"'
        for name in INPUTS
    )
    return TOML.format(tags=tags, inputs=json.dumps(list(INPUTS)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, its record and its baseline, made as a person would."""
    folder = tmp_path_factory.mktemp("drill")
    (folder / "config.toml").write_text(configuration_text(), encoding="utf-8")
    write_history(make_history(HistoryOrder(12_000)), folder / "train.csv")
    config = str(folder / "config.toml")
    done = CliRunner().invoke(
        cli, ["fit", config, "--model", "m", "--data", str(folder / "train.csv")]
    )
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def record(place: Path) -> Table:
    from agent.records.table import read_table

    return read_table(place / "train.csv", INPUTS)


@pytest.fixture(scope="module")
def spec(place: Path) -> EngineSpec:
    from agent.configuration.load import load

    return recorded_spec(load(place / "config.toml"), ())


def drilled(spec: EngineSpec, record: Table, *kinds: str, repeats: int = 2) -> list[Trial]:
    faults = tuple(replace(BY_KIND[kind], rows=400 if kind == "late" else 200) for kind in kinds)
    return trials(spec, 0, record, repeats=repeats, faults=faults)


def test_a_stuck_sensor_is_found_on_every_input(spec, record):
    """Always, within the rows allowed, as stuck and as the sensor's."""
    done = drilled(spec, record, "stuck")
    assert len(done) == 2 * len(INPUTS)
    assert all(trial.found for trial in done)
    assert {(trial.name, trial.cause) for trial in done} == {("stuck", "sensor")}
    assert all(0 < trial.delay < 200 for trial in done)


def test_a_unit_change_is_found_and_named_on_every_temperature(spec, record):
    """degC as degF is a unit change and the integration's; a flow can not become degF."""
    done = drilled(spec, record, "fahrenheit")
    assert {trial.tag for trial in done} == set(INPUTS[:3])
    assert {(trial.found, trial.name, trial.cause) for trial in done} == {
        (True, "unit change", "integration")
    }
    assert max(trial.delay for trial in done) < 60


@pytest.mark.parametrize(
    ("kind", "name", "cause"),
    [
        ("scale", "scale change, unit change", "integration"),
        ("dropout", "missing", "integration"),
        ("bad_quality", "bad quality", "sensor"),
        ("frozen_clock", "frozen source clock", "integration"),
        ("late", "late data", "integration"),
    ],
)  # fmt: skip
def test_what_is_certain_is_found_under_its_name(spec, record, kind, name, cause):
    """Faults that are no matter of statistics are always found, on any input."""
    done = drilled(spec, record, kind, repeats=1)
    assert {(trial.found, trial.cause) for trial in done} == {(True, cause)}
    assert {trial.name for trial in done} <= set(name.split(", "))


def test_a_swap_is_named_and_a_lasting_step_is_not_called_spikes(spec, record):
    """Both tags of a swap carry each other's values; a bias does not come back as spikes do."""
    swaps = drilled(spec, record, "swap", repeats=1)
    assert {(trial.found, trial.name) for trial in swaps} == {(True, "swapped tags")}
    for trial in drilled(spec, record, "bias", repeats=1):
        assert trial.found
        assert trial.name in {"level shift", "out of trained range", "bias", "relations changed"}


def test_alarms_before_a_fault_are_counted_apart(spec, record):
    """None where the record is normal; some where it strays every other 150 rows."""
    fault = (replace(BY_KIND["dropout"], rows=60),)
    values = record.values.copy()
    values[np.arange(len(values)) // 150 % 2 == 1] *= 10.0
    straying = replace(record, values=values)
    calm, rough = (trials(spec, 0, one, repeats=1, faults=fault) for one in (record, straying))
    assert all(trial.before == 0 for trial in calm)
    assert all(trial.before > 0 for trial in rough)


def test_the_same_seed_gives_the_same_trials(spec, record):
    """A drill can be repeated; another seed puts faults elsewhere."""
    fault = (replace(BY_KIND["stuck"], rows=60),)
    first, again, other = (
        trials(spec, 0, record, repeats=1, seed=seed, faults=fault) for seed in (3, 3, 4)
    )
    assert first == again
    assert [trial.at for trial in first] != [trial.at for trial in other]


def test_any_number_of_processes_gives_the_same_trials(spec, record, monkeypatch):
    """Each trial has its own chance and place; results come in the order of the plan."""
    monkeypatch.setattr("agent.drill.trials.ALONE", 0)
    faults = tuple(replace(BY_KIND[kind], rows=60) for kind in ("spikes", "bias", "dropout"))
    told: list[int] = []
    alone, three = (
        trials(spec, 0, record, repeats=1, faults=faults, workers=workers,
               progress=lambda _, at, of: told.append(at))
        for workers in (1, 3)
    )  # fmt: skip
    assert alone == three
    assert len(alone) == 12
    assert told == [*range(13), *range(13)]


def test_a_trial_is_the_same_whatever_is_tried_beside_it(spec, record):
    """`--quick` and more repeats do not move the sign or the noise of a fault."""
    few, many = drilled(spec, record, "spikes"), drilled(spec, record, "stuck", "spikes")
    assert few == [trial for trial in many if trial.fault.kind == "spikes"]


def test_a_process_that_is_killed_ends_the_drill_with_advice():
    """As the kernel does where memory is short; it does not wait for ever."""
    with pytest.raises(FieldwardenError, match="one of them ended") as caught:
        list(each(kill_self, (), list(range(20)), 2, "drilling"))
    assert "--workers 1" in caught.value.hint


def kill_self(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_goes_wrong_in_a_process_is_told_here():
    """With the error that it was; tasks that wait are not begun."""
    with pytest.raises(ValueError, match="no 3"):
        list(each(refuse, (3,), list(range(200)), 2, "drilling"))


def refuse(number: int, task: int) -> int:
    if task == number:
        raise ValueError(f"no {number}")
    return task


def test_faults_begin_in_the_part_that_is_asked_for(spec, record):
    """Repeats are spread over it; the normal operation before them may lie before it."""
    fault = (replace(BY_KIND["dropout"], rows=60),)
    done = trials(spec, 0, record, repeats=6, faults=fault, first=9_000, inputs=[1])
    assert {trial.tag for trial in done} == {INPUTS[1]}
    places_found = [trial.at for trial in done]
    assert places_found == sorted(places_found)
    assert 9_000 <= places_found[0] < 9_600 and 11_400 < places_found[-1] < 12_000


def test_progress_tells_how_far_it_is(spec, record):
    """Every trial is announced, and the end."""
    told: list[tuple[str, int, int]] = []
    trials(
        spec, 0, record, repeats=1, faults=(replace(BY_KIND["dropout"], rows=30),),
        progress=lambda what, at, of: told.append((what, at, of)),
    )  # fmt: skip
    assert [at for _, at, _ in told] == [0, 1, 2, 3, 4]
    assert {of for *_, of in told} == {4}
    assert told[0][0] == f"no more values on {INPUTS[0]}"


def test_a_swap_needs_another_input_that_is_unlike():
    """Inputs that run in the same range are no test of a swap: left out, not reported as missed."""
    from tests.core import small

    alike = small.spec()
    table = Table(
        small.START + np.arange(1500) * small.SECOND, small.TAGS, small.normal(1500), small.SECOND
    )
    assert trials(alike, 0, table, repeats=1, faults=(BY_KIND["swap"],)) == []


def test_the_record_itself_is_quiet(spec, record):
    """Without faults hardly an alarm, and the model is trusted nearly always."""
    calm = normal_run(spec, record)
    assert calm.rows == 12_000
    assert calm.alarms <= 1
    assert calm.incidents <= calm.alarms
    assert calm.not_trusted < 0.05


def test_a_record_in_modes_is_drilled_in_its_modes(tmp_path):
    """The tag that tells the mode is replayed with the inputs, else nothing would be judged."""
    from tests.core.test_modes import NAMES, START, plant

    path = tmp_path / "m.json"
    configuration = Configuration.model_validate(
        {
            "schema": 1, "gateway": {"site": "s", "name": "g"},
            "sources": {"s": {"protocol": "mqtt", "host": "h"}},
            "tags": {name: {"source": "s", "address": f"{name} /v"} for name in NAMES},
            "models": {"m": {
                "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": str(path),
                "scan": "1s", "inputs": list(NAMES[:3]),
                "mode": {"tag": "mode", "names": {"1": "grade A", "2": "grade B"}},
            }},
        }
    )  # fmt: skip
    table = plant([(1, 3000), (2, 3000)], 12_000, 1)
    assert table.time_ns[0] == START
    write_baseline(path, fit_model(configuration, "m", table).baseline)
    done = drilled(recorded_spec(configuration, NAMES), table, "stuck", repeats=1)
    assert [(trial.found, trial.name, trial.right) for trial in done] == [(True, "stuck", True)] * 3


def test_a_jump_and_a_ramp_that_stay_in_range_are_drilled(spec, record):
    """What is found of them is named as having moved, and never as the integration's."""
    done = drilled(spec, record, "jump", "ramp")
    found = [trial for trial in done if trial.found]
    assert len(found) >= 0.5 * len(done)
    assert sum(trial.right for trial in found) >= 0.8 * len(found)
    assert "integration" not in {trial.cause for trial in found}


def test_a_state_that_was_never_trained_is_found_under_its_name(tmp_path):
    """A valve between open and closed is a state tag; the flow beside it is none."""
    rng = np.random.default_rng(9)
    rows = 6000
    valve = (np.arange(rows) // rng.integers(20, 40) % 2).astype(float)
    values = np.column_stack([valve, 20.0 + rng.standard_normal(rows)])
    table = Table(
        1_700_000_000_000_000_000 + np.arange(rows) * 1_000_000_000, ("valve", "flow"),
        np.asfortranarray(values), 1_000_000_000,
    )  # fmt: skip
    path = tmp_path / "m.json"
    configuration = Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {name: {"source": "s", "address": f"{name} /v"} for name in table.names},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": str(path),
            "scan": "1s", "inputs": list(table.names),
        }},
    })  # fmt: skip
    write_baseline(path, fit_model(configuration, "m", table).baseline)
    done = drilled(recorded_spec(configuration, table.names), table, "unseen_state", "stuck")
    named = [(trial.tag, trial.name) for trial in done]
    assert named == [("valve", "unseen state")] * 2 + [("flow", "stuck")] * 2


# --- the report -------------------------------------------------------------------------------

STUCK, NOISE = BY_KIND["stuck"], BY_KIND["noise"]
DONE = [
    Trial("a", STUCK, 5, True, 10, "stuck", "sensor", 1),
    Trial("a", STUCK, 9, True, 20, "stuck", "sensor", 1),
    Trial("a", STUCK, 7, True, 60, "level shift", "unknown", 4, incidents=3),
    Trial("b", STUCK, 5, False, -1, "", "", 0),
    Trial("a", NOISE, 5, True, 30, "noise", "process", 1),
    Trial("a", NOISE, 6, False, -1, "", "", 3),
]


def test_rows_put_trials_together():
    """Share found, median delay of what was found, the usual name; never found has no delay."""
    first, second, third = rows_of(DONE)
    assert (first.tag, first.trials, first.found, first.delay, first.name) == (
        "a", 3, 1.0, 20.0, "stuck"
    )  # fmt: skip
    assert (first.right, second.right, third.right) == (2 / 3, None, 1.0)
    assert (first.alarms, second.alarms, third.alarms) == (2.0, None, 1.0)
    assert (first.incidents, second.incidents) == (1.0, None)
    assert first.outcomes == {"right": 2, "unknown": 1, "wrong": 0, "missed": 0}
    assert third.outcomes == {"right": 0, "unknown": 0, "wrong": 1, "missed": 1}
    assert totals_text(rows_of(DONE)) == (
        "in all: 4 of 6 faults found; their cause: 50% right, 25% unknown, 25% wrong"
    )
    assert totals_text(rows_of(DONE[3:4])) == "in all: none of 1 faults was found"
    assert (second.tag, second.found, second.delay, second.name) == ("b", 0.0, None, "")
    assert (third.fault, third.found, third.delay) == (NOISE, 0.5, 30.0)


def test_the_document_is_json(spec, record):
    """Every row and the false alarms, without NaN or infinity."""
    told = document(rows_of(DONE), normal_run(spec, record), 0.25)
    again = json.loads(json.dumps(told, allow_nan=False))
    assert [row["delay_samples"] for row in again["faults"]] == [20.0, None, 30.0]
    assert [row["named_right"] for row in again["faults"]] == [2 / 3, None, 1.0]
    assert [row["alarms"] for row in again["faults"]] == [2.0, None, 1.0]
    assert again["faults"][0]["outcomes"]["unknown"] == 1
    assert again["false_alarms_promised"] == 0.25


def test_what_was_not_tried_is_said(spec):
    """The flow can not become degF, no input has states: one line for each reason."""
    without = left_out(spec.models[0], FAULTS)
    unseen = BY_KIND["unseen_state"].text
    said = {(tag, fault.kind) for tag, fault, _ in without}
    assert said == {(INPUTS[3], "fahrenheit")} | {(tag, "unseen_state") for tag in INPUTS}
    assert left_out_text(without) == [
        "not tried on coolant.flow (not in degC): degC becomes degF",
        f"not tried on {', '.join(INPUTS[:3])} and 1 more (no state tag): {unseen}",
    ]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("svg", b"<?xml")])
def test_the_picture_is_written(tmp_path, suffix, magic):
    """A grid with holes where an input was not drilled with a fault, as PNG or SVG."""
    path = tmp_path / f"drill.{suffix}"
    picture(rows_of(DONE), path, "model m", 1.0)
    data = path.read_bytes()
    assert data.startswith(magic)
    assert len(data) > 10_000


def test_the_picture_shows_each_input_and_delay(tmp_path):
    """The SVG has as many cells of text as there are rows."""
    import matplotlib as mpl

    path = tmp_path / "drill.svg"
    with mpl.rc_context({"svg.fonttype": "none"}):
        picture(rows_of(DONE), path, "model m", 1.0)
    text = path.read_text(encoding="utf-8")
    words = set(re.findall(r">([^<>]+)</text>", text))
    assert {"a", "b", "20", "1 unknown", "30", "1 wrong", "1 missed", "not", "found"} <= words
    assert {"model m", "cause told right", "cause unknown", "wrong cause", "not found"} <= words
    assert any(word.startswith("stuck at") for word in words)
    assert any(word.endswith("in s") for word in words)
    assert any("not tried" in word for word in words)  # noise on b: a hole, with its key
    with mpl.rc_context({"svg.fonttype": "none"}):
        picture(rows_of(DONE[:4]), path, "model m", 60.0)
    text = path.read_text(encoding="utf-8")
    assert "not tried" not in text
    assert ">20</text>" in text and "in min<" in text


@pytest.mark.parametrize(
    ("delays", "unit"),
    [([], "s"), ([0.5, 20.0, 350.0], "s"), ([30.0, 1_200.0, 3_000.0], "min"),
     ([20_000.0, 90_000.0], "h")],
)  # fmt: skip
def test_all_delays_of_a_picture_have_one_unit(delays, unit):
    """So that one can compare them at a glance: that of the usual delay."""
    assert unit_of(delays)[0] == unit


def test_the_command_prints_json_and_draws(place, tmp_path):
    """`fieldwarden drill` over the record that the model was fitted on, in one go."""
    drawn = tmp_path / "drill.png"
    done = CliRunner().invoke(
        cli, ["drill", str(place / "config.toml"), "--repeats", "1", "--json",
               "--picture", str(drawn), "--data", str(short_record(place))],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    found = {(row["input"], row["kind"]): row for row in told["faults"]}
    assert found[INPUTS[1], "fahrenheit"]["name"] == "unit change"
    assert found[INPUTS[3], "stuck"]["found"] == 1.0
    assert found[INPUTS[3], "stuck"]["alarms"] >= 1.0
    assert (INPUTS[3], "fahrenheit") not in found
    assert {"input": INPUTS[3], "fault": "degC becomes degF", "why": "not in degC"} in (
        told["left_out"]
    )
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert found[INPUTS[1], "bias"]["size_text"].endswith("degC (1 sd)")
    assert "fitted on too" in told["place"]


def test_a_quick_drill_is_small_and_says_sizes_and_causes(place, monkeypatch):
    """Few kinds, each once on each input; the same for one process and for two."""
    monkeypatch.setattr("agent.drill.trials.ALONE", 0)
    outputs = []
    for workers in ("1", "2"):
        done = CliRunner().invoke(
            cli, ["drill", str(place / "config.toml"), "--quick", "--workers", workers],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    words = " ".join(outputs[0].split())
    assert f"of {len(QUICK) * len(INPUTS)} faults found; their cause:" in words
    assert re.search(r"±[\d.]+ degC \(3 sd\)", words)
    assert "faults are in the last 40% of the record" in words
    assert f"{len(QUICK)} of {len(FAULTS)} faults, once each on 4 of 4 inputs" in words


def test_a_quick_drill_takes_some_inputs_that_move(spec):
    """Spread over all of them; a constant can have hardly a fault."""
    model = spec.models[0]
    mode = model.baseline.modes[0]
    inputs = tuple(
        replace(mode.inputs[0], tag=f"t{i}", noise=float(i % 5 > 0)) for i in range(100)
    )
    baseline = replace(model.baseline, modes=(replace(mode, inputs=inputs),))
    found = few(replace(model, inputs=tuple(item.tag for item in inputs), baseline=baseline))
    assert len(found) == len(set(found)) == 8
    assert all(place % 5 for place in found)
    assert found == sorted(found) and found[0] < 15 and found[-1] > 80
    assert few(model) == [0, 1, 2, 3]


def short_record(place: Path) -> Path:
    """The first 1,500 rows: long enough for every fault that is promised."""
    path = place / "short.csv"
    lines = (place / "train.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:1501]), encoding="utf-8")
    return path


def test_a_fault_that_nobody_can_have_is_no_row(spec, record):
    """No row says 0 % found of a fault that was never put in."""
    fault = Fault("fahrenheit", 0.0, "degC becomes degF", rows=30)
    done = trials(spec, 0, record, repeats=1, faults=(fault,))
    assert INPUTS[3] not in {row.tag for row in rows_of(done)}
