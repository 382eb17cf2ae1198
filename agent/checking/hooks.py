"""What `fieldwarden check` says of hooks: whether each could be told now. Nothing is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from agent.checking.item import Item, fault_of
from agent.configuration.schema import Configuration
from agent.errors import FieldwardenError, explained
from agent.hooks import HOOKS


async def ask_hooks(configuration: Configuration, timeout_s: float) -> list[Item]:
    """A line for each hook, all asked at the same time."""
    asked = [_ask(configuration, name, timeout_s) for name in configuration.hooks]
    return list(await asyncio.gather(*asked))


async def _ask(configuration: Configuration, name: str, timeout_s: float) -> Item:
    hook = configuration.hooks[name]
    return await answered(f"hook {name}", HOOKS[hook.kind].probe(hook, timeout_s))


async def answered(subject: str, probe: Awaitable[str]) -> Item:
    """What is said of somebody who is to be told of events, also by central."""
    try:
        return Item("ok", subject, await probe)
    except FieldwardenError as error:
        # One that is not there is coped with: what it is not told of waits.
        told = fault_of(subject, error)
        return Item("warning", subject, told.text, told.hint)
    except Exception as error:  # noqa: BLE001 - whatever it was: a line of the report, no traceback
        return fault_of(subject, explained(error, "asking", subject))
