"""What every source has in common: its tags, its state, its report.

Invariants:
- a source says that it is live only after the device itself answered;
- leaving `live`, and the first failure of all, gives one sample for each tag with
  `COMMUNICATION_LOST`, so that no model goes on with the last values as if they were fresh;
- a state is told when it changes, not at each retry: a dead device makes no flood;
- coming back to `live` tells the gap: from when until when nothing was received, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from agent.configuration.schema import Tag
from agent.decode.columns import TEXT_TYPES, Samples, lost
from agent.errors import ConfigurationError, FieldwardenError
from agent.intake import Intake
from agent.types import Block, Int32, SourceState

Address = TypeVar("Address")
_NAMED = 5  # of tags, in one line
_MOST_REFUSED = 500  # tags of which one command tells why; of others it is said in general
_LOST = frozenset({SourceState.STALE, SourceState.FAILED})


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

    Attributes:
        bytes: counts what the protocol's payloads held, None where the library does not say.
        details: parts of the source that fail alone, in words, while the rest goes on.
        times: how often a configured time was ``absent``, ``unreadable`` or ``implausible``.
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
    details: list[str] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """What a source tells now of itself and of its tags, besides values: for the contract.

    Attributes:
        source: its name.
        how: when it was found: at a new connection, at a check now and then, because the other
            side announced it, or with a sample or a message.
        identity: who serves, whole, see `agent.contract.grades.SOURCE_SERVED`; None: not told this
            time, so as it was told last.
        tags: tag -> its terms, see `agent.contract.grades.SERVED`; tags that are not named are as
            they were told last.
        since_ns: engine time at which it was last known to be as it was before; 0: not known.
        partial: only the terms named are told, the others of each tag are as they were; None
            takes a term away.
    """

    source: str
    how: Literal["connected", "interval", "announced", "in band"]
    identity: Mapping[str, Any] | None
    tags: Mapping[str, Mapping[str, Any]]
    since_ns: int = 0
    partial: bool = False


Telling = Callable[[Served], None]
"""Is told, synchronously, before the first sample of what changed is handed to the intake."""


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


@runtime_checkable
class Recalling(Protocol):
    """A source that may be sent again what it had handed on before the agent was started."""

    def recall(self, blocks: Iterable[Block]) -> None:
        """What the journal's end holds; called before `run`."""


@runtime_checkable
class Noting(Protocol):
    """A source that must know after a restart what it found in an earlier run."""

    def remember(self, notes: Mapping[str, Any]) -> None:
        """What `notes` gave in an earlier run, or another source of this name; before `run`."""

    def notes(self) -> dict[str, Any]:
        """What to remember, JSON-ready; equal where nothing changed."""


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
        self._since_ns = self._steady_ns()
        self._last_arrival_ns: int | None = None
        self._gap: tuple[int, str] | None = None  # since when nothing came, and the first reason
        self._refused: dict[str, str] = {}
        self.state = SourceState.CONNECTING
        self.reason = ""
        self.received = 0

    def live(self, reason: str = "") -> None:
        """The device answered."""
        self._change(SourceState.LIVE, reason)

    def stale(self, reason: str) -> None:
        """Connected, but the device is silent."""
        self._lose(SourceState.STALE, reason)

    def failed(self, reason: str) -> None:
        """Not connected; `reason` is for people."""
        self._lose(SourceState.FAILED, reason)

    def _lose(self, state: SourceState, reason: str) -> None:
        if self.state not in _LOST:
            if self.state is SourceState.LIVE:
                self._gap = self._last_arrival_ns or self._since_ns, reason
            self.take(lost(self._tag))
        self._change(state, reason)

    def refused(self, why: Mapping[str, str]) -> None:
        """Which addresses are refused by now, and why, by tag; before the samples that say so."""
        told = dict(sorted(why.items())[:_MOST_REFUSED])
        if told != self._refused:
            self._refused = told
            self._intake.command("refused", {"source": self._name, "tags": told})

    def take(self, samples: Samples) -> None:
        """Hand samples to the intake and count them."""
        self._intake.append(
            samples.tag, samples.source_ns, samples.value, samples.quality, source=self._name
        )

    def arrived(self, count: int) -> None:
        """Count samples that the device itself brought."""
        self.received += count
        self._last_arrival_ns = self._steady_ns()

    def _steady_ns(self) -> int:
        """Engine time as if it had never been set: what is kept of it stays right in `report`."""
        return self._intake.now_ns() - self._intake.shifted_ns

    def _change(self, state: SourceState, reason: str) -> None:
        self.reason = reason
        if state is self.state:
            return
        self.state = state
        self._since_ns = self._steady_ns()
        data: dict[str, Any] = {"source": self._name, "state": state.value, "reason": reason}
        if state is SourceState.LIVE and self._gap is not None:
            from_ns, cause = self._gap
            shifted_ns = self._intake.shifted_ns
            data["gap"] = {
                "from_ns": from_ns + shifted_ns, "to_ns": self._since_ns + shifted_ns,
                "reason": cause,
            }
            self._gap = None
        self._intake.command("source_state", data)

    def report(
        self,
        plan: tuple[str, ...],
        *,
        size: int | None = None,
        details: Sequence[str] = (),
        times: Mapping[str, int] | None = None,
    ) -> SourceReport:
        """What `SourceLink.describe` returns."""
        shifted_ns, last_ns = self._intake.shifted_ns, self._last_arrival_ns
        return SourceReport(
            name=self._name,
            protocol=self._protocol,
            state=self.state,
            reason=self.reason,
            since_ns=self._since_ns + shifted_ns,
            received=self.received,
            bytes=size,
            last_arrival_ns=None if last_ns is None else last_ns + shifted_ns,
            plan=plan,
            details=list(details),
            times=dict(times or {}),
        )


def some_of(names: Sequence[str]) -> str:
    """Names in one line that a person can take in: the first ones, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + f" and {more} more" * (more > 0)


def by_cause(causes: Mapping[str, str]) -> list[str]:
    """One line for each cause, with those whose it is; `causes` is by name."""
    names: dict[str, list[str]] = {}
    for name, cause in causes.items():
        names.setdefault(cause, []).append(name)
    return [f"{some_of(whose)}: {cause}" for cause, whose in names.items()]


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
