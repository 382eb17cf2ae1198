"""What a report says of outputs, errors and decisions; and what signing it comes to."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.core.baseline_file import write_baseline
from agent.core.serving import Served, Service, Succession
from agent.errors import FieldwardenError
from agent.report.decided import month, retraining, unsigned
from agent.report.page import page
from agent.report.signed import signed
from agent.runtime import reviews
from agent.runtime.candidates import Candidates
from agent.status.commands import command_data
from tests import small_site
from tests.core import small
from tests.core.small import SECOND, START
from tests.core.test_truth import REFERENCE

CONFIG = small_site.text(
    gateway='name = "gw-07"\nstate_directory = "state"\nsummary = "1min"',
    tags=(*small.TAGS, "y"),
    model="""\
outputs = ["y"]
reviewers = ["Mara Lind"]
[[models.m.labels]]
of = "y"
within = "1h"
[models.m.retraining]
shifted_for = "3min"
""",
    tail='[people."Mara Lind"]\nunix_user = "root"\n',
)
ROWS = 800
ERRING = 2.0  # what the model is off by


def learned():
    """Inputs that predict each other, an output that was in the record, and its losses."""
    one = small.baseline(joint=True)
    items = tuple(dataclasses.replace(item, r2=0.9) for item in one.modes[0].inputs)
    outputs = (small.output_of("y", (0.0, 0.0, 0.0)),)
    mode = dataclasses.replace(one.modes[0], inputs=items, outputs=outputs)
    return dataclasses.replace(one, modes=(mode,), losses={"absolute of y": REFERENCE})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two inputs move after 100 s; somebody declared it; labels came; the report is signed."""
    made = small_site.Site(tmp_path_factory.mktemp("site"), CONFIG, learned())
    asyncio.run(filled(made))
    return made


async def filled(made):
    rng = np.random.default_rng(4)
    values = np.column_stack([small.normal(ROWS), rng.standard_normal(ROWS)])
    values[100:] += [0.0, 4.0, 4.0, 1.0]
    ends = [START + at * SECOND for at in range(50, ROWS, 50)]
    for entry in small.cut(small.block(values), ends):
        await made.commit(dataclasses.replace(entry, sequence=made.engine.sequence + 1))
        at_ns = entry.sealed_ns
        for kind, value in (("predictions", 1.0), ("labels", 1.0 + ERRING)):
            item = {"id": str(at_ns), "time_ns": at_ns, "output": "y", "value": value,
                    "class": "", "scores": {}, "version": ""}  # fmt: skip
            await order(made, kind, model="m", by="model", items=[item])
    (name,) = made.engine.retraining.requests
    await order(made, "declare", request=name, by="Mara Lind", note="new catalyst")
    await order(made, "review", model="m", by="Mara Lind", note="two <drifts>", report="ab" * 32,
                since_ns=START, until_ns=made.engine.time_ns)  # fmt: skip
    await order(made, "text", code=1, text="one second later")
    await made.store.close()


async def order(site, kind, **data):
    now_s = (site.engine.time_ns - START) / SECOND
    sequence = site.engine.sequence + 1
    await site.commit(small.command(now_s, kind, sequence=sequence, **data))


def report(site, *more, out="r.json"):
    """The report's file."""
    path = site.folder / out
    words = ["report", str(site.folder / "config.toml"), "--out", str(path), *more]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    return path


def test_outputs_stand_beside_their_training_and_so_do_errors(site):
    """The output's own windows and those of its label are two things; nothing is lost of either."""
    told = json.loads(report(site).read_text())
    (output,) = told["outputs"]
    assert (output["tag"], "level given its inputs" in output["watched_for"]) == ("y", True)
    assert 0.5 < output["shift"] < 1.2 and sum(output["histogram"]) > 700
    (errors,) = told["errors"]
    labels = ROWS // 50 - 1  # the last one is in the window that is open
    assert (errors["label"], errors["labels"]) == ("absolute of y", labels)
    assert errors["mean"] == ERRING and errors["expected"] == 1.0
    assert sum(one["labels"] for one in errors["over_time"]) == errors["labels"]
    assert {one["mean"] for one in errors["over_time"]} == {ERRING}


def test_requests_have_all_their_steps_and_who_took_them(site):
    """By criteria first, then by whom and why."""
    told = json.loads(report(site).read_text())
    (request,) = told["retraining"]
    steps = [(one["what"], one["by"], one["note"]) for one in request["steps"]]
    assert steps == [("requested", "", ""), ("declared", "Mara Lind", "new catalyst")]
    assert {one["tag"] for one in request["moved"]} == {"b", "c"}
    (review,) = told["reviews"]
    assert (review["by"], review["report"]) == ("Mara Lind", "ab" * 32)
    acts = {one["what"]: one for one in told["decisions"]}
    assert acts["reviewed"]["evidence"] == "ab" * 32 and acts["reviewed"]["why"] == "two <drifts>"


def test_page_and_json_have_the_same_facts_and_the_same_bytes_each_time(site):
    """Also of a month that is over, whatever was told later: so its signature can be verified."""
    page = report(site, out="r.html").read_text()
    for text in ("absolute of y", "new catalyst", "two &lt;drifts&gt;", "level given its inputs"):
        assert text in page
    assert page.count("<svg") == 1 + 3 + 1 + 1  # verdicts, inputs, output, errors
    assert report(site, out="r.html").read_text() == page
    first = report(site, "--month", "2023-11").read_bytes()
    assert report(site, "--month", "2023-11").read_bytes() == first
    for out in ("r.html", "r.json"):
        found = signed(report(site, out=out))
        content = (site.folder / out).read_bytes()
        assert found.digest == hashlib.sha256(content).hexdigest()
        assert (found.model, found.until_ns) == ("m", site.engine.time_ns)


def test_a_report_is_of_the_version_that_served_in_the_end(site, tmp_path):
    """By its own baseline; of a time before it was accepted by that of the configuration."""
    folder = shutil.copytree(site.folder, tmp_path / "site")
    digest = json.loads(report(site).read_text())["baseline"]
    candidate = dataclasses.replace(learned(), model_version="2", interval_ns=2 * SECOND, digest="")
    candidates = Candidates(folder / "state")
    write_baseline(tmp_path / "new.json", candidate)
    new = candidates.keep(tmp_path / "new.json").digest
    served = Served("2", new, "", "", "Mara Lind", "better", START + 400 * SECOND)
    candidates.note_service(Service({"m": Succession("1", digest, [served])}).to_json())
    moved = SimpleNamespace(folder=folder)
    told = json.loads(report(moved).read_text())
    assert (told["version"], told["baseline"]) == ("2", new)
    assert "m, version 2" in report(moved, out="r.html").read_text()
    served.since_ns = site.engine.time_ns + SECOND
    candidates.note_service(Service({"m": Succession("1", digest, [served])}).to_json())
    told = json.loads(report(moved).read_text())
    assert (told["version"], told["baseline"]) == ("1", digest)


def test_what_is_no_report_is_not_signed(site):
    """Neither a page nor JSON of something else."""
    huge = '{"model": "m", "asked_since_ns": 1e999, "until_ns": 5}'
    for content in ("<html>", "{}", "[]", "\udcff", huge):
        (site.folder / "x.html").write_text(content, "utf-8", "surrogateescape")
        with pytest.raises(FieldwardenError, match="no report"):
            signed(site.folder / "x.html")


def test_only_the_models_people_sign_and_only_time_that_has_passed(site):
    """Who may act elsewhere may not sign here, where the model names its reviewers."""
    body = {"model": "m", "note": "read", "report": "ab" * 32, "since_ns": 1, "until_ns": 5}
    data = command_data("review", body)

    def meant(**more):
        return reviews.meant("review", {**data, "by": "Mara Lind", **more}, site.configuration, 9)

    assert meant(model="model/m") == {**data, "by": "Mara Lind"}
    for more, cause in (
        ({"by": "root"}, "none of its reviewers"), ({"model": "n"}, "no such model"),
        ({"until_ns": 10}, "not passed"),
    ):
        with pytest.raises(FieldwardenError, match=cause):
            meant(**more)
    open_to_all = site.configuration.model_copy(deep=True)
    open_to_all.models["m"].reviewers.clear()
    assert reviews.meant("review", {**data, "by": "root"}, open_to_all, 9)["by"] == "root"


@pytest.mark.parametrize("wrong", [
    {"report": "AB" * 32}, {"report": "ab"}, {"report": None}, {"since_ns": 5}, {"since_ns": -1},
    {"until_ns": True}, {"until_ns": 1 << 63}, {"model": ""}, {"note": ""}, {"until_ns": "5"},
], ids=str)  # fmt: skip
def test_a_review_names_its_report_and_its_time(wrong):
    """Else it is refused, as any command that says something else."""
    body = {"model": "m", "note": "read", "report": "ab" * 32, "since_ns": 1, "until_ns": 5}
    with pytest.raises(FieldwardenError):
        command_data("review", body | wrong)


def test_a_month_is_signed_where_signed_reports_cover_all_of_it():
    """From the first record on; in pieces too; the month of this report is not due yet."""
    begin = {name: month(name)[0] for name in ("2026-08", "2026-09", "2026-10", "2026-11")}
    first = begin["2026-08"] + 5 * SECOND

    def left(*spans, until=begin["2026-11"] + 1):
        return unsigned([{"since_ns": a, "until_ns": b} for a, b in spans], first, until)

    whole = (begin["2026-08"], begin["2026-09"])
    assert left() == ["2026-08", "2026-09", "2026-10"]
    assert left(until=begin["2026-11"]) == ["2026-08", "2026-09"]
    assert left(whole) == ["2026-09", "2026-10"]
    assert left((first, begin["2026-11"])) == []
    middle = begin["2026-09"] + 10**15
    assert left(whole, (begin["2026-09"], middle)) == ["2026-09", "2026-10"]
    assert left(whole, (middle, begin["2026-10"]), (begin["2026-09"], middle)) == ["2026-10"]
    assert left((begin["2026-09"] + 1, begin["2026-11"])) == ["2026-08", "2026-09"]
    assert unsigned([], None, begin["2026-11"]) == []
    assert month("2026-12")[1] == month("2027-01")[0]


def test_trials_stand_there_with_their_criteria(site):
    """Whatever was told last of one; one that runs is there however long ago it began."""
    criterion = {"name": "losses", "text": "losses <= 1.0 of the other", "found": "0.8",
                 "state": "met"}  # fmt: skip
    told = {"id": "m:2@7", "model": "m", "version": "2", "since_ns": 7, "text": "t", "hint": "h"}
    events = [
        {"subject": "model/m", "time_ns": 7, "data": told | {"change": "in trial", "by": "ann",
         "state": "in trial", "note": "new"}},
        {"subject": "model/other", "time_ns": 8, "data": told | {"change": "x", "state": "x"}},
        {"subject": "model/m", "time_ns": 9, "data": told | {"change": "passed", "state": "passed",
         "judged": [criterion]}},
    ]  # fmt: skip
    (trial,) = retraining(events, "m", 100)
    assert [(one["what"], one["by"]) for one in trial["steps"]] == [("in trial", "ann"),
                                                                    ("passed", "")]
    assert trial["judged"] == [criterion]
    over = [*events, {"subject": "model/m", "time_ns": 10, "data": told | {
        "change": "accepted", "state": "accepted", "by": "ann", "note": "good"}}]  # fmt: skip
    assert retraining(over, "m", 100) == [] and len(retraining(over, "m", 10)) == 1
    facts = json.loads(report(site).read_text()) | {"retraining": [trial]}
    assert "losses &lt;= 1.0 of the other" in page(facts)


@pytest.mark.parametrize(
    ("states", "state", "todo"),
    [
        (["in trial"], "in trial", "wait for the end of the trial"),
        (["in trial", "passed"], "in trial", "wait for the end of the trial"),
        (["in trial", "passed", "accepted"], "accepted", ""),
        (["in trial", "accepted", "superseded"], "accepted", ""),
        (["in trial", "rejected"], "declared", "train on what is offered"),
        (["in trial", "accepted", "rolled back"], "declared", "train on what is offered"),
    ],
)
def test_a_request_is_where_the_trial_of_it_brought_it(states, state, todo):
    """As `retraining list` has it: its own events end with its declaration. A fault stays one."""
    own = {"id": "m@5", "since_ns": 5, "text": "t", "hint": "h"}
    trial = {"id": "m:2@7", "version": "2", "since_ns": 7, "text": "t", "hint": "h",
             "request": "m@5"}  # fmt: skip
    for last, found in (("declared", state), ("closed", "closed")):
        told = [own | {"state": last}, *(trial | {"state": one} for one in states)]
        events = [
            {"subject": "model/m", "time_ns": at, "data": data | {"change": data["state"]}}
            for at, data in enumerate(told, 5)
        ]
        request, _ = retraining(events, "m", 0)
        assert (request["id"], request["state"]) == ("m@5", found)
        assert request["hint"].startswith("h" if last == "closed" else todo)
        assert bool(request["hint"]) == (last == "closed" or bool(todo))
