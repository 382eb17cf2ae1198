"""The agent: edges in, engine in the middle, store and forwarder out, one asyncio process.

The flow is one loop: sealed entries -> engine -> events, summaries, messages -> one transaction.
Only after the commit do sources get their acknowledgements and does the forwarder see the rows.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.assemble import baselines_of, build_spec
from agent.clock import EngineClock
from agent.config import Configuration
from agent.config_load import load
from agent.core.engine import Engine
from agent.core.summary import merge
from agent.errors import FieldwardenError, StoreError
from agent.feeds import Feeds
from agent.intake import Intake, SealedBatch
from agent.load import LoadMeter
from agent.outgoing import Outgoing, verdict_message
from agent.service import Progress, ServiceManager
from agent.status.api import StatusServer
from agent.store import Batch, Reader, Store
from agent.types import Entry, Event
from agent.uplink import Uplink
from agent.view import View

logger = logging.getLogger(__name__)

SEAL_NS = 1_000_000_000
SNAPSHOT_NS = 180 * 1_000_000_000
DOCUMENT_NS = 2 * 1_000_000_000
_REFOLD_AT_ONCE = 200
STORE_NAME = "fieldwarden.db"


def state_directory(configuration: Configuration) -> Path:
    """Where the store is: configured, else systemd's, else `state` beside the file."""
    chosen = configuration.gateway.state_directory or os.environ.get("STATE_DIRECTORY", "")
    if chosen:
        return Path(chosen.split(":")[0])
    beside = configuration.file.parent if configuration.file else Path()
    return beside / "state"


async def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Raises:
        FieldwardenError: it can not start: store, baseline, listening address.
    """
    agent = Agent(configuration)
    await agent.open()
    try:
        await agent.serve()
    finally:
        await agent.close()


class Agent:
    """One gateway's agent; `open`, then `serve`, then `close`."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.service = ServiceManager()
        self.progress = Progress("intake", "engine", "store")
        self.load = LoadMeter()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._snapshot_ns = self._document_ns = 0

    # --- start ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store, take up the last state, catch up on the journal's tail."""
        configuration = self.configuration
        self.path = state_directory(configuration) / STORE_NAME
        baselines = baselines_of(configuration)
        self.store = Store.open(
            self.path,
            journal_limit_bytes=configuration.gateway.journal_limit_mb * 1_000_000,
            outbox_limit_bytes=(
                configuration.upstream.outbox_limit_mb if configuration.upstream else 64
            ) * 1_000_000,
            merge=merge,
        )
        self.reader = Reader(self.path)
        self.ids = self.store.tag_ids(list(configuration.tags))
        self.engine = Engine(build_spec(configuration, self.ids, baselines))
        self.outgoing = Outgoing(configuration)
        await self._catch_up()
        self.clock = EngineClock(max(self.store.last_time_ns, self.engine.time_ns))
        self.started_ns = self.clock.now_ns()
        self.intake = Intake(self.clock, max_age_ns=SEAL_NS)
        self.intake.command("boot", {"boot": self.store.boot})
        self.feeds = Feeds(configuration, self.ids, self.intake, self.engine.texts)
        self.uplink = Uplink(configuration, self.reader, self.store)
        self.view = View(self)

    async def _catch_up(self) -> None:
        """Resume from the snapshot and fold again what was journaled after it.

        Everything a re-fold brings has the identity of its entry, so nothing is told twice.
        """
        found = self.reader.snapshot()
        fresh: list[Event] = []
        if found is not None:
            try:
                fresh = self.engine.resume(found[1])
            except StoreError as error:
                logger.warning("%s", error)
        for event in fresh:
            logger.warning("warming up again: %s", event.data["part"])
        folded: list[Entry] = []
        for entry in self.reader.journal(self.engine.sequence + 1):
            folded.append(entry)
            if len(folded) >= _REFOLD_AT_ONCE:
                await self._fold(folded, journaled=True)
                folded = []
        await self._fold(folded, journaled=True)

    # --- the loop -------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until told to stop; every part is a named task of one group."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        status = StatusServer(
            self.configuration.status.listen, self.view.document, self.view.events,
            self.view.command,
        )
        await status.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(), name="pump")
                group.create_task(self._reloads(), name="reload")
                group.create_task(self.feeds.run(), name="feeds")
                group.create_task(self.uplink.run(), name="uplink")
                group.create_task(self.load.run(), name="load")
                group.create_task(self.service.keep_watchdog(self.progress), name="watchdog")
                self.service.ready(f"guarding {len(self.configuration.models)} models")
                logger.info("serving on http://%s", self.configuration.status.listen)
                await self._stop.wait()
                self.service.stopping()
                for task in group._tasks:  # noqa: SLF001 - replaced below
                    task.cancel()
        finally:
            await status.stop()

    async def _pump(self) -> None:
        while True:
            batch = await self.intake.sealed(self.engine.sequence + 1)
            await self._take(batch)

    async def _take(self, batch: SealedBatch) -> None:
        self.progress.moved("intake")
        await self._fold(list(batch.entries), journaled=False)
        batch.committed()
        self.uplink.notify()

    async def _fold(self, entries: list[Entry], *, journaled: bool) -> None:
        """Fold entries and commit them with all that they brought about."""
        if not entries:
            return
        events: list[tuple[int, int, Event]] = []
        summaries: list[Mapping[str, Any]] = []
        for entry in entries:
            outcome = self.engine.step(entry)
            events += [(entry.sequence, i, event) for i, event in enumerate(outcome.events)]
            summaries += outcome.summaries
        self.progress.moved("engine")
        batch = Batch(
            entries=[] if journaled else entries, events=events, summaries=summaries,
            messages=self.outgoing.messages(self.engine, events, summaries),
        )
        if not journaled:
            self._add_state(batch)
            batch.delivered, batch.rejected = self.uplink.take_delivered()
        await self.store.commit(batch)
        self.progress.moved("store")

    def _add_state(self, batch: Batch) -> None:
        now = self.engine.time_ns
        if now - self._document_ns >= DOCUMENT_NS:
            self._document_ns = now
            batch.documents["status"] = self.view.document(history=False)
        if now - self._snapshot_ns >= SNAPSHOT_NS:
            self._snapshot_ns = now
            batch.snapshot = (self.engine.sequence, self.engine.snapshot())
        batch.messages += self.outgoing.refreshed(self.engine)
