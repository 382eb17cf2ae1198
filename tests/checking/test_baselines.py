"""`check` divides the budget again: what baselines were fitted for must add up to the promise."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.checking.baselines import _fit, baselines
from agent.configuration.load import load
from agent.configuration.schema import Label
from agent.core.baseline_file import read_baseline, write_baseline
from agent.core.kernels import DETECTORS
from agent.fit.budget import JOINT_CHARTS, MONTH_NS, PART
from agent.fit.model import fit_model
from agent.records.table import Table
from tests.core import small
from tests.fit.streams import SECOND, ar1

CONFIG = """\
schema = 1
[gateway]
site = "s"
name = "g"
false_alarms = "{budget}"
[sources.one]
protocol = "mqtt"
host = "127.0.0.1"
"""
TAG = '[tags.{tag}]\nsource = "one"\naddress = "t /{tag}"\n'
MODEL = """\
[models.{name}]
version = "1"
owner = {{ team = "t", contact = "c" }}
baseline = "{name}.json"
scan = "1s"
inputs = {inputs}
"""
YIELD, KILN = ("yield", ["a", "b"]), ("kiln", ["c", "d", "e"])
ROWS = 600


@pytest.fixture
def configure(tmp_path):
    def _configure(*models, budget="1 per 30 days"):
        text = CONFIG.format(budget=budget) + "".join(TAG.format(tag=tag) for tag in "abcde")
        text += "".join(MODEL.format(name=name, inputs=inputs) for name, inputs in models)
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return _configure


def trained(configuration, name):
    """A real fit."""
    inputs = tuple(configuration.models[name].inputs)
    times = np.arange(ROWS, dtype=np.int64) * SECOND
    columns = [ar1(0.5, ROWS, seed) for seed, _ in enumerate(inputs)]
    table = Table(times, inputs, np.asfortranarray(np.column_stack(columns)), SECOND)
    return fit_model(configuration, name, table, record="train.csv").baseline


def charts(model):
    return len(model.inputs) * len(DETECTORS) + JOINT_CHARTS


MADE = {}


def fit(configuration, *names, record="train.csv"):
    """What `fieldwarden fit` does; after the first time only what depends on the budget."""
    models = configuration.models
    for name in names:
        if name not in MADE:
            MADE[name] = trained(configuration, name)
        share = charts(models[name]) / sum(map(charts, models.values()))
        part = configuration.gateway.false_alarms_per_ns * MONTH_NS * share
        made = replace(MADE[name], facts=MADE[name].facts | {PART: part, "record": record})
        write_baseline(Path(models[name].baseline), made)


def told(configuration, subject="false alarms"):
    return [item for item in baselines(configuration) if item.subject == subject]


def test_all_is_well_where_each_model_was_fitted_for_its_part_of_today(configure):
    """One model, then two really fitted beside each other: no fault, and the sum is said."""
    for models in ((YIELD,), (YIELD, KILN)):
        configuration = configure(*models)
        for name, model in configuration.models.items():
            write_baseline(Path(model.baseline), trained(configuration, name))
        (line,) = told(configuration)
        assert line.level == "ok" and not line.hint
        assert line.text == (
            "the baselines together allow one false alarm in 30 days; "
            "promised: one false alarm in 30 days"
        )


def test_a_smaller_budget_after_fit_is_a_fault_until_it_is_fitted_again(configure):
    """Twelve days were promised when it was fitted, thirty are now."""
    fit(configure(YIELD, budget="1 per 12 days"), "yield", record="/data/may 2026.csv")
    configuration = configure(YIELD)
    (line,) = told(configuration)
    assert line.level == "fault"
    assert line.text == (
        "the baselines together allow one false alarm in 12 days, the configuration promises "
        "one false alarm in 30 days: fit yield again"
    )
    file = configuration.file
    assert line.hint == f"fieldwarden fit {file} --model yield --data '/data/may 2026.csv'"
    fit(configuration, "yield")
    assert told(configuration)[0].level == "ok"


@pytest.mark.parametrize(
    ("facts", "files"),
    [
        (None, "--data TRAIN.csv --labels LABELS.csv"),
        ({"record": "/d/a.csv"}, "--data /d/a.csv --labels LABELS.csv"),
        ({"record": "/d/a.csv", "labels": "/d/b c.csv"}, "--data /d/a.csv --labels '/d/b c.csv'"),
    ],
)
def test_a_model_with_labels_is_fitted_again_with_labels(configure, facts, files):
    """Else what it learnt of the model's losses would be gone."""
    configuration = configure(YIELD)
    path = configuration.file
    text = path.read_text("utf-8") + 'outputs = ["c"]\nlabels = [{ of = "c", within = "1h" }]\n'
    path.write_text(text, encoding="utf-8")
    baseline = facts and replace(small.baseline(), facts=facts)
    assert _fit(load(path), "yield", baseline).endswith(f" --model yield {files}")


def test_a_larger_budget_after_fit_is_a_remark(configure):
    """The promise is kept, more strictly than it was given."""
    fit(configure(YIELD, budget="1 per 60 days"), "yield")
    (line,) = told(configure(YIELD, budget="2 per 12 hours"))
    assert line.level == "ok"
    assert line.text.startswith(
        "the baselines together allow one false alarm in 60 days, fewer than the promised one "
        "false alarm in 6 hours: fit yield again"
    )
    assert line.hint.startswith("fieldwarden fit ")


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("1 per 3650 days", "3650 days"), ("7 per 30 days", "4.29 days"), ("1 per day", "24 hours"),
        ("10 per day", "2.4 hours"), ("1 per hour", "60 minutes"), ("100 per hour", "0.6 minutes"),
    ],
)  # fmt: skip
def test_a_rate_is_told_as_the_time_of_one_alarm(configure, budget, words):
    """In the unit in which people would say it."""
    fit(configure(YIELD, budget=budget), "yield")
    (line,) = told(configure(YIELD, budget="1 per 3650 days"))
    assert line.text.startswith(f"the baselines together allow one false alarm in {words}")


def test_a_second_model_makes_the_first_to_be_fitted_again(configure):
    """Also before it has a baseline of its own, and not only where it got one."""
    fit(configure(YIELD), "yield")
    both = configure(YIELD, KILN)
    absent, own = told(both), told(both, "model kiln")
    assert own[0].level == "warning" and "no baseline yet" in own[0].text
    fit(both, "kiln")
    parts = list(map(charts, both.models.values()))
    days = f"{30 / (1 + parts[1] / sum(parts)):.3g} days"
    waiting = " (with the part of kiln, still to be fitted)"
    for (line,), beside in ((absent, waiting), (told(both), "")):
        assert line.level == "fault"
        assert line.text.startswith(
            f"the baselines together allow one false alarm in {days}{beside}, the configuration"
        )
        assert line.text.endswith(": fit yield again")
        assert "--model yield" in line.hint and "--model kiln" not in line.hint
    fit(both, "yield")
    assert told(both)[0].level == "ok"


def test_every_model_that_takes_too_much_is_named_with_its_command(configure):
    """Fitted each by itself, as on two gateways, and brought together."""
    fit(configure(YIELD), "yield")
    fit(configure(KILN), "kiln")
    (line,) = told(configure(YIELD, KILN))
    assert line.level == "fault" and "one false alarm in 15 days" in line.text
    assert line.text.endswith("fit yield and kiln again")
    first, second = line.hint.split(" && ")
    assert "--model yield" in first and "--model kiln" in second


def test_a_model_that_is_gone_leaves_the_others_stricter_than_promised(configure):
    """No fault: fewer false alarms than promised are no broken promise."""
    both = configure(YIELD, KILN)
    fit(both, "yield", "kiln")
    (line,) = told(configure(YIELD))
    assert line.level == "ok" and "fewer than the promised" in line.text


def test_a_baseline_from_before_says_that_it_does_not_know(configure):
    """It is to be fitted again; of the sum nothing is claimed, but what is too much already."""
    configuration = configure(YIELD)
    fit(configuration, "yield")
    file = Path(configuration.models["yield"].baseline)
    made = read_baseline(file)
    facts = {key: value for key, value in made.facts.items() if key != PART}
    write_baseline(file, replace(made, facts=facts))
    assert told(configuration) == []
    _, line = told(configuration, "model yield")
    assert line.level == "warning"
    assert "does not say which part of the false alarms" in line.text
    assert "fieldwarden fit" in line.hint
    fit(configure(KILN), "kiln")
    (sum_,) = told(configure(YIELD, KILN))
    assert sum_.level == "fault" and sum_.text.endswith("fit kiln again")


def test_without_a_usable_baseline_nothing_is_said_of_the_sum(configure):
    """What is missing, or of another version, is said of the model."""
    configuration = configure(YIELD)
    assert told(configuration) == []
    fit(configuration, "yield")
    file = Path(configuration.models["yield"].baseline)
    write_baseline(file, replace(read_baseline(file), model_version="0"))
    assert told(configuration) == []
    (line,) = told(configuration, "model yield")
    assert line.level == "fault"


def test_the_budget_is_checked_where_scipy_is_not_installed():
    """`fit` needs it, a gateway that only checks and runs does not."""
    code = "import sys; sys.modules['scipy'] = None; import agent.checking.check"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_labels_that_no_baseline_knows_of_are_said_and_how_to_learn_them(configure):
    """Their losses are summed only, which nobody would see."""
    configuration = configure(YIELD)
    fit(configuration, "yield")
    assert told(configuration, "model yield")[1:] == []
    label = Label(of="c", within="1h")
    models = {"yield": configuration.models["yield"].model_copy(update={"labels": [label]})}
    labelled = configuration.model_copy(update={"models": models})
    (_, line) = told(labelled, "model yield")
    assert line.level == "warning"
    assert line.text == "nothing is known of the absolute loss of c: it is not judged"
    assert line.hint.endswith("--data train.csv --labels LABELS.csv")


def test_outputs_that_the_baseline_does_not_know_are_named(configure):
    """Only their arrival is watched; how to change that stands beside it."""
    fit(configure(YIELD), "yield")
    configuration = configure(YIELD)
    assert not [item for item in told(configuration, "model yield") if "outputs" in item.text]
    model = configuration.models["yield"].model_copy(update={"outputs": ["y", "z"]})
    more = configuration.model_copy(update={"models": {"yield": model}})
    (line,) = [item for item in told(more, "model yield") if "outputs" in item.text]
    assert (line.level, line.text) == ("ok", "of its outputs only the arrival is watched: y, z")
    assert "docs/outputs.md" in line.hint
