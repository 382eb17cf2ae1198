"""Whoever is told of what was committed: central ops, and hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from agent.configuration.hooks import AnyHook
from agent.configuration.schema import Configuration
from agent.hooks import HOOKS, Sender
from agent.hooks.deliverer import Deliverer
from agent.hooks.form import message
from agent.runtime.uplink import CentralLink
from agent.store import Batch, HookMessage, Reader
from agent.store.hook_messages import MOST
from agent.types import Event

NOT_CONFIGURED: Final = "no longer configured"


class Outside:
    """Central's link and one deliverer a hook; arguments as of `CentralLink`."""

    def __init__(
        self, configuration: Configuration, reader: Reader, boot: int, now_ns: Callable[[], int],
        time_quality: Callable[[], str] = lambda: "unknown",
        told: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:  # fmt: skip
        self._uplink = CentralLink(configuration, reader, boot, now_ns, time_quality, told)
        gateway = configuration.gateway
        sender = Sender(gateway.site, gateway.name, reader.store_id)
        self._hooks = {
            name: Deliverer(
                name, hook, HOOKS[hook.kind].create(hook, sender), sender, reader, now_ns
            )
            for name, hook in configuration.hooks.items()
        }
        self._kinds = {name: hook.kind for name, hook in configuration.hooks.items()}
        self._left_over = {
            (row.hook, *row.event): NOT_CONFIGURED
            for name in reader.hooks_waiting() if name not in self._hooks
            for row in reader.hook_messages(name, limit=MOST)
        }

    @property
    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs for ever, by name."""
        hooks = {f"hook {name}": one.run for name, one in self._hooks.items()}
        return {"uplink": self._uplink.run, **hooks}

    def notify(self) -> None:
        """Something was committed."""
        self._uplink.notify()
        for hook in self._hooks.values():
            hook.notify()

    def fill(self, batch: Batch) -> None:
        """Add to the next commit what came of what was told."""
        batch.delivered, batch.rejected = self._uplink.take_results()
        batch.acknowledged = self._uplink.take_acknowledged()
        batch.hooks_done, self._left_over = self._left_over, {}
        for hook in self._hooks.values():
            batch.hooks_done |= hook.take()

    def report(self) -> dict[str, Any]:
        """The outbox part of the status document; `hooks` is its list of hooks."""
        hooks = [
            {"kind": self._kinds[name], **one.report()} for name, one in self._hooks.items()
        ]
        return {**self._uplink.report(), "hooks": hooks}


def hook_messages(
    configuration: Configuration, events: Iterable[tuple[int, int, Event]]
) -> list[HookMessage]:
    """Which hooks are to be told of which events."""
    hooks = configuration.hooks
    return [
        message(name, sequence, position, event)
        for sequence, position, event in events
        for name, hook in hooks.items() if _wants(hook, event)
    ] if hooks else []


def _wants(hook: AnyHook, event: Event) -> bool:
    if event.kind not in hook.events:
        return False
    of = {event.subject.removeprefix("model/"), *event.data.get("models", ())}
    return not hook.models or not of.isdisjoint(hook.models)
