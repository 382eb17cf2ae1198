"""What central says it has: deleted here; what it misses is sent again, or said to be gone.

An acknowledgement of a stream that comes later takes the place of one before. One commit does a
bounded part of the work. Nothing of it is kept through a restart: central says it again after each
birth of the gateway.

Central has several processes, whose answers overtake each other: one that comes later may know
less. So what was ever acknowledged is remembered (`agent.store.numbers`), and nothing is told of it
in gap records. A central that does lack it (its database was restored from an older state, or is a
new one) asks for it again and again; then the birth is said again, which tells up to where a
central had acknowledged: that explains the holes, and is true for whoever hears it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.store import ranges
from agent.store.batch import Acknowledgement
from agent.store.counters import Counters
from agent.store.numbers import CONFIRMED, LACKED
from agent.store.outbox import MOST_RANGES, TOLD, Outbox, Row, gap_key

ROWS_AT_ONCE = 5_000  # of one commit
STREAMS_KEPT = 1_000  # whose work is not done yet
# A sent row is not sent again earlier: it may be on its way. Each further time it takes twice as
# long: where central is behind, its broker holds the row already, and needs no more of them.
AGAIN_S = 10
TAIL_AGAIN_S = 30  # the same, of those after the last one that central has
ASKED_MOST = 5  # times; then the broker takes it, but central never gets it
NOT_KEPT = "no_longer_kept"
NEVER_ARRIVES = "the broker accepts it, but central never receives it"


class Acknowledged:
    """Works off acknowledgements on the writer's connection."""

    def __init__(self, outbox: Outbox, counters: Counters) -> None:
        self._outbox = outbox
        self._counters = counters
        self._owed: dict[tuple[int, str], Acknowledgement] = {}
        self._looked_s: dict[tuple[int, str], int] = {}
        self._lacked: dict[tuple[int, str], tuple[int, ranges.Ranges]] = {}

    def take(self, given: Iterable[Acknowledgement]) -> None:
        """Note what central said; what can not be true changes nothing and is counted."""
        if self._outbox.delivery == "broker":
            return
        for one in given:
            last = self._outbox.numbers.last(one.boot, one.stream)
            if one.stream in CONFIRMED and one.through == last == 0:
                continue  # both know of nothing
            if one.stream not in CONFIRMED or not 0 <= one.through <= last:
                self._counters.add("acknowledgements_refused", 1)
                continue
            self._outbox.heard_of_central()
            if len(self._owed) < STREAMS_KEPT or (one.boot, one.stream) in self._owed:
                self._owed[one.boot, one.stream] = one

    def work(self) -> None:
        """Do a part; what is left is done with the next commits."""
        room = ROWS_AT_ONCE
        for key, one in list(self._owed.items()):
            # Before anything is deleted: what is gone from here must be known as acknowledged.
            self._outbox.numbers.acknowledge(one.boot, one.stream, one.had())
            room -= self._delete(one, room)
            if room <= 0:
                return
            room -= self._send_again(one, room)
            if room <= 0:
                return
            if one.stream in TOLD:
                self._explain(one)
            del self._owed[key]

    def _delete(self, one: Acknowledgement, most: int) -> int:
        done = 0
        for first, last in one.had():
            rows = self._rows(one, first, last, "", most - done)
            if one.stream == "gap":
                self._outbox.gaps_known(rows)
            self._outbox.received_by_central(rows)
            done += len(rows)
            if done >= most:
                break
        return done

    def _send_again(self, one: Acknowledgement, most: int) -> int:
        done, now = 0, self._outbox.seconds()
        tail = (one.through + 1, self._outbox.numbers.last(one.boot, one.stream))
        asked = [(*pair, AGAIN_S) for pair in one.missing]
        for first, last, age_s in [*asked, (*tail, TAIL_AGAIN_S)]:
            sent = f"AND sent > 0 AND sent <= {now} - ({age_s} << tries)"
            rows = self._rows(one, first, last, sent, most - done)
            hopeless = [row for row in rows if row.tries >= ASKED_MOST]
            self._outbox.rejected(dict.fromkeys((row.id for row in hopeless), NEVER_ARRIVES))
            self._outbox.send_again([row for row in rows if row.tries < ASKED_MOST])
            done += len(rows)
            if done >= most:
                break
        return done

    def _explain(self, one: Acknowledgement) -> None:
        """Of numbers that are missing: say what became of them."""
        had = self._outbox.numbers.acknowledged(one.boot, one.stream)
        if asked := ranges.common(one.missing, had):
            self._lacks((one.boot, one.stream), asked)
        self._tell_not_kept(one, had)

    def _lacks(self, key: tuple[int, str], asked: ranges.Ranges) -> None:
        """Central asks for what was acknowledged: it lacks it if it does so again, a while later.

        An answer that another one overtook is a few seconds late.
        """
        now_s = self._outbox.seconds()
        since_s, before = self._lacked.get(key, (now_s, []))
        if before and now_s - since_s < AGAIN_S:
            return
        if ranges.common(asked, before):
            del self._lacked[key]
            self._counters.add(LACKED, 1)
            return
        if len(self._lacked) >= STREAMS_KEPT:
            self._lacked.clear()
        self._lacked[key] = now_s, asked

    def _tell_not_kept(self, one: Acknowledgement, had: ranges.Ranges) -> None:
        """Say of which numbers that no central ever had nothing is here, nor is on its way.

        Of the last ones central can not know, so it can not miss them: the record that told of
        them may have been given up, or lost with a damaged store.
        """
        key, now_s = (one.boot, one.stream), self._outbox.seconds()
        if now_s - self._looked_s.get(key, 0) < AGAIN_S:
            return
        lacking = ranges.without([*one.missing, *self._tail(one, had)], had)
        waiting = gap_key(one.boot, one.stream, NOT_KEPT)
        if not lacking or self._outbox.rows("WHERE replace_key = ? AND sent = 0", (waiting,)):
            return
        if len(self._looked_s) >= STREAMS_KEPT:
            self._looked_s.clear()
        self._looked_s[key] = now_s
        here = self._outbox.numbers_here(one.boot, one.stream, lacking[0][0])
        told = self._outbox.gaps_told(one.boot, one.stream)
        # Joined ranges would name numbers that may still come; the rest is told the next time.
        gone = ranges.without(lacking, [*here, *told])[:MOST_RANGES]
        if gone:
            count = sum(end - begin + 1 for begin, end in gone)
            now_ns = self._counters.get("last_time_ns")  # nobody knows when they were told
            self._outbox.tell_gap(
                one.boot, one.stream, NOT_KEPT, gone, count=count, start_ns=now_ns, end_ns=now_ns
            )

    def _tail(self, one: Acknowledgement, had: ranges.Ranges) -> ranges.Ranges:
        """Numbers given after the last one that any central knew; empty where each has its row."""
        through = had[0][1] if had and had[0][0] == 1 else 0
        first = max(one.through, through) + 1
        last = self._outbox.numbers.last(one.boot, one.stream)
        whole = self._outbox.rows_from(one.boot, one.stream, first) == last - first + 1
        return [] if whole or first > last else [(first, last)]

    def _rows(
        self, one: Acknowledgement, first: int, last: int, more: str, most: int
    ) -> Sequence[Row]:
        return self._outbox.rows(
            f"WHERE boot = ? AND stream = ? AND seq BETWEEN ? AND ? {more} ORDER BY seq LIMIT ?",
            (one.boot, one.stream, first, last, most), payload=one.stream == "gap",
        )


