"""What a replay foretells of a change is what then happens, and touches nothing."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.contract.effects import effect_of
from agent.contract.proposal import checked
from agent.core.verdict import ORDER
from agent.impact.assess import assessed
from agent.impact.entries import joined
from agent.impact.past import Past
from agent.impact.replay import Bounds, Progress, replayed
from agent.impact.shadow import Shadow
from agent.impact.task import Task, task_of
from tests.core.small import SECOND, START, cut
from tests.impact.plant import EVERY, TAGS, Live, process, record, spec_of, write_site

ROWS = 1_500
HEAD = {"text": "t", "who": "w"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Four hours in a store, and the process that goes on."""
    folder = tmp_path_factory.mktemp("site")
    configuration = write_site(folder)
    values = process(2 * ROWS, 11)
    ids = record(configuration, values[:ROWS])
    live = Live(spec_of(configuration, ids), ids, values[:ROWS])
    return SimpleNamespace(configuration=configuration, ids=ids, live=live, values=values,
                           folder=folder)  # fmt: skip


def assess(site: Any, change: dict[str, Any], **bounds: Any) -> dict[str, Any]:
    return assessed(site.configuration, Task(proposal=HEAD | change, **bounds), time.monotonic)


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ({"tags": {"t1": {"unit": "degF"}}}, {"soft"}),
        ({"tags": {"p": {"removed": True}}}, {"soft", "other"}),
        ({"tags": {"t2": {"whole_numbers": True}}}, {"soft"}),
        ({"tags": {"t1": {"swap_with": "t2"}}}, {"soft"}),
        ({"tags": {"flow": {"factor": 10.0}}}, {"soft"}),
        ({"tags": {"aside": {"unit": "psi"}}}, set()),
        ({"tags": {"t1": {"interval": "15min"}}}, {"soft"}),
        ({"tags": {"y": {"unit": "fraction"}}}, {"soft", "other"}),
        ({"tags": {"lab": {"offset": 0.01}}}, {"soft"}),
        ({"sources": {"plc": {"removed": True}}}, {"soft", "other"}),
    ],
    ids=["unit", "removed", "rounding", "swap", "scale", "of no model", "slower", "an output",
         "a label", "a source"],
)  # fmt: skip
def test_what_is_foretold_is_what_then_happens(site, change, models):
    """Within 2 points of the scans of as long a stretch that follows, for every model; and the
    models that are touched are exactly those whose tags are.
    """
    told = assess(site, change)
    assert set(told["models"]) == models
    scans = max((one["scans"] for one in told["models"].values()), default=1_000)
    after = site.values[ROWS : ROWS + scans]
    effect, _ = effect_of(checked(HEAD | change, "f", site.configuration), site.configuration,
                          site.ids)  # fmt: skip
    came = site.live.shares(after, effect)
    for name, share in came.items():
        said = told["models"][name]["share"] if name in models else 0.0
        assert said == pytest.approx(share, abs=0.02), f"{name}: {told['text']}"


def test_whom_it_touches_is_named(site):
    """Version in service and owner of each model; what is given its outputs, by way of which."""
    told = assess(site, {"tags": {"t1": {"unit": "degF"}}})
    soft = told["models"]["soft"]
    assert (soft["version"], soft["owner"]) == ("3", "process data <data@plant.example>")
    assert told["further"] == {"other": ["y"]}
    assert told["map"] == {"t1": {"factor": 1 / 1.8, "offset": -32 / 1.8}}
    assert told["basis"] == "replay"
    assert sum(soft["verdicts"]["now"].values()) == soft["scans"] == ROWS - 201
    assert soft["alarms"]["then"] > soft["alarms"]["now"]
    assert "trusted becomes untrusted" in told["text"]


def test_losses_where_truths_are_known(site):
    """A label that tells 0.5 more makes the mean loss larger by about as much."""
    told = assess(site, {"tags": {"lab": {"offset": 0.5}}})
    (losses,) = told["models"]["soft"]["losses"].values()
    assert losses["now"]["labels"] == losses["then"]["labels"] > 30
    assert 0.2 < losses["then"]["mean"] - losses["now"]["mean"] <= 0.5


def test_a_replay_writes_nothing(site):
    """Neither store nor state directory is another afterwards; a second one says the same."""

    def contents() -> dict[str, str]:
        files = sorted(path for path in site.folder.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = contents()
    first, second = (assess(site, {"tags": {"p": {"decimals": 0}}}) for _ in range(2))
    assert contents() == before
    assert first | {"took_s": 0} == second | {"took_s": 0}


def test_no_time_for_all_of_it_begins_later_and_says_so(site):
    """A clock that runs fast: what is left is the newest part, and still compared."""
    ticks = iter(np.arange(0.0, 1e9, 1.0))
    told: list[Progress] = []
    past = Past.of(site.configuration)
    effect, _ = effect_of(checked(HEAD | {"tags": {"p": {"removed": True}}}, "f",
                                  site.configuration), site.configuration, site.ids)  # fmt: skip
    first, last = past.span(1 << 62)
    bounds = Bounds(lambda: float(next(ticks)), 250.0, told.append)
    made = replayed(past, effect, first, last, bounds)
    assert made.from_ns > first + (last - first) // 5
    assert "begun" in made.notes[0]
    assert made.shadow.figures["soft"].share > 0.95
    assert len(told) > 3
    assert all(0.0 <= one.done <= 1.0 for one in told)


def test_time_that_is_up_ends_it_and_says_so(site):
    """What was compared by then is what is told."""
    ticks = iter(np.arange(0.0, 1e9, 1.0))
    past = Past.of(site.configuration)
    effect, _ = effect_of(checked(HEAD | {"tags": {"p": {"removed": True}}}, "f",
                                  site.configuration), site.configuration, site.ids)  # fmt: skip
    first, last = past.span(1 << 62)
    bounds = Bounds(lambda: float(next(ticks)), 100.0)
    made = replayed(past, effect, first, last, bounds, first + (last - first) // 10)
    assert made.to_ns < last
    assert "time was up" in made.notes[0]
    assert 0 < made.shadow.figures["soft"].scans < ROWS // 2


def test_what_is_held_is_let_through_where_the_change_says_nothing_of_values(tmp_path):
    """Another device at the same place, whose values are in another unit: held samples tell."""
    configuration = write_site(tmp_path)
    values = process(900, 5)
    values[600:, TAGS.index("t1")] = values[600:, TAGS.index("t1")] * 1.8 + 32.0
    record(configuration, values, held={"t1": 600})
    difference = {
        "subject": "source/plc", "source": "plc", "term": "served product_code", "was": "A",
        "now": "B", "grade": "breaking", "models": ["soft"], "text": "product code was A, is B",
    }  # fmt: skip
    since = START + 600 * EVERY - SECOND
    task = Task(differences=(difference,), tags=("t1",), held=("t1",), until_ns=since)
    told = assessed(configuration, task, time.monotonic)
    soft = told["models"]["soft"]
    assert (told["basis"], soft["scans"]) == ("held samples", 300)
    assert soft["verdicts"]["now"]["trusted"] == 300
    assert soft["verdicts"]["then"]["untrusted"] > 290
    assert soft["share"] > 0.95
    few = assessed(configuration, replace(task, until_ns=START + 890 * EVERY), time.monotonic)
    assert few["basis"] == "replay"


def test_a_detected_change_is_replayed_on_the_days_before_it(site):
    """What came after it is changed already."""
    change = {
        "id": "plc-1", "how": "interval", "since_ns": START + 1_000 * EVERY, "found_ns": 0,
        "tags": ["t1"], "held_tags": ["t1"], "hold": "would hold", "document": None,
        "suggested": None, "seen": False,
        "differences": [{
            "subject": "tag/t1", "source": "plc", "term": "served unit", "was": "degC",
            "now": "degF", "grade": "breaking", "models": ["soft"], "text": "unit",
        }],
    }  # fmt: skip
    told = assessed(site.configuration, task_of(change), time.monotonic)
    assert told["to_ns"] <= START + 1_000 * EVERY
    assert told["models"]["soft"]["share"] > 0.99


def test_nothing_before_the_change_is_said_so(site):
    """A change that was there from the begin on: models are named, and no share is made up."""
    told = assessed(
        site.configuration,
        Task(proposal=HEAD | {"tags": {"t1": {"unit": "degF"}}}, until_ns=START),
        time.monotonic,
    )
    assert told["models"]["soft"]["scans"] == 0
    assert told["basis"] == "none"
    assert "nothing of before" in told["text"]


def test_how_entries_are_joined_changes_no_figure(site):
    """The figures of one block a row are those of joined blocks."""
    past = Past.of(site.configuration)
    entries = [entry for entry, _ in past.entries(START, START + 700 * EVERY)]
    found = []
    for longest_ns in (1, 7 * EVERY, 90 * EVERY):
        effect, _ = effect_of(
            checked(HEAD | {"tags": {"p": {"decimals": 0}, "t1": {"interval": "50s"}}}, "f",
                    site.configuration), site.configuration, site.ids,
        )  # fmt: skip
        shadow = Shadow(past.spec, effect)
        for entry in joined(entries[:200], longest_ns=longest_ns):
            shadow.warm_up(entry)
        shadow.begin()
        for entry in joined(entries[200:], longest_ns=longest_ns):
            shadow.step(entry)
        found.append(shadow.figures)
    assert found[0] == found[1] == found[2]
    assert found[0]["soft"].scans == 500
    assert sum(found[0]["soft"].then) == 500
    assert len(found[0]["soft"].now) == len(ORDER)


def test_joined_blocks_have_the_same_samples(site):
    """In order, none twice; commands stay where they are."""
    past = Past.of(site.configuration)
    whole = next(joined([e for e, _ in past.entries(START, START + 60 * EVERY)],
                        longest_ns=100 * EVERY))  # fmt: skip
    again = next(joined(cut(whole, [START + k * EVERY for k in (3, 9, 40)]),
                        longest_ns=100 * EVERY))  # fmt: skip
    for name in ("tag", "arrival_ns", "value", "quality"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
    assert whole.sealed_ns == again.sealed_ns


def test_a_configuration_of_no_store_says_what_to_do(tmp_path):
    """No agent ever ran: there is nothing to replay."""
    configuration = write_site(tmp_path)
    assert not Path(configuration.store_path).exists()
    with pytest.raises(Exception, match="start the agent once"):
        assessed(configuration, Task(proposal=HEAD | {"tags": {"p": {"removed": True}}}),
                 time.monotonic)  # fmt: skip
