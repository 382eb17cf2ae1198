"""What `fieldwarden change show` says of a change."""

from __future__ import annotations

from typing import get_args, get_type_hints

from agent.commands.change_lines import report
from agent.sources.base import Served

S = 1_000_000_000
CHANGE = {
    "id": "line-3", "state": "detected", "how": "announced", "found_ns": 90 * S, "since_ns": 30 * S,
    "text": "TI-1: engineering unit was degC, is degF", "tags": ["TI-1"], "window": None,
}  # fmt: skip


def test_how_a_change_was_found_is_told_in_words():
    """Of all the ways in which a source tells of itself."""
    ways = get_args(get_type_hints(Served)["how"])
    assert "announced" in ways
    for how in (*ways, "values"):
        (line,) = [one for one in report(CHANGE | {"how": how}) if "was as agreed" in one]
        found = line.partition("; found ")[2]
        assert found.split()[0] in {"when", "with", "in"} and f"found {how}" not in line


def test_planned_maintenance_has_who_announced_it_and_was_not_found():
    """Nothing differs yet; it is told ahead."""
    window = {"state": "announced", "window": [100 * S, 160 * S], "announced_by": "Mara Lind"}
    text = "\n".join(report(CHANGE | window))
    assert "1970-01-01T00:02:40Z, announced by Mara Lind" in text
    assert "as agreed" not in text
