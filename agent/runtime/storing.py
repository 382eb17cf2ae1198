"""The way to the store: what was folded is committed behind the fold, which never waits for it.

Invariants:
- one commit at a time, in the order of the folds; one that fails is tried again with all that came
  meanwhile, and nothing is acknowledged until it stands.
- what can not be kept is counted and told: by a ``lost`` entry once the store takes entries again,
  at the end of the process in the log and in a note that the next start reads.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import FieldwardenError, StoreError
from agent.files import read_bounded
from agent.runtime.backlog import Backlog
from agent.runtime.supervisor import Supervisor
from agent.store import Batch, Store

logger = logging.getLogger(__name__)

STOP_S = 10.0  # for the last commit; systemd kills 30 s after SIGTERM
_RETRY_S = 0.5
_NOTE_LIMIT = 64 * 1024
_OPTIONAL = ("hooks", "documents", "messages", "summaries", "events")


class Storing:
    """Commits batches to a store.

    Args:
        store: that takes them.
        supervisor: counts rows that can not be stored.
        note: file for what a stop could not commit.
        stored: called after each commit with what was lost since the one before.
    """

    def __init__(
        self, store: Store, supervisor: Supervisor, note: Path,
        stored: Callable[[Sequence[Mapping[str, Any]]], None],
    ) -> None:  # fmt: skip
        self._store, self._supervisor, self._note = store, supervisor, note
        self._stored = stored
        self._task: asyncio.Task[None] | None = None
        self.backlog = Backlog()
        self.trouble: dict[str, str] = {}
        self.attempts = 0

    def step(self) -> None:
        """Begin a commit where one is due and none is under way."""
        if (self._task is None or self._task.done()) and self.backlog.due:
            self._task = asyncio.create_task(self._commit(), name="commit")

    async def _commit(self) -> None:
        while True:
            stood = await self._try()
            self.attempts += 1
            if not stood or not self.backlog.due:
                return

    async def _try(self) -> bool:
        batch = self.backlog.begin()
        try:
            try:
                await self._store.commit(batch)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a row that can not be written at all
                await self._without_poison(batch, error)
        except Exception as error:  # noqa: BLE001 - the same: nothing may be forgotten
            self._failed(error)
            return False
        if self.trouble:
            logger.warning("stored again after: %s", self.trouble["text"])
        lost = [self._loss(what, count) for what, count in self.backlog.dropped.items()]
        self.trouble = {}
        self.backlog.committed()
        self._stored([*self._store.take_losses(), *lost])
        return True

    async def _without_poison(self, batch: Batch, error: Exception) -> None:
        """Commit without the rows that no store could take: the rest is not lost with them."""
        self._supervisor.failed("a row of the store", error)
        for name in _OPTIONAL:
            rows = getattr(batch, name)
            if not rows:
                continue
            setattr(batch, name, type(rows)())
            logger.error("left out so that the rest can be stored: %d %s", len(rows), name)
            try:
                await self._store.commit(batch)
            except StoreError:
                raise
            except Exception:  # noqa: BLE001, S112 - it was not, or not only, these
                continue
            self._supervisor.well("a row of the store")
            return
        raise error

    def _failed(self, error: Exception) -> None:
        self.backlog.failed()
        what, hint = f"committing failed: {type(error).__name__}: {error}", ""
        if isinstance(error, FieldwardenError):
            what, hint = f"{error.operation} {error.subject}: {error.cause}", error.hint
        if self.trouble.get("text") != what:  # once, not every second
            logger.error("%s; sampling and verdicts go on in memory", error)
        self.trouble = {"text": what, "hint": hint}

    def _loss(self, what: str, count: int) -> dict[str, Any]:
        reason = f"dropped: {self.trouble.get('text') or 'the store took nothing'}"
        unit = {"samples": "samples", "entries": "entries"}.get(what, what)
        return {"part": "store", "reason": reason, "count": count, "unit": unit}

    # --- the end of a process, and the start of the next ----------------------------------------

    async def end(self, limit_s: float = STOP_S) -> None:
        """Commit all that waits within a time; what could not be is told, and noted for later."""
        until_s = asyncio.get_running_loop().time() + limit_s
        while (left_s := until_s - asyncio.get_running_loop().time()) > 0:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._last(), name="last commit")
            await asyncio.wait({self._task}, timeout=left_s)
            if self._task.done() and not self.trouble:
                if self.backlog.empty:
                    return
                continue
            await asyncio.sleep(min(_RETRY_S, left_s))
        self._give_up()

    async def _last(self) -> None:
        await self._try()

    def _give_up(self) -> None:
        if self._task is not None and not self._task.done():
            self.backlog.failed()  # whether it stands is not known: better told than silent
        told = self.backlog.describe()
        why = self.trouble.get("text") or "the store took too long"
        told |= {"part": "store", "reason": f"not stored before the stop: {why}"}
        logger.error(
            "not stored, and lost: %d samples in %d entries, %d events, from %d to %d ns; %s",
            told["count"], told["entries"], told["events"], told["start_ns"], told["end_ns"],
            told["reason"],
        )
        try:
            with self._note.open("w", encoding="utf-8") as file:
                json.dump(told, file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            logger.error("no note of it could be left at %s: %s", self._note, error)

    def noted(self) -> dict[str, Any] | None:
        """What the stop before this start could not store; None where it stored all."""
        try:
            told = json.loads(read_bounded(self._note, _NOTE_LIMIT, "reading the note of a stop"))
        except (FieldwardenError, ValueError, RecursionError):
            return None
        return told if isinstance(told, dict) and isinstance(told.get("count"), int) else None

    def forget_note(self) -> None:
        """Its content is in the journal."""
        self._note.unlink(missing_ok=True)
