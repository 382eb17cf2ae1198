"""The demonstration's log: lines in the order in which things happened, under their own time."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from simulators.demo_log import HOLD_NS, DemoLog

NS = 1_000_000_000
BEGAN = 1_700_000_000 * NS


@pytest.fixture
def printed():
    return io.StringIO()


@pytest.fixture
def log(printed):
    return DemoLog(Console(file=printed, width=130, soft_wrap=True, highlight=False))


def test_lines_stand_in_the_order_of_what_happened_whoever_hears_of_it_first(log, printed):
    """The agent is heard of a second late, and its words come before what was done meanwhile."""
    log.say(BEGAN - 3 * NS, "agent", "trusted")
    log.began_ns = BEGAN
    log.say(BEGAN, "plant", "begins")
    log.flush(BEGAN + HOLD_NS // 2)
    assert printed.getvalue().split() == ["agent", "trusted"]  # what came before has no time
    log.say(BEGAN + 4 * NS, "plant", "stuck")
    log.say(BEGAN + 8 * NS, "plant", "taken back")
    log.say(BEGAN + 7 * NS, "agent", "is stuck")
    log.flush(BEGAN + 8 * NS + HOLD_NS - 1)
    log.say(BEGAN + 9 * NS, "agent", "clear")
    log.flush()
    lines = [line.split() for line in printed.getvalue().splitlines()[1:]]
    assert [(line[0], line[2]) for line in lines] == [
        ("0.0", "plant"), ("4.0", "plant"), ("7.0", "agent"), ("8.0", "plant"), ("9.0", "agent")
    ]  # fmt: skip


def test_a_line_waits_for_what_others_have_to_tell_but_not_for_ever(log, printed):
    """Just as long as the agent may need for its second."""
    log.began_ns = BEGAN
    log.say(BEGAN + 4 * NS, "plant", "stuck")
    log.flush(BEGAN + 4 * NS + HOLD_NS - 1)
    assert not printed.getvalue()
    log.flush(BEGAN + 4 * NS + HOLD_NS)
    assert "4.0 s  plant   stuck" in printed.getvalue()


def test_of_one_moment_the_first_word_stands_first(log, printed):
    """Also where the texts would sort otherwise."""
    for text in ("z", "a", "m"):
        log.say(BEGAN, "agent", text)
    log.flush()
    assert printed.getvalue().split()[1::2] == ["z", "a", "m"]
