"""MQTT: what a broker had kept, and what it sends again, told from what is live.

A session that goes on brings what had queued, and what was sent before but not acknowledged, as
fast as the link takes it; live messages begin after the first pause. So does a connection after
this process stood still (stopped, suspended, held up): what waited in the socket. Two rules, then:

- in such a burst, and of retained messages, everything is `REPLAYED`, but for samples whose own
  time says that they are fresh;
- what was handed on before is `REPEATED`: a message with the topic and payload of one of the
  connection before that was not acknowledged, or that is marked as sent before and has its packet
  id too; a sample with the own time and the value of one that came before; after a restart, and
  without a time of its own then or now (none is sent, or the gateway's clock is years off), a
  message that the broker marks as sent before and whose value the journal's end has.

When the burst is over what was remembered is forgotten: a device that goes on repeating an equal
value with an unchanged time is there, and after a loss its first one must count. While the
connection stands, such a repetition is `REPEATED` alone: it says "still so", and counts once.

A broker sends only so many messages that are not acknowledged (mosquitto: 20), and acknowledging
waits for the commit: what comes with an acknowledgement of many belongs to the burst still.

A link that was cut and mended within the keep-alive brings what the broker held without a new
connection, and nothing in MQTT says so. Known is only that the whole link was silent, and that then
samples of one tag came at once: those that a newer one came with are `REPLAYED`. What can not be
known without a time of its own: how late a single sample is, or the newest of several. A publisher
that gathers samples and sends them together looks the same, and rightly: all but its newest are
late.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.decode.mqtt import Columns
from agent.mqtt import Message
from agent.types import Block, Quality

PAUSE_S = 0.3
"""Without a message for so long, what had waited is through."""

SILENCE_S = 2.0
"""Without any message for so long, what comes next may have waited; no stall is shorter."""

SETTLE_S = 0.1
"""For so long what comes after a silence is gathered before it is judged."""

LONGEST_BURST_S = 10.0
_LONGEST_HELD_BACK_S = 30.0  # a burst of which a part comes with each acknowledgement
_HELD_BACK = 10  # messages not acknowledged: so few may be all that a broker sends at a time
FRESH_NS = 2_000_000_000
"""A sample of a burst whose own time is not longer ago is live."""

_HANDED_ON = 10_000  # messages, by packet id
_REMEMBERED = 100_000  # samples of all tags together
_LEAST = 16
_REPLAYED = int(Quality.REPLAYED)
_REPEATED = int(Quality.REPEATED)
_BAD = int(Quality.BAD)

_Sample = tuple[int, float]  # its own time in ns, its value
_Key = tuple[str, int]  # topic, hash of the payload


@dataclass(slots=True)
class _Handed:
    """A message that was handed on."""

    key: _Key
    connection: int
    acknowledged: bool = False


class Replay:
    """Marks what is not live; see the module.

    Args:
        tags: how many the source has.
    """

    def __init__(self, tags: int) -> None:
        self._most = max(_LEAST, _REMEMBERED // max(1, tags))
        self._known: dict[int, OrderedDict[_Sample, None]] = {}
        self._values: dict[int, Counter[float]] = {}  # recalled, without a time of their own
        self._timed: dict[int, Counter[float]] = {}  # recalled, with one
        self._handed: OrderedDict[int, _Handed] = OrderedDict()
        self._before: Mapping[int, _Handed] = {}
        self._open: Counter[_Key] = Counter()  # of the connection before, not acknowledged
        self._in_burst, self._connection = False, -1
        self._stands_s: float | None = None
        self._owed = 0  # messages of this connection that are not acknowledged
        self.suspected = False  # what came may have waited: `settle` judges it
        self._began_s = self._last_s = 0.0
        self._longest_s = LONGEST_BURST_S

    def recall(self, blocks: Iterable[Block], tags: Iterable[int]) -> None:
        """Take in what the journal's end holds of these tags, before the first connection."""
        own = set(tags)
        for block in blocks:
            columns = (block.tag, block.source_ns, block.arrival_ns, block.value, block.quality)
            for tag, source, arrival, value, quality in zip(
                *(column.tolist() for column in columns), strict=True
            ):
                if tag not in own or quality & (_BAD | _REPEATED):
                    continue
                if source == arrival:
                    self._values.setdefault(tag, Counter())[value] += 1
                else:
                    self._timed.setdefault(tag, Counter())[value] += 1
                    self._remember(tag, (source, value))

    def connected(self, now_s: float | None) -> None:
        """When a connection was told to stand; None: none does. Messages may come before."""
        self._stands_s = now_s

    def _begin(self, message: Message, now_s: float) -> None:
        """The first message of a connection."""
        self._connection, resumed = message.connection, message.resumed
        self._before, self._handed = (self._handed if resumed else {}), OrderedDict()
        # A broker that was restarted may send them under other packet ids.
        self._open = Counter(one.key for one in self._before.values() if not one.acknowledged)
        self._in_burst = resumed
        self._began_s = self._last_s = now_s if self._stands_s is None else self._stands_s
        self._owed, self._longest_s = 0, LONGEST_BURST_S
        if not resumed:
            self._forget()

    def stalled(self, now_s: float) -> None:
        """Nothing was read for more than `SILENCE_S` until now: what comes had waited."""
        self._burst(now_s)

    def _burst(self, now_s: float) -> None:
        self._in_burst, self._longest_s = True, LONGEST_BURST_S
        self._began_s = self._last_s = now_s

    def _forget(self) -> None:
        self._known.clear()
        self._values.clear()
        self._timed.clear()
        self._before = {}
        self._open.clear()

    def bits(self, message: Message, now_s: float) -> int:
        """Quality bits of all samples of a message that arrived."""
        if message.connection != self._connection:
            self._begin(message, now_s)
        if self._in_burst and (
            now_s - self._last_s > PAUSE_S or now_s - self._began_s > self._longest_s
        ):
            self._in_burst = False
            self._forget()
        elif not self._in_burst and now_s - self._last_s > SILENCE_S:
            self.suspected = True
        self._last_s = now_s
        found = _REPLAYED if message.retain or self._in_burst or message.dup else 0
        if message.qos:
            self._owed += 1
            key = message.topic, hash(message.payload)
            before = self._before.get(message.mid)
            same = message.dup and before is not None and before.key == key
            if same or (self._in_burst and self._open[key] > 0):
                self._open[key] -= 1
                found |= _REPEATED
            self._handed[message.mid] = _Handed(key, message.connection)
            self._handed.move_to_end(message.mid)
            if len(self._handed) > _HANDED_ON:
                self._handed.popitem(last=False)
        return found

    def acknowledged(self, message: Message, now_s: float) -> None:
        """A message was acknowledged, if the connection that it came by still stands."""
        if message.connection == self._connection:
            if self._in_burst and self._owed >= _HELD_BACK:
                self._last_s, self._longest_s = now_s, _LONGEST_HELD_BACK_S
            self._owed -= 1
        handed = self._handed.get(message.mid)
        if handed is not None and handed.connection == message.connection:
            handed.acknowledged = True

    def mark(self, message: Message, columns: Columns, begin: int, now_ns: int) -> None:
        """Give the samples from `begin` on, all of one message, what only they can tell."""
        for place in range(begin, len(columns.tag)):
            tag, stamp = columns.tag[place], columns.source_ns[place]
            value, bits = columns.value[place], columns.quality[place]
            if math.isnan(value):
                self._known.pop(tag, None)  # a good one after it counts, whatever its time
                continue
            if (stamp, value) in self._known.get(tag, ()) or (
                message.dup and self._recalled(tag, value, timed=not stamp)
            ):
                bits |= _REPEATED
            elif stamp:
                self._remember(tag, (stamp, value))
                if not message.retain and not bits & _REPEATED and now_ns - stamp <= FRESH_NS:
                    bits &= ~_REPLAYED
            columns.quality[place] = bits

    def settle(self, columns: Columns, now_s: float) -> None:
        """After a silence: mark what came together with something newer of the same tag."""
        if not self.suspected:
            return
        self.suspected = False
        newest = {tag: place for place, tag in enumerate(columns.tag)}
        if len(newest) == len(columns.tag):
            return
        more_waits = self._owed >= _HELD_BACK
        if more_waits:
            self._burst(now_s)
        for place, tag in enumerate(columns.tag):
            if not columns.source_ns[place] and (more_waits or newest[tag] != place):
                columns.quality[place] |= _REPLAYED

    def _recalled(self, tag: int, value: float, *, timed: bool) -> bool:
        """Whether the journal's end has it, without a time of its own or `timed`; once each."""
        for held in (self._values, self._timed) if timed else (self._values,):
            if held.get(tag, _NONE)[value] > 0:
                held[tag][value] -= 1
                return True
        return False

    def _remember(self, tag: int, sample: _Sample) -> None:
        known = self._known.setdefault(tag, OrderedDict())
        known[sample] = None
        if len(known) > self._most:
            known.popitem(last=False)


_NONE: Counter[float] = Counter()
