"""What blocks, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable


async def in_thread(function: Callable[[], None]) -> None:
    """Run in a daemon thread, so that a connect to a black hole delays no exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def report(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as caught:  # noqa: BLE001 - handed over to the caller
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(report, error)

    threading.Thread(target=work, name="mqtt-connect", daemon=True).start()
    await done


def failed(future: asyncio.Future[bool], error: Exception) -> asyncio.Future[bool]:
    """Fail a future without asyncio's complaint when nobody ever looks at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
    return future
