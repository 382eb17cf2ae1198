"""The agent: edges in, engine in the middle, store and forwarder out, one asyncio process.

The flow is one loop: sealed entries -> engine -> events, summaries, messages -> one transaction.
Only after the commit do sources get their acknowledgements and does the forwarder see the rows.

Invariants:
- what was folded is committed before the next batch is folded; a commit that fails is tried again
  with the same batch, and nothing is acknowledged meanwhile.
- a start resumes from the snapshot and folds the journal's tail again: events have the identity of
  their entry, so nothing is told twice, and what is judged otherwise now is told, see `refold`.
- a reload is taken whole or not at all, but for what needs a restart, see `reload`; whatever goes
  wrong in it, the agent runs on as before.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.clock import EngineClock
from agent.configuration.credentials import server_context
from agent.configuration.load import load
from agent.configuration.schema import Configuration, Tag
from agent.core.engine import Engine
from agent.core.lifecycle import Conditions
from agent.core.spec import EngineSpec
from agent.core.summary import merge
from agent.errors import FieldwardenError, StoreError, explained
from agent.intake import Intake
from agent.runtime import reload
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.document import Surroundings, View
from agent.runtime.feeds import Feeds
from agent.runtime.load import LoadMeter
from agent.runtime.orders import Orders
from agent.runtime.outgoing import Outgoing
from agent.runtime.refold import left, placed, resumed
from agent.runtime.service import Progress, ServiceManager
from agent.runtime.uplink import CentralLink
from agent.status.api import StatusServer
from agent.status.commands import COMMANDS
from agent.status.people import People
from agent.store import Batch, Reader, Store
from agent.types import Block, Command, Entry, Event

logger = logging.getLogger(__name__)

SEAL_NS = 1_000_000_000
SNAPSHOT_NS = 180 * 1_000_000_000
DOCUMENT_NS = 5 * 1_000_000_000  # on disk, for a dead agent; each one wears the flash
_REFOLD_AT_ONCE = 200
_RETRY_S = 1.0


async def run(configuration: Configuration) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Raises:
        FieldwardenError: it can not start: store, baseline, listening address.
    """
    agent = Agent(configuration)
    # From here on: SIGHUP ends a process that does not handle it, and a start may take a minute.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, agent.read_again)
    await agent.open()
    # Some 200,000 objects of libraries stay for ever: looking through them again and again costs
    # the garbage collector 50 ms at a time, in which the loop stands still.
    gc.collect()
    gc.freeze()
    try:
        await agent.serve()
    finally:
        await agent.close()


def warm_up(spec: EngineSpec) -> None:
    """Fold a few samples through an engine that is thrown away.

    Kernels that are compiled just in time take seconds at their first call; in service that would
    look like a plant that stood still for as long.
    """
    engine = Engine(spec)
    count, second = len(spec.tags), 1_000_000_000
    tag = np.array([item.index for item in spec.tags], np.int32)
    for turn in (1, 2, 3):
        times = np.full(count, turn * second, np.int64)
        engine.step(
            Block(turn, (turn + 1) * second, tag, times, times, np.zeros(count),
                  np.zeros(count, np.uint16))
        )  # fmt: skip
    engine.snapshot()


class Agent:
    """One gateway's agent; `open`, then `serve`, then `close`."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.service = ServiceManager()
        self.progress = Progress("intake", "engine", "store")
        self.load = LoadMeter()
        self.trouble: dict[str, str] = {}
        self.reload: dict[str, Any] = {}
        self._stop = asyncio.Event()
        self._told_to_reload = asyncio.Event()
        self._snapshot_ns = self._document_ns = 0

    # --- start and end --------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store, take up the last state, catch up on the journal's tail.

        Raises:
            FieldwardenError: store or baseline can not be had.
        """
        configuration = self.configuration
        baselines = baselines_of(configuration)
        path = configuration.store_path
        upstream = configuration.upstream
        self.store = Store.open(
            path,
            journal_limit_bytes=configuration.gateway.journal_limit_mb * 1_000_000,
            outbox_limit_bytes=(upstream.outbox_limit_mb if upstream else 1) * 1_000_000,
            merge=merge,
        )
        self.reader = Reader(path)
        ids = self.store.tag_ids(list(configuration.tags))
        spec = build_spec(configuration, ids, baselines)
        warm_up(spec)
        self.outgoing = Outgoing(configuration)
        await self._catch_up(spec)
        self.clock = EngineClock(max(self.store.last_time_ns, self.engine.time_ns))
        self.started_ns = self.clock.now_ns()
        self.uplink = CentralLink(configuration, self.reader, self.store.boot, self.clock.now_ns)
        self.intake = Intake(self.clock, max_age_ns=SEAL_NS)
        self.intake.command("boot", {"boot": self.store.boot})
        self.feeds = Feeds(configuration, ids, self.intake, self.engine.texts)
        self.view = View(self, self.reader)
        # A month of events is read before anybody waits for the loop; later only what is new.
        self.view.audit.report(configuration.gateway, self.engine.time_ns)
        self.orders = Orders(self, self.intake, self.reader)
        self.people = People(configuration.people)

    async def _catch_up(self, spec: EngineSpec) -> None:
        """Resume from the snapshot and fold again what was journaled after it."""
        self.engine = Engine(spec)
        found = self.reader.snapshot()
        if found is not None:
            # What the journal's tail says nothing about was added while the agent was away.
            store = self.store
            self.engine = resumed(spec, found[1], store.last_time_ns, store.last_sequence)
        try:
            await self._fold_tail()
        except StoreError:
            raise
        except Exception as error:
            if found is None:
                raise
            left(error)  # it could be resumed, but not used
            self.engine = Engine(spec)
            await self._fold_tail()

    async def _fold_tail(self) -> None:
        tail: list[Entry] = []
        for entry in self.reader.journal(self.engine.sequence + 1):
            tail.append(entry)
            if len(tail) >= _REFOLD_AT_ONCE:
                await self.store.commit(self._fold(tail, again=True))
                tail = []
        await self.store.commit(self._fold(tail, again=True))

    async def close(self) -> None:
        """Commit what is still pending, with a snapshot, and close the store."""
        batch = self.intake.seal(self.engine.sequence + 1)
        last = self._fold(list(batch.entries))
        last.entries = list(batch.entries)
        self.view.audit.count(event for _, _, event in last.events)
        last.snapshot = (self.engine.sequence, self.engine.snapshot())
        last.documents["status"] = self.view.document(history=False)
        last.delivered, last.rejected = self.uplink.take_results()
        try:
            await self.store.commit(last)
            batch.committed()
        finally:
            self.reader.close()
            await self.store.close()

    # --- what others see of it ------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """The number of the last entry that was folded."""
        return self.engine.sequence

    @property
    def conditions(self) -> Conditions:
        """Those that are open or shelved."""
        return self.engine.judge.conditions

    @property
    def tags(self) -> Mapping[str, Tag]:
        """The configured tags by name."""
        return self.configuration.tags

    def surroundings(self, budget: Mapping[str, Any]) -> Surroundings:
        """What the status document shows beside the engine; `budget` is the audit's report."""
        return Surroundings(
            boot=self.store.boot, started_ns=self.started_ns, sources=self.feeds.reports(),
            outbox=self.uplink.report(), budget=budget, process=self.load.report(),
            trouble=self.trouble, reload=self.reload,
        )

    # --- serving --------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until told to stop; every part is a named task of one group.

        Raises:
            FieldwardenError: the status address can not be had.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        served = self.configuration.status
        status = StatusServer(
            served.listen, self.view.document, self.view.events, self.orders.carry_out,
            people=lambda: self.people, now_ns=self.clock.now_ns, tls=server_context(served),
            local=(self.configuration.socket_path, served.socket_group),
        )
        await status.start()
        try:
            await self._parts(status.url)
        finally:
            await status.stop()

    async def _parts(self, url: str) -> None:
        parts = {
            "pump": self._pump(), "reload": self._reloads(), "feeds": self.feeds.run(),
            "uplink": self.uplink.run(), "load": self.load.run(),
            "watchdog": self.service.keep_watchdog(self.progress),
        }
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part, name=name) for name, part in parts.items()]
            self.service.ready(self._guarding())
            logger.info("serving on %s", url)
            await self._stop.wait()
            self.service.stopping()
            for task in tasks:
                task.cancel()

    async def _pump(self) -> None:
        """The loop of the module's docstring."""
        while True:
            sealed = await self.intake.sealed(self.engine.sequence + 1)
            self.progress.moved("intake")
            batch = self._fold(list(sealed.entries))
            self.progress.moved("engine")
            batch.entries = list(sealed.entries)
            self.view.audit.count(event for _, _, event in batch.events)
            self._add_state(batch)
            batch.delivered, batch.rejected = self.uplink.take_results()
            # A commit under way is seen to its end even if the agent is told to stop meanwhile.
            await asyncio.shield(asyncio.ensure_future(self._commit(batch)))
            self.progress.moved("store")
            sealed.committed()
            self.uplink.notify()

    async def _commit(self, batch: Batch) -> None:
        while True:
            try:
                await self.store.commit(batch)
            except StoreError as error:
                what = f"{error.operation} {error.subject}: {error.cause}"
                if self.trouble.get("text") != what:  # once, not every second
                    logger.error("%s", error)
                self.trouble = {"text": what, "hint": error.hint}
                await asyncio.sleep(_RETRY_S)
            else:
                if self.trouble:
                    logger.warning("stored again after: %s", self.trouble["text"])
                self.trouble = {}
                return

    def _fold(self, entries: list[Entry], *, again: bool = False) -> Batch:
        """Fold entries; the batch holds what they brought about, but not yet the entries."""
        events: list[tuple[int, int, Event]] = []
        summaries: list[Mapping[str, Any]] = []
        for entry in entries:
            outcome = self.engine.step(entry)
            events += [(entry.sequence, i, event) for i, event in enumerate(outcome.events)]
            summaries += outcome.summaries
        if again and events:
            told = self.reader.events_of(entries[0].sequence, entries[-1].sequence)
            events, fresh = placed(events, told)
            if fresh:
                logger.warning("judged otherwise than before the start: %d events more", fresh)
        changed = {event.subject[6:] for _, _, event in events if event.kind == "verdict"}
        messages = self.outgoing.messages(events, summaries)
        messages += self.outgoing.verdicts(self.engine, changed)
        return Batch(events=events, summaries=summaries, messages=messages)

    def _add_state(self, batch: Batch) -> None:
        now = self.engine.time_ns
        # Whoever acted looks next at what came of it, and may do so as soon as it is committed.
        acted = any(isinstance(e, Command) and e.kind in COMMANDS for e in batch.entries)
        if acted or now - self._document_ns >= DOCUMENT_NS:
            self._document_ns = now
            batch.documents["status"] = self.view.document(history=False)
        if now - self._snapshot_ns >= SNAPSHOT_NS:
            self._snapshot_ns = now
            batch.snapshot = (self.engine.sequence, self.engine.snapshot())

    # --- reload ---------------------------------------------------------------------------------

    def read_again(self) -> None:
        """Ask for a reload, which comes as soon as the agent serves."""
        self._told_to_reload.set()

    async def _reloads(self) -> None:
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            self.service.reloading()
            try:
                self._apply(self._read_again())
                text = self._guarding()
            except Exception as error:
                told = explained(error, "reloading", str(self.configuration.file))
                logger.error("the configuration stays as it was: %s", told,
                             exc_info=None if told is error else error)
                waiting = self.reload.get("waiting", ())
                self.reload = reload.failed(told, self.configuration.file, waiting)
                text = "the last reload failed; the configuration stays as it was"
            self.service.ready(text)

    def _guarding(self) -> str:
        waiting = self.reload.get("waiting")
        text = f"guarding {len(self.configuration.models)} models"
        return f"{text}; {', '.join(waiting)}: {reload.RESTART}" if waiting else text

    def _read_again(self) -> Configuration:
        file = self.configuration.file
        if file is None:
            raise FieldwardenError("reloading", "configuration", "it was not read from a file")
        return load(file)

    def _apply(self, read: Configuration) -> None:
        """Take a new configuration without losing state: rows are found again by model and tag.

        All that may fail comes before the first change.
        """
        configuration, waiting = reload.taken(self.configuration, read)
        ids = self.store.tag_ids(list(configuration.tags))
        engine = Engine(build_spec(configuration, ids, baselines_of(configuration)))
        fresh = engine.resume(self.engine.snapshot())
        people = People(configuration.people)
        self.feeds.want(configuration, ids)
        self.engine, self.configuration, self.people = engine, configuration, people
        self.outgoing.configuration = configuration
        # What was journaled so far was judged by the old one: no start is to judge it by the new.
        self._snapshot_ns = 0
        self.intake.command("reload", {"models": sorted(configuration.models)})
        for event in fresh:
            logger.info("warming up: %s", event.data["part"])
        logger.info("configuration read again")
        self.reload = {}
        if waiting:
            logger.error("%s", reload.refused(waiting))
            self.reload = reload.partly(waiting)
