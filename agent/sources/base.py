"""What every source has in common: its tags, its state, its report.

Invariants:
- a source says that it is live only after the device itself answered;
- leaving `live`, and the first failure of all, gives one sample for each tag with
  `COMMUNICATION_LOST`, so that no model goes on with the last values as if they were fresh;
- a state is told when it changes, not at each retry: a dead device makes no flood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from agent.configuration.schema import Tag
from agent.decode.columns import TEXT_TYPES, Samples, lost
from agent.errors import ConfigurationError, FieldwardenError
from agent.intake import Intake
from agent.types import Int32, SourceState

Address = TypeVar("Address")


@dataclass(frozen=True, slots=True)
class TagBinding:
    """A configured tag and the id that the store gave it."""

    index: int
    name: str
    tag: Tag

    @property
    def is_text(self) -> bool:
        """Whether its values are texts, kept as codes of the dictionary."""
        return self.tag.data_type.lower() in TEXT_TYPES


@dataclass(frozen=True, slots=True)
class SourceReport:
    """How a source is; times are engine time in ns, `received` counts samples.

    `bytes` counts what the protocol's payloads held, None where the library does not say.
    """

    name: str
    protocol: str
    state: SourceState
    reason: str
    since_ns: int
    received: int
    bytes: int | None
    last_arrival_ns: int | None
    plan: tuple[str, ...]


class Remark(NamedTuple):
    """What can be said of a source on paper, for people; a `fault` keeps it from ever working."""

    level: Literal["ok", "warning", "fault"]
    text: str
    hint: str = ""


class SourceLink(Protocol):
    """One connection to a plant device or broker.

    `run` connects, reads and connects again until it is cancelled; a device that is absent,
    sick or hostile shows in the state and the samples' quality, never as an exception.
    `describe` can be called at any time, also before and after `run`.
    """

    async def run(self) -> None:
        """Serve until cancelled."""

    def describe(self) -> SourceReport:
        """State and counts now."""


class Health:
    """The state of a source, told to the intake whenever it changes.

    Args:
        name: of the source.
        protocol: as in the configuration.
        intake: gets the state changes and the samples of a loss.
        tag: int32[n], ids of all tags of the source.
    """

    def __init__(self, name: str, protocol: str, intake: Intake, tag: Int32) -> None:
        self._name = name
        self._protocol = protocol
        self._intake = intake
        self._tag = tag
        self._since_ns = intake.now_ns()
        self._last_arrival_ns: int | None = None
        self.state = SourceState.CONNECTING
        self.reason = ""
        self.received = 0

    def live(self, reason: str = "") -> None:
        """The device answered."""
        self._change(SourceState.LIVE, reason)

    def stale(self, reason: str) -> None:
        """Connected, but the device is silent."""
        self._change(SourceState.STALE, reason)

    def failed(self, reason: str) -> None:
        """Not connected; `reason` is for people."""
        if self.state is not SourceState.FAILED:
            self.take(lost(self._tag))
        self._change(SourceState.FAILED, reason)

    def take(self, samples: Samples) -> None:
        """Hand samples to the intake and count them."""
        self._intake.append(
            samples.tag, samples.source_ns, samples.value, samples.quality, source=self._name
        )

    def arrived(self, count: int) -> None:
        """Count samples that the device itself brought."""
        self.received += count
        self._last_arrival_ns = self._intake.now_ns()

    def _change(self, state: SourceState, reason: str) -> None:
        self.reason = reason
        if state is self.state:
            return
        self.state = state
        self._since_ns = self._intake.now_ns()
        data = {"source": self._name, "state": state.value, "reason": reason}
        self._intake.command("source_state", data)

    def report(self, plan: tuple[str, ...], *, size: int | None = None) -> SourceReport:
        """What `SourceLink.describe` returns."""
        return SourceReport(
            name=self._name,
            protocol=self._protocol,
            state=self.state,
            reason=self.reason,
            since_ns=self._since_ns,
            received=self.received,
            bytes=size,
            last_arrival_ns=self._last_arrival_ns,
            plan=plan,
        )


def tag_ids(tags: Mapping[str, TagBinding]) -> Int32:
    """int32[n], the ids in the order of the mapping."""
    return np.array([binding.index for binding in tags.values()], np.int32)


def parse_all(
    source: str, tags: Mapping[str, TagBinding], parse: Callable[[str], Address]
) -> list[Address]:
    """The addresses of all tags, in the order of the mapping.

    Raises:
        ConfigurationError: every address that is not understood, at once.
    """
    found: list[Address] = []
    faults: list[FieldwardenError] = []
    for name, binding in tags.items():
        try:
            found.append(parse(binding.tag.address))
        except FieldwardenError as fault:
            subject = f"{fault.subject} of tag {name!r}"
            faults.append(FieldwardenError(fault.operation, subject, fault.cause, fault.hint))
    if faults:
        raise ConfigurationError(f"source {source!r}", faults)
    return found
