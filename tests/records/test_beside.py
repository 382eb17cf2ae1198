"""What a training record holds beside a model's inputs: read apart, and put on their rows."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.baseline import Pace
from agent.fit.paces import paces_of
from agent.records.beside import on_rows, read_beside
from agent.records.table import read_table
from tests.core.small import SECOND
from tests.runtime.outputs import configured

ROWS = 600


def written(tmp_path, *, outputs: bool = True, texts: bool = False):
    """A row a second; y every tenth, lab every hundredth but one; 250 and 260 of y are missing."""
    lines = ["time,a,b,c,grade" + (",y,lab" if outputs else "")]
    for row in range(ROWS):
        cells = [f"{1_700_000_000 + row}", f"{row % 7}", f"{row % 5}", f"{row % 3}", "1"]
        if outputs:
            told = row % 10 == 0 and row not in {250, 260}
            value = ("good" if row % 20 else "poor") if texts else f"{row / 10}"
            cells += [value if told else "", f"{row}" if row % 100 == 50 and row != 350 else ""]
        lines.append(",".join(cells))
    path = tmp_path / "train.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_outputs_and_labels_are_read_as_they_were_told(tmp_path):
    """Sparse as they are, none of them holds, and the inputs are read as without them."""
    configuration = configured()
    model = configuration.models["m"]
    with_, without = (
        read_table(written(tmp_path, outputs=outputs), ["a", "b", "c", "grade"])
        for outputs in (True, False)
    )
    assert np.array_equal(with_.values, without.values)
    path = written(tmp_path)
    apart = read_beside(configuration, model, path)
    assert apart is not None
    assert apart.names == ("y", "lab")
    assert int(np.isfinite(apart.column("y")).sum()) == ROWS / 10 - 2
    placed = on_rows(with_, apart, ["y"])
    assert placed.names == ("a", "b", "c", "grade", "y")
    told = np.flatnonzero(np.isfinite(placed.column("y")))
    assert np.array_equal(placed.column("y")[told], told / 10)
    paces = paces_of([(with_, ["grade"]), (apart, ["y", "lab", "gone"])])
    assert paces == {
        "grade": Pace(SECOND, 0), "y": Pace(10 * SECOND, 20 * SECOND),
        "lab": Pace(100 * SECOND, 100 * SECOND),
    }  # fmt: skip


@pytest.mark.parametrize("texts", [False, True])
def test_a_record_without_numbers_of_them_has_nothing_to_add(tmp_path, texts):
    """No column, or one of words: that is no error, for a model is fitted by its inputs."""
    path = written(tmp_path, outputs=texts, texts=texts)
    apart = read_beside(configured(), configured().models["m"], path)
    assert apart is None or apart.names == ("lab",)


def test_values_of_other_times_stand_at_the_row_after_them(tmp_path):
    """What came between two rows is told by the second; what came once is told once."""
    table = read_table(written(tmp_path), ["a"])
    apart = read_table(written(tmp_path), ["y"])
    moved = type(apart)(apart.time_ns - SECOND // 2, apart.names, apart.values, apart.interval_ns)
    placed = on_rows(table, moved, ["y"]).column("y")
    told = np.flatnonzero(np.isfinite(placed))
    assert np.array_equal(placed[told], told / 10)
