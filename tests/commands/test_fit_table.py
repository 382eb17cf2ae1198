"""What `fit` prints of a model's control loops."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from agent.commands import fit_table
from agent.fit.loops import LoopLearnt
from agent.fit.model import FitReport
from tests.core.small import baseline

LOOPS = (
    LoopLearnt("TIC-1", "TIC-1.OUT", 0.874, ("F", "T", "P", "Q", "R", "S")),
    LoopLearnt("FIC-2", "FIC-2.OUT", 0.0),
    LoopLearnt("PIC[3]", "PIC[3].OUT", why="its output does not move in the record"),
)


def printed(loops: tuple[LoopLearnt, ...]) -> list[str]:
    table = fit_table.loops(FitReport(baseline(), (), 0.1, 1.0, loops=loops))
    file = io.StringIO()
    Console(width=100, file=file).print(table)
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_each_loop_has_a_line_that_says_how_well_its_output_is_predicted_and_from_what():
    """Or why not at all; what explains most of it stands first, and not all of many is named."""
    lines = printed(LOOPS)
    assert "TIC-1 TIC-1.OUT 87 % F, T, P, Q and 2 more" in lines
    assert "FIC-2 FIC-2.OUT 0 % nothing else moves it" in lines
    assert "PIC[3] PIC[3].OUT - not learnt: its output does not move in the record" in lines


@pytest.mark.parametrize("loops", [(), LOOPS])
def test_a_model_without_loops_has_no_table_of_them(loops):
    """Nothing is said of what is not there."""
    table = fit_table.loops(FitReport(baseline(), (), 0.1, 1.0, loops=loops))
    assert (table is None) == (not loops)
