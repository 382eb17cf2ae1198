"""`[models.<name>.retraining]` and `.trial`: when to train anew, and what a candidate must show."""

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


_Share = Annotated[float, Field(ge=0, le=1)]


class Trial(Section):
    """`[models.<name>.trial]`: what a candidate must show beside the model in service; all of it.

    It is fixed as a trial begins: a later change is of later trials. Time is time that was watched.
    """

    lasts: Duration = duration_ns("7d")  # at least
    at_most: Duration = duration_ns("28d")  # while nothing but labels is lacking
    trusted: _Share = 0.95  # share of the time in which it is assessable
    assessable: _Share = 0.5  # share of the time
    extrapolating: _Share = 0.05  # share of its scans outside of its training, at most
    own_incidents: Annotated[int, Field(ge=0)] | None = None  # default: as false_alarms promises
    labels: Annotated[int, Field(ge=0)] = 50  # of each output that has any; 0: none are asked for
    loss_margin: Annotated[float, Field(ge=0, le=10)] = 0.2  # by which its mean loss may be larger
    loss_error: Annotated[float, Field(gt=0, le=0.5)] = 0.05  # chance that it passes wrongly
