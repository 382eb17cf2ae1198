"""`[models.<name>.retraining]`: when a person is asked whether to train a model anew."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.configuration.values import Duration, Section, duration_ns


class Retraining(Section):
    """`[models.<name>.retraining]`: when to ask for it; any one of these is enough.

    Only what the process or the model did counts; time of sensor and integration faults does not.
    """

    inputs_shifted: Annotated[float, Field(gt=0)] = 2  # inputs; below 1, a share of them
    shifted_for: Duration = duration_ns("24h")
    extrapolating: Annotated[float, Field(gt=0, le=1)] = 0.5  # share of scans outside of training
    extrapolating_over: Duration = duration_ns("24h")
    losses: bool = True  # whether evidence that errors against labels grew opens a request
    outputs_shifted_for: Duration = duration_ns("24h")  # outputs off, inputs as trained
    cool_down: Duration = duration_ns("7d")  # no other request so long after a decision
