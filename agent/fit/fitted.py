"""What a fit makes of one operating mode, and the outputs that it learns beside the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from agent.core.baseline import ModeBaseline
from agent.fit import held_back
from agent.fit.budget import Share
from agent.fit.joint import JointFit
from agent.fit.loops import LoopLearnt
from agent.fit.outputs import Column, OutputFit, fit_outputs, in_all, in_mode
from agent.fit.univariate import InputFit
from agent.types import Float64, Int64


@dataclass(frozen=True, slots=True)
class Fitted:
    """One mode's fits: of every input, and of all of them jointly.

    `held` is the mode as it would have been fitted on the last part's lead alone, and `from_row`
    the first row that it has not seen; None where the record is too short for parts.
    """

    mode: ModeBaseline
    inputs: list[InputFit]
    joint: JointFit
    held: ModeBaseline | None
    from_row: int
    loops: tuple[LoopLearnt, ...] = ()
    outputs: tuple[OutputFit, ...] = ()


def with_outputs(
    fitted: Sequence[Fitted], modes: Sequence[tuple[str, float | None, Float64]],
    row_of: Sequence[Int64], outputs: Sequence[Column], interval_ns: int, share: Share,
) -> list[Fitted]:
    """Modes with the charts of the outputs that the record has in each of them."""
    if not outputs:
        return list(fitted)
    fit = partial(fit_outputs, interval_ns=interval_ns, alone_ns=share.alone_ns)
    columns = [in_mode(outputs, rows) for rows in row_of]
    values = [mode[2] for mode in modes]
    found = in_all([
        fit(one.mode, inputs, own) for one, inputs, own in zip(fitted, values, columns, strict=True)
    ])
    made = []
    for one, inputs, own, fits in zip(fitted, values, columns, found, strict=True):
        mode, held = replace(one.mode, outputs=tuple(each.output for each in fits)), one.held
        if held is not None:
            lead = slice(0, held_back.parts(len(inputs))[-1].lead.stop)
            before = [replace(each, values=each.values[lead]) for each in own]
            held = replace(held, outputs=tuple(
                each.output for each in fit(held, inputs[lead], before)
            ))
        made.append(replace(one, mode=mode, held=held, outputs=tuple(fits)))
    return made
