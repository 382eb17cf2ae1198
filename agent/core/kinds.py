"""Kinds of tags: what a tag is besides a measurement, and what it is therefore judged by.

A totaliser is judged by its rate, an angle on the circle: `kernels.admission` makes that of it, the
same for `fit`. What people set, states and constants have no charts of a measurement.
"""

from __future__ import annotations

from agent.core.kernels import admission

ANGLE = "angle"
COUNTERS = frozenset({"totaliser", "counter", "run hours"})
"""Judged by how far they go in an hour."""

ANNOUNCED = frozenset({"set point", "command"})
"""Somebody, or a program, sets them: no instrument measures them."""

STATE = "state"
"""Judged by its codes, however few visits a record shows of each."""

QUANTISED = "quantised"
"""A measurement in coarse steps: values within a part of a step are equal."""

ALIKE = 0.25
"""That part: scaling and single precision on the way here change the last digits of a value."""

KINDS = ("measurement", *sorted(COUNTERS), ANGLE, *sorted(ANNOUNCED), STATE, "constant",
         QUANTISED)  # fmt: skip


def code_of(kind: str) -> int:
    """What admission makes of a tag of a kind."""
    if kind in COUNTERS:
        return admission.COUNTER
    return admission.ANGLE if kind == ANGLE else admission.PLAIN


def transforms(kind: str) -> bool:
    """Whether a tag of a kind is judged by something else than its value."""
    return code_of(kind) != admission.PLAIN


def shown(tag: str, kind: str) -> str:
    """What texts call that by which a tag is judged."""
    return f"the rate of {tag}" if kind in COUNTERS else tag


def shown_unit(unit: str, kind: str) -> str:
    """The unit of that by which a tag is judged."""
    return f"{unit or '1'}/h" if kind in COUNTERS else unit
