"""What a worker holds between the broker and the database: bounded, in order, acknowledged late.

The bound is MQTT's own: a broker sends no more than `RECEIVE_MAXIMUM` messages before it gets an
acknowledgement, and these come only after the commit. What is beyond it waits at the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from agent.central.reading import read
from agent.central.receipt import Receipt
from agent.errors import StoreError
from agent.fleet.ledger import Arrival, Owed, Settled
from agent.mqtt import Message

logger = logging.getLogger(__name__)

RECEIVE_MAXIMUM: Final = 4_000  # of a session: two batches, so that one gathers while one commits
BATCH: Final = 2_000  # messages of one transaction
BATCH_BYTES: Final = 16 * 1024 * 1024
MANY: Final = 20  # messages of which not a single one can be stored: it is not their fault
GATHER_S: Final = 0.1  # at most so long, so that a transaction has more than one message


class Link(Protocol):
    """What a message came by."""

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""

    def ack(self, message: Message) -> None:
        """Acknowledge it to the broker, after the commit."""


class Taken(NamedTuple):
    """A message, how it came, and the link that it is to be acknowledged on."""

    message: Message
    receipt: Receipt
    link: Link


class Intake:
    """Messages that came and are not settled yet, oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Taken] = deque()
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, taken: Taken) -> None:
        """One more."""
        self._waiting.append(taken)
        self._some.set()
        if len(self._waiting) >= BATCH:
            self._many.set()

    def close(self) -> None:
        """Hand out no more: what is here is left to the broker, and nobody waits."""
        self._closed = True
        self._waiting.clear()
        self._some.set()
        self._many.set()

    def drop(self, link: Link) -> None:
        """Forget what came by a link whose connection is gone: the broker sends it again."""
        self._waiting = deque(one for one in self._waiting if one.link is not link)
        self._look()

    def batch(self) -> list[Taken]:
        """The oldest, as many as one transaction takes."""
        found: list[Taken] = []
        size = 0
        while self._waiting and len(found) < BATCH and size < BATCH_BYTES:
            found.append(self._waiting.popleft())
            size += len(found[-1].message.payload)
        self._look()
        return found

    def _look(self) -> None:
        if not self._waiting and not self._closed:
            self._some.clear()
        if len(self._waiting) < BATCH and not self._closed:
            self._many.clear()

    async def gathered(self) -> list[Taken]:
        """Wait for messages, and for a short while for more; then the oldest of them."""
        await self._some.wait()
        try:
            async with asyncio.timeout(GATHER_S):
                await self._many.wait()
        except TimeoutError:
            pass
        return self.batch()


class Settles(Protocol):
    """The part of `agent.fleet.ledger.Ledger` that is needed here."""

    def settle(self, arrivals: Sequence[Arrival]) -> Settled:
        """Commit a batch, or raise."""


@dataclass(slots=True)
class Sums:
    """What one batch came to, with what had to be put aside."""

    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    unreadable: int = 0
    aside: int = 0  # that could be read but not stored; among the unreadable

    def add(self, settled: Settled) -> None:
        """One transaction more."""
        self.rows += settled.rows
        self.messages += settled.messages
        self.duplicates += settled.duplicates
        self.unreadable += settled.unreadable


def settle(ledger: Settles, taken: Sequence[Taken]) -> tuple[Sums, list[Owed]]:
    """Read and commit a batch; blocking. Afterwards all of it may be acknowledged.

    Raises:
        StoreError: the database is away; nothing may be acknowledged.
    """
    arrivals = [
        Arrival(read(message.payload, message.topic), receipt) for message, receipt, _ in taken
    ]
    sums, owed = Sums(), list[Owed]()
    _settle(ledger, arrivals, sums, owed)
    if sums.aside == len(arrivals) >= MANY:
        raise StoreError(
            "storing", f"{len(arrivals)} messages", "not a single one of them can be stored",
            "this is a fault of the program: please report it with this log",
        )
    return sums, owed


def _settle(
    ledger: Settles, arrivals: Sequence[Arrival], sums: Sums, owed: list[Owed]
) -> None:
    """One that the database refuses for what it says must not stop all others for ever."""
    try:
        settled = ledger.settle(arrivals)
    except StoreError:
        raise  # of the database, not of what the messages say
    except Exception as error:
        if len(arrivals) > 1:
            half = len(arrivals) // 2
            _settle(ledger, arrivals[:half], sums, owed)
            _settle(ledger, arrivals[half:], sums, owed)
            return
        sums.unreadable += 1
        sums.aside += 1
        topic = arrivals[0].receipt.topic
        logger.exception(
            "a message on %s can not be stored and is left out (%s: %s); hint: please report it "
            "with this log", topic, type(error).__name__, str(error).splitlines()[0][:300],
        )  # fmt: skip
        return
    for reason in settled.reasons:
        logger.warning("a message is left out, because it can not be kept: %s", reason)
    sums.add(settled)
    owed.extend(settled.owed)
