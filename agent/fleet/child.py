"""One process of the service: a worker, or the front. Started by `agent.fleet.supervise` only.

It ends by SIGTERM, and when its standard input ends: that is how it knows that whoever started it
is gone, also by a kill. On its standard output it says once a second that its loop still turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from agent.errors import FieldwardenError
from agent.fleet.configuration import FleetConfiguration, load

logger = logging.getLogger(__name__)

BEAT_S: Final = 1.0
_SWITCH_S: Final = 0.001  # after which a thread of the front gives way; Python's own is 5 ms
Serve = Callable[[FleetConfiguration, Any, asyncio.Event], Awaitable[None]]

FRONT: Mapping[str, str] = {
    "page": "agent.fleet.web:serve",
    "relay": "agent.fleet.relay:serve",
    "retention": "agent.fleet.front:keep_tidy",
}
"""Service of the front process -> `module:function`, a `Serve`: it runs until the event is set, and
is started again, alone, when it fails."""


def main(arguments: list[str]) -> int:
    """``CONFIG worker NUMBER [fresh]`` or ``CONFIG front``; the exit code."""
    from agent.commands.log_lines import set_up_logging  # noqa: PLC0415 - for the process alone

    path, part, *rest = arguments
    set_up_logging(verbose="verbose" in rest)
    try:
        configuration = load(Path(path))
        asyncio.run(_run(partial(PARTS[part], configuration, rest)))
    except FieldwardenError as error:
        logger.error("%s", str(error).replace("\n  ", "; "))
        return 1
    return 0


async def _run(part: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C: the supervisor says when

    def parent() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stop.set()

    loop.add_reader(0, parent)
    beating = asyncio.create_task(_beat())
    try:
        await part(stop)
    finally:
        beating.cancel()
        with contextlib.suppress(ValueError):
            loop.remove_reader(0)


async def _beat() -> None:
    while True:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(1, b".")
        await asyncio.sleep(BEAT_S)


async def _worker(
    configuration: FleetConfiguration, rest: list[str], stop: asyncio.Event
) -> None:
    from agent.fleet import relay_queue  # noqa: PLC0415 - SQLAlchemy takes a while
    from agent.fleet.database import Database  # noqa: PLC0415
    from agent.fleet.ledger import Ledger  # noqa: PLC0415
    from agent.fleet.worker import Worker  # noqa: PLC0415

    database = Database(configuration.database_url(), secret=configuration.database_secret)
    ledger = Ledger(database, relay_queue.Queue(configuration.relay))
    worker = Worker(configuration, int(rest[0]), ledger, fresh="fresh" in rest)
    # What was made so far lasts, and messages come by the thousand: to look all through for each
    # few hundred costs a fifth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        await worker.run(stop)
    finally:
        database.close()


async def _front(configuration: FleetConfiguration, _: list[str], stop: asyncio.Event) -> None:
    from agent.clock import wall_ns  # noqa: PLC0415
    from agent.fleet.database import Database  # noqa: PLC0415
    from agent.runtime.supervisor import Supervisor  # noqa: PLC0415

    # Questions of the database are asked in threads: who looks must not wait long for their turns.
    sys.setswitchinterval(_SWITCH_S)
    database = Database(configuration.database_url(), secret=configuration.database_secret)
    supervisor = Supervisor(wall_ns)
    tasks = [
        asyncio.create_task(
            supervisor.run(name, partial(service(where), configuration, database, stop)), name=name
        )
        for name, where in FRONT.items()
    ]
    try:
        await asyncio.gather(*tasks, stop.wait())
    finally:
        database.close()


def service(where: str) -> Serve:
    """The function that a row of `FRONT` names."""
    module, _, function = where.partition(":")
    found: Serve = getattr(import_module(module), function)
    return found


PARTS: Mapping[str, Callable[..., Awaitable[None]]] = {"worker": _worker, "front": _front}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
