"""What waits for the database, on a thread: the one place where central as a service has any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Asked = ParamSpec("_Asked")
_Got = TypeVar("_Got")


async def aside(work: Callable[_Asked, _Got], *args: _Asked.args, **more: _Asked.kwargs) -> _Got:
    """What blocking work gives; it is over before this is, also where this is cancelled."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **more))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
