"""A lasting shift of the process, from the first alarm to the bundle, with a real agent."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from agent.store import Reader
from tests.core import small
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_acting import ME, OPENER, ROOT
from tests.waiting import PATIENCE_S, START_S

CRITERIA = """
[models.m.retraining]
shifted_for = "15s"
"""


class Noise:
    """Three inputs as trained, and what is added to them now."""

    def __init__(self):
        self._random, self.added = np.random.default_rng(5), np.zeros(3)

    def standard_normal(self, size):
        return self._random.standard_normal(size) + self.added


class Plant(GuardedGateway):
    """Its inputs predict each other; summaries close every 5 s."""

    def __init__(self, folder):
        super().__init__(folder)
        self.configure("")
        one = small.baseline()
        items = tuple(dataclasses.replace(item, r2=0.9) for item in one.modes[0].inputs)
        mode = dataclasses.replace(one.modes[0], inputs=items)
        self.write_baseline(dataclasses.replace(one, modes=(mode,)))
        self.served.random = Noise()

    def configure(self, people, host="127.0.0.1"):
        super().configure(people + CRITERIA, host)
        text = self.config.read_text(encoding="utf-8")
        text = text.replace('name = "gw-07"\n', 'name = "gw-07"\nsummary = "5s"\n', 1)
        self.config.write_text(text, encoding="utf-8")

    def shift(self, *added):
        self.served.random.added = np.array(added)

    def retraining(self, *words, code=0):
        command = [sys.executable, "-m", "agent.cli", "retraining", words[0], str(self.config)]
        done = subprocess.run(
            [*command, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def requests(self):
        return self.status(live=True).get("retraining", [])

    def told_of_retraining(self):
        reader = Reader(self.folder / "state" / "fieldwarden.db")
        try:
            return [event["data"]["change"] for event in reader.events(1000, "retraining")][::-1]
        finally:
            reader.close()


@pytest.fixture
def plant(tmp_path):
    one = Plant(tmp_path)
    yield one
    one.close()


def shifted(plant):
    """Until it asks; the request."""
    plant.start()
    plant.wait("trust", lambda: plant.status(live=True)["models"][0]["verdict"] == "trusted")
    plant.shift(0.0, 4.0, 4.0)
    (request,) = plant.wait("request", plant.requests, 2 * START_S)
    return request


def test_a_lasting_shift_is_asked_about_once_and_its_data_offered_once_declared(plant):
    """Through kills; with the person and the reason in the account; the bundle twice the same."""
    request = shifted(plant)
    assert request["state"] == "open"
    assert {one["tag"] for one in request["moved"]} >= {"b"}
    with OPENER.open(f"{plant.url}/metrics", timeout=10) as answer:
        assert 'fieldwarden_retraining_requests_open{model="m"} 1.0' in answer.read().decode()
    assert "learns the fault" in plant.retraining("bundle", "m", "--out", "x.zip", code=1)
    plant.retraining("declare", "m", code=2)  # without a reason
    assert "a reason is required" in plant.retraining("declare", "m", "--reason", " ", code=1)

    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    assert request["id"] in plant.retraining("list")
    plant.start()
    assert [one["id"] for one in plant.requests()] == [request["id"]]

    def past():
        """Once what came after the start is stored."""
        found = [one["verdict"] for one in plant.ask("m/history")["verdicts"]]
        return found if "not watched" in found[2:] else None

    assert plant.wait("the time away", past)[:2] == ["unassessable", "trusted"]
    assert f"Retraining {request['id']}" in " ".join(plant.run("status").split())
    assert "evidence stands" in plant.retraining("withdraw", "m", "--reason", "x", code=1)
    said = plant.retraining("declare", "m", "--reason", "new catalyst")
    assert said.startswith(f"{request['id']} is declared, by {ME}: new catalyst\n")
    assert "declared already" in plant.retraining(
        "declare", request["id"], "--reason", "again", code=1
    )
    first, second = plant.folder / "1.zip", plant.folder / "2.zip"
    plant.retraining("bundle", "m", "--out", str(first))
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    plant.retraining("bundle", request["id"], "--out", str(second))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["samples"]["count"] > 100 and manifest["windows"] > 0

    plant.start()
    assert [one["state"] for one in plant.requests()] == ["declared"]
    shown = plant.retraining("show", "m")
    assert f"by {ME}: new catalyst" in shown and "moved: b by" in shown
    assert plant.told_of_retraining() == ["requested", "declared"]
    reader = Reader(plant.folder / "state" / "fieldwarden.db")
    records = [one for one in reader.account() if one["kind"] == "retraining"]
    assert reader.account_proof().faults == ()
    reader.close()
    assert [(one["who"], one["why"]) for one in records][-1] == (ME, "new catalyst")
    assert [one["who"] for one in records] == ["agent", ME]
    assert all(one["evidence"] for one in records)


def test_an_equipment_fault_excludes_its_time_and_offers_nothing(plant):
    """Also after a kill; over HTTP nobody unknown decides."""
    request = shifted(plant)
    body = {"request": request["id"], "note": "exchanger fouled"}
    assert plant.post("close", body, token=None)[0] == 401
    plant.retraining("close", request["id"], "--reason", "exchanger fouled")
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    plant.start()
    (closed,) = plant.requests()
    assert closed["state"] == "closed"
    (fault,) = [one for one in closed["left_out"] if one["kind"] == "equipment fault"]
    assert (fault["from_ns"], fault["to_ns"]) == (request["since_ns"], 0)
    assert "it is closed" in plant.retraining("bundle", "m", "--out", "x.zip", code=1)
    plant.shift(0.0, 0.0, 0.0)
    plant.wait("end of the fault", lambda: [
        one for one in plant.requests()[0]["left_out"]
        if one["kind"] == "equipment fault" and one["to_ns"]
    ], 2 * START_S)  # fmt: skip
    assert plant.told_of_retraining() == ["requested", "closed"]
