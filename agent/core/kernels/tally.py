"""The tally: exact additive statistics of one summary window of one input.

All fields are integers or order statistics, so windows add in any order to the same bits: values
are standardised and rounded to 1/1024 standard deviation (clipped to +-1024), then summed as
integers. Bins are the baseline's.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel

UNITS_PER_SD = 1024
_CLIP = 1024.0
BINS = 16

COUNTS = np.dtype(
    [
        ("count", np.int64),
        ("good", np.int64),
        ("sum", np.int64),
        ("sum_sq", np.int64),
        ("min", np.float64),
        ("max", np.float64),
    ]
)


@kernel
def tally(counts, histogram, edges, starts, value):  # type: ignore[no-untyped-def]
    """Add admitted samples; `histogram` int64[rows, 16], `edges` float64[rows, 15] standardised."""
    for row in range(len(starts) - 1):
        for j in range(starts[row], starts[row + 1]):
            z = value[j]
            if counts[row]["good"] == 0:
                counts[row]["min"] = z
                counts[row]["max"] = z
            counts[row]["min"] = min(counts[row]["min"], z)
            counts[row]["max"] = max(counts[row]["max"], z)
            clipped = min(max(z, -_CLIP), _CLIP) * 1024.0
            q = np.int64(clipped + 0.5) if clipped >= 0.0 else -np.int64(0.5 - clipped)
            counts[row]["good"] += 1
            counts[row]["sum"] += q
            counts[row]["sum_sq"] += q * q
            bin_index = 0
            while bin_index < 15 and z > edges[row, bin_index]:
                bin_index += 1
            histogram[row, bin_index] += 1
