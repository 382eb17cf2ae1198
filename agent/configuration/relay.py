"""`[[relay]]` of central's file: to which webhook events of the gateways go on."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.configuration.hooks import Endpoint, EventKind
from agent.configuration.values import Duration, Name, duration_ns

AnyKind = Literal["finding", EventKind]


class Relay(Endpoint):
    """One target; each event is a POST of the CloudEvent as the gateway sent it."""

    name: Name  # names its queue, also in metrics: another name is another queue
    events: list[AnyKind] = Field(default=["condition", "retraining", "change"], min_length=1)
    sites: list[str] = Field(default=[])  # only of these sites; []: of all
    gateways: list[str] = Field(default=[])  # only of these gateways; []: of all
    historical: bool = True  # also what was older than 60 s as the gateway sent it
    most: int = Field(default=10_000, ge=100, le=1_000_000)  # messages that wait; more are dropped
    max_age: Duration = duration_ns("7d")  # what could not be delivered for so long is given up


def _apart(relays: list[Relay]) -> list[Relay]:
    twice = [name for name, count in Counter(one.name for one in relays).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} names two targets: each has a queue of its own")
    return relays


Relays = Annotated[list[Relay], AfterValidator(_apart)]
"""All targets of a file."""
