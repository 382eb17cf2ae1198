"""The benchmark of a fleet finds what is lost, what is there twice, and what total is wrong."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "fleet"))

from fleet_compared import compare
from fleet_kills import Kills

from agent.central.reading import read
from agent.central.receipt import Receipt
from agent.clock import monotonic_ns, wall_ns
from agent.fleet.database import Database
from agent.fleet.ledger import Arrival, Ledger
from simulators.fleet.fleet import HOUR_NS, Course, Fleet
from simulators.fleet.gateway import DAY_NS
from simulators.fleet.truth import write_truth


def messages_of(gateways):
    """What they say over a connection each, in two parts: windows in the first are added together
    in the second, and one gateway drops some that never went out.
    """
    wires = []

    def post(message, taken):
        wires.append(message)
        taken(0, 0.0)

    begin_ns = wall_ns() // DAY_NS * DAY_NS - 12 * HOUR_NS
    for nth, gateway in enumerate(gateways):
        gateway.sender.will()
        gateway.sender.begin(post, 0.0)
        for part in range(4):
            if part == 2:
                gateway.sender.end()
            gateway.close_windows(begin_ns + part * 60_000_000_000,
                                  begin_ns + (part + 1) * 60_000_000_000)  # fmt: skip
            gateway.tell_verdicts()
            gateway.happen()
        if nth == 0:
            gateway.overflow(3)
        gateway.close_windows(begin_ns + HOUR_NS, begin_ns + HOUR_NS + 60_000_000_000)
        gateway.outbox.coarsen()
        gateway.sender.will()
        gateway.sender.begin(post, 0.0)
    return wires


@pytest.fixture
def filled(postgres_url, tmp_path):
    """A database with all that four gateways said, and the file of what they know."""

    async def told():
        fleet = Fleet("127.0.0.1", 9, Course(gateways=4))
        wires = messages_of(fleet.gateways)
        for one in fleet.gateways:
            assert one.sender.connected
        write_truth(tmp_path / "truth", fleet.gateways, fleet.pool)
        return wires

    wires = asyncio.run(told())
    database = Database(postgres_url)
    Ledger(database).settle([
        Arrival(read(one.payload, one.topic), Receipt(monotonic_ns(), one.topic, one.retain))
        for one in wires
    ])  # fmt: skip
    database.close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection, tmp_path / "truth"


def test_all_that_was_told_is_found(filled):
    """Nothing is lost, nothing is there twice, all totals are exact, with coarse ones and gaps."""
    connection, truth = filled
    (covered,) = connection.execute(
        "SELECT count(*) FROM summary WHERE end_at - start_at > interval '1 minute'"
    ).fetchone()
    assert covered > 25
    found = compare(connection, truth)
    assert found.told > 40 and found.totals == 100, found
    assert (found.lost, found.twice, found.offline, found.unexplained) == (0, 0, 0, 0), found
    assert found.exact and not found.verdicts_old, found


WRONGS = {
    "DELETE FROM event WHERE seq = 2": "lost",
    "DELETE FROM summary WHERE seq = (SELECT max(seq) FROM summary)": "lost",
    "INSERT INTO event SELECT * FROM event WHERE seq = 1": "twice",
    "INSERT INTO summary SELECT * FROM summary WHERE seq = (SELECT max(seq) FROM summary)": "twice",
    "UPDATE summary SET seq = 1": "twice",  # one that a coarser one covers
    "UPDATE total SET sum_sq = sum_sq + 1 WHERE series_id = 1": "totals_wrong",
    "UPDATE total SET min = min - 1 WHERE series_id = 1": "totals_wrong",
    "DELETE FROM total WHERE series_id = 1": "totals_wrong",
    "UPDATE total SET windows = windows + 1 WHERE series_id = 1": "totals_unlike_rows",
    "UPDATE gap SET count = count - 1": "gaps_wrong",
    "UPDATE model SET verdict = 'caution'": "verdicts_old",
    "UPDATE presence SET online = false; UPDATE gateway SET online = false": "offline",
    "UPDATE mark SET missing = 1 WHERE stream = 'event'": "unexplained",
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_whatever_is_wrong_is_counted(filled, wrong):
    """One change of the database each."""
    connection, truth = filled
    for statement in wrong.split(";"):
        connection.execute(statement)
    found = compare(connection, truth)
    assert getattr(found, WRONGS[wrong]) > 0, found
    assert found.exact == (WRONGS[wrong] not in {"totals_wrong", "totals_unlike_rows",
                                                 "gaps_wrong"}) or "summary" in wrong  # fmt: skip


def test_kills_come_from_the_seed(monkeypatch):
    """Workers more often than the broker; none where none is asked for."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("fleet_kills.time.monotonic", lambda: clock.now)
    told = []
    stand = SimpleNamespace(
        kill_worker=lambda _: told.append(("worker", clock.now)),
        kill_broker=lambda: told.append(("broker", clock.now)),
    )

    def course(seed, share):
        told.clear()
        clock.now = 0.0
        kills = Kills(stand, seed, share)
        while clock.now < 600:
            clock.now += 1
            kills.turn()
        return kills.count, list(told)

    count, first = course(1, 1.0)
    assert count["worker"] > 2 * count["broker"] > 4
    assert course(1, 1.0)[1] == first != course(2, 1.0)[1]
    assert course(1, 0.0) == ({"worker": 0, "broker": 0}, [])
