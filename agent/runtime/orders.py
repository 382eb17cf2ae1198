"""What people tell a running agent: found among what there is, journaled, answered once committed.

A command is an entry of the journal like a block, so a replay does again what people did. What it
is about is looked up before: somebody who mistypes a tag at three in the morning hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Tag
from agent.core.lifecycle import Conditions
from agent.core.steward import Steward
from agent.errors import FieldwardenError, StoreError
from agent.intake import Intake
from agent.runtime import change_orders, requests, reviews, trial_orders
from agent.runtime.candidates import Candidates
from agent.runtime.governance import Governance
from agent.runtime.told import told_data
from agent.status.commands import COMMANDS
from agent.status.told import TOLD
from agent.store import Batch, Reader
from agent.types import Command

_COMMIT_LIMIT_S: Final = 10.0
_UNCHANGED: Final = (
    "nothing changed: it was so already, or it cleared meanwhile",
    "nothing changed: it was so already",
)
_LOOK: Final = "look again: fieldwarden status CONFIG"
_FACTS: Final = (
    "id", "incident", "kind", "cause", "severity", "text", "hint", "models", "raised_ns",
    "detectors", "score",
)  # fmt: skip


_ASKED: Final = frozenset({"retraining", "change"})
"""Events that ask people for a decision, or tell of one."""


class Known(Protocol):
    """What there is for people to act on. A reload replaces it, so it is asked for each time."""

    @property
    def sequence(self) -> int:
        """The number of the last entry that was folded."""

    @property
    def conditions(self) -> Conditions:
        """Those that the engine has open or shelved."""

    @property
    def tags(self) -> Mapping[str, Tag]:
        """The configured tags by name."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied."""

    @property
    def engine(self) -> Steward:
        """As of the last fold: it has requests for retraining, and trials."""

    @property
    def candidates(self) -> Candidates:
        """Copies of baselines of candidates."""

    @property
    def governance(self) -> Governance:
        """Takes commands on changes upstream."""

    @property
    def subjects(self) -> frozenset[str]:
        """The full name of every configured tag, source and model, such as ``tag/NAME``."""


class Orders:
    """Carries out commands whose form `agent.status.commands` has checked.

    Args:
        known: what a command may be about.
        intake: takes it to its place among the samples.
        reader: of the store: what came of it, and what had cleared before.
    """

    def __init__(self, known: Known, intake: Intake, reader: Reader) -> None:
        self._known, self._intake, self._reader = known, intake, reader

    async def carry_out(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Journal a command; its event, once both are committed.

        Raises:
            FieldwardenError: there is no such condition or tag, or the command changed nothing.
            StoreError: it was not committed in time; it may be yet.
        """
        if kind not in TOLD and COMMANDS[kind].of_candidates:
            data = await trial_orders.meant(kind, data, self._known)
        elif kind not in TOLD and COMMANDS[kind].of_changes:
            data = change_orders.meant(kind, data, self._known)
        else:
            data = self._meant(kind, data)
        before = self._known.sequence
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        of_changes = kind not in TOLD and COMMANDS[kind].of_changes
        take = self._known.governance.decide if of_changes else self._intake.command
        taken = take(
            kind, data, on_commit=lambda: None if done.done() else done.set_result(None)
        )
        if not taken:
            raise _busy(kind, "too many commands wait already", "try again in some seconds")
        try:
            async with asyncio.timeout(_COMMIT_LIMIT_S):
                await done
        except TimeoutError:
            cause = f"it was not committed within {_COMMIT_LIMIT_S:g} s, and may be yet"
            raise _busy(kind, cause, "see `fieldwarden status`, and the agent's log") from None
        if kind in TOLD:
            return {"accepted": kind, "model": data["model"], "items": len(data["items"])}
        # Only the fold says what came of it.
        for event in self._reader.events(after=(before, -1), limit=10_000):
            if _is_of(event, kind, data):
                return {"accepted": kind, "event": event}
        raise FieldwardenError(
            f"carrying out {kind} on", str(data.get(COMMANDS[kind].about, "it")),
            _UNCHANGED[COMMANDS[kind].about == "tag"],
            _LOOK,
        )

    def _meant(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The command's data with the full name of what it is about."""
        known = self._known
        if kind in TOLD:
            models, texts = known.configuration.models, known.engine.texts
            return told_data(kind, data, models, texts, self._intake)
        if COMMANDS[kind].about == "request":
            name = requests.meant(kind, data["request"], known.engine.retraining)
            return {**data, "request": name}
        if COMMANDS[kind].about == "model":
            return reviews.meant(kind, data, known.configuration, known.engine.time_ns)
        return self._aimed(kind, dict(data))

    def _aimed(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """The command with the full name of what it is about."""
        if "tag" in data:
            tags, name = self._known.tags, data["tag"].removeprefix("tag/")
            if name not in tags:
                raise _unknown(kind, name, "there is no such tag", nearest(name, tags))
            return data | {"tag": name}
        asked = data["subject"]
        active = self._known.conditions.active
        found = {c.id: str(c.subject) for c in active.values() if c.raised}
        names = [asked, *(f"{place}/{asked}" for place in ("tag", "source", "model"))]
        meant = [pair for pair in found.items() if asked in pair]
        meant = meant or [pair for pair in found.items() if pair[1] in names]
        if len(meant) > 1:
            hint = f"say which: {', '.join(sorted(subject for _, subject in meant))}"
            raise _unknown(kind, asked, "several open conditions are called so", hint)
        for occurrence, subject in meant:
            return data | {"subject": subject, "id": occurrence}
        if kind == "unshelve":  # also what cleared while it was shelved
            for subject in map(str, self._known.conditions.shelved):
                if subject in names:
                    return data | {"subject": subject}
        if kind == "acknowledge":
            past = self._reader.last_occurrence(*names)
            if past is not None:
                facts = {key: past[key] for key in _FACTS if key in past}
                subject = str(past["id"]).rpartition("@")[0]
                return data | {"subject": subject, "occurrence": facts}
        there_is = self._known.subjects
        if asked.rpartition("@")[0] in there_is:
            raise _unknown(kind, asked, "nothing is known of this occurrence", _LOOK)
        if there_is.isdisjoint(names):
            near = [*found.values(), *there_is, *(one.partition("/")[2] for one in there_is)]
            cause = "there is no tag, source or model of this name"
            raise _unknown(kind, asked, cause, nearest(asked, near))
        hint = f"open are: {', '.join(sorted(found.values())[:12])}" if found else _LOOK
        raise _unknown(kind, asked, "no condition is open on it", hint)


def concerns_people(batch: Batch) -> bool:
    """Whether somebody acted or is asked to, and so looks, as soon as this is committed, at what
    came of it.
    """
    acted = any(isinstance(one, Command) and one.kind in COMMANDS for one in batch.entries)
    return acted or any(event.kind in _ASKED for _, _, event in batch.events)


def _is_of(event: Mapping[str, Any], kind: str, data: Mapping[str, Any]) -> bool:
    """Whether an event is what this command brought about."""
    told, change = event["data"], COMMANDS[kind].change
    if COMMANDS[kind].of_changes:
        return change_orders.is_of(event, change, data)
    if (told.get("change"), told.get("by")) != (change, data["by"]):
        return False
    if "model" in data:
        return bool(event["subject"] == f"model/{data['model']}")
    if "request" in data:
        return bool(told.get("id") == data["request"])
    subject = data.get("subject") or f"tag/{data['tag']}"
    occurrence = data.get("occurrence", data).get("id")
    return event["subject"] == subject and occurrence in (None, told.get("id"))


def _unknown(kind: str, subject: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError(f"carrying out {kind} on", subject, cause, hint)


def _busy(kind: str, cause: str, hint: str) -> StoreError:
    return StoreError("carrying out", kind, cause, hint)
