"""Late truth of a running agent: told by a model's process, judged, and there after a kill."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from tests.core import small
from tests.core.test_truth import REFERENCE
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_acting import OPENER, TOKEN

PREDICTED = """
outputs = ["quality"]
[[models.m.labels]]
of = "quality"
within = "12h"
"""


class Predicting(GuardedGateway):
    """Model m predicts quality, and tells the agent by its API."""

    model = PREDICTED

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        losses = {"absolute of quality": replace(REFERENCE, scans_per_label=10_000.0)}
        self.write_baseline(replace(small.baseline(joint=True), losses=losses))

    def tell(self, kind: str, items: object, token: str = TOKEN) -> dict[str, object]:
        """Over the page, with a token."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/models/m/{kind}", json.dumps(items).encode(),
            {"Authorization": f"Bearer {token}"},
        )
        with OPENER.open(request, timeout=10) as answer:
            return json.load(answer)

    def errors(self) -> dict[str, object]:
        """What the verdict's answer says of the model's errors."""
        return self.ask("m/verdict")["errors"][0]


@pytest.fixture
def gateway(tmp_path):
    made = Predicting(tmp_path)
    yield made
    made.close()


def test_labels_by_id_are_counted_once_judged_and_survive_a_kill(gateway):
    """The model errs three times as much as it was trained to: told as cause `model`."""
    gateway.start()
    gateway.wait("trust the model", lambda: gateway.ask("m/verdict")["verdict"] == "trusted")
    first = [{"id": f"{n}", "value": 0.0} for n in range(30)]
    rival = [{"id": f"{n}", "value": 2.5, "version": "2"} for n in range(30)]
    assert gateway.tell("predictions", first + rival) == {
        "accepted": "predictions", "model": "m", "items": 60
    }
    gateway.tell("labels", [{"id": f"{n}", "value": 3.0} for n in range(20)])
    found = gateway.errors()
    assert (found["labels"], found["mean_loss"], found["expected_loss"]) == (20, 3.0, 1.0)
    assert found["versions"] == [
        {"version": "2", "labels": 20, "mean_loss": 0.5, "mean_loss_in_service": 3.0}
    ]
    gateway.end(signal.SIGKILL)
    gateway.start()
    gateway.tell("labels", [{"id": f"{n}", "value": 3.0} for n in range(15, 30)])
    found = gateway.errors()
    assert (found["labels"], found["repeated"], found["raised"]) == (30, 5, True)
    gateway.wait("distrust it", lambda: gateway.ask("m/verdict")["verdict"] == "untrusted")
    (reason,) = [one for one in gateway.ask("m/verdict")["reasons"] if one["kind"] == "errors grew"]
    assert reason["cause"] == "model"
    assert "mean loss (absolute) is 3 over the last 20 labels" in reason["text"]


def test_what_is_estimated_is_said_to_be_and_nobody_unknown_tells_anything(gateway):
    """Without a label: estimated from inputs alone; that none came is told once it is late."""
    gateway.start()
    gateway.tell("predictions", {"value": 0.1})
    found = gateway.wait("estimate", lambda: gateway.errors()["estimated"] and gateway.errors())
    assert found["estimated"]["text"].startswith("estimated from inputs alone: ")
    assert found["labels"] == 0
    assert found["not_assessed"] == ""
    for token, body, status in (("wrong", {"value": 1.0}, 401), (TOKEN, {"value": "x"}, 422),
                                (TOKEN, {"output": "other", "value": 1.0}, 422)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            gateway.tell("predictions", body, token)
        assert caught.value.code == status
