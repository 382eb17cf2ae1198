"""What `check` says of criteria for retraining that mean less than they seem."""

from __future__ import annotations

import dataclasses

import pytest

from agent.checking.retraining import retraining
from agent.configuration.load import load
from tests import small_site
from tests.core import small
from tests.core.test_truth import REFERENCE

LABEL = 'outputs = ["y"]\n[[models.m.labels]]\nof = "y"\nwithin = "1h"\n'
PERSON = '[people.model]\nunix_user = "model"\n'


def said(folder, criteria="", *, model="", tail="", trained=None):
    """(level, text) of each line."""
    if criteria:
        model += f"\n[models.m.retraining]\n{criteria}"
    (folder / "config.toml").write_text(small_site.text(model=model, tail=tail), encoding="utf-8")
    items = retraining(load(folder / "config.toml"), "m", trained or small.baseline())
    return [(item.level, f"{item.text}; {item.hint}") for item in items]


def test_the_defaults_are_no_trouble(tmp_path):
    """Without labels it is only said that nothing is known of errors."""
    ((level, text),) = said(tmp_path)
    assert (level, text.startswith("no labels")) == ("ok", True)


@pytest.mark.parametrize(("criteria", "told"), [
    ("inputs_shifted = 4", "it has 3 inputs: all must move"),
    ('shifted_for = "5min"', "shifted_for is shorter than gateway.summary (30 min)"),
    ('extrapolating_over = "5min"', "extrapolating_over is shorter than gateway.summary"),
    ('cool_down = "23h"', "cool_down (23 h) changes nothing: no criterion is met within 24 h"),
    ("losses = true", "losses can never be met: the model has no labels"),
    ('outputs_shifted_for = "24h"', "can never be met: the model has no outputs"),
])  # fmt: skip
def test_what_can_not_be_met_or_changes_nothing_is_a_warning(tmp_path, criteria, told):
    """Each criterion by itself, where somebody wrote it."""
    warnings = [text for level, text in said(tmp_path, criteria) if level == "warning"]
    assert len(warnings) == 1 and told in warnings[0]


@pytest.mark.parametrize("criteria", [
    "inputs_shifted = 3", "inputs_shifted = 0.9", 'shifted_for = "30min"', 'cool_down = "24h"',
    "losses = false",
])  # fmt: skip
def test_what_can_be_met_is_no_warning(tmp_path, criteria):
    """At the very limit too."""
    assert [level for level, _ in said(tmp_path, criteria)] == ["ok"]


def test_labels_need_somebody_who_sends_them_and_a_record_to_be_judged_by(tmp_path):
    """Over the API only: by a named process. Losses: by what `fit --labels` learnt."""
    lines = said(tmp_path, "losses = true", model=LABEL)
    assert [level for level, _ in lines] == ["warning", "warning"]
    assert "its record had no labels" in lines[0][1] and "nobody may send it" in lines[1][1]
    known = dataclasses.replace(small.baseline(), losses={"absolute of y": REFERENCE})
    ((level, text),) = said(tmp_path, "losses = true", model=LABEL, tail=PERSON, trained=known)
    assert level == "ok" and "/api/v1/models/m/labels" in text


def test_before_the_fit_nobody_knows_whether_the_record_has_the_outputs(tmp_path):
    """That a criterion can never be met is said once it is known."""
    text = small_site.text(
        tags=("a", "b", "c", "y"),
        model='outputs = ["y"]\n[models.m.retraining]\noutputs_shifted_for = "24h"\n',
    )
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    configuration = load(tmp_path / "config.toml")
    before = [item.text for item in retraining(configuration, "m", None)]
    fitted = [item.text for item in retraining(configuration, "m", small.baseline())]
    assert not [one for one in before if "can never be met" in one]
    assert [one for one in fitted if "has none that the record had" in one]
