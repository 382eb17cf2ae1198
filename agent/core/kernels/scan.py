"""The scan: the vector of a model's inputs at a fixed cadence, by sample and hold.

Scan k of a model is at `anchor + k * scan_ns`; it holds, per input, the last value that arrived
before that time, standardised, and says whether every input was usable then. It is what the model
itself would see.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, kernel
from agent.types import NOT_USABLE, Quality

STATE = np.dtype(
    [
        ("value", np.float64),
        ("usable", np.int64),  # 2: all that came since it was last usable was replayed
        ("last_ns", np.int64),
        ("lost", np.int64),  # 1: the source said that its link is
        ("judged", np.float64),  # of a tag of a kind: what was last admitted of it, standardised
        ("admitted", np.int64),  # 1: something was
    ]
)
MOMENTS = {"last_ns": ENGINE_TIME}
PARAMS = np.dtype(
    [
        ("tag", np.int64),
        ("centre", np.float64),
        ("inverse_scale", np.float64),
        ("max_silence_ns", np.int64),
        ("required", np.int64),
    ]
)
_UNUSABLE = int(NOT_USABLE)
_REPEATED = int(Quality.REPEATED)
_REPLAYED = int(Quality.REPLAYED)
_LATE_AND_BAD = int(NOT_USABLE) & ~_REPEATED
_CLIP = 1e9


@kernel
def scan(  # type: ignore[no-untyped-def]
    params, state, starts, arrival, value, quality, first_ns, scan_ns, out_z, out_known, out_good
):
    """Fill `out_z` float64[m, d], `out_known` uint8[m, d] and `out_good` uint8[m].

    The state takes all samples in. `out_z` comes with zeros, which stay where an input never had a
    value. `out_known` says whether an input was usable. `out_good` bit 0: every required input
    usable; bit 1: every input usable, and none of them by what was replayed alone: such a value is
    what the model sees, but it is no evidence.
    """
    m = out_z.shape[0]
    for k in range(m):
        out_good[k] = 3
    for column in range(len(params)):
        tag = params[column]["tag"]
        centre = params[column]["centre"]
        inverse = params[column]["inverse_scale"]
        silence = params[column]["max_silence_ns"]
        required = params[column]["required"]
        last_value = state[column]["value"]
        usable = state[column]["usable"]
        last, lost = state[column]["last_ns"], state[column]["lost"]
        j = starts[tag]
        stop = starts[tag + 1]
        for k in range(m + 1):
            now = first_ns + k * scan_ns
            while j < stop and (k == m or arrival[j] < now):
                bits = quality[j] + 0
                if bits & _REPEATED:
                    if usable > 0 and not bits & _REPLAYED:
                        last = arrival[j]  # told again: it still is so
                elif bits & _REPLAYED:
                    # What was known before is newer than what was kept for us.
                    if usable != 1 and not bits & _LATE_AND_BAD:
                        last_value = value[j]
                        usable = 2
                        last = arrival[j]
                elif bits & _UNUSABLE:
                    usable = 0
                else:
                    last_value = value[j]
                    usable = 1
                    last = arrival[j]
                j += 1
            if k < m:
                if last != 0:
                    out_z[k, column] = min(max((last_value - centre) * inverse, -_CLIP), _CLIP)
                known = usable != 0 and lost == 0 and now - last <= silence
                out_known[k, column] = np.uint8(1) if known else np.uint8(0)
                if not known:
                    out_good[k] &= np.uint8(0) if required == 1 else np.uint8(1)
                elif usable == 2:
                    out_good[k] &= np.uint8(1)
        state[column]["value"] = last_value
        state[column]["usable"] = usable
        state[column]["last_ns"] = last


@kernel
def follow(  # type: ignore[no-untyped-def]
    params, state, columns, rows, starts, arrival, value, first_ns, scan_ns,
    out_z, out_known, out_good,
):
    """Put what was admitted of `columns` in the place of their raw values.

    Column i's admitted values are row `rows[i]`'s. Until there is one the input is not known.
    """
    m = out_z.shape[0]
    for i in range(len(columns)):
        column = columns[i]
        judged, admitted = state[column]["judged"], state[column]["admitted"]
        j, stop = starts[rows[i]], starts[rows[i] + 1]
        for k in range(m + 1):
            now = first_ns + k * scan_ns
            while j < stop and (k == m or arrival[j] < now):
                judged = value[j]
                admitted = 1
                j += 1
            if k < m:
                out_z[k, column] = judged
                if admitted == 0:
                    out_known[k, column] = np.uint8(0)
                    required = params[column]["required"] == 1
                    out_good[k] &= np.uint8(0) if required else np.uint8(1)
        state[column]["judged"], state[column]["admitted"] = judged, admitted
