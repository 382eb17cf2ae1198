"""A gateway's outbox in memory: numbered, sent, coarsened, sent again and deleted as in the store.

The rules are those of `agent.store.outbox`, `acknowledge` and `limit`, and so are their limits;
`tests/simulators/test_fleet_outbox.py` puts the same story to both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.summary import merge
from agent.store import ranges
from agent.store.acknowledge import AGAIN_S, ASKED_MOST, NEVER_ARRIVES, NOT_KEPT, TAIL_AGAIN_S
from agent.store.batch import Acknowledgement, OutboxMessage
from agent.store.limit import LEVELS_NS, OUTBOX_FULL
from agent.store.numbers import CONFIRMED
from agent.store.outbox import TOLD, gap_key
from agent.store.outbox_queries import OutboxRow
from agent.store.packing import pack, unpack

Key = tuple[int, str]
"""A stream of a run."""


@dataclass(slots=True)
class Held:
    """A row that central has not acknowledged.

    Attributes:
        row: the message.
        replace_key: a newer message of this key replaces it while it waits.
        sent_s: monotonic seconds at which the broker took it; None while it waits.
        tries: how often central asked for it though the broker had taken it.
        flying: on its way to the broker.
        told: it was on the wire: central may have it, whatever the broker answered.
        level: up to which span there is nothing to merge it with.
    """

    row: OutboxRow
    replace_key: str | None
    sent_s: float | None = None
    tries: int = 0
    flying: bool = False
    told: bool = False
    level: int = 0

    @property
    def key(self) -> Key:
        """Its stream."""
        return self.row.boot, self.row.stream

    def seqs(self) -> ranges.Ranges:
        """All numbers that it stands for."""
        return ranges.union([*self.row.covers, (self.row.seq, self.row.seq)])


class Outbox:
    """What one gateway keeps for central.

    Attributes:
        boot: number of the run.
        rows: by id, the oldest first.
        last: last number given, by stream of a run.
        lost: numbers that were dropped though central never had them, and are told in gap records.
        not_kept: how many were told as gone though nothing was dropped; there must be none.
        lacked: how often a central asked again for what was acknowledged.
        covered: numbers of summaries that are now in a coarser one.
        refused: acknowledgements that could not be true.
        given_up: rows that the broker took time after time, and central never had.
        resent: rows that were sent again because central asked.
    """

    def __init__(self, boot: int) -> None:
        self.boot = boot
        self.rows: dict[int, Held] = {}
        self.last: dict[Key, int] = {}
        self.lost: dict[Key, ranges.Ranges] = {}
        self.covered: dict[Key, ranges.Ranges] = {}
        self.refused = self.given_up = self.resent = self.not_kept = self.lacked = 0
        self._had: dict[Key, ranges.Ranges] = {}
        self._looked_s: dict[Key, float] = {}
        self._lacked_s: dict[Key, tuple[float, ranges.Ranges]] = {}
        self._id = 0

    # --- what is put in --------------------------------------------------------------------------

    def enqueue(self, messages: Iterable[OutboxMessage]) -> list[Held]:
        """Each with the next number of its stream."""
        return [self._insert(one, self.boot) for one in messages]

    def _insert(
        self, message: OutboxMessage, boot: int, covers: ranges.Ranges | None = None, level: int = 0
    ) -> Held:
        if message.replace_key is not None:
            for known in self._waiting(message.replace_key):
                del self.rows[known.row.id]
        key = (boot, message.stream)
        seq = self.last[key] = self.last.get(key, 0) + 1
        self._id += 1
        row = OutboxRow(
            self._id, boot, message.stream, seq, message.topic, message.payload, message.time_ns,
            message.retain, message.expiry_s, covers or [], "synchronised",
        )  # fmt: skip
        held = self.rows[self._id] = Held(row, message.replace_key, level=level)
        return held

    def _waiting(self, replace_key: str) -> list[Held]:
        return [one for one in self.rows.values()
                if one.replace_key == replace_key and one.sent_s is None]  # fmt: skip

    # --- what goes out ---------------------------------------------------------------------------

    def to_send(self, room: int, without: frozenset[str] = frozenset()) -> list[Held]:
        """At most `room` rows that wait, verdicts first; none of the streams `without`."""
        waiting = [
            one for one in self.rows.values()
            if one.sent_s is None and not one.flying and one.row.stream not in without
        ]  # fmt: skip
        waiting.sort(key=lambda one: one.row.stream != "verdict")
        return waiting[:room]

    def took(self, held: Held, now_s: float) -> None:
        """The broker has it: it stays until central acknowledges it, but for a verdict."""
        held.flying = False
        if held.row.id not in self.rows:
            return
        if held.row.stream in CONFIRMED:
            held.sent_s = now_s
        else:
            del self.rows[held.row.id]

    def drop(self, held: Held) -> None:
        """It means nothing any more."""
        self.rows.pop(held.row.id, None)

    def landed(self) -> None:
        """The connection is gone: what was under way waits again."""
        for one in self.rows.values():
            one.flying = False

    def begin(self, boot: int) -> None:
        """A new run: what was sent before is old enough to be sent again as soon as asked for."""
        self.boot = boot
        self.landed()
        self._looked_s.clear()
        self._lacked_s.clear()
        for one in self.rows.values():
            one.sent_s = None if one.sent_s is None else float("-inf")

    # --- what central says -----------------------------------------------------------------------

    def acknowledge(self, one: Acknowledgement, now_s: float) -> None:
        """Delete what central has; send again, or tell to be gone, what it has not."""
        key = (one.boot, one.stream)
        last = self.last.get(key, 0)
        if one.through == last == 0:
            return
        if not 0 <= one.through <= last:
            self.refused += 1
            return
        self._acknowledged(key, one.had())
        for held in self._of(key):
            seq = held.row.seq
            missing = any(first <= seq <= end for first, end in one.missing)
            if seq <= one.through and not missing:
                self._received(held)
            else:
                self._again(held, now_s, TAIL_AGAIN_S if seq > one.through else AGAIN_S)
        if one.stream in TOLD:
            had = self._had.get(key, [])
            if asked := ranges.common(one.missing, had):
                self._lacks(key, asked, now_s)
            self._tell_not_kept(key, one, had, now_s)

    def _acknowledged(self, key: Key, some: Iterable[tuple[int, int]]) -> None:
        self._had[key] = ranges.union([*self._had.get(key, ()), *some])

    def _received(self, held: Held) -> None:
        """Central has it; of what a gap record names it knows that it is lost."""
        del self.rows[held.row.id]
        if held.row.stream == "gap":
            gap = json.loads(held.row.payload)
            some = [(first, last) for first, last in gap["ranges"]]
            self._acknowledged((gap["boot"], gap["of"]), some)

    def _of(self, key: Key) -> list[Held]:
        return [one for one in self.rows.values() if one.key == key]

    def _again(self, held: Held, now_s: float, age_s: float) -> None:
        if held.sent_s is None or held.sent_s > now_s - age_s * 2**held.tries:
            return
        if held.tries >= ASKED_MOST:
            self.given_up += 1
            self._drop([held], NEVER_ARRIVES)
            return
        held.sent_s, held.tries = None, held.tries + 1
        self.resent += 1

    def _lacks(self, key: Key, asked: ranges.Ranges, now_s: float) -> None:
        """Central asks for what was acknowledged; if again a while later, it is told at birth."""
        since_s, before = self._lacked_s.get(key, (now_s, []))
        if before and now_s - since_s < AGAIN_S:
            return
        if ranges.common(asked, before):
            del self._lacked_s[key]
            self.lacked += 1
        else:
            self._lacked_s[key] = now_s, asked

    def _tell_not_kept(
        self, key: Key, one: Acknowledgement, had: ranges.Ranges, now_s: float
    ) -> None:
        """Tell of numbers that no central ever had and that are not here."""
        if now_s - self._looked_s.get(key, float("-inf")) < AGAIN_S:
            return
        first, last = max(one.through, _through(had)) + 1, self.last[key]
        rows = self._of(key)
        whole = sum(held.row.seq >= first for held in rows) == last - first + 1
        tail = [] if whole or first > last else [(first, last)]
        lacking = ranges.without([*one.missing, *tail], had)
        if not lacking or any(self._waiting(gap_key(*key, NOT_KEPT))):
            return
        self._looked_s[key] = now_s
        here = [pair for held in rows for pair in held.seqs()]
        gone = ranges.without(lacking, [*here, *self._gaps_told(key)])
        if gone:
            self.not_kept += sum(last - first + 1 for first, last in gone)
            self._tell_gap(key, NOT_KEPT, gone, 0)

    def _gaps_told(self, key: Key) -> Iterator[tuple[int, int]]:
        for held in self.rows.values():
            if held.row.stream == "gap":
                gap = json.loads(held.row.payload)
                if (gap["boot"], gap["of"]) == key:
                    yield from ((first, last) for first, last in gap["ranges"])

    # --- what is given up or added together -------------------------------------------------------

    def coarsen(self) -> int:
        """Add windows together, an hour in one, as a full outbox does; how many messages went.

        The hour of the newest window is not over yet.
        """
        rows = [one for one in self.rows.values() if one.row.stream == "summary"]
        if not rows:
            return 0
        span_ns, newest = LEVELS_NS[0], max(one.row.time_ns for one in rows)
        groups: dict[tuple[Any, ...], list[tuple[Held, list[dict[str, Any]]]]] = {}
        for one in rows:
            if one.level or newest // span_ns * span_ns < one.row.time_ns <= newest:
                continue
            told = unpack(json.loads(one.row.payload))
            first = told[0]
            key = (one.row.boot, first["model"], first["baseline"], first["start_ns"] // span_ns)
            groups.setdefault(key, []).append((one, told))
        return sum(self._add_together(members) for members in groups.values())

    def _add_together(self, members: Sequence[tuple[Held, list[dict[str, Any]]]]) -> int:
        rows = [held for held, _ in members]
        if len(rows) == 1:
            rows[0].level = 1
            return 0
        totals: dict[str, Any] = {}
        for _, summaries in members:
            for one in summaries:
                tag = one["tag"]
                totals[tag] = merge(totals[tag], one) if tag in totals else one
        covers = ranges.union(pair for held in rows for pair in held.seqs())
        for held in rows:
            del self.rows[held.row.id]
        key = rows[0].key
        self.covered[key] = ranges.union([*self.covered.get(key, ()), *covers])
        time_ns = max(held.row.time_ns for held in rows)
        message = OutboxMessage("summary", "summary", pack(list(totals.values())), time_ns)
        self._insert(message, rows[0].row.boot, covers, 1)
        return len(rows) - 1

    def overflow(self, most: int) -> ranges.Ranges:
        """Drop the oldest summaries that central can not have, as a full outbox; their numbers."""
        chosen = [
            one for one in self.rows.values() if one.row.stream == "summary" and not one.told
            and one.row.boot == self.boot and not one.row.covers
        ][:most]  # fmt: skip
        return self._drop(chosen, OUTBOX_FULL)

    def _drop(self, rows: Sequence[Held], reason: str) -> ranges.Ranges:
        if not rows:
            return []
        for held in rows:
            del self.rows[held.row.id]
        numbers, key = ranges.union(pair for held in rows for pair in held.seqs()), rows[0].key
        if key[1] in TOLD:
            self.lost[key] = ranges.union([*self.lost.get(key, ()), *numbers])
            self._tell_gap(key, reason, numbers, rows[0].row.time_ns)
        return numbers

    def _tell_gap(self, key: Key, reason: str, some: ranges.Ranges, time_ns: int) -> None:
        boot, of = key
        name = gap_key(boot, of, reason)
        waiting = [json.loads(one.row.payload)["ranges"] for one in self._waiting(name)]
        every = ranges.union([*some, *((first, last) for told in waiting for first, last in told)])
        gap = {
            "of": of, "boot": boot, "reason": reason,
            "count": sum(last - first + 1 for first, last in every), "ranges": every,
            "start_ns": time_ns, "end_ns": time_ns,
        }  # fmt: skip
        payload = json.dumps(gap, separators=(",", ":")).encode()
        self._insert(OutboxMessage("gap", "gap", payload, time_ns, replace_key=name), self.boot)

    # --- what is told of it -----------------------------------------------------------------------

    def unacknowledged(self) -> list[dict[str, Any]]:
        """For the birth: what the broker took and central has not acknowledged."""
        found: dict[Key, list[int]] = {}
        for one in self.rows.values():
            if one.sent_s is not None:
                found.setdefault(one.key, []).append(one.row.seq)
        return [
            {"boot": boot, "stream": stream, "first": min(seqs), "last": max(seqs)}
            for (boot, stream), seqs in sorted(found.items(), key=_newest_run_first)
        ]

    def acknowledged(self) -> list[dict[str, Any]]:
        """For the birth: up to where a central has acknowledged."""
        return [
            {"boot": boot, "stream": stream, "through": through}
            for (boot, stream), had in sorted(self._had.items(), key=_newest_run_first)
            if (through := _through(had))
        ]

    def open(self) -> int:
        """Rows that central has not acknowledged, and verdicts that wait."""
        return len(self.rows)


def _through(had: ranges.Ranges) -> int:
    """Up to where a central has acknowledged all, 0 where none has."""
    return had[0][1] if had and had[0][0] == 1 else 0


def _newest_run_first(item: tuple[Key, object]) -> tuple[int, int]:
    (boot, stream), _ = item
    return -boot, CONFIRMED.index(stream)
