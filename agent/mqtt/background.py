"""What blocks, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T], name: str = "mqtt-connect") -> T:
    """What a function gives in a daemon thread, so that one that never returns delays no exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def report(tell: Callable[[], None]) -> None:
        if not done.done():
            tell()

    def work() -> None:
        try:
            tell = partial(done.set_result, function())
        except BaseException as caught:  # noqa: BLE001 - handed over to the caller
            tell = partial(done.set_exception, caught)
        if not loop.is_closed():
            loop.call_soon_threadsafe(report, tell)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await done


def failed(future: asyncio.Future[bool], error: Exception) -> asyncio.Future[bool]:
    """Fail a future without asyncio's complaint when nobody ever looks at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
    return future
