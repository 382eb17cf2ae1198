"""What a hook is told, and what it may answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.errors import FieldwardenError
from agent.forward.json_payload import to_json
from agent.store import HookMessage, HookRow
from agent.types import Event


class Refused(Exception):  # noqa: N818 - an answer, not a fault of ours
    """This message will never be taken; those behind it may be."""


class LaterError(FieldwardenError):
    """This message is not taken now, and the endpoint says for how long it is not to be asked.

    Args:
        operation: see `FieldwardenError`, as `subject` and `cause`.
        wait_s: seconds.
    """

    def __init__(self, operation: str, subject: str, cause: str, wait_s: float) -> None:
        super().__init__(operation, subject, cause)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks: the gateway, and the random name of its store."""

    site: str
    gateway: str
    store: str


@dataclass(frozen=True, slots=True)
class Told:
    """One event; `id` is the same however often it is delivered, and no other event has it."""

    id: str
    kind: str
    subject: str
    time_ns: int
    data: Mapping[str, Any]


class Target(Protocol):
    """Where events go."""

    async def deliver(self, told: Told) -> None:
        """Return once it is taken.

        Raises:
            Refused: it will never be.
            Exception: it was not, and may be later.
        """

    async def close(self) -> None:
        """Nothing more comes."""


def message(hook: str, sequence: int, position: int, event: Event) -> HookMessage:
    """An event for a hook, as it waits."""
    payload = to_json({"kind": event.kind, "subject": event.subject, "data": dict(event.data)})
    return HookMessage(hook, (sequence, position), event.time_ns, payload)


def told_of(row: HookRow, sender: Sender) -> Told:
    """What a message that waits says.

    Raises:
        Refused: it is damaged.
    """
    try:
        body = json.loads(row.payload)
        name = f"{sender.store}-{row.event[0]}-{row.event[1]}"
        return Told(name, str(body["kind"]), str(body["subject"]), row.time_ns, dict(body["data"]))
    except (ValueError, TypeError, KeyError) as error:
        raise Refused(f"damaged in the store: {error}") from None
