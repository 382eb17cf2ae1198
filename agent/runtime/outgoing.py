"""What central ops is told: which events, summaries and verdicts become messages of the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.core.verdict import reasons_of
from agent.forward import FORMS, PayloadForm
from agent.runtime.errors_told import errors_of, in_short
from agent.runtime.outside import hook_messages
from agent.runtime.worth import boottime_at, causes_of
from agent.store import Batch, HookMessage, OutboxMessage
from agent.types import Event

LOCAL = frozenset({"finding"})
"""Events that stay here: a finding is a detail of a condition, and there are many."""

RETELL = frozenset({"verdict", "retraining", "evidence"})
"""Events of a model with which its verdict is told anew."""

TOLD = "verdicts told"
REQUESTS_TOLD = 20
VALID_NS = 300_000_000_000
REFRESH_NS = 120_000_000_000


T = TypeVar("T")


class Call(Protocol):
    """Calls a function; gives `otherwise` where it fails."""

    def __call__(self, name: str, function: Callable[[], T], otherwise: T) -> T:
        """See `Supervisor.call`."""


class Outgoing:
    """Makes messages; remembers when each verdict was last told, to tell it again in time.

    A verdict at central is valid for 5 minutes and told every 2, so that one lost message does not
    make a model read as unassessable; a pending older one is replaced.

    Args:
        configuration: as it is applied; a reload sets it.
        told: models of which a verdict was told; `told` is kept, as the document `TOLD`.
        account: gives number and hash of the newest committed record of the account.
    """

    def __init__(
        self, configuration: Configuration, told: Iterable[str] = (),
        account: Callable[[], tuple[int, str]] | None = None,
    ) -> None:  # fmt: skip
        self.configuration, self._account = configuration, account
        self.told = frozenset(told)
        self._told_ns: dict[str, int] = {}

    def fill(self, batch: Batch, engine: Engine, call: Call) -> None:
        """Give a batch what central and the hooks are to be told of its events and summaries.

        Args:
            batch: with its events and summaries.
            engine: as of the last of its entries.
            call: `Supervisor.call`: what fails here keeps nothing from being stored.
        """
        events, told_before = batch.events, self.told
        changed = {event.subject.partition("/")[2] for *_, event in events if event.kind in RETELL}
        make = partial(self.messages, events, batch.summaries, str(engine.time_quality))
        verdicts = partial(self.verdicts, engine, changed)
        none = list[OutboxMessage]()
        batch.messages = call("messages for central", make, none)
        batch.messages = batch.messages + call("verdicts for central", verdicts, none)
        told_hooks = partial(hook_messages, self.configuration, events)
        batch.hooks = call("messages for hooks", told_hooks, list[HookMessage]())
        if self.told != told_before:
            batch.documents[TOLD] = sorted(self.told)

    def messages(
        self,
        events: Sequence[tuple[int, int, Event]],
        summaries: Sequence[Mapping[str, Any]],
        time_quality: str,
    ) -> list[OutboxMessage]:
        """Messages of what entries brought about; nothing where there is no upstream."""
        form = self._form()
        if form is None:
            return []
        made = [
            form.event_message(sequence, position, event)
            for sequence, position, event in events
            if event.kind not in LOCAL
        ]
        return _marked(made + form.summary_messages(summaries), time_quality)

    def verdicts(self, engine: Engine, changed: set[str]) -> list[OutboxMessage]:
        """The verdicts of models in `changed`, and those to be told again before they expire.

        And, once, of each model that was told of before and is not watched any more, that nobody
        watches it: else its last verdict stays at the broker.
        """
        form = self._form()
        if form is None:
            return []
        now = engine.time_ns
        due = [
            name
            for name in engine.judge.verdicts
            if name in changed or not 0 <= now - self._told_ns.get(name, -REFRESH_NS) < REFRESH_NS
        ]
        self._told_ns |= dict.fromkeys(due, now)
        gone = sorted(self.told.difference(self.configuration.models))
        self.told = self.told.difference(gone).union(due)
        made = [self._unwatched(form, name, now) for name in gone]
        made += [self._verdict(form, engine, name) for name in due]
        return _marked(made, str(engine.time_quality))

    def _unwatched(self, form: PayloadForm, name: str, now: int) -> OutboxMessage:
        """It does not expire: a broker that knows no expiry keeps the last verdict for ever."""
        self._told_ns.pop(name, None)
        reason = {"text": "no longer watched", "cause": "model", "kind": "unwatched"}
        message = form.verdict_message(
            name, "unassessable", [reason], time_ns=now, since_ns=now,
            valid_until_ns=now + VALID_NS, removed=True,
        )  # fmt: skip
        message.expiry_s = None
        return message

    def _form(self) -> PayloadForm | None:
        upstream = self.configuration.upstream
        return None if upstream is None else FORMS[upstream.format]

    def _verdict(self, form: PayloadForm, engine: Engine, name: str) -> OutboxMessage:
        verdict = engine.judge.verdicts[name]
        reasons = reasons_of(verdict)
        model = self.configuration.models[name]
        index = next(i for i, spec in enumerate(engine.spec.models) if spec.name == name)
        baseline = engine.spec.models[index].baseline
        now = engine.time_ns
        return form.verdict_message(
            name, verdict.verdict, reasons, time_ns=now,
            since_ns=engine.judge.since.get(name, now), valid_until_ns=now + VALID_NS,
            version=engine.spec.models[index].version, provisional=baseline.provisional,
            baseline=baseline.digest[:12], baseline_hash=baseline.digest,
            causes=causes_of(reasons), sequence=engine.sequence,
            boot_id=engine.timeline.boot_id, boottime_ns=boottime_at(engine, now),
            valid_until_boottime_ns=boottime_at(engine, now + VALID_NS), **self._anchor(),
            owner={"team": model.owner.team, "contact": model.owner.contact},
            errors=in_short(errors_of(engine, index)),
            retraining=engine.retraining.in_hand(name)[:REQUESTS_TOLD],
        )

    def _anchor(self) -> dict[str, Any]:
        """What central keeps, and nobody here can change afterwards."""
        if self._account is None:
            return {}
        number, digest = self._account()
        return {"account": {"number": number, "hash": digest}}


def _marked(messages: list[OutboxMessage], time_quality: str) -> list[OutboxMessage]:
    for message in messages:
        message.time_quality = time_quality
    return messages
