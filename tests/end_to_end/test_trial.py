"""A candidate beside the model in service of a real agent: tried, accepted, rolled back."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from agent.configuration.load import load
from agent.core.baseline_file import write_baseline
from agent.core.steward import Steward
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.candidates import Candidates, with_candidates
from agent.store import Reader
from tests.core import small
from tests.core.test_retraining import CHARTS
from tests.end_to_end.guarded import GuardedGateway
from tests.end_to_end.test_acting import ME, OPENER, PEOPLE, ROOT, TOKEN
from tests.end_to_end.test_retraining import Noise
from tests.waiting import PATIENCE_S, START_S

SHIFT = 6.0
OUTPUTS = """
outputs = ["quality"]
[[models.m.labels]]
of = "quality"
within = "12h"
"""
TRIAL = """
[models.m.trial]
lasts = "{lasts}"
trusted = 0.8
labels = {labels}
"""


def baseline(version, centre):
    """Few charts, and limits so wide that noise does nothing."""
    one = small.baseline(centre=centre)
    wide = CHARTS | {"level": CHARTS["level"] | {"h_up": 60.0, "h_down": 60.0}}
    items = tuple(dataclasses.replace(item, detectors=wide) for item in one.modes[0].inputs)
    mode = dataclasses.replace(one.modes[0], inputs=items)
    return dataclasses.replace(one, model_version=version, modes=(mode,))


class Plant(GuardedGateway):
    """Model m of before the shift; the plant runs shifted, as candidates are trained."""

    def __init__(self, folder):
        self.lasts, self.labels = "15s", 0
        super().__init__(folder)
        self.write_baseline(baseline("1", 0.0))
        self.served.random = Noise()
        self.served.random.added = np.full(3, SHIFT)

    def configure(self, people, host="127.0.0.1"):
        super().configure(people, host)
        text = self.config.read_text(encoding="utf-8")
        text = text.replace("[status]", OUTPUTS + TRIAL.format(
            lasts=self.lasts, labels=self.labels) + "[status]")  # fmt: skip
        self.config.write_text(text, encoding="utf-8")

    def again(self, **settings):
        """Other criteria in the configuration."""
        for name, value in settings.items():
            setattr(self, name, value)
        self.configure(PEOPLE)

    def candidate(self, name="new.json", version="2", centre=SHIFT, made=None):
        path = self.folder / name
        write_baseline(path, dataclasses.replace(made or baseline(version, centre), digest=""))
        return path

    def retraining(self, *words, code=0):
        command = [sys.executable, "-m", "agent.cli", "retraining", words[0], str(self.config)]
        done = subprocess.run(
            [*command, *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return " ".join((done.stdout if code == 0 else done.stderr).split())

    def begin(self, path, version="2", code=0):
        return self.retraining("trial", "m", "--baseline", str(path), "--version", version,
                               "--reason", "new catalyst", code=code)  # fmt: skip

    def trial(self):
        found = self.status(live=True).get("trials", [])
        return found[0] if found else {}

    def until(self, state, seconds=START_S):
        return self.wait(state, lambda: (one := self.trial()).get("state") == state and one,
                         seconds)  # fmt: skip

    def verdict(self):
        return self.ask("m/verdict")

    def changes(self):
        reader = Reader(self.folder / "state" / "fieldwarden.db")
        try:
            events = reader.events(1000, "retraining")[::-1]
            assert reader.account_proof().faults == ()
            kept = [one for one in reader.account() if one["kind"] == "retraining"]
            assert all(one["evidence"] for one in kept)
            said = [(one["who"], one["why"]) for one in kept]
        finally:
            reader.close()
        return [event["data"]["change"] for event in events], said

    def refolded(self):
        """The trials as they come out of the whole journal, folded in one go by another process."""
        configuration = load(self.config)
        reader = Reader(configuration.store_path)
        try:
            ids = {name: place for place, name in enumerate("abc", 1)}
            spec = build_spec(configuration, ids, baselines_of(configuration))
            known = Candidates(configuration.store_path.parent).known
            engine = Steward(with_candidates(spec, configuration, known))
            for entry in reader.journal(1):
                engine.step(entry)
        finally:
            reader.close()
        return engine

    def tell(self, kind, items):
        request = urllib.request.Request(
            f"{self.url}/api/v1/models/m/{kind}", json.dumps(items).encode(),
            {"Authorization": f"Bearer {TOKEN}"},
        )
        with OPENER.open(request, timeout=10) as answer:
            return json.load(answer)


@pytest.fixture
def plant(tmp_path):
    one = Plant(tmp_path)
    yield one
    one.close()


def test_a_candidate_is_tried_accepted_and_rolled_back(plant):
    """The verdict is by the version in service at each time; through kills; all in the account."""
    plant.again(labels=20)
    plant.start()
    path = plant.candidate()
    told = plant.begin(path)
    assert f"in trial, by {ME}: new catalyst" in told and "watched for 15 s at least" in told
    path.write_text("damaged meanwhile", encoding="utf-8")
    assert "runs already" in plant.begin(plant.candidate("x.json", "3"), "3", code=1)
    refused = plant.retraining("accept", "m", "--reason", "now", code=1)
    assert "not all criteria are met: " in refused and "20 labels: " in refused
    assert plant.verdict()["version"] == "1" and plant.verdict()["verdict"] != "trusted"
    for number in range(60):
        said = {"id": f"{number}", "output": "quality"}
        plant.tell("predictions", [said | {"value": 3.0 + 0.1 * (number % 7)},
                                   said | {"value": 0.2, "version": "2"}])  # fmt: skip
        plant.tell("labels", [said | {"value": 0.0}])
    passed = plant.until("passed")
    (losses,) = passed["figures"]["losses"]
    assert losses["labels"] == 60 and losses["candidate"] == pytest.approx(0.2)
    shown = plant.retraining("show", "m")
    assert "time left" not in shown and "candidate 0.2, in service 3.29" in shown
    assert plant.post("accept", {"model": "m", "note": "x"}, token=None)[0] == 401

    said = plant.retraining("accept", "m", "--reason", "figures are good")
    assert "accepted, by" in said and "in service: version 2" in said
    plant.wait("trust", lambda: plant.verdict()["verdict"] == "trusted")
    verdict = plant.verdict()
    assert (verdict["version"], verdict["in_service"]["replaces"]) == ("2", "1")
    assert verdict["in_service"]["by"] == ME and verdict["baseline_hash"] == passed["baseline"]
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    plant.start()
    plant.wait("trust", lambda: plant.verdict()["verdict"] == "trusted")
    assert plant.verdict()["version"] == "2"
    checked = " ".join(plant.run("check", "--offline").split())
    assert "version 2, baseline" in checked and "serves instead: accepted by" in checked
    assert not plant.ask("m/verdict")["reasons"]  # the file of version 1 is no replaced one

    status, answer = plant.post("rollback", {"model": "m", "note": "its outputs jump"})
    assert status == 200, answer
    assert plant.verdict()["version"] == "1"
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    plant.start()
    assert plant.verdict()["version"] == "1"
    assert plant.verdict()["in_service"] == {"from": "configuration"}
    assert "serves already" in plant.retraining("rollback", "m", "--reason", "x", code=1)
    changes, account = plant.changes()
    assert changes == ["in trial", "passed", "accepted", "rolled back"]
    assert account[0] == (ME, "new catalyst") and account[1][0] == "agent"
    assert account[2:] == [(ME, "figures are good"), ("Control room", "its outputs jump")]


def test_kills_and_reloads_change_no_figure_and_a_misfit_is_rejected(plant):
    """As if the whole journal had been folded in one go; criteria stay those of the begin."""
    plant.start()
    plant.begin(plant.candidate(centre=-SHIFT))
    plant.wait("figures", lambda: plant.trial()["figures"]["candidate"]["watched_ns"] > 3e9)
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    plant.start()
    plant.wait("figures", lambda: plant.trial()["figures"]["candidate"]["watched_ns"] > 6e9)
    plant.again(lasts="1h")
    plant.process.send_signal(signal.SIGHUP)
    plant.wait("reload", lambda: "configuration read again" in (
        plant.folder / "log").read_text(encoding="utf-8"))  # fmt: skip
    assert plant.trial()["criteria"]["lasts_ns"] == 15_000_000_000
    rejected = plant.until("rejected")
    assert rejected["figures"]["candidate"]["outside"] > 100
    assert "of its scans outside of its training: 100.00 % so far" in rejected["text"]
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    (again,) = plant.refolded().trials_shown()
    assert again == rejected
    assert plant.changes()[0] == ["in trial", "rejected"]
    plant.start()
    assert plant.trial()["figures"] == rejected["figures"]



def altered(which):
    """Candidates for something else than is declared, and how that is said."""
    one = baseline("2", SHIFT)
    (mode,) = one.modes
    first = mode.inputs[0]
    change = {
        "version": ({"model_version": "7"}, "made for version 7, configured is 2"),
        "model": ({"model": "other"}, "it was made for model other"),
        "inputs": ({"modes": (dataclasses.replace(mode, inputs=mode.inputs[:2]),)},
                   "its inputs differ: without c"),
        "units": ({"modes": (dataclasses.replace(mode, inputs=(
            dataclasses.replace(first, unit="bar"), *mode.inputs[1:])),)},
            "a was fitted in bar, configured is degC"),
        "kinds": ({"modes": (dataclasses.replace(mode, inputs=(
            dataclasses.replace(first, kind="totaliser"), *mode.inputs[1:])),)},
            "a was fitted as totaliser, configured is measurement"),
    }  # fmt: skip
    changes, text = change[which]
    return dataclasses.replace(one, **changes), text


def test_what_is_no_candidate_is_refused_with_the_difference(plant):
    """And nothing is begun; a damaged copy, or a model that goes away, ends a trial with why."""
    plant.again(lasts="1h")
    plant.start()
    for which in ("version", "model", "inputs", "units", "kinds"):
        made, text = altered(which)
        assert text in plant.begin(plant.candidate(made=made), code=1), which
    damaged = plant.candidate()
    damaged.write_text(damaged.read_text().replace("0.5", "0.6"), encoding="utf-8")
    plant.begin(damaged, code=1)
    assert "version 1 is the one in service" in plant.begin(plant.candidate(), "1", code=1)
    assert "no such model" in plant.retraining("accept", "n", "--reason", "x", code=1)
    assert "no trial of it runs" in plant.retraining("reject", "m", "--reason", "x", code=1)
    status, answer = plant.post("trial", {"model": "m", "note": "x", "baseline": "new.json",
                                          "version": "2"})  # fmt: skip
    assert status == 422, answer
    assert "no absolute path" in answer["detail"]
    assert plant.trial() == {} and plant.changes()[0] == []

    plant.begin(plant.candidate())
    assert plant.end(signal.SIGKILL) == -signal.SIGKILL
    (copy,) = (plant.folder / "state" / "candidates").glob("*.json")
    kept = copy.read_bytes()
    copy.write_bytes(kept[: len(kept) // 2])
    plant.start()
    assert "missing or damaged" in plant.until("rejected")["text"]

    plant.begin(plant.candidate(version="3"), "3")
    text = plant.config.read_text(encoding="utf-8")
    away = re.sub(r"\[models\.m\][\s\S]*(?=\[status\])", "", text)
    plant.config.write_text(away, encoding="utf-8")
    plant.process.send_signal(signal.SIGHUP)
    gone = plant.wait("end", lambda: (one := plant.trial()).get("version") == "3" and
                      one["state"] == "rejected" and one)  # fmt: skip
    assert "the configuration has no such model any more" in gone["text"]
    all_told = ["in trial", "rejected", "in trial", "rejected"]
    plant.wait("events", lambda: plant.changes()[0] == all_told)


def test_the_configuration_wins_and_a_lost_store_forgets_nothing(plant):
    """What was accepted serves although the store is gone; not where somebody says otherwise."""
    plant.again(lasts="3s")
    plant.start()
    plant.begin(plant.candidate())
    plant.until("passed")
    plant.retraining("accept", "m", "--reason", "good")
    plant.wait("trust", lambda: plant.verdict()["verdict"] == "trusted")
    plant.end()
    for path in (plant.folder / "state").glob("fieldwarden.*"):
        path.unlink()
    plant.start()
    assert plant.verdict()["version"] == "2"

    plant.candidate("m.json", "4", centre=SHIFT + 0.01)
    text = plant.config.read_text(encoding="utf-8")
    plant.config.write_text(text.replace('version = "1"', 'version = "4"'), encoding="utf-8")
    plant.process.send_signal(signal.SIGHUP)
    plant.wait("version", lambda: plant.verdict()["version"] == "4")
    plant.wait("word", lambda: plant.changes()[0] == ["superseded"])
    assert plant.verdict()["in_service"] == {"from": "configuration"}
    log = (plant.folder / "log").read_text(encoding="utf-8")
    assert "model m: version 2 serves no more: the configuration was changed to version 4" in log
    assert (plant.folder / "state" / "in_service.json").exists()
