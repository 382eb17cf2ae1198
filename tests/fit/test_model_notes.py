"""What a fit tells of the record as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from agent.configuration.schema import Configuration
from agent.fit.model import fit_model
from agent.records.table import Table
from tests.fit.streams import SECOND, ar1


def configured(interval_s: int) -> Configuration:
    """Model m of the tags a and b."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {name: {"source": "s", "address": f"{name} /v"} for name in ("a", "b")},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": f"{interval_s}s", "inputs": ["a", "b"],
        }},
    })  # fmt: skip


@pytest.mark.parametrize(("interval_s", "told"), [(1, True), (60, False)])
def test_a_record_of_minutes_says_what_it_can_not_show(interval_s, told):
    """Ten minutes do not show how a plant moves over hours; ten hours begin to."""
    times = np.arange(600, dtype=np.int64) * interval_s * SECOND
    values = np.asfortranarray(np.column_stack([ar1(0.5, 600, 1), ar1(0.5, 600, 2)]))
    table = Table(times, ("a", "b"), values, interval_s * SECOND)
    report = fit_model(configured(interval_s), "m", table)
    assert report.baseline.facts["false_alarms_per_30_days"] == pytest.approx(1.0)
    assert any("movement over hours" in note for note in report.notes) == told
    assert (report.rows[0].thresholds["drift"] == "off") == told
