"""Evidence: whose a joint flag is."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.engine import Engine
from tests.core.small import baseline, block, normal, spec


def detectors_of(values: np.ndarray) -> dict[str, set[str]]:
    """Which detectors each subject's condition was put down to."""
    events = Engine(spec(trained=baseline(joint=True))).step(block(values)).events
    seen: dict[str, set[str]] = {}
    for event in events:
        if event.kind == "condition":
            seen.setdefault(event.subject, set()).update(event.data["detectors"])
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_flag_is_not_put_down_to_a_tag_that_has_no_part_in_it(seed):
    """Input a has a condition and no part in SPE, which b and c then break: that is the model's."""
    values = normal(400, seed)
    values[100:, 0] += 8.0
    values[250:, 1:] = 3.5 + 0.1 * values[250:, 1:]
    seen = detectors_of(values)
    assert "range@m" in seen["tag/a"]
    assert not {"spe@m", "spe_smooth@m"} & seen["tag/a"]
    assert "spe@m" in seen["model/m"]


@pytest.mark.parametrize("seed", range(5))
def test_a_joint_flag_that_an_open_tag_explains_is_its_own(seed):
    """One fault is one alarm: what c does to SPE belongs to the condition that c has."""
    values = normal(400, seed)
    values[100:, 2] += 8.0
    seen = detectors_of(values)
    assert set(seen) == {"tag/c"}
    assert {"range@m", "spe@m"} <= seen["tag/c"]
