"""The document that the app writes, of a real engine, against the description that clients read."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
from jsonschema import Draft202012Validator

from agent.core.steward import Steward
from agent.runtime.document import Surroundings, status_document
from tests.core import small
from tests.status.conftest import serving

ROWS = 60


def real_document():
    """Three inputs, of which one stops and one jumps, folded by the engine."""
    engine = Steward(small.spec())
    values = small.normal(ROWS)
    values[30:, 0] = 30.0
    values[40:, 1] = np.nan
    for place in range(0, ROWS, 10):
        rows = values[place : place + 10]
        engine.step(small.block(rows, start=place, sequence=1 + place // 10))
    owner = SimpleNamespace(team="process data", contact="process-data@plant.example")
    configuration = SimpleNamespace(
        gateway=SimpleNamespace(site="north", name="gw-07"),
        models={"m": SimpleNamespace(owner=owner)},
    )
    around = Surroundings(
        boot=1,
        started_ns=small.START,
        sources=[],
        outbox={"configured": False},
        budget={"false_alarms": "1 per 30 days"},
        process={},
        reload={"text": "reloading upstream: ...", "hint": "restart it", "waiting": ["upstream"]},
    )
    return status_document(configuration, engine, around, history=True)


async def test_the_apps_document_is_served_as_described():
    """Conditions, reasons, inputs and tags of a disturbed plant fit the schema of the status."""
    async with serving() as served:
        served.document = real_document()
        served.now_ns = served.document["time_ns"]
        _, description = await served.json("/api/v1/openapi.json")
        status, answer = await served.json("/api/v1/status")
        assert status == 200
        schema = {"$ref": "#/components/schemas/Status", "components": description["components"]}
        faults = [
            f"{list(e.absolute_path)}: {e.message}"
            for e in Draft202012Validator(schema).iter_errors(answer)
        ]
        assert not faults
        assert answer["conditions"]
        assert answer["reload"]["waiting"] == ["upstream"]
        assert answer["models"][0]["reasons"]
        assert json.dumps(answer["tags"]) == json.dumps(served.document["tags"])
        for page in ("/metrics", "/api/v1/models/m/verdict", "/healthz"):
            assert (await served.get(page))[0] == 200
