"""Control loops, in the terms of ISA-5.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agent.configuration.values import Section

LoopPart = Literal["measurement", "set point", "controller output", "loop mode"]


class Loop(Section):
    """`[loops."<name>"]`: a control loop's tags.

    What a controller or a person sets is no measurement: none but the pv is ever called a faulty
    sensor.
    """

    pv: str  # the measurement
    sp: str = ""  # the set point
    out: str = ""  # the controller's output, to a valve or an inner loop
    mode: str = ""  # manual, automatic, cascade


def parts_of(loops: Mapping[str, Loop]) -> dict[str, tuple[str, LoopPart]]:
    """Tag -> (loop, what it is there) of every tag of a loop.

    The set point of an inner loop may be the output of an outer one: the first loop counts; but a
    measurement anywhere is one.
    """
    found: dict[str, tuple[str, LoopPart]] = {}
    for name, loop in loops.items():
        parts: tuple[tuple[str, LoopPart], ...] = (
            (loop.pv, "measurement"), (loop.sp, "set point"), (loop.out, "controller output"),
            (loop.mode, "loop mode"),
        )  # fmt: skip
        for tag, part in parts:
            if tag and (tag not in found or part == "measurement"):
                found[tag] = (name, part)
    return found
