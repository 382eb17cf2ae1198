"""What is held counts for nothing: its condition, the verdict, and no detector that moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agent.core.change import Change
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.types import Command, Event, Quality
from tests.core.small import (
    SECOND,
    START,
    block,
    command,
    conditions,
    normal,
    spec,
    state_of,
    tell,
    verdicts,
)
from tests.core.test_fold_of_commands import EVENTFUL, SPECS, with_modes

HELD, MASKED = int(Quality.CONTRACT_BROKEN), int(Quality.MASKED)
BY = {"by": "Ada", "note": "new transmitter"}


def different(*tags: str, source: str = "two", hold: str = "hold") -> dict[str, Any]:
    """What the command ``contract`` says where the unit of these tags is another."""
    return {
        "source": source, "how": "interval", "contract": "c", "hold": hold,
        "compatibility": "backward", "differences": [
            {"subject": f"tag/{tag}", "source": source, "term": "served unit", "was": "degC",
             "now": "degF", "grade": "breaking", "models": ["m"],
             "text": f"{tag}: engineering unit was degC, is degF"} for tag in tags
        ],
    }  # fmt: skip


class Watched:
    """An engine that folds rows of all tags and commands between them."""

    def __init__(self, one: EngineSpec) -> None:
        self.engine, self.row = Engine(one), 0
        self.events: list[Event] = []

    def rows(self, n: int, quality: int = 0, tag: int = 1, add: float = 0.0) -> list[Event]:
        """Noise; one tag has this quality, and stands off by so much."""
        values, marks = normal(n, self.row + 1), np.zeros((n, 3), np.uint16)
        values[:, tag] += add
        marks[:, tag] = quality
        end = START + (self.row + n) * SECOND - SECOND // 2
        whole = block(values, start=self.row, sequence=self.engine.sequence + 1, quality=marks,
                      sealed=end)  # fmt: skip
        self.row += n
        return self._told(self.engine.step(whole).events)

    def say(self, kind: str, **data: Any) -> list[Event]:
        """A command, behind all rows so far."""
        return self._told(self.engine.step(Command(
            self.engine.sequence + 1, self.engine.time_ns + 1, kind, data
        )).events)

    def _told(self, events: Any) -> list[Event]:
        self.events += events
        return list(events)

    @property
    def verdict(self) -> Any:
        return self.engine.judge.verdicts["m"]


def test_what_is_held_is_told_of_its_tag_and_counts_for_nothing() -> None:
    """At once: the condition with its text and owner, the verdict; it clears, and is trusted."""
    one = spec()
    one = replace(one, models=(replace(one.models[0], owner="Plant <p@example.org>"),))
    plant = Watched(one)
    plant.rows(60)
    assert plant.verdict.verdict == "trusted"
    told = plant.say("contract", **different("b"))
    assert ("raised", "tag/b", "contract broken") in conditions(told)
    condition = next(e.data for e in told if e.kind == "condition")
    assert condition["cause"] == "integration" and condition["severity"] == "high"
    assert "b: engineering unit was degC, is degF" in condition["text"]
    assert "m of Plant <p@example.org>" in condition["text"]
    assert "fieldwarden change show CONFIG two-1" in condition["hint"]
    assert verdicts(told) == ["unassessable"]
    assert plant.verdict.reasons[0].kind == "contract broken"
    told = plant.rows(60, HELD, add=500.0)
    assert {e.kind for e in told} <= {"verdict", "condition"} and len(conditions(told)) == 0
    told = plant.say("contract", **different())
    told += plant.rows(60)
    assert conditions(told) == [("cleared", "tag/b", "contract broken")]
    assert plant.verdict.verdict == "trusted"


def test_held_samples_move_no_detector() -> None:
    """The state of all charts of the tag is the same after them as before."""
    plant = Watched(spec())
    plant.rows(60)
    plant.say("contract", **different("b"))
    plant.rows(1, HELD)
    charts = plant.engine.charts
    row = plant.engine.spec.rows_of(0)[1]
    before = {name: scores[row] for name, scores in charts.score_columns().items()}
    plant.rows(40, HELD, add=9.0)
    after = {name: scores[row] for name, scores in charts.score_columns().items()}
    assert before == after
    raw = charts.traces.of_tag(1, plant.engine.time_ns)
    assert not (raw > 5.0).any()


def test_an_optional_input_that_is_held_is_a_caution() -> None:
    """The model can do without it."""
    plant = Watched(spec(optional=("b",)))
    plant.rows(60)
    plant.say("contract", **different("b"))
    plant.rows(30, HELD)
    assert plant.verdict.verdict == "caution"
    assert [reason.kind for reason in plant.verdict.reasons] == ["contract broken"]


def test_a_report_holds_nothing() -> None:
    """What would be held is an event alone."""
    plant = Watched(spec())
    plant.rows(60)
    told = plant.say("contract", **different("b", hold="report"))
    assert [(e.kind, e.data["hold"]) for e in told] == [("change", "would hold")]
    assert plant.verdict.verdict == "trusted"


def test_another_server_is_one_condition_of_its_source() -> None:
    """Its tags have none of their own, and it is not called lost."""
    plant = Watched(spec())
    plant.rows(60)
    data = different("b")
    data["differences"][0] |= {"subject": "source/two", "term": "served server_uri"}
    told = plant.say("contract", **data)
    assert conditions(told) == [("raised", "source/two", "contract broken")]
    assert set(plant.engine.judge.changes.holding()) == {"b", "c"}
    assert plant.verdict.verdict == "unassessable"
    assert not plant.engine.judge.sources.is_lost("two")


def test_planned_maintenance_raises_no_alarm_and_is_a_reason() -> None:
    """In its window tags may be silent or bad; behind it they count as before."""
    plant = Watched(spec())
    plant.rows(60)
    end = START + 100 * SECOND
    plant.say("announce", tags=["b", "c"], from_ns=START + 70 * SECOND, until_ns=end, **BY)
    assert plant.verdict.verdict == "trusted"
    told = plant.rows(20)
    assert [e.data["change"] for e in told if e.kind == "change"] == ["begun"]
    assert plant.verdict.verdict == "unassessable"
    assert plant.verdict.reasons[0].kind == "planned maintenance"
    assert plant.verdict.reasons[0].text.endswith("Z, announced by Ada: new transmitter")
    told = plant.rows(10, int(Quality.BAD) | MASKED)
    assert conditions(told) == []
    told = plant.rows(60)
    assert [e.data["change"] for e in told if e.kind == "change"] == ["ended"]
    assert conditions(told) == [] and plant.verdict.verdict == "trusted"


def test_a_tag_that_stays_bad_is_told_after_its_maintenance() -> None:
    """Nobody put it back."""
    plant = Watched(spec())
    plant.rows(60)
    plant.say("announce", tags=["b"], from_ns=1, until_ns=START + 80 * SECOND, **BY)
    assert conditions(plant.rows(20, int(Quality.BAD))) == []
    told = plant.rows(20, int(Quality.BAD))
    assert ("raised", "tag/b", "bad quality") in conditions(told)


@pytest.mark.parametrize("gone", ["tag", "source", "model"])
def test_resumes_where_what_was_held_is_gone(gone: str) -> None:
    """Its change, its condition and its reason go with it; the rest goes on."""
    plant = Watched(spec())
    plant.rows(60)
    plant.say("contract", **different("b"))
    plant.say("contract", **different("a", source="one"))
    one = spec()
    if gone == "model":
        again = Engine(replace(one, models=()))
    else:
        names = ["a", "c"] if gone == "tag" else ["a"]
        kept = tuple(tag for tag in one.tags if tag.name in names)
        again = Engine(replace(one, tags=kept, models=(), sources=one.sources[: len(names)]))
    again.resume(plant.engine.snapshot())
    held = set(again.judge.changes.holding())
    assert held == ({"a", "b"} if gone == "model" else {"a"})
    open_ = {c.subject.name for c in again.judge.conditions.active.values()}
    assert open_ == held
    assert again.step(command(60, "revert", sequence=again.sequence + 1)).events == ()


def test_state_goes_on_from_a_snapshot() -> None:
    """Bytes are equal, and what comes next is told the same."""
    plant = Watched(spec())
    plant.rows(60)
    plant.say("contract", **different("b", "c"))
    again = Engine(spec())
    again.resume(plant.engine.snapshot())
    assert again.snapshot() == plant.engine.snapshot()
    data = {"change": "two-1", **BY}
    entry = Command(again.sequence + 1, again.time_ns + 1, "approve", data)
    assert again.step(entry) == plant.engine.step(entry)


def test_whoever_restores_charts_is_told_when_tags_count_again() -> None:
    """Approved, ended, in force: once each."""
    released: list[tuple[str, str]] = []

    def note(one: Change, _: int) -> None:
        released.append((one.id, one.state))

    plant = Watched(spec())
    plant.engine.judge.changes._released = note
    plant.say("contract", **different("b"))
    plant.say("approve", change="two-1", **BY)
    plant.say("contract", **different())
    assert released == [("two-1", "approved"), ("two-1", "ended")]


@pytest.mark.parametrize("bit", [HELD, MASKED])
@pytest.mark.parametrize("which", ["plain", "joint", "held", "modes"])
def test_what_held_samples_say_changes_nothing(which: str, bit: int) -> None:
    """Events, windows and the state of all that judges are the same, whatever their values are:
    detectors, scans, modes, extrapolation, traces, retraining, means.
    """
    whole = with_modes(EVENTFUL, [0, 95, 210]) if which == "modes" else EVENTFUL
    seconds = (whole.arrival_ns - START) // SECOND
    held = (seconds >= 130) & (seconds < 200) & np.isin(whole.tag, [2, 9])
    quality = np.where(held, whole.quality | bit, whole.quality).astype(np.uint16)
    found = []
    for other in (0.5, -700.0):
        value = np.where(held, other, whole.value)
        engine = Engine(SPECS[which])
        told = tell(engine, [replace(whole, value=value, quality=quality)])
        engine.latest()["value"] = 0.0  # as it is shown
        found.append((told.events, told.summaries, state_of(engine)))
    assert found[0] == found[1]
    assert held.sum() > 50
