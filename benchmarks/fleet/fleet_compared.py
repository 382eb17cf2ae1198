"""What central's database has, beside what the gateways know that they told."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from simulators.fleet.content import ADDED  # noqa: E402

Run = tuple[int, str, int]
"""Gateway's row, store, boot."""
_SUMS = ("min", "max", *ADDED)
_DAY_0 = date(1970, 1, 1)
_SHOWN = 5


@dataclass
class Found:
    """What differs.

    Attributes:
        told: messages of events and summaries that must be there.
        lost: of them, those that are not.
        twice: rows that are there more than once, or beside one that covers them.
        totals: days of inputs.
        totals_wrong: of them, those with any other sum, least or greatest value.
        totals_unlike_rows: days of inputs whose total is not what their windows add up to.
        gaps_wrong: streams of which not exactly what was dropped is known as dropped.
        verdicts_old: models of which the latest verdict is not there (until it is told again).
        offline: gateways that central takes for offline, or does not know.
        unexplained: numbers that central misses without a reason.
        examples: some of what differs.
    """

    told: int = 0
    lost: int = 0
    twice: int = 0
    totals: int = 0
    totals_wrong: int = 0
    totals_unlike_rows: int = 0
    gaps_wrong: int = 0
    verdicts_old: int = 0
    offline: int = 0
    unexplained: int = 0
    examples: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Show it, if there is room."""
        if len(self.examples) < _SHOWN:
            self.examples.append(text)

    @property
    def exact(self) -> bool:
        """Whether all totals are as they must be."""
        return not (self.totals_wrong or self.totals_unlike_rows or self.gaps_wrong)

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def compare(connection: Any, path: Path) -> Found:
    """Read both sides.

    Args:
        connection: psycopg's, to central's database.
        path: of the truth.
    """
    found = Found()
    gateways = {
        (site, name): (number, online)
        for number, site, name, online in connection.execute(
            "SELECT gateway_id, site, gateway, online FROM gateway_now"
        )
    }
    truth = [json.loads(line) for line in path.open(encoding="utf-8")]
    for one in truth:
        number, online = gateways.get((one["site"], one["gateway"]), (0, False))
        one["id"] = number
        found.offline += online is not True
    for stream in ("event", "summary"):
        _compare_rows(connection, found, stream, truth)
    _compare_totals(connection, found, truth)
    _compare_gaps(connection, found, truth)
    _compare_verdicts(connection, found, truth)
    (found.unexplained,) = connection.execute(
        "SELECT coalesce(sum(missing + awaited), 0)::bigint FROM mark"
    ).fetchone()
    return found


def _numbers(some: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in some:
        yield from range(first, last + 1)


def _compare_rows(connection: Any, found: Found, stream: str, truth: list[Any]) -> None:
    distinct = "series_id" if stream == "summary" else "seq"
    there: dict[Run, set[int]] = defaultdict(set)
    for number, store, boot, seq, rows, different in connection.execute(
        f"SELECT gateway_id, store, boot, seq, count(*), count(DISTINCT {distinct}) "
        f"FROM {stream} GROUP BY 1, 2, 3, 4"
    ):
        there[number, store, boot].add(seq)
        if rows > different:
            found.twice += rows - different
            found.note(f"{stream} {number} {store} {boot} {seq}: {rows - different} twice")
    for one in truth:
        for run in one["runs"]:
            if run["stream"] != stream:
                continue
            key = (one["id"], one["store"], run["boot"])
            must = set(range(1, run["last"] + 1))
            must -= {*_numbers(run["lost"]), *_numbers(run["covered"])}
            has = there.pop(key, set())
            found.told += len(must)
            found.lost += len(must - has)
            found.twice += len(has - must)
            for seq in sorted(must ^ has)[:1]:
                found.note(f"{stream} {key} {seq}: {'lost' if seq in must else 'too many'}")
    found.twice += sum(len(some) for some in there.values())
    for key in list(there)[:1]:
        found.note(f"{stream} {key}: nobody told it")


def _compare_totals(connection: Any, found: Found, truth: list[Any]) -> None:
    columns = ", ".join(f"t.{name}" for name in _SUMS)
    known = {
        (number, model, tag, day): [None if one is None else int(one) for one in sums]
        for number, model, tag, day, *sums in connection.execute(
            f"SELECT s.gateway_id, s.model, s.tag, t.day, {columns} "
            "FROM total t JOIN series s ON s.id = t.series_id"
        )
    }
    for one in truth:
        for model, tag, day, *sums in one["totals"]:
            key = (one["id"], model, tag, _DAY_0 + timedelta(days=day))
            has = known.pop(key, None)
            found.totals += 1
            if has != sums[: len(_SUMS)]:
                found.totals_wrong += 1
                found.note(f"total {key}: {has}, not {sums[: len(_SUMS)]}")
    found.totals_wrong += len(known)
    for key in list(known)[:1]:
        found.note(f"total {key}: nobody told it")
    sums = ", ".join(f"sum({name}) AS {name}" for name in ADDED)
    unlike = " OR ".join(f"r.{name} IS DISTINCT FROM t.{name}" for name in (*_SUMS, "windows"))
    (found.totals_unlike_rows,) = connection.execute(
        "WITH r AS (SELECT series_id, (start_at AT TIME ZONE 'UTC')::date AS day, "
        f"count(*) AS windows, min(min) AS min, max(max) AS max, {sums} "
        "FROM summary GROUP BY 1, 2) "
        f"SELECT count(*) FROM r FULL JOIN total t USING (series_id, day) WHERE {unlike}"
    ).fetchone()


def _compare_gaps(connection: Any, found: Found, truth: list[Any]) -> None:
    known = {
        tuple(key): int(count)
        for *key, count in connection.execute(
            "SELECT gateway_id, store, boot, of, sum(count) FROM gap GROUP BY 1, 2, 3, 4"
        )
    }
    for one in truth:
        for run in one["runs"]:
            key = (one["id"], one["store"], run["boot"], run["stream"])
            dropped = sum(1 for _ in _numbers(run["lost"]))
            if known.pop(key, 0) != dropped:
                found.gaps_wrong += 1
                found.note(f"gap {key}: not {dropped}")
    found.gaps_wrong += len(known)


def _compare_verdicts(connection: Any, found: Found, truth: list[Any]) -> None:
    known = {
        (number, store, model): (verdict, boot, seq)
        for number, store, model, verdict, boot, seq in connection.execute(
            "SELECT gateway_id, store, model, verdict, boot, seq FROM model"
        )
    }
    for one in truth:
        for model, told in one["verdicts"].items():
            found.verdicts_old += known.get((one["id"], one["store"], model)) != tuple(told)
