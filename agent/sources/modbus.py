"""Modbus TCP: planned polls, and what the device refuses of them or does not answer.

Invariants:
- what is due together is read together, in few requests;
- a refused read is narrowed down at once, so that an address the device does not have costs its
  own tag and no other, and is asked again once a minute;
- who the device is, and what it refuses, is told before the values that it gave;
- a request that has no answer is put off alone: its tags are lost, the others keep their rate. The
  source is lost where nothing is answered any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from agent.backoff import Backoff
from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.columns import Dictionary, lost
from agent.decode.modbus import Request
from agent.errors import SourceError
from agent.intake import Intake
from agent.sources.base import Health, SourceReport, TagBinding, Telling, tag_ids
from agent.sources.modbus_connection import Connection, NoAnswerError
from agent.sources.modbus_identity import Asking, identity_of
from agent.sources.modbus_plan import (
    LONGEST_PAUSE_S,
    Answer,
    Block,
    Poll,
    narrowed,
    plan_polls,
    served_of,
)
from agent.sources.telling import Teller
from agent.types import SourceState

_MOST_SILENT: Final = 3  # requests without an answer in one poll until the device counts as silent
_PATIENT_EVERY: Final = 4  # a try of what is put off that may take the whole timeout
_LEAST_LIMIT_S: Final = 0.1


class ModbusLink:
    """See `agent.sources.SourceKind.create`."""

    def __init__(
        self, name: str, config: ModbusSource, tags: Mapping[str, TagBinding], intake: Intake,
        served: Telling | None = None,
    ) -> None:  # fmt: skip
        self._name = name
        self._config = config
        self._timeout_s = config.timeout / 1e9
        self._intake = intake
        self._polls = plan_polls(name, config, tags)
        self._health = Health(name, config.protocol, intake, tag_ids(tags))
        self._connection = self._shared = Connection.to(config.host, config.port)
        self._teller = Teller(name, served, intake)
        self._asking = Asking(config.contract_check / 1e9)
        self._told: dict[tuple[Poll, Request], int] = {}  # refusal of each read, as it was told
        self._rounded: dict[str, int] = {}  # tag -> samples beyond what float64 holds exactly
        self._bytes = 0

    def describe(self) -> SourceReport:
        """State, counts and the request plan as it is now; details name what fails alone."""
        plan = tuple(line for poll in self._polls for line in poll.lines())
        details = [text for poll in self._polls for block in poll.blocks if (text := block.text())]
        details += [
            f"{tag}: larger than 2^53, so it is rounded ({count} times)"
            for tag, count in self._rounded.items()
        ]
        return self._health.report(plan, size=self._bytes, details=details)

    async def run(self) -> None:
        """Poll until cancelled."""
        if not self._polls:
            self._health.failed("no tag is read from this source")
            await asyncio.Event().wait()
        near, far = Backoff(), Backoff(longest_s=LONGEST_PAUSE_S)
        with self._shared:
            while True:
                try:
                    # A unit that does not answer must not keep its neighbours waiting.
                    is_alone = self._shared.is_shared and self._health.state is SourceState.FAILED
                    await self._serve((near, far), alone=is_alone)
                except NoAnswerError as error:
                    self._failed(error)
                    waits = far if self._shared.is_shared else near
                except SourceError as error:
                    self._failed(error)
                    waits = near
                await waits.wait()

    def _failed(self, error: SourceError) -> None:
        self._asking.lost()
        self._health.failed(f"{error.operation} {error.subject}: {error.cause}")

    async def _serve(self, backoffs: Sequence[Backoff], *, alone: bool) -> None:
        """Poll whatever is due until the device is lost."""
        loop = asyncio.get_running_loop()
        for poll in self._polls:
            poll.due_s = loop.time()
            for block in poll.blocks:
                block.due_s = 0.0
        with Connection(self._config.host, self._config.port) as own:
            self._connection = own if alone else self._shared
            while True:
                poll = min(self._polls, key=lambda candidate: candidate.due_s)
                await asyncio.sleep(max(0.0, poll.due_s - loop.time()))
                await self._patiently(poll)
                for backoff in backoffs:
                    backoff.reset()
                self._connection = self._shared
                own.close()
                late_s = max(0.0, loop.time() - poll.due_s)
                poll.due_s += poll.interval_s * (1 + late_s // poll.interval_s)

    async def _patiently(self, poll: Poll) -> None:
        """One poll; one connection that fails is no lost device: a fresh one is tried."""
        try:
            await self.take(poll)
        except SourceError as error:
            if self._health.state is not SourceState.LIVE or isinstance(error, NoAnswerError):
                raise
            await self.take(poll)

    async def take(self, poll: Poll) -> None:
        """One poll: read, decode, hand over.

        Raises:
            SourceError: the device can not be reached, or answers nothing any more.
        """
        answers: dict[Request, Answer] = {}
        silent: list[tuple[Block, NoAnswerError]] = []
        now_s = asyncio.get_running_loop().time()
        for block in poll.due(now_s):
            if block not in poll.blocks:
                continue  # what was refused is answered again: another plan since
            if not block.is_well and answers and any(not b.is_well for b, _ in silent):
                break  # one vain try of what is put off is enough for one poll
            try:
                await self._ask(poll, block, answers, self._limit_s(poll, block, answers))
            except NoAnswerError as error:
                silent.append((block, error))
                if not answers and len(silent) >= _MOST_SILENT:
                    break
        await self._settle(poll, answers, silent)
        await self._tell(poll, answers)
        self._hand_over(poll, answers)

    def _limit_s(self, poll: Poll, block: Block, answers: Mapping[Request, Answer]) -> float:
        """How long to wait: what is put off must not cost the others their rate."""
        if not block.failures or not answers or not block.failures % _PATIENT_EVERY:
            return self._timeout_s
        rest_s = poll.due_s + poll.interval_s - asyncio.get_running_loop().time()
        return min(self._timeout_s, max(rest_s, _LEAST_LIMIT_S))

    async def _ask(
        self, poll: Poll, block: Block, answers: dict[Request, Answer], limit_s: float
    ) -> None:
        """Ask one block, in parts where it is refused as a whole; its answers go to `answers`.

        Raises:
            NoAnswerError: it, or a part of it, has no answer.
        """
        loop = asyncio.get_running_loop()
        block.asked_s = loop.time()

        async def read(requests: Sequence[Request]) -> list[Answer]:
            found = await self._connection.read(requests, self._config.unit, limit_s)
            self._bytes += sum(len(answer) for answer in found if isinstance(answer, bytes))
            return found

        parts = await narrowed(read, [block.request], poll.addresses)
        for request, answer in parts:
            if answer in decode.NOT_REACHED and isinstance(answer, int):
                subject = f"unit {self._config.unit} of source {self._name!r}, {request.place}"
                raise NoAnswerError("reading", subject, decode.exception_text(answer))
        answers.update(parts)
        was_refused = bool(block.refusal)
        block.answered(parts[0][1])
        poll.replaced(block, parts, block.asked_s)
        if was_refused and not any(each.refusal for each in poll.blocks):
            poll.plan()  # what was refused is there now: read it together again
            answers.clear()  # of another plan; the next poll brings all of it

    async def _settle(
        self,
        poll: Poll,
        answers: dict[Request, Answer],
        silent: Sequence[tuple[Block, NoAnswerError]],
    ) -> None:
        """Try once more what had no answer for the first time, and put off what has none again."""
        for block, error in silent:
            if block not in poll.blocks:
                continue
            cause = error
            if block.is_well and self._health.state is SourceState.LIVE:
                try:
                    await self._ask(poll, block, answers, self._timeout_s)
                    continue
                except NoAnswerError as again:
                    cause = again
            is_new = not block.failures
            block.failed(cause.cause)
            if cause.is_other_form:
                self._told.pop((poll, block.request), None)
                form = {"answer": cause.cause}
                names = (poll.names[column] for column in block.request.columns)
                self._teller.part(dict.fromkeys(names, form))
            if not answers and not any(
                each.is_well or each.refusal for other in self._polls for each in other.blocks
            ):
                raise cause
            if is_new:
                self._health.take(lost(poll.tag[poll.columns_of([block])]))

    async def _tell(self, poll: Poll, answers: Mapping[Request, Answer]) -> None:
        """Say who the device is and what it refuses, before the values that it gave are taken."""
        if not self._teller.is_heard or not answers:
            return
        loop, identity = asyncio.get_running_loop(), None
        if self._asking.is_due(loop.time(), self._connection.made):
            identity = await identity_of(self._connection, self._config.unit, self._timeout_s)
            self._asking.answered(identity, loop.time(), self._connection.made)
        blocks = [
            block for block in poll.blocks
            if (block.request in answers or block.refusal)
            and self._told.get((poll, block.request)) != block.refusal
        ]
        self._told |= {(poll, block.request): block.refusal for block in blocks}
        terms = {
            poll.names[column]: served_of(block.refusal)
            for block in blocks for column in block.request.columns
        }
        if identity is not None or terms:
            self._teller.whole("interval" if not terms else "connected", identity, terms)
            if identity is not None:
                self._teller.agreed()

    def _hand_over(self, poll: Poll, answers: Mapping[Request, Answer]) -> None:
        """Decode what came, restate what is refused, and say how the source is."""
        told = [block for block in poll.blocks if block.request in answers or block.refusal]
        value, quality = poll.decoder.decode(
            [answers.get(block.request, block.refusal or None) for block in poll.blocks]
        )
        columns = poll.columns_of(told) if len(told) < len(poll.blocks) else np.arange(len(value))
        value, quality = value[columns], quality[columns]
        for column in poll.decoder.rounded:
            tag = poll.names[column]
            self._rounded[tag] = self._rounded.get(tag, 0) + 1
        self._health.refused(self._refusals())
        self._intake.append(poll.tag[columns], None, value, quality, source=self._name)
        if answers:
            self._health.arrived(sum(len(request.columns) for request in answers))
            self._health.live(self._reason())

    def _refusals(self) -> dict[str, str]:
        """Of each tag that the device refuses, which of its exceptions it gives."""
        return {
            poll.names[column]: f"the device refuses {poll.addresses[column].place}: "
            f"{decode.exception_text(block.refusal)}"
            for poll in self._polls
            for block in poll.blocks
            if block.refusal
            for column in block.request.columns
        }

    def _reason(self) -> str:
        """What of a live source fails, in short."""
        blocks = [block for poll in self._polls for block in poll.blocks]
        refusals = sorted({block.refusal for block in blocks if block.refusal})
        silent = [block.request.place for block in blocks if block.failures]
        said = []
        if refusals:
            texts = ", ".join(decode.exception_text(code) for code in refusals)
            said.append(f"some reads are refused: {texts}")
        if silent:
            said.append(f"no answer for {', '.join(silent[:5])}" + ", ..." * (len(silent) > 5))
        return "; ".join(said)


def create(
    name: str,
    config: ModbusSource,
    tags: Mapping[str, TagBinding],
    intake: Intake,
    *,
    dictionary: Dictionary,  # noqa: ARG001 - registers hold no texts
    gateway: str,  # noqa: ARG001 - Modbus knows no names
    served: Telling | None = None,
) -> ModbusLink:
    """See `agent.sources.SourceKind.create`."""
    return ModbusLink(name, config, tags, intake, served)
