"""State tags, rates of arrival and lags through the whole engine: one alarm, and its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.core.engine import Engine
from agent.core.kernels import category
from agent.core.state_tags import ILLEGAL, UNSEEN, describe, trained_states
from agent.types import Block, Event, Float64
from tests.core import small
from tests.core.small import SECOND, TAGS

N = 700
CODES = (0.0, 10.0, 30.0)
CYCLE = (1 << 1, 1 << 2, 1 << 0)  # 0 -> 10 -> 30 -> 0
CENTRE, SCALE = 13.0, 12.5
PARAMETERS = {
    "count": 3, "tolerance": category.NEAR / SCALE, "hold": 30, "gap_ns": 3 * SECOND // 2,
    "values": [(code - CENTRE) / SCALE for code in CODES] + [0.0] * 13,
    "next": [*CYCLE] + [0xFFFF] * 13,
}  # fmt: skip


def engine(**tags: object) -> Engine:
    """The small engine, whose input a is a state tag; `tags` changes its tag's facts."""
    trained = small.baseline()
    item = replace(
        trained.modes[0].inputs[0], centre=CENTRE, scale=SCALE, trained=(0.0, 30.0), unit="",
        detectors={"category": PARAMETERS},
    )
    mode = replace(trained.modes[0], inputs=(item, *trained.modes[0].inputs[1:]))
    spec = small.spec(trained=replace(trained, modes=(mode,)))
    return Engine(replace(spec, tags=(replace(spec.tags[0], **tags), *spec.tags[1:])))


def values(*stays: tuple[float, int]) -> Float64:
    """All inputs: noise, and the states of a."""
    states = np.concatenate([np.full(n, code) for code, n in stays])
    found = small.normal(len(states), 3)
    found[:, 0] = states
    return found


def told(block: Block, by: Engine | None = None) -> list[Event]:
    return [event for event in (by or engine()).step(block).events if event.kind == "condition"]


NORMAL = [(0.0, 50), (10.0, 120), (30.0, 40)] * 3


def test_a_state_tag_in_its_states_raises_nothing():
    """Two minutes in a state and jumps between states: none of the charts sees a fault."""
    assert told(small.block(values(*NORMAL))) == []


@pytest.mark.parametrize(
    ("stays", "kind", "text"),
    [
        ([(20.0, 60)], UNSEEN,
         "a reads 20, a state that training never had (it had 0, 10, 30) (sensor or process)"),
        ([(0.0, 50), (30.0, 60)], ILLEGAL,
         "a went from state 0 to 30, which never happened in training (sensor or process)"),
    ],
)  # fmt: skip
def test_what_is_new_is_named(stays, kind, text):
    """One alarm that says what the tag did; the model is used with caution, and it clears."""
    one = engine()
    events = told(small.block(values(*NORMAL, *stays, *NORMAL)), one)
    assert [event.data["change"] for event in events] == ["raised", "cleared"]
    assert (events[0].data["kind"], events[0].data["cause"]) == (kind, "unknown")
    assert events[0].data["text"].partition(", since ")[0] == text
    assert one.judge.verdicts["m"].verdict == "trusted"


def test_caution_while_it_lasts():
    """What was never trained is a caution, not a condemnation."""
    one = engine()
    told(small.block(values(*NORMAL, (20.0, 60))), one)
    assert one.judge.verdicts["m"].verdict == "caution"


def test_words_of_states():
    """The newest thing that training never had; None once it is out of sight."""
    states = trained_states(PARAMETERS, CENTRE, SCALE)
    assert states == (CODES, CYCLE)
    assert describe(np.array([0.0, 10.0, 30.0, 0.0]), *states) is None
    assert describe(np.array([0.0, 10.2, 30.0]), *states) is None
    assert describe(np.array([5.0, 0.0, 30.0, 30.0]), *states) == (
        ILLEGAL, "went from state 0 to 30, which never happened in training",
    )  # fmt: skip
    found = describe(np.array([0.0, 30.0, 5.0]), *states)
    assert found is not None
    assert found[0] == UNSEEN
    assert trained_states(None, 0.0, 1.0) == ((), ())
    assert trained_states(dict(category.DEFAULTS), 0.0, 1.0) == ((), ())
    assert describe(np.zeros(3), (), ()) is None
    assert describe(np.zeros(0), *states) is None


def retimed(arrival_s: Float64, lag_s: Float64 | float = 0.0) -> Block:
    """Input a as it arrives at these seconds with this lag, beside nothing else."""
    arrival = small.START + np.round(arrival_s * SECOND).astype(np.int64)
    lag = np.broadcast_to(np.round(np.asarray(lag_s) * SECOND).astype(np.int64), arrival.shape)
    rows = np.arange(len(arrival)) % 210
    states = values(*NORMAL)[rows, 0]
    return Block(1, int(arrival[-1]) + 1, np.full(len(arrival), 1, np.int32), arrival - lag,
                 arrival, states, np.zeros(len(arrival), np.uint16))  # fmt: skip


def own(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (event.data["change"], event.data["kind"], event.data["cause"]) for event in events
        if event.subject == f"tag/{TAGS[0]}"
    ]  # fmt: skip


def test_a_tag_that_arrives_more_slowly_is_named():
    """A third of the configured rate, never silent for long: a rate change, of the integration."""
    arrival = np.cumsum(np.concatenate([np.ones(400), np.full(150, 3.0)]))
    assert own(told(retimed(arrival))) == [("raised", "rate change", "integration")]


def test_a_tag_that_reports_by_exception_has_no_rate():
    """Changes come when they come."""
    arrival = np.cumsum(np.concatenate([np.ones(400), np.full(150, 3.0)]))
    one = engine(by_exception=True, max_silence_ns=1 << 60)
    assert own(told(retimed(arrival), one)) == []


def test_data_that_fall_behind_are_named():
    """A minute behind their time stamps: late data, of the integration; a label may be late."""
    lag = np.concatenate([np.full(300, 1.0), np.full(100, 61.0)])
    arrival = np.arange(400, dtype=np.float64)
    assert own(told(retimed(arrival, lag))) == [("raised", "late data", "integration")]
    assert own(told(retimed(arrival, lag), engine(role="label"))) == []


def test_a_frozen_clock_is_not_called_late():
    """Time stamps that stand still fall behind too; the more exact name stays."""
    arrival = np.arange(500, dtype=np.float64)
    lag = np.maximum(arrival - 300.0, 0.0)
    found = own(told(retimed(arrival, lag)))
    assert found == [("raised", "frozen source clock", "integration")]
