"""What a model's process tells is of an output that has labels, and of the kind of its losses."""

from __future__ import annotations

import json

import pytest

from agent.configuration.schema import Model
from agent.errors import FieldwardenError
from agent.runtime.told import told_data
from agent.status.told import told_items


class Journal:
    """Takes commands."""

    def __init__(self):
        self.taken = []

    def command(self, kind, data):
        self.taken.append((kind, data))
        return True


def model(loss: str) -> Model:
    """With two outputs: y by a loss, and grade by classes."""
    labels = [{"of": "y", "within": "1h", "loss": loss},
              {"of": "grade", "within": "1h", "loss": "brier"}]  # fmt: skip
    return Model.model_validate({
        "version": "1", "owner": {"team": "t", "contact": "c@plant.example"},
        "baseline": "m.json", "scan": "1s", "inputs": ["a"], "outputs": ["y", "grade"],
        "labels": labels,
    })


def take(kind, loss, item, journal=None):
    """The first item as it is journaled."""
    told = {"model": "m", "by": "ann", "items": told_items(kind, json.dumps(item).encode())}
    return told_data(kind, told, {"m": model(loss)}, {}, journal or Journal())["items"][0]


@pytest.mark.parametrize("loss", ["absolute", "squared", "pinball 0.9"])
@pytest.mark.parametrize("kind", ["predictions", "labels"])
def test_a_class_of_an_output_that_is_a_number_is_refused(kind, loss):
    """Its code is some large number, and would be taken for what the model says or what is true."""
    with pytest.raises(FieldwardenError, match="y is a number: its loss is " + loss) as caught:
        take(kind, loss, {"id": "1", "output": "y", "class": "A"})
    assert '"value"' in caught.value.hint
    assert take(kind, loss, {"id": "1", "output": "y", "value": 2.5})["value"] == 2.5


@pytest.mark.parametrize("told", [{"class": "A"}, {"scores": {"A": 0.7, "B": 0.3}}])
def test_a_class_of_an_output_of_classes_is_journaled_before_it_is_used(told):
    """Its text comes first, and its code is the value."""
    journal = Journal()
    found = take("predictions", "absolute", {"id": "1", "output": "grade", **told}, journal)
    ((kind, data),) = journal.taken
    assert (kind, data["text"]) == ("text", "A")
    assert found["value"] == float(data["code"])


def test_scores_of_an_output_that_is_a_number_are_refused():
    """As a class is."""
    with pytest.raises(FieldwardenError, match="y is a number"):
        take("predictions", "absolute", {"id": "1", "output": "y", "scores": {"A": 1.0}})
