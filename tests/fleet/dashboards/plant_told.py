"""A small fleet as its messages tell it, settled by the ledger: every figure of it is known.

north/boiler-1   yield untrusted for 2 h, energy trusted; two conditions, one of them over and
                 called false; a source that was stale; gaps; a clock that was set; windows, losses
north/boiler-2   offline for an hour; its model was trusted
south/kiln-1     trusted; its promise exceeded; a change upstream that holds 3 tags
south/kiln-2     nobody told whether it is there
"""

from __future__ import annotations

import itertools
import json
from datetime import datetime, timedelta

from agent.central.reading import read
from agent.central.receipt import Receipt
from agent.clock import monotonic_ns
from agent.configuration.relay import Relay
from agent.core.loss import LossSums
from agent.fleet.columns import us_of
from agent.fleet.ledger import Arrival, Ledger
from agent.fleet.relay_queue import Queue, waiting
from agent.fleet.relay_queue import settle as relayed
from agent.forward.json_payload import time_text
from agent.store.packing import pack

HOUR = timedelta(hours=1)
OWNER = {"team": "process data", "contact": "data@plant.example"}
PROMISE = {
    "false_alarms": "1 per 30 days", "expected_per_30_days": 1.0, "watched_days": 12, "raised": 3,
    "acknowledged": 2, "false": 1, "exceeded": False,
}  # fmt: skip
CHANGE = {
    "id": "plc-1", "source": "plc", "state": "detected", "grade": "breaking", "hold": "held",
    "since_ns": 1_700_000_000_000_000_000, "tags": 3, "models": ["energy"], "needs": [],
    "text": "unit of 3 tags is another",
}  # fmt: skip


class Gateway:
    """Makes the messages of one gateway."""

    def __init__(self, site: str, name: str, store: str, now: datetime) -> None:
        self.site, self.name, self.store, self.now = site, name, store, now
        self._numbers: dict[str, itertools.count] = {}
        self.arrivals: list[Arrival] = []

    def ns(self, ago: float) -> int:
        return us_of(self.now - ago * HOUR) * 1_000

    def tell(self, stream: str, ago: float, **more) -> None:
        """A message of `ago` hours ago."""
        seq = next(self._numbers.setdefault(stream, itertools.count(1)))
        document = {
            "schema": 1, "site": self.site, "gateway": self.name, "store": self.store, "boot": 1,
            "stream": stream, "seq": seq, "time": time_text(self.ns(ago)),
            "time_quality": "synchronised", "historical": ago > 0.02, **more,
        }  # fmt: skip
        if stream == "event":
            document |= {
                "specversion": "1.0", "id": f"{self.store}-1-{seq}", "cause": f"{seq}.0",
                "source": f"/fieldwarden/{self.site}/{self.name}",
                "datacontenttype": "application/json",
            }  # fmt: skip
        below = {"verdict": f"verdict/{more['data'].get('model')}"}.get(stream, stream)
        topic = f"fieldwarden/1/{self.site}/{self.name}/{below}"
        reading = read(json.dumps(document).encode(), topic)
        self.arrivals.append(Arrival(reading, Receipt(monotonic_ns(), topic, expiry_s=3_000)))

    def state(self, *, online: bool, ago: float, **more) -> None:
        reason = "connected" if online else "connection lost"
        self.tell("state", ago, data={
            "online": online, "version": "0.1.0", "reason": reason, **more,
        })  # fmt: skip

    def born(self, ago: float, promise=PROMISE, **contract) -> None:
        told = {"hash": "ab" * 32, "made": "2026-01-01", "held_tags": 0, "open_changes": 0,
                "changes": [], **contract}  # fmt: skip
        self.state(online=True, ago=ago, unacknowledged=[], acknowledged=[], contract=told,
                   promise=promise)  # fmt: skip

    def event(self, kind: str, subject: str, ago: float, /, **data) -> None:
        self.tell("event", ago, type=f"fieldwarden.event.{kind}", subject=subject, data=data)

    def verdict(self, model: str, verdict: str, ago: float, *reasons: str, since: float) -> None:
        self.tell("verdict", ago, data={
            "model": model, "version": "7", "verdict": verdict, "owner": OWNER,
            "baseline_hash": "cd" * 32,
            "since": time_text(self.ns(since)), "valid_until": time_text(self.ns(ago - 1)),
            "valid_for_s": 3_600,
            "reasons": [{"text": one, "cause": "process", "tag": "flow"} for one in reasons],
        })  # fmt: skip

    def turned(self, model: str, was: str, verdict: str, ago: float) -> None:
        reasons = [{"text": f"it is {verdict}", "cause": "process"}]
        self.event("verdict", f"model/{model}", ago, verdict=verdict, was=was, version="7",
                   reasons=reasons)  # fmt: skip

    def condition(self, name: str, change: str, ago: float, raised: float, **more) -> None:
        data = {
            "id": name, "incident": name, "change": change, "kind": "level", "cause": "sensor",
            "severity": "high", "text": f"{name} is odd", "hint": "look at it",
            "models": ["yield"], "raised_ns": self.ns(raised),
            "state": "cleared" if change in {"cleared", "acknowledged"} else "active", **more,
        }  # fmt: skip
        self.event("condition", f"tag/{name}", ago, **data)

    def windows(self, ago: float, *told: dict) -> None:
        self.tell("summary", ago - 1, data=json.loads(pack(told)))

    def window(self, tag: str, ago: float, mean: float, **more) -> dict:
        """An hour of 100 samples, 90 of them good, each `mean` standard deviations off."""
        unit = round(1024 * mean)
        return {
            "model": "yield", "tag": tag, "baseline": "b7", "centre": 40.0, "scale": 2.0,
            "start_ns": self.ns(ago), "end_ns": self.ns(ago - 1), "count": 100, "good": 90,
            "sum": 90 * unit, "sum_sq": 90 * (unit * unit + 1024 * 1024), "min": unit - 2048,
            "max": unit + 2048, "histogram": [0] * 14 + [60, 30], "scans": 100,
            "extrapolating": 25 if mean else 0, "jointly": 10, "unit": "m3/h", "per_hour": False,
            **more,
        }  # fmt: skip


def _boiler_1(now: datetime) -> Gateway:
    one = Gateway("north", "boiler-1", "0badcafe", now)
    one.born(20.0)
    one.turned("yield", "", "trusted", 20.0)
    one.turned("energy", "", "trusted", 20.0)
    one.turned("yield", "trusted", "caution", 6.0)
    one.turned("yield", "caution", "trusted", 5.0)
    one.turned("yield", "trusted", "untrusted", 2.0)
    one.condition("flow", "raised", 6.0, 6.0)
    one.condition("flow", "cleared", 5.0, 6.0)
    one.condition("flow", "acknowledged", 4.0, 6.0, false=True, by="Mara Lind")
    one.condition("heat", "raised", 2.0, 2.0, cause="process", severity="medium")
    one.condition("feed", "raised", 1.9, 1.9, cause="process", incident="heat")
    one.event("source", "source/plc", 3.0, state="stale", was="live", reason="silent")
    one.event("source", "source/plc", 2.5, state="live", was="stale", reason="")
    one.event("gap", "source/plc", 2.5, reason="the source was away", from_ns=one.ns(3.0),
              to_ns=one.ns(2.5))  # fmt: skip
    one.event("clock", "gateway", 10.0, change="set", shift_ns=5_000_000_000, away_ns=0,
              time_quality="synchronised", was="unsynchronised")  # fmt: skip
    one.event(
        "retraining", "model/yield", 1.0, change="requested", id="yield@1", model="yield",
        state="open", since_ns=one.ns(30.0), opened_ns=one.ns(1.0), version="7",
        owner="process data", text="its errors grew", hint="find out", criteria=["errors"],
        moved=[], left_out=[],
    )  # fmt: skip
    for ago in range(12, 0, -1):
        mean = 2.0 if ago <= 6 else 0.0
        one.windows(ago, one.window("flow", ago, mean), one.window("heat", ago, 0.0))
    losses = LossSums("absolute")
    for loss in (0.5, 1.5, 1.0):
        losses.add(loss)
    told = one.window("yield.predicted", 3, 0.0, losses=losses.to_json())
    one.windows(3, told)
    one.tell("gap", 2.0, data={
        "of": "summary", "boot": 1, "reason": "the outbox was full", "count": 2,
        "ranges": [[50, 51]], "start_ns": one.ns(9.0), "end_ns": one.ns(8.0),
    })  # fmt: skip
    one.verdict("yield", "untrusted", 0.0, "heat left its range", since=2.0)
    one.verdict("energy", "trusted", 0.0, since=20.0)
    return one


def _boiler_2(now: datetime) -> Gateway:
    one = Gateway("north", "boiler-2", "0badcaf2", now)
    one.born(20.0)
    one.turned("yield", "", "trusted", 20.0)
    one.verdict("yield", "trusted", 1.0, since=20.0)
    one.state(online=False, ago=1.0)
    return one


def _kiln_1(now: datetime) -> Gateway:
    one = Gateway("south", "kiln-1", "0badcaf3", now)
    one.born(30.0, PROMISE | {"false": 9, "exceeded": True, "expected_per_30_days": 2.0},
             held_tags=3, open_changes=1, changes=[CHANGE])  # fmt: skip
    one.verdict("energy", "trusted", 0.0, since=30.0)
    return one


def _kiln_2(now: datetime) -> Gateway:
    one = Gateway("south", "kiln-2", "0badcaf4", now)
    one.verdict("energy", "caution", 0.0, since=1.0)
    return one


def settle(database) -> datetime:
    """Settle it all; the time that it is told of."""
    now = database.now()
    told = [make(now) for make in (_boiler_1, _boiler_2, _kiln_1, _kiln_2)]
    relay = Relay(name="desk", url="https://desk.example/", events=["clock", "retraining"])
    ledger = Ledger(database, Queue([relay]))
    settled = ledger.settle([one for gateway in told for one in gateway.arrivals])
    assert settled.unreadable == 0
    with database.writing() as connection:
        dead = waiting(connection, "desk", 1)[0].id
        relayed(connection, "desk", [], {dead: "refused: it answered 422"})
    ledger.beat("central-1", rows=100, messages=90, duplicates=1, unreadable=0)
    return now
