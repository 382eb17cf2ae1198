"""A gateway's document from the database is the one that a central in memory makes."""

from __future__ import annotations

import random

import pytest

from agent.central.subscriber import Central
from agent.fleet import questions
from agent.fleet.documents import gateways
from agent.fleet.ledger import Ledger
from tests.fleet import messages as m
from tests.fleet.test_ledger import world

WHOLE = (
    "site", "gateway", "store", "boot", "online", "reason", "since", "time_quality", "clash",
    "promise", "open_incidents", "open_conditions", "open_requests", "errors", "missing_count",
    "awaited", "dropped",
)  # fmt: skip
MODEL = ("model", "store", "verdict", "told", "why", "since", "reasons")
REQUEST = ("id", "store", "model", "state", "since", "owner", "criteria", "text", "hint")
INCIDENT = ("incident", "store", "text", "cause", "since", "models", "conditions")
CHANGE = ("id", "source", "state", "grade", "hold", "text", "models", "needs", "tags", "since")


def parts(document):
    """What both say, in an order of its own; a time of the gateway to the second."""
    contract = document["contract"]
    return {
        **{key: document[key] for key in WHOLE},
        "since": document["since"][:19],
        "models": listed(document["models"], MODEL),
        "incidents": listed(document["incidents"], INCIDENT),
        "retraining": listed(document["retraining"], REQUEST),
        "contract": contract and {
            **{key: contract[key] for key in ("hash", "made", "held_tags", "open_changes")},
            "changes": listed(contract["changes"], CHANGE),
        },
    }  # fmt: skip


def listed(items, keys):
    told = [{key: item[key] for key in keys} for item in items]
    for one in told:
        one["since"] = str(one["since"])[:19]
    return sorted(told, key=str)


@pytest.mark.parametrize("seed", range(3))
def test_the_database_tells_what_a_central_in_memory_tells(database, seed):
    """Of everything that the protocol has, in any order: verdicts and their worth, what is open,
    what is missing, promise and contract.
    """
    central, ledger = Central(), Ledger(database)
    arrivals = [m.arrival(payload, **facts) for payload, facts in
                world("north", random.Random(seed))]  # fmt: skip
    for one in arrivals:
        central.apply(one.reading, one.receipt)
    ledger.settle(arrivals)
    now_ns = arrivals[-1].receipt.now_ns
    ids = [line.gateway_id for line in questions.snapshot(database).lines]
    with database.reading() as connection:
        found = gateways(connection, database.now(connection), ids)
    known = central.document(now_ns)["gateways"]
    assert len(found) == len(known) == 2
    told = {one["gateway"]: parts(one) for one in found}
    assert told == {one["gateway"]: parts(one) for one in known}
