"""What windows count besides values, and in which units: without the kernels that count it.

Central reads summaries of a whole fleet and judges nothing; to load the kernels would cost each of
its processes a second and 50 MB.
"""

from __future__ import annotations

from typing import Final, NamedTuple

UNITS_PER_SD: Final = 1024
"""Sums are integers of so many to a standard deviation, as `kernels/tally.py` has it."""


class Seen(NamedTuple):
    """Scans of an input in a window: all that were known, those with it outside its range, and
    those of its model with all inputs within theirs that were far from training together.
    """

    scans: int
    extrapolating: int
    jointly: int
