"""One simulated gateway: its windows, verdicts and conditions, its runs, and what it told.

Its clock may be off, so that an hour or a day ends where the course of the fleet wants it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from agent.clock import wall_ns
from agent.forward import Identity
from agent.forward.json_payload import event_message, summary_messages
from agent.runtime.outgoing import REFRESH_NS
from agent.store import ranges
from agent.store.batch import OutboxMessage
from agent.store.numbers import RANDOM
from agent.types import Event
from simulators.fleet import content
from simulators.fleet.content import MODELS, Pool
from simulators.fleet.outbox import Held, Outbox
from simulators.fleet.sender import Counts, Sender

DAY_NS = 86_400_000_000_000
_NS = 1_000_000_000


class Window(NamedTuple):
    """What one summary message said: whose, of which day, and by which number of the pool."""

    model: int
    day: int
    number: int


class Made:
    """How many rows all gateways made: windows of an input, events, verdicts."""

    __slots__ = ("events", "messages", "verdicts", "windows")

    def __init__(self) -> None:
        self.windows = self.events = self.verdicts = self.messages = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.windows + self.events + self.verdicts


class Gateway:
    """What a gateway does, beside sending.

    Args:
        identity: who it is.
        pool: of its windows.
        rng: of its own.
        made: counts of the fleet.
        counts: of the fleet's senders.
        later: calls a function so many seconds later.
        offset_ns: how far its clock is from the machine's.

    Attributes:
        windows: what each summary message said, by run and number; none of what was dropped.
        told: the last verdict message by model: word, run and number.
        made: windows closed.
    """

    __slots__ = ("_condition", "_made", "_mode", "_pool", "_rng", "_sequence", "_since_ns",
                 "_told_ns", "_word", "identity", "made", "offset_ns", "outbox", "sender",
                 "told", "windows")  # fmt: skip

    def __init__(
        self, identity: Identity, pool: Pool, rng: random.Random, made: Made, counts: Counts,
        later: Callable[[float, Callable[[], None]], object], offset_ns: int = 0,
    ) -> None:  # fmt: skip
        self.identity, self.offset_ns = identity, offset_ns
        self._pool, self._rng, self._made = pool, rng, made
        self.outbox = Outbox(RANDOM + rng.randrange(RANDOM))
        self.sender = Sender(
            identity, self.outbox, now_ns=self.now_ns, later=later, counts=counts
        )
        self.windows: dict[tuple[int, int], Window] = {}
        self.told: dict[str, tuple[str, int, int]] = {}
        self.made = 0
        self._word = ["trusted"] * len(MODELS)
        self._since_ns = [self.now_ns()] * len(MODELS)
        self._condition: tuple[int, int, int] | None = None  # model, number, raised
        self._told_ns = self._sequence = self._mode = 0

    def now_ns(self) -> int:
        """Engine time."""
        return wall_ns() + self.offset_ns

    # --- what it has to say -----------------------------------------------------------------------

    def close_windows(self, start_ns: int, end_ns: int) -> None:
        """The windows of all inputs of all models from `start_ns` to `end_ns` are over."""
        for index, model in enumerate(MODELS):
            number = self._rng.randrange(len(self._pool))
            messages = summary_messages(self._pool.summaries(model, number, start_ns, end_ns))
            for held in self._enqueue(messages):
                key = (held.row.boot, held.row.seq)
                self.windows[key] = Window(index, start_ns // DAY_NS, number)
            self._made.windows += len(model.tags)
        self._sequence += 1
        self.made += 1
        self.sender.drain()

    def tell_verdicts(self, *, changed: Sequence[int] = ()) -> None:
        """Those of `changed` models, or all that would expire else."""
        now_ns = self.now_ns()
        for index in changed or range(len(MODELS)):
            model, word = MODELS[index], self._word[index]
            message = content.verdict(model, word, now_ns, self._since_ns[index], self._sequence)
            for held in self._enqueue([message]):
                self.told[model.name] = (word, held.row.boot, held.row.seq)
            self._made.verdicts += 1
        self.sender.drain()

    def happen(self) -> None:
        """A condition comes or goes, or a mode changes."""
        now_ns, rng = self.now_ns(), self._rng
        self._sequence += 1
        if rng.random() < 0.5:
            self._mode += 1
            self._tell_events(content.mode(rng.choice(MODELS), self._mode, now_ns))
            return
        if self._condition is None:
            index, number, raised_ns = rng.randrange(len(MODELS)), self._sequence, now_ns
            self._condition, change, word = (index, number, raised_ns), "raised", "untrusted"
        else:
            (index, number, raised_ns), change, word = self._condition, "cleared", "trusted"
            self._condition = None
        model, was = MODELS[index], self._word[index]
        self._word[index], self._since_ns[index] = word, now_ns
        self._tell_events(
            content.condition(model, number, change, now_ns, raised_ns),
            content.verdict_event(model, word, was, now_ns),
        )
        self.tell_verdicts(changed=(index,))

    def _tell_events(self, *events: Event) -> None:
        self._enqueue([event_message(self._sequence, at, one) for at, one in enumerate(events)])
        self._made.events += len(events)
        self.sender.drain()

    def _enqueue(self, messages: list[OutboxMessage]) -> list[Held]:
        self._made.messages += len(messages)
        return self.outbox.enqueue(messages)

    # --- what befalls it --------------------------------------------------------------------------

    def restart(self) -> None:
        """A new run of the agent on the same store; its verdicts are told at once."""
        count = self.outbox.boot // RANDOM + 1
        self.outbox.begin(count * RANDOM + self._rng.randrange(RANDOM))
        self.sender.connections = 0
        self.tell_verdicts()

    def overflow(self, most: int) -> None:
        """The outbox is full: its oldest summaries go, and are told as dropped."""
        for first, last in self.outbox.overflow(most):
            for seq in range(first, last + 1):
                del self.windows[self.outbox.boot, seq]

    def boots(self) -> dict[int, dict[str, tuple[int, ranges.Ranges, ranges.Ranges]]]:
        """Run -> stream -> last number, numbers that were dropped, and those in coarser ones."""
        found: dict[int, dict[str, tuple[int, ranges.Ranges, ranges.Ranges]]] = {}
        for (boot, stream), last in self.outbox.last.items():
            lost = self.outbox.lost.get((boot, stream), [])
            covered = self.outbox.covered.get((boot, stream), [])
            found.setdefault(boot, {})[stream] = (last, lost, covered)
        return found


REFRESH_S = REFRESH_NS / _NS
