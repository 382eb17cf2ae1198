"""What an output is beside what its inputs gave in training: the residual of a linear relation.

A value of an output is judged once, at the first scan after it came, against the inputs of that
scan: those that the model saw, or the next ones. Where an input is not usable then, or outside of
what was trained on, nothing is judged: the relation was never seen there. References: Hawkins 1991,
regression-adjusted variables; Mandel 1969, the regression control chart.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel
from agent.types import NOT_USABLE

STATE = np.dtype([("value", np.float64), ("fresh", np.int64)])
"""The newest value, in the tag's unit, and whether no scan has judged it yet."""

PARAMS = np.dtype(
    [
        ("tag", np.int64),
        ("centre", np.float64),
        ("inverse_scale", np.float64),
        ("related", np.int64),  # 0: no relation was learnt
        ("intercept", np.float64),
        ("middle", np.float64),  # of the residuals
        ("inverse_sd", np.float64),  # of the residuals
    ]
)
_UNUSABLE = int(NOT_USABLE)
_CLIP = 1e9


@kernel
def residuals(  # type: ignore[no-untyped-def]
    params, slopes, state, starts, arrival, value, quality, first_ns, scan_ns, z, usable,
    out_starts, out_time, out_value,
):
    """Write the residuals of outputs, one output after the other; the state takes all samples in.

    `slopes` float64[outputs, d]; `z` float64[m, d] are scans, `usable` uint8[m] says which are
    judged. `out_starts` int64[outputs + 1]; `out_time` int64, `out_value` float64, standardised:
    room for `m` values of each output.
    """
    m, d = z.shape[0], z.shape[1]
    written = 0
    for row in range(len(params)):
        out_starts[row] = written
        tag = params[row]["tag"]
        last, fresh = state[row]["value"], state[row]["fresh"]
        j, stop = starts[tag], starts[tag + 1]
        for k in range(m + 1):
            now = first_ns + k * scan_ns
            while j < stop and (k == m or arrival[j] < now):
                bits = quality[j] + 0
                if not bits & _UNUSABLE:
                    last, fresh = value[j], 1
                j += 1
            if k == m or fresh == 0:
                continue
            fresh = 0
            if usable[k] == 0 or params[row]["related"] == 0:
                continue
            given = params[row]["intercept"]
            for column in range(d):
                given += slopes[row, column] * z[k, column]
            own = (last - params[row]["centre"]) * params[row]["inverse_scale"]
            apart = (own - given - params[row]["middle"]) * params[row]["inverse_sd"]
            out_time[written] = now
            out_value[written] = min(max(apart, -_CLIP), _CLIP)
            written += 1
        state[row]["value"], state[row]["fresh"] = last, fresh
    out_starts[len(params)] = written
