"""Whether a run of samples is without a gap, asked once for the run instead of once a sample."""

from __future__ import annotations

from agent.core.kernels.base import kernel

RUN = 64
"""Samples looked at together."""


@kernel
def unbroken(source, at, stop, gap):  # type: ignore[no-untyped-def]
    """No step of `source` from `at - 1` to `stop - 1` is longer than `gap`; `at` is at least 1.

    The sign of gap - step, which vectorises on every CPU where a comparison of int64 does not.
    It can wrap only for a step far back, and then says "broken", after which each is asked alone.
    """
    sign = 0
    part = source[at - 1 : stop]
    for i in range(stop - at):
        sign |= gap - (part[i + 1] - part[i])
    return sign >= 0
