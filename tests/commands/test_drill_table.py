"""What `fieldwarden drill` prints, in a terminal of the usual width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from agent.commands.drill import _table
from agent.drill.faults import Fault
from agent.drill.report import Row
from agent.status.view import CAUSES


@pytest.mark.parametrize("tag", ["a", "pump.discharge_pressure", "x" * 60])
def test_each_name_and_cause_stands_there_whole_in_80_columns(tag):
    """A word that is cut in two has to be read twice."""
    outcomes = {"right": 1, "unknown": 0, "wrong": 0, "missed": 0}
    rows = [
        Row(tag, Fault("stuck", 0.0, "stuck"), 1, 1.0, 6.0, 1.0, "missing", cause, 1.0, 1.0,
            outcomes, "±0.218 bar (3 sd)")
        for cause in CAUSES
    ]  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=80).print(_table(rows, 1.0))
    words = out.getvalue().split()
    assert all(len(line) <= 80 for line in out.getvalue().splitlines())
    for cause in CAUSES:
        assert cause in words
    assert words.count("missing:") == len(CAUSES)
