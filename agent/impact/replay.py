"""The replay of a stretch of the journal through two engines, within bounds of time.

An engine that begins is not the one that ran: its charts have seen nothing. So a part before the
change is folded and not counted; where all of it would take too long, the replay begins later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from agent.core.spec import EngineSpec
from agent.impact.entries import joined
from agent.impact.past import Past
from agent.impact.shadow import Changing, Shadow
from agent.types import Entry

_SECOND: Final = 1_000_000_000
_WARM_SHARE: Final = 0.1
_WARM_SCANS: Final = 200
_LONGEST_WARM_NS: Final = 6 * 3600 * _SECOND
_MOST_WARM_SHARE: Final = 0.5
"""However short the stretch, half of it is left to be compared."""

_TWO_ENGINES: Final = 2.2
"""So many times as long as one takes it to fold with two and compare."""

_MARGIN: Final = 0.85  # of the time that is allowed, so that a guess may be off
_TOLD_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: `done` from 0 to 1, `left_s` as a guess, None while nobody knows."""

    done: float
    left_s: float | None


@dataclass(slots=True)
class Bounds:
    """How long it may take, and whom to tell.

    Attributes:
        seconds: of a clock that only goes on.
        limit_s: computing time of all that is folded.
        told: gets the progress twice a second.
    """

    seconds: Callable[[], float]
    limit_s: float
    told: Callable[[Progress], None] = lambda _: None
    began_s: float = field(init=False)
    _said_s: float = 0.0

    def __post_init__(self) -> None:
        self.began_s = self.seconds()

    @property
    def spent_s(self) -> float:
        """So far."""
        return self.seconds() - self.began_s

    def tell(self, done: float) -> None:
        """Tell how far it is, now and then."""
        spent = self.spent_s
        if spent - self._said_s >= _TOLD_EVERY_S:
            self._said_s = spent
            self.told(Progress(done, spent / done - spent if done > 0.01 else None))


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it: `from_ns` to `to_ns` were compared, as the clock of now has them."""

    shadow: Shadow
    from_ns: int
    to_ns: int
    notes: tuple[str, ...]


def warm_up_ns(spec: EngineSpec, span_ns: int) -> int:
    """How much of a stretch is folded before the change, and not counted."""
    scans_ns = _WARM_SCANS * max((model.scan_ns for model in spec.models), default=_SECOND)
    wanted = max(scans_ns, round(_WARM_SHARE * span_ns))
    return round(min(wanted, max(_LONGEST_WARM_NS, scans_ns), _MOST_WARM_SHARE * span_ns))


def replayed(
    past: Past, effect: Changing, from_ns: int, to_ns: int, bounds: Bounds, at_ns: int = 0
) -> Replayed:
    """Fold the journal from one time to another, with the change after a part to warm up.

    Args:
        past: the store, and what judges.
        effect: of the change, not applied to anything yet.
        from_ns: from when on, as the clock of now has it.
        to_ns: until when.
        bounds: of computing time.
        at_ns: when the change comes; 0: as soon as the engines are warm.

    Raises:
        StoreError: an entry is damaged.
        FieldwardenError: entries are out of order.
    """
    warm_ns = at_ns or from_ns + warm_up_ns(past.spec, to_ns - from_ns)
    try:
        return _run(past, effect, (from_ns, warm_ns, to_ns), bounds, may_begin_later=not at_ns)
    except _TooLongError as error:
        later_ns = error.later_ns
    told = f"all of it would take too long: begun {_hours(later_ns - from_ns)} later"
    stretch = later_ns, later_ns + warm_up_ns(past.spec, to_ns - later_ns), to_ns
    again = _run(past, effect, stretch, bounds, may_begin_later=False)
    return replace(again, notes=(told, *again.notes))


class _TooLongError(Exception):
    """It has to begin at `later_ns` to be done in time."""

    def __init__(self, later_ns: int) -> None:
        self.later_ns = later_ns
        super().__init__(later_ns)


def _run(
    past: Past, effect: Changing, stretch: tuple[int, int, int], bounds: Bounds, *,
    may_begin_later: bool,
) -> Replayed:  # fmt: skip
    """The replay of (from, change, until).

    Raises:
        _TooLongError: where it may begin later, and has to.
    """
    from_ns, change_ns, to_ns = stretch
    shadow = Shadow(past.spec, effect, past.texts)
    started_s, begun_ns, now_ns = bounds.spent_s, 0, from_ns
    parts = chain(_timed(past, from_ns, change_ns), _timed(past, change_ns, to_ns))
    for entry, now_ns in parts:
        if now_ns <= change_ns:
            shadow.warm_up(entry)
        elif begun_ns:
            shadow.step(entry)
        else:
            later = _later(from_ns, change_ns, to_ns, started_s, bounds)
            if later and may_begin_later:
                raise _TooLongError(later)
            begun_ns = change_ns
            shadow.begin()
            shadow.step(entry)
        bounds.tell((now_ns - from_ns) / max(to_ns - from_ns, 1))
        if bounds.spent_s > bounds.limit_s:
            return Replayed(shadow, begun_ns or now_ns, now_ns, (_cut(to_ns - now_ns),))
    return Replayed(shadow, begun_ns or now_ns, now_ns, ())


def _later(from_ns: int, at_ns: int, to_ns: int, started_s: float, bounds: Bounds) -> int:
    """From when on there would be time enough; 0: all will be done in time."""
    spent_s = max(bounds.spent_s - started_s, 1e-3)
    pace = max(at_ns - from_ns, 1) / spent_s  # ns a second, of one engine
    left_s = _MARGIN * bounds.limit_s - bounds.spent_s
    if (to_ns - at_ns) / pace * _TWO_ENGINES <= left_s:
        return 0
    return max(at_ns, to_ns - round(pace / _TWO_ENGINES * left_s)) if left_s > 0 else 0


def _cut(left_ns: int) -> str:
    return f"time was up: the last {_hours(left_ns)} were not replayed"


def _hours(span_ns: int) -> str:
    hours = span_ns / 3600 / _SECOND
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _timed(past: Past, from_ns: int, to_ns: int) -> Iterator[tuple[Entry, int]]:
    """Joined entries, and when each ends as the clock of now has it."""
    latest = from_ns
    waiting: deque[tuple[int, int]] = deque()  # (sequence, end) of those that were read

    def read() -> Iterator[Entry]:
        for entry, end_ns in past.entries(from_ns, to_ns):
            waiting.append((entry.sequence, end_ns))
            yield entry

    for entry in joined(read()):
        while waiting and waiting[0][0] <= entry.sequence:
            latest = waiting.popleft()[1]
        yield entry, latest
