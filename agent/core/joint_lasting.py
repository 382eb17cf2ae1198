"""What lasts of the joint charts of all models, in one array by input and one by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.core.joint_charts import BY_INPUT
from agent.core.kernels import joint
from agent.core.scans import ModelScans
from agent.core.spec import EngineSpec
from agent.core.state import Lasting
from agent.types import Float64


def joint_arrays(spec: EngineSpec, scans: Sequence[ModelScans]) -> list[Lasting]:
    """Both; rows of outputs, which no joint chart sees, stay 0.

    Args:
        spec: has the rows.
        scans: of each model.
    """

    def take_inputs(kept: Float64) -> None:
        for model, own in enumerate(scans):
            rows = spec.rows_of(model)
            own.joint.take_by_input(kept[rows.start : rows.stop])

    def take_groups(states: np.ndarray[Any, Any]) -> None:
        first = 0
        for own in scans:
            count = len(own.joint.groups)
            own.joint.take_group_states(states[first : first + count])
            first += count

    by_input = np.zeros((len(spec.rows), BY_INPUT))
    for model, own in enumerate(scans):
        rows = spec.rows_of(model)
        by_input[rows.start : rows.stop] = own.joint.by_input()
    groups = [np.zeros(0, joint.STATE), *(own.joint.group_states() for own in scans)]
    return [
        Lasting("joint.inputs", "input", by_input, "scanned", take_inputs),
        Lasting("joint.groups", "group", np.concatenate(groups), take=take_groups,
                moments=joint.MOMENTS),
    ]  # fmt: skip
