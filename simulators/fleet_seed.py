"""A database of central filled with gateways, some of them in trouble: for pictures and tests.

What a fleet's messages leave behind is written as rows, at once, so that 10,000 gateways take
seconds: ``python -m simulators.fleet_seed sqlite:///central.db --gateways 10000 --trouble 40``
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import click
from sqlalchemy import Connection, Table, insert

from agent.fleet import schema
from agent.fleet.database import Database
from simulators.fleet_trouble import TROUBLES, Trouble, contract_of, promise_of, reasons_of

SITES: Final = (
    "north", "south", "harbour", "quarry", "valley", "delta", "ridge", "mill", "forge", "lagoon",
    "summit", "canal", "prairie", "fjord", "mesa", "orchard", "glacier", "dune", "heath", "cape",
)  # fmt: skip
LINES: Final = ("boiler", "reactor", "dryer", "kiln", "press", "still", "chiller", "pump-house")
MODELS: Final = ("yield", "quality-soft-sensor", "energy", "fouling", "emissions")
TAGS: Final = {"cooling.flow": ("m3/h", 41.0, 2.0), "feed.temperature": ("degC", 63.0, 4.0)}
OWNER: Final = {"team": "process data", "contact": "data@plant.example"}
_BATCH: Final = 2_000  # rows a statement
_BINS: Final = 16
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Seed:
    """What is written.

    Attributes:
        gateways: how many.
        trouble: how many of these are in trouble, of each kind of `TROUBLES` in turn.
        valid_s: how long verdicts are valid from now on.
        past_days: how far back events and summaries reach, of `with_past` gateways.
        with_past: how many gateways have a past, those in trouble first.
        seed: of chance.
    """

    gateways: int
    trouble: int = 0
    valid_s: float = 86_400.0
    past_days: float = 0.0
    with_past: int = 0
    seed: int = 1


class Place(NamedTuple):
    """One gateway; `number` is its row's, from 1."""

    number: int
    site: str
    gateway: str
    models: tuple[str, ...]
    trouble: Trouble | None

    @property
    def store(self) -> str:
        """Id of its store."""
        return f"{self.number:08x}"


def places(seed: Seed) -> list[Place]:
    """The gateways; those in trouble are spread over the fleet."""
    chance = random.Random(seed.seed)
    sites = SITES[: max(1, min(len(SITES), seed.gateways // 3))]
    poor = sorted(chance.sample(range(seed.gateways), min(seed.trouble, seed.gateways)))
    kinds = {number: TROUBLES[at % len(TROUBLES)] for at, number in enumerate(poor)}
    made = []
    for number in range(seed.gateways):
        site, line = sites[number % len(sites)], LINES[number // len(sites) % len(LINES)]
        names = tuple(MODELS[(number + at) % len(MODELS)] for at in range(2 + number % 3))
        made.append(Place(number + 1, site, f"{line}-{number + 1:05d}", names, kinds.get(number)))
    return made


@dataclass(slots=True)
class _Writer:
    """Writes rows in batches, those of a gateway before those that point at it."""

    connection: Connection
    waiting: dict[Table, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: Table, **row: Any) -> None:
        """One more row."""
        rows = self.waiting.setdefault(table, [])
        rows.append(row)
        if len(rows) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Everything that waits."""
        for table in sorted(self.waiting, key=lambda one: one is not schema.GATEWAY):
            if self.waiting[table]:
                self.connection.execute(insert(table), self.waiting[table])
        self.waiting.clear()


def fill(database: Database, seed: Seed) -> list[Place]:
    """Write the fleet into an empty database that has its tables.

    Raises:
        StoreError: the database is away.
    """
    chance, found = random.Random(seed.seed + 1), places(seed)
    ordered = sorted(found, key=lambda one: one.trouble is None)
    past = {one.number for one in ordered[: seed.with_past]}
    with database.writing() as connection:
        now = database.now(connection)
        writer = _Writer(connection)
        for one in found:
            _gateway(writer, one, now, seed, chance)
        writer.flush()
        for one in found:
            if one.number in past:
                _past(writer, one, now, seed, chance)
        for number in (1, 2):
            writer.add(
                schema.WORKER, name=f"central-{number}", heard_at=now, rows=1_000 * number,
                messages=900 * number, duplicates=number, unreadable=0,
            )  # fmt: skip
        writer.flush()
    return found


def _gateway(
    writer: _Writer, one: Place, now: datetime, seed: Seed, chance: random.Random
) -> None:
    trouble = one.trouble
    away = timedelta(seconds=trouble.silent_s if trouble else 0.0)
    heard = now - timedelta(seconds=chance.uniform(0.0, 8.0)) - away
    online = not (trouble and trouble.offline)
    since = now - timedelta(days=chance.uniform(1.0, 60.0))
    reason = "connection lost" if not online else "started"
    when = heard if not online else since
    contract = contract_of(one.number, trouble, now)
    promise = promise_of(chance, trouble)
    writer.add(
        schema.GATEWAY, id=one.number, site=one.site, gateway=one.gateway, store=one.store, boot=1,
        online=online, reason=reason, since=when, time_quality="synchronised", version="0.1.0",
        heard_at=heard, births=1, contract_hash=contract["hash"], contract_made=contract["made"],
        held_tags=contract["held_tags"], open_changes=contract["open_changes"],
        changes=contract["changes"], contract_said_at=now - _HOUR, contract_heard_at=now - _HOUR,
        promise=promise, clash=[], turns={}, past={}, life_store=one.store, life_boot=1,
        life_turn=1,
    )  # fmt: skip
    writer.add(
        schema.PRESENCE, gateway_id=one.number, store=one.store, boot=1, seq=1 if online else 2,
        online=online, reason=reason, since=when, version="0.1.0", heard_at=heard,
        contract=contract, promise=promise,
    )  # fmt: skip
    writer.add(schema.LIFE, gateway_id=one.number, store=one.store, boot=1, birth=1, turn=1)
    lost = trouble.missing if trouble else 0
    for stream in ("event", "summary"):
        writer.add(
            schema.MARK, gateway_id=one.number, store=one.store, boot=1, stream=stream,
            received=f"[[{1 + lost}, {100 + lost}]]", count=100, missing=lost,
        )  # fmt: skip
    for at, model in enumerate(one.models):
        poor = trouble if trouble and at < trouble.models else None
        _model(writer, one, model, poor, heard, since, seed)
    if trouble:
        _trouble(writer, one, trouble, now, chance)


def _model(
    writer: _Writer, one: Place, model: str, trouble: Trouble | None, heard: datetime,
    since: datetime, seed: Seed,
) -> None:  # fmt: skip
    verdict, reasons = (trouble.verdict, reasons_of(trouble)) if trouble else ("trusted", [])
    valid_s = 10.0 if one.trouble and one.trouble.silent_s else seed.valid_s
    data = {"model": model, "version": "7", "verdict": verdict, "reasons": reasons,
            "owner": OWNER, "valid_for_s": valid_s}  # fmt: skip
    writer.add(
        schema.MODEL, gateway_id=one.number, store=one.store, model=model, boot=1, seq=1,
        version="7", owner=OWNER, verdict=verdict, since=since, reasons=reasons,
        text="; ".join(reason["text"] for reason in reasons), data=data, heard_at=heard,
        expires_at=heard + timedelta(seconds=valid_s), watched=True,
    )  # fmt: skip


def _trouble(
    writer: _Writer, one: Place, trouble: Trouble, now: datetime, chance: random.Random
) -> None:
    raised = now - timedelta(minutes=chance.uniform(2.0, 600.0))
    models = list(one.models[: trouble.models])
    if trouble.text:
        name = f"{trouble.subject}@{one.number}"
        writer.add(
            schema.CONDITION, gateway_id=one.number, store=one.store, id=name, boot=1, seq=1,
            open=True, incident=name, cause=trouble.cause, text=trouble.text, models=models,
            raised_at=raised, data={"id": name, "severity": trouble.severity},
        )  # fmt: skip
    if trouble.request:
        name = f"{models[0]}@1"
        writer.add(
            schema.REQUEST, gateway_id=one.number, store=one.store, id=name, boot=1, seq=1,
            model=models[0], state=trouble.request, open=True,
            owner=f"{OWNER['team']} <{OWNER['contact']}>", since=raised - 30 * _HOUR,
            text="its errors grew, since then", hint="find out", data={"id": name},
            criteria=["its errors grew: 2.5, 1.2 are allowed"],
        )  # fmt: skip


# --- what was ----------------------------------------------------------------------------------


def _past(writer: _Writer, one: Place, now: datetime, seed: Seed, chance: random.Random) -> None:
    hours = int(seed.past_days * 24)
    first = (now - hours * _HOUR).replace(minute=0, second=0, microsecond=0)
    numbers: Iterator[int] = iter(range(1, 10**9))
    for at in range(hours):
        if chance.random() < (0.25 if one.trouble else 0.03):
            _story(writer, one, first + at * _HOUR, numbers, chance)
    for place, (model, tag) in enumerate((m, t) for m in one.models for t in TAGS):
        _series(writer, one, model, tag, one.number * 100 + place, first, hours, numbers, chance)


def _story(
    writer: _Writer, one: Place, at: datetime, numbers: Iterator[int], chance: random.Random
) -> None:
    """A condition comes and goes, and a verdict with it."""
    model, trouble = one.models[0], one.trouble or TROUBLES[0]
    ends = at + timedelta(minutes=chance.uniform(3.0, 50.0))
    name = f"tag/cooling.flow@{int(at.timestamp())}"
    condition = {
        "id": name, "incident": name, "kind": "stuck", "cause": trouble.cause,
        "severity": trouble.severity, "text": trouble.text or "cooling.flow is stuck",
        "hint": "look at it", "models": [model], "raised_ns": int(at.timestamp()) * 10**9,
    }  # fmt: skip
    for when, change, verdict in ((at, "raised", trouble.verdict), (ends, "cleared", "trusted")):
        told = {
            "condition": ("tag/cooling.flow", {**condition, "change": change, "state": change}),
            "verdict": (f"model/{model}", {"model": model, "verdict": verdict, "reasons": []}),
        }
        for kind, (subject, data) in told.items():
            writer.add(
                schema.EVENT, time=when, gateway_id=one.number, store=one.store, boot=1,
                seq=next(numbers), kind=kind, subject=subject, historical=False, data=data,
                heard_at=when,
            )  # fmt: skip


def _series(
    writer: _Writer, one: Place, model: str, tag: str, number: int, first: datetime, hours: int,
    numbers: Iterator[int], chance: random.Random,
) -> None:  # fmt: skip
    unit, centre, scale = TAGS[tag]
    writer.add(
        schema.SERIES, id=number, gateway_id=one.number, model=model, tag=tag, baseline="b1",
        centre=centre, scale=scale, unit=unit, per_hour=False,
    )  # fmt: skip
    days: dict[Any, dict[str, int]] = {}
    for at in range(hours):
        start = first + at * _HOUR
        count = 3_600
        mean = round(1024 * chance.gauss(0.0, 0.3))
        sums = {
            "count": count, "good": count - at % 7, "sum": mean * count,
            "sum_sq": (mean * mean + 1024 * 1024) * count, "scans": count, "extrapolating": at % 5,
            "jointly": 0,
        }  # fmt: skip
        ends = {"min": mean - 3_000, "max": mean + 3_000}
        writer.add(
            schema.SUMMARY, start_at=start, end_at=start + _HOUR, series_id=number,
            gateway_id=one.number, store=one.store, boot=1, seq=next(numbers), **sums, **ends,
            histogram=[count // _BINS] * _BINS, heard_at=start + _HOUR,
        )  # fmt: skip
        day = days.setdefault(start.date(), {"windows": 0, **dict.fromkeys(sums, 0), **ends})
        day["windows"] += 1
        for key, value in sums.items():
            day[key] += value
        day["min"], day["max"] = min(day["min"], ends["min"]), max(day["max"], ends["max"])
    for date, day in days.items():
        writer.add(schema.TOTAL, series_id=number, day=date, **day)


@click.command()
@click.argument("url")
@click.option("--gateways", default=10_000, show_default=True, help="How many.")
@click.option("--trouble", default=40, show_default=True, help="Of these, in trouble.")
@click.option("--valid-s", default=86_400.0, show_default=True, help="Verdicts are valid so long.")
@click.option("--past-days", default=0.0, show_default=True, help="Of events and summaries.")
@click.option("--with-past", default=50, show_default=True, help="Gateways that have a past.")
def command(
    url: str, gateways: int, trouble: int, valid_s: float, past_days: float, with_past: int
) -> None:
    """Fill the database at URL, which is made where there is none."""
    database = Database(url)
    try:
        database.migrate()
        fill(database, Seed(gateways, trouble, valid_s, past_days, with_past))
    finally:
        database.close()


if __name__ == "__main__":
    command()
