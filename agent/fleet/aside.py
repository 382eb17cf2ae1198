"""What waits for the database, on a thread: the one place where central as a service has any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from threading import BoundedSemaphore
from typing import Final, ParamSpec, TypeVar

from agent.mqtt.background import in_thread

SEATS: Final = 6  # as many as there are connections
END_S: Final = 2.0
"""So long is waited for what is under way when it is cancelled: a database that does not answer
must not hold up the end of the process."""

_SEATS: Final = BoundedSemaphore(SEATS)
_Asked = ParamSpec("_Asked")
_Got = TypeVar("_Got")


async def aside(work: Callable[_Asked, _Got], *args: _Asked.args, **more: _Asked.kwargs) -> _Got:
    """What blocking work gives; it is over before this is, also where this is cancelled, if it can.

    It has a thread that ends with the process, whatever it waits for.
    """
    task = asyncio.ensure_future(in_thread(partial(_seated, partial(work, *args, **more)), "aside"))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=END_S)
        task.cancel()
        raise


def _seated(work: Callable[[], _Got]) -> _Got:
    with _SEATS:
        return work()
