"""The agent: edges in, engine in the middle, store and forwarder out, one asyncio process.

The flow is one loop: sealed entries -> engine -> events, summaries, messages -> one transaction.
Only after the commit do sources get their acknowledgements and does the forwarder see the rows.

Invariants:
- what was folded is committed behind the fold, in order; where that fails, sampling and judgement
  go on in memory, it is tried again, and nothing is acknowledged meanwhile, see `storing`.
- no part but engine and store ends the process, see `supervisor`; what the engine can not fold is
  journaled first.
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
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agent.configuration.credentials import server_context
from agent.configuration.schema import Configuration, Tag
from agent.contract import beside as contract
from agent.core.lifecycle import Conditions
from agent.core.steward import Steward
from agent.core.summary import merge
from agent.errors import explained
from agent.intake import Intake, SealedBatch
from agent.mqtt.background import in_thread
from agent.runtime import reload, spoken, timekeeping
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.assessments import Assessments
from agent.runtime.candidates import Candidates, with_candidates
from agent.runtime.catch_up import catch_up, tell_of_last_stop, warm_up
from agent.runtime.document import Surroundings, View
from agent.runtime.feeds import Feeds
from agent.runtime.for_models import ForModels
from agent.runtime.governance import Governance
from agent.runtime.load import LoadMeter
from agent.runtime.orders import Orders, concerns_people
from agent.runtime.outgoing import TOLD, Outgoing
from agent.runtime.outside import Outside
from agent.runtime.refold import placed
from agent.runtime.service import Progress, ServiceManager
from agent.runtime.storing import Storing
from agent.runtime.supervisor import Supervisor
from agent.status.api import StatusServer
from agent.status.people import People
from agent.store import Batch, Reader, Store
from agent.types import Entry, Event

logger = logging.getLogger(__name__)

SEAL_NS = 1_000_000_000
SNAPSHOT_NS = 180 * 1_000_000_000
DOCUMENT_NS = 5 * 1_000_000_000  # on disk, for a dead agent; each one wears the flash


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


class Agent:
    """One gateway's agent; `open`, then `serve`, then `close`."""

    engine: Steward

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.service = ServiceManager()
        self.progress = Progress("intake", "engine", "store")
        self.load = LoadMeter()
        self.supervisor = Supervisor(lambda: self.engine.time_ns)
        self.reload: dict[str, Any] = {}
        self._stop, self._told_to_reload = asyncio.Event(), asyncio.Event()
        self._snapshot_ns = self._document_ns = self._attempts = 0
        self.folding = 0  # number of the entry that the engine has in hand
        self._shown: Mapping[str, Any] = {}
        self._engine_failed = False

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
            delivery=upstream.delivery if upstream else "auto",
        )
        self.reader = Reader(path)
        self.storing = Storing(
            self.store, self.supervisor, path.with_suffix(".lost"), self._after_commit
        )
        ids = self.store.tag_ids(list(configuration.tags))
        self.candidates = Candidates(path.parent)
        spec = build_spec(configuration, ids, baselines)
        spec = with_candidates(spec, configuration, self.candidates.known)
        warm_up(spec)
        told = self.reader.document(TOLD) or ()
        self.outgoing = Outgoing(configuration, told, lambda: self.store.account_head)
        left_out = await catch_up(self, spec)
        self.clock = timekeeping.clock_after(self.engine)
        self._started_ns = self.clock.now_ns()
        self.intake = Intake(self.clock, max_age_ns=SEAL_NS)
        boot = timekeeping.boot_facts(self.engine, self.clock, self.store.boot)
        self.intake.command("boot", boot)
        tell_of_last_stop(self, left_out)
        self.governance = Governance(self, self.intake, ids, contract.found(configuration))
        self.outside = Outside(
            configuration, self.reader, self.store.boot, self.clock.now_ns,
            lambda: str(self.engine.time_quality), lambda: self.view.for_central(self.governance),
        )
        self.feeds = Feeds(
            configuration, ids, self.intake, self.engine.texts, self.supervisor, self.governance
        )
        self.governance.gating.rebound = self.feeds.reread
        self.feeds.recall(self.reader, self.engine.sequence)
        self.view: View = View(self, self.reader)
        # A month of events is read before anybody waits for the loop; later only what is new.
        self.view.audit.report(configuration.gateway, self.engine.time_ns)
        self.orders = Orders(self, self.intake, self.reader)
        self.people = People(configuration.people)
        self.for_models = ForModels(self, self.store.boot)
        self.assessments = Assessments(self)

    async def close(self) -> None:
        """Commit what is still pending, with a snapshot, and close the store."""
        batch = self.intake.seal(self._next_sequence)
        last = Batch(entries=list(batch.entries))
        if not self._engine_failed:
            try:
                last = self.fold(list(batch.entries))
                last.entries = list(batch.entries)
                self.view.count([event for _, _, event in last.events], last.summaries)
                self._snapshot_ns = self._document_ns = 0  # both are due
                self._add_state(last)
            except Exception:
                logger.exception("the last entries could not be judged; they are stored")
                last = Batch(entries=list(batch.entries))
        self.outside.fill(last)
        self.storing.backlog.add(last, batch.callbacks)
        try:
            await self.storing.end()
        finally:
            self.reader.close()
            await self.store.close()

    # --- what others see of it ------------------------------------------------------------------

    @property
    def sequence(self) -> int:
        """The number of the last entry that was folded."""
        return self.engine.sequence

    @property
    def trouble(self) -> Mapping[str, str]:
        """What keeps it from storing anything; empty where nothing does."""
        return self.storing.trouble

    @property
    def _next_sequence(self) -> int:
        """The number of the next entry; those that were left out are not given again."""
        return max(self.engine.sequence, self.store.last_sequence) + 1

    @property
    def conditions(self) -> Conditions:
        """Those that are open or shelved."""
        return self.engine.judge.conditions

    @property
    def tags(self) -> Mapping[str, Tag]:
        """The configured tags by name."""
        return self.configuration.tags

    @property
    def subjects(self) -> frozenset[str]:
        """The full names of all that a condition can be on."""
        return self.configuration.subjects

    def surroundings(self, budget: Mapping[str, Any]) -> Surroundings:
        """What the status document shows beside the engine; `budget` is the audit's report."""
        return Surroundings(
            boot=self.store.boot, started_ns=self._started_ns + self.intake.shifted_ns,
            sources=self.feeds.reports(),
            outbox=self.supervisor.call("uplink report", self.outside.report, {}),
            budget=budget, process=self.supervisor.call("load report", self.load.report, {}),
            trouble=self.trouble, reload=self.reload, parts=self.supervisor.report(),
            contract=self.governance.contract_shown(), assessing=self.assessments.shown(),
        )

    # --- serving --------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Serve until told to stop; every part is a named task of one group.

        Raises:
            FieldwardenError: the status address can not be had, or the engine failed.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        served = self.configuration.status
        status = StatusServer(
            served.listen, self._document, self.view.events, self.orders.carry_out,
            models=self.for_models.answers, people=lambda: self.people, now_ns=self.view.now_ns,
            tls=server_context(served), local=(self.configuration.socket_path, served.socket_group),
        )
        # Whoever asks from the first moment on is told of this run, not of the last one's end.
        self._take(self.intake.seal(self._next_sequence))
        await status.start()
        try:
            await self._parts(status.url)
        finally:
            await status.stop()

    def _document(self) -> Mapping[str, Any]:
        """The status document for the page; the one before where it can not be made."""
        self._shown = self.supervisor.call("status document", self.view.document, self._shown)
        return self._shown

    async def _parts(self, url: str) -> None:
        parts = {
            "feeds": self.feeds.run, "load meter": self.load.run, **self.outside.parts,
            "reloads": self._reloads, "certificates": self.view.watch_certificates,
            "heartbeat": lambda: timekeeping.heartbeat(self.intake), **self.assessments.parts,
            "watchdog": lambda: self.service.keep_watchdog(self.progress), **self.for_models.parts,
        }
        tasks = [asyncio.create_task(self._pump(), name="pump")]
        tasks += [
            asyncio.create_task(self.supervisor.run(name, start), name=name)
            for name, start in parts.items()
        ]
        stop = asyncio.create_task(self._stop.wait())
        try:
            self.service.ready(self._guarding())
            logger.info("serving on %s", url)
            await asyncio.wait({tasks[0], stop}, return_when=asyncio.FIRST_COMPLETED)
            self.service.stopping()
        finally:
            for task in (*tasks, stop):
                task.cancel()
            ended = await asyncio.gather(*tasks, stop, return_exceptions=True)
        if isinstance(ended[0], Exception):
            raise ended[0]

    async def _pump(self) -> None:
        """The loop of the module's docstring."""
        while True:
            sealed = await self.intake.sealed(self._next_sequence)
            self.progress.moved("intake")
            self._take(sealed)

    def _take(self, sealed: SealedBatch) -> None:
        """Fold what was sealed, and hand it over to be committed with all that came of it."""
        try:
            batch = self.fold(list(sealed.entries))
        except Exception as error:
            self._engine_failed = True  # its state is not to be trusted, nor kept
            self.storing.backlog.add(Batch(entries=list(sealed.entries)), sealed.callbacks)
            raise explained(error, "judging", f"entry {self.folding}") from error
        self.progress.moved("engine")
        self.supervisor.call("changes upstream", self.governance.folded, None)
        batch.entries = list(sealed.entries)
        told = [event for _, _, event in batch.events]
        self.supervisor.call("audit", partial(self.view.count, told, batch.summaries), None)
        spoken.say(told)
        self._add_state(batch)
        self.outside.fill(batch)
        attempts = self.storing.attempts
        self.storing.backlog.add(batch, sealed.callbacks)
        self.storing.step()
        if attempts != self._attempts:
            self.progress.moved("store")
        self._attempts = attempts
        self.for_models.files.folded()

    def _after_commit(self, losses: Sequence[Mapping[str, Any]]) -> None:
        for told in losses:
            told_so = spoken.renewal_in_words(told, self.configuration.store_path)
            self.supervisor.renewed("store", told_so)
            self.intake.command("lost", told)
            self._snapshot_ns = 0  # a new store has none that goes with its entries
        self.outside.notify()

    def fold(self, entries: Sequence[Entry], *, again: bool = False) -> Batch:
        """Fold entries; the batch holds what they brought about, but not yet the entries."""
        events: list[tuple[int, int, Event]] = []
        summaries: list[Mapping[str, Any]] = []
        for entry in entries:
            self.folding = entry.sequence
            outcome = self.engine.step(entry)
            events += [(entry.sequence, i, event) for i, event in enumerate(outcome.events)]
            # Where time goes back, a window of one time may end twice: the entry tells them apart.
            summaries += [{**item, "entry": entry.sequence} for item in outcome.summaries]
        if again and events:
            told = self.reader.events_of(entries[0].sequence, entries[-1].sequence)
            events, fresh = placed(events, told)
            if fresh:
                logger.warning("judged otherwise than before the start: %d events more", fresh)
        batch = Batch(events=events, summaries=summaries)
        batch.pins = self.engine.retraining.pins()
        self.outgoing.fill(batch, self.engine, self.supervisor.call)
        return batch

    def _add_state(self, batch: Batch) -> None:
        now = self.engine.time_ns
        if concerns_people(batch) or not 0 <= now - self._document_ns < DOCUMENT_NS:
            self._document_ns = now
            make = partial(self.view.document, history=False)
            document = self.supervisor.call("status document", make, None)
            batch.documents |= {} if document is None else {"status": document}
        if not 0 <= now - self._snapshot_ns < SNAPSHOT_NS:
            self._snapshot_ns = now
            batch.snapshot = (self.engine.sequence, self.engine.snapshot())
        batch.documents |= self.feeds.notes(again=batch.snapshot is not None)

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
                read = partial(reload.prepare, self.configuration, self.store, self.candidates)
                self._apply(await in_thread(read, "reload"))
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

    def _apply(self, new: reload.Prepared) -> None:
        """Take a new configuration without losing state: rows are found again by model and tag.

        All that may fail comes before the first change.
        """
        configuration, waiting, ids, engine, people, agreed = new
        fresh = engine.resume(self.engine.snapshot())
        self.feeds.want(configuration, ids)
        self.engine, self.configuration, self.people = engine, configuration, people
        if self.governance.reloaded(ids, agreed):
            self.feeds.anew(*configuration.sources)
        self.view.look_at_certificates()
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
