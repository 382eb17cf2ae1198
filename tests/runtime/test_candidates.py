"""Copies of candidates' baselines, what is noted of what serves, and what people may ask."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.configuration.schema import Configuration
from agent.core.baseline_file import write_baseline
from agent.core.retraining_request import Request
from agent.core.steward import Steward
from agent.errors import FieldwardenError
from agent.runtime import trial_orders
from agent.runtime.candidates import KEPT_MOST, Candidates, read_service, with_candidates
from tests.core import small, test_trials


def written(path, version="2", centre=4.0):
    """The digest of a baseline at a path."""
    one = replace(small.baseline(centre=centre), model_version=version, digest="")
    return write_baseline(path, one)


def test_a_copy_outlives_its_file_and_is_found_by_its_digest(tmp_path):
    """The same bytes; what is damaged, or called otherwise than its digest, is left out."""
    state, file = tmp_path / "state", tmp_path / "new.json"
    digest = written(file)
    kept = Candidates(state).keep(file)
    whole = file.read_bytes()
    file.unlink()
    (copy,) = (state / "candidates").iterdir()
    assert (kept.digest, copy.name, copy.read_bytes()) == (digest, f"{digest}.json", whole)
    assert Candidates(state).known == {digest: kept}
    copy.rename(copy.with_name("f" * 64 + ".json"))
    assert Candidates(state).known == {}
    (state / "candidates" / f"{digest}.json").write_bytes(whole[:-200])
    assert Candidates(state).known == {}


def test_what_can_not_be_copied_leaves_nothing(tmp_path):
    """No baseline, half a baseline, a folder, a full disk."""
    state = tmp_path / "state"
    candidates = Candidates(state)
    (tmp_path / "no.json").write_text("{}")
    for path in (tmp_path / "no.json", tmp_path / "gone.json", tmp_path):
        with pytest.raises(FieldwardenError):
            candidates.keep(path)
    assert not any((state / "candidates").glob("*"))
    state = tmp_path / "file"
    state.write_text("")
    written(tmp_path / "new.json")
    with pytest.raises(FieldwardenError, match="keeping"):
        Candidates(state).keep(tmp_path / "new.json")


def test_the_oldest_copies_go_that_nothing_needs(tmp_path):
    """And those that are needed stay, however old they are."""
    candidates = Candidates(tmp_path)
    digests = []
    for number in range(KEPT_MOST + 3):
        digests.append(written(tmp_path / "new.json", centre=float(number)))
        candidates.keep(tmp_path / "new.json")
        copy = tmp_path / "candidates" / f"{digests[-1]}.json"
        os.utime(copy, (number, number))
    candidates.forget({digests[0]})
    left = {path.stem for path in (tmp_path / "candidates").iterdir()}
    assert left == set(digests) - set(digests[1:3])


def test_what_serves_is_read_as_it_was_noted(tmp_path):
    """Nothing where nothing readable is there."""
    candidates = Candidates(tmp_path)
    assert candidates.noted_service() is None
    candidates.note_service({"m": {"version": "1", "digest": "d", "served": []}})
    assert read_service(tmp_path) == {"m": {"version": "1", "digest": "d", "served": []}}
    (tmp_path / "in_service.json").write_text("[1")
    assert read_service(tmp_path) is None


# --- what people ask --------------------------------------------------------------------------


def configured(**trial):
    """The small model in a configuration."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"one": {"protocol": "mqtt", "host": "h"}},
        "tags": {tag: {"source": "one", "address": f"t /{tag}", "unit": "degC"}
                 for tag in small.TAGS},
        "models": {"m": {"version": "1", "owner": {"team": "t", "contact": "c"},
                         "baseline": "m.json", "scan": "1s", "inputs": list(small.TAGS),
                         "trial": trial}},
    })  # fmt: skip


class Desk:
    """An agent with one model, and requests in some states."""

    def __init__(self, folder, *states):
        self.configuration = configured(lasts="200s")
        self.candidates = Candidates(folder)
        self.engine = Steward(with_candidates(
            replace(test_trials.guarded(), kept={}), self.configuration, self.candidates.known
        ))  # fmt: skip
        for number, state in enumerate(states):
            one = Request(f"m@{number}", "m", "1", "", "", 1, 2, [], [], state=state)
            self.engine.retraining.requests[one.id] = one

    async def ask(self, kind, model="m", **data):
        return await trial_orders.meant(kind, {"model": model, "by": "ann", "note": "x", **data},
                                        self)  # fmt: skip


@pytest.mark.parametrize(("states", "asked", "found"), [
    ([], "m", ""), (["declared"], "m", "m@0"), (["declared"], "m@0", "m@0"),
    (["accepted"], "m", ""), (["closed", "declared"], "model/m", "m@1"),
    (["open"], "m", "its request m@0 is open"), (["open"], "m@0", "it is open, and not declared"),
    (["in trial"], "m@0", "it is in trial, and not declared"), ([], "n", "no such model"),
])  # fmt: skip
async def test_a_trial_is_of_the_declared_request(tmp_path, states, asked, found):
    """Of none where there is none; nothing is tried before people decided."""
    digest = written(tmp_path / "new.json")
    desk = Desk(tmp_path / "state", *states)
    asking = desk.ask("trial", asked, baseline=str(tmp_path / "new.json"), version="2")
    if " " in found:
        with pytest.raises(FieldwardenError) as caught:
            await asking
        assert found in str(caught.value) and desk.engine.configured.kept == {}
        return
    told = await asking
    assert (told["model"], told["request"], told["digest"]) == ("m", found, digest)
    assert told["criteria"]["lasts_ns"] == 200 * small.SECOND
    assert desk.engine.configured.why_unfit("m", digest) == ""


def test_own_incidents_are_those_that_the_promise_lets_come_by_chance():
    """At least what one expected alarm may be; more where more is promised or it lasts longer."""
    short = configured()
    assert trial_orders.criteria_of(short.models["m"], short).own_incidents == 3
    many = short.model_copy(update={
        "gateway": short.gateway.model_copy(update={"false_alarms": "1 per day"})
    })  # fmt: skip
    assert trial_orders.criteria_of(many.models["m"], many).own_incidents == 12
    said = configured(own_incidents=0, lasts="30d")
    criteria = trial_orders.criteria_of(said.models["m"], said)
    assert criteria.own_incidents == 0 and criteria.at_most_ns == criteria.lasts_ns


async def test_acts_that_are_not_possible_say_why(tmp_path):
    """Accept without a trial, or before its criteria are met; a roll-back of nothing."""
    desk = Desk(tmp_path)
    for kind, cause in (("accept", "no trial of it runs"), ("reject", "no trial of it runs"),
                        ("rollback", "serves already")):  # fmt: skip
        with pytest.raises(FieldwardenError, match=cause):
            await desk.ask(kind)
    desk.engine = test_trials.tried(until=200)
    with pytest.raises(FieldwardenError, match=r"watched for 3\.33 min: 1\.67 min so far"):
        await desk.ask("accept")
    (trial,) = desk.engine.trials.values()
    assert await desk.ask("reject", trial.id) == {"model": "m", "by": "ann", "note": "x"}
    desk.engine = test_trials.tried()
    told = await desk.ask("accept")
    assert (told["digest"], told["version"], told["replaces"]) == (test_trials.NEW, "2",
                                                                   test_trials.OLD)  # fmt: skip


def test_what_does_not_fit_the_configuration_is_known(tmp_path):
    """So that a reload ends a trial that can not go on, with the difference."""
    written(tmp_path / "new.json")
    candidates = Candidates(tmp_path)
    kept = candidates.keep(tmp_path / "new.json")
    known = {kept.digest: kept}
    text = "a was fitted in degC, configured is bar"
    changed = SimpleNamespace(models=configured().models, tags={
        name: tag.model_copy(update={"unit": "bar"} if name == "a" else {})
        for name, tag in configured().tags.items()
    })  # fmt: skip
    spec = with_candidates(test_trials.guarded(), changed, known)
    assert spec.why_unfit("m", kept.digest) == text
    assert with_candidates(spec, configured(), known).why_unfit("m", kept.digest) == ""
