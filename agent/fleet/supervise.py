"""The service: starts its processes, starts again what ended or stands still, ends all in order.

This process does nothing else, so that it has little to fail with. Its children are given a pipe as
standard input, whose end tells them that it is gone, and say on another that their loop turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import active_children
from typing import Any, Final

from agent.backoff import Backoff
from agent.clock import monotonic_ns
from agent.errors import StoreError
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.prepare import end_sessions, prepare
from agent.runtime.service import ServiceManager

logger = logging.getLogger(__name__)

SILENT_S: Final = 60.0  # a child whose loop did not turn for so long is killed
START_S: Final = 180.0  # the same, of one that has not begun: a busy machine takes its time
CALM_S: Final = 30.0  # a child that lived so long is started again at once
LONGEST_RETRY_S: Final = 10.0
PATIENCE_S: Final = 15.0  # for a child that was told to end
_LOOK_S: Final = 1.0


@dataclass(slots=True)
class Child:
    """One process.

    Attributes:
        name: for people.
        command: its first arguments after the configuration.
        first: more of them, for its first start.
        starts: how often it was started.
        process: the latest of them.
        heard_ns: when its loop turned last; monotonic.
        begun: it has said so since it was started.
    """

    name: str
    command: Sequence[str]
    first: Sequence[str] = ()
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    heard_ns: int = 0
    begun: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, LONGEST_RETRY_S))


def children(configuration: FleetConfiguration) -> list[Child]:
    """The processes of a service: its workers, then the front."""
    workers = [
        Child(f"worker {configuration.client_id(number)}", ("worker", str(number)), ("fresh",))
        for number in range(1, configuration.central.workers + 1)
    ]
    return [*workers, Child("front", ("front",))]


class Service:
    """Central as a service, until it is told to stop.

    Args:
        configuration: read from a file, which the children read again.
        verbose: log every detail.
    """

    def __init__(self, configuration: FleetConfiguration, *, verbose: bool = False) -> None:
        if configuration.file is None:
            raise ValueError("its processes read the file again, so there has to be one")
        self._configuration = configuration
        self._verbose = verbose
        self._stop = asyncio.Event()
        self._manager = ServiceManager()
        self._ending: asyncio.Task[None] | None = None  # of sessions of workers that are no more
        self.children = children(configuration)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            FieldwardenError: it can not begin: the database is of a newer version, or a secret is
                missing. Where the database is only away it waits.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if not await self._prepared():
            return
        keeping = [asyncio.create_task(self._keep(child)) for child in self.children]
        workers = self._configuration.central.workers
        told = f"{workers} workers, page on {_page(self._configuration)}"
        logger.info("central serves: %s", told)
        self._manager.ready(told)
        feeding = asyncio.create_task(self._feed())
        try:
            await self._stop.wait()
        finally:
            self._manager.stopping()
            logger.info("central is told to stop; what is being stored is finished first")
            for task in (feeding, self._ending):
                if task is not None:
                    task.cancel()
            await self._end(keeping)

    async def _prepared(self) -> bool:
        """The database made ready; False where it was told to stop before it was there."""
        backoff = Backoff(0.5, LONGEST_RETRY_S)
        while not self._stop.is_set():
            preparing = asyncio.ensure_future(prepare(self._configuration))
            try:
                if not await self._before_stop(preparing):
                    return False
                retired = preparing.result()
            except StoreError as error:
                logger.error(
                    "the database is not there: %s; hint: %s; it is tried again", error.cause,
                    error.hint or "see docs/central.md",
                )  # fmt: skip
                self._manager.status(f"waiting for the database: {error.cause}")
                await self._or_stop(backoff.next_s())
                continue
            if retired:
                self._ending = asyncio.create_task(end_sessions(self._configuration, retired))
            return True
        return False

    async def _before_stop(self, task: asyncio.Future[Any]) -> bool:
        """Whether it is over before the service is told to stop; else its process is ended."""
        stopping = asyncio.ensure_future(self._stop.wait())
        done, _ = await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task in done:
            return True
        for process in active_children():  # what it was at is rolled back
            process.kill()
        task.cancel()
        await asyncio.wait({task})
        return False

    async def _or_stop(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    # --- one child ----------------------------------------------------------------------------

    async def _keep(self, child: Child) -> None:
        """Start it, and again whenever it ends, until the service stops."""
        while not self._stop.is_set():
            began = monotonic_ns()
            await self._start(child)
            assert child.process is not None  # noqa: S101 - just started
            code = await self._watch(child, child.process)
            if self._stop.is_set():
                return
            if monotonic_ns() - began > CALM_S * 1e9:
                child.backoff.reset()
            wait_s = child.backoff.next_s()
            logger.error(
                "%s ended (%s) and is started again in %.1f s", child.name, _ended(code), wait_s
            )
            await self._or_stop(wait_s)

    async def _start(self, child: Child) -> None:
        more = [*(child.first if child.starts == 0 else ()), *(["verbose"] * self._verbose)]
        child.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.fleet.child", str(self._configuration.file),
            *child.command, *more, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        child.starts += 1
        child.heard_ns, child.begun = monotonic_ns(), False
        logger.debug("%s: process %d", child.name, child.process.pid)

    async def _watch(self, child: Child, process: asyncio.subprocess.Process) -> int:
        """Until it ends; one that stands still is killed."""
        listening = asyncio.create_task(_listen(child, process))
        ended = asyncio.create_task(process.wait())
        try:
            while True:
                done, _ = await asyncio.wait({ended}, timeout=_LOOK_S)
                if done:
                    return ended.result()
                silent_s = SILENT_S if child.begun else START_S
                if monotonic_ns() - child.heard_ns > silent_s * 1e9:
                    logger.error("%s stands still since %g s and is killed", child.name, silent_s)
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
        finally:
            listening.cancel()
            ended.cancel()

    # --- the end ------------------------------------------------------------------------------

    async def _end(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        """All are told; what does not end is killed."""
        for child in self.children:
            _tell(child, signal.SIGTERM)
        await asyncio.wait(keeping, timeout=PATIENCE_S)
        for child, task in zip(self.children, keeping, strict=True):
            if not task.done():
                logger.warning("%s did not end within %g s and is killed", child.name, PATIENCE_S)
                _tell(child, signal.SIGKILL)
        await asyncio.gather(*keeping, return_exceptions=True)

    async def _feed(self) -> None:
        """The watchdog of the service manager: this loop turns, and every child has begun."""
        every_s = self._manager.watchdog_s
        while every_s is not None:
            self._manager.feed_watchdog()
            await asyncio.sleep(every_s / 4)


async def _listen(child: Child, process: asyncio.subprocess.Process) -> None:
    if process.stdout is None:
        return
    while await process.stdout.read(256):
        child.heard_ns, child.begun = monotonic_ns(), True


def _tell(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)


_CODES: Mapping[int, str] = {
    0: "by itself", 1: "it has said why", -9: "killed, perhaps for want of memory"
}


def _ended(code: int) -> str:
    return _CODES.get(code, f"signal {-code}" if code < 0 else f"exit code {code}")


def _page(configuration: FleetConfiguration) -> str:
    scheme = "https" if configuration.http.certificate else "http"
    return f"{scheme}://{configuration.http.listen}/"


async def serve(configuration: FleetConfiguration, *, verbose: bool = False) -> None:
    """Run the service until SIGTERM.

    Raises:
        FieldwardenError: see `Service.run`.
    """
    await Service(configuration, verbose=verbose).run()
