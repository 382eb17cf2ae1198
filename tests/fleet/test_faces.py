"""What central's faces say of a fleet: order, counts, lists, and what is not valid any more."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from sqlalchemy import insert, select, update

from agent.central.promise import promise_of
from agent.central.worst import order
from agent.commands.fleet import _table
from agent.fleet import questions, schema
from agent.fleet.documents import gateways
from agent.fleet.reading import _page
from agent.fleet.rollup import fleet_of
from agent.fleet.web import FleetServer
from simulators.fleet_seed import Seed, fill
from simulators.fleet_trouble import TROUBLES
from tests.status.test_api import check

GATEWAYS = 60
POOR = 2 * len(TROUBLES)
EVERYTHING = {"only": [], "site": "", "search": "", "offset": 0, "limit": 200}


@pytest.fixture
def places(database):
    """Sixty gateways, of each kind of trouble two; all verdicts are valid for an hour."""
    return fill(database, Seed(GATEWAYS, POOR, valid_s=3_600.0))


class Faces:
    """Everything that shows the fleet, of one database."""

    def __init__(self, database, server, session):
        self.database, self.server, self.session = database, server, session

    async def get(self, path, status=200, **headers):
        async with self.session.get(self.server.url + path.lstrip("/"), headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if "json" in answer.headers["Content-Type"] else text

    async def every(self, path, name):
        """All pages of a list, by seven."""
        found, total = [], None
        while total is None or len(found) < total:
            mark = "&" if "?" in path else "?"
            answer = await self.get(f"{path}{mark}offset={len(found)}&limit=7")
            total = answer["total"]
            assert answer[name] or total == 0
            found += answer[name]
        return found

    def fleet(self):
        with self.database.reading() as connection:
            promises = questions.promises(connection)
        return fleet_of(questions.snapshot(self.database), promises)

    def documents(self):
        with self.database.reading() as connection:
            ids = [line.gateway_id for line in self.fleet().lines]
            return gateways(connection, self.database.now(connection), ids)

    def terminal(self, height=1_000, width=120, **asked):
        console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
        told = _page(self.database, self.fleet(), EVERYTHING | asked)
        console.print(_table(told, console, frozenset(asked.get("only", ()))))
        return console.file.getvalue()


@pytest.fixture
async def faces(database, places):
    """With a server on a free port of loopback."""
    server = FleetServer("127.0.0.1:0", database)
    await server.start()
    async with aiohttp.ClientSession() as session:
        yield Faces(database, server, session)
    await server.stop()


async def test_the_worst_stand_first_and_the_database_orders_as_the_terminal(faces):
    """One order in memory and in SQL; a site stands where its worst models put it."""
    documents = faces.documents()
    assert [order(one) for one in documents] == sorted(map(order, documents))
    told = await faces.every("/api/v1/gateways", "gateways")
    named = [(one["site"], one["gateway"]) for one in documents]
    assert [(one["site"], one["gateway"]) for one in told] == named
    assert told[0]["untrusted"] == 2 and told[-1]["of_models"] == told[-1]["trusted"]
    sites = await faces.every("/api/v1/sites", "sites")
    worst = [(-one["untrusted"], -one["unassessable"], -one["caution"]) for one in sites]
    assert worst == sorted(worst)


async def test_counts_agree_everywhere(faces, places):
    """Models one by one, gateways, sites, the whole, and metrics."""
    told = await faces.every("/api/v1/gateways", "gateways")
    whole = await faces.get("/api/v1/fleet")
    sites = await faces.every("/api/v1/sites", "sites")
    for verdict in ("untrusted", "unassessable", "caution", "trusted"):
        one_by_one = sum(m["verdict"] == verdict for each in told for m in each["models"])
        assert one_by_one == sum(one[verdict] for one in told) == whole[verdict]
        assert whole[verdict] == sum(one[verdict] for one in sites)
    assert whole["gateways"] == len(told) == GATEWAYS
    assert whole["models"] == sum(len(one.models) for one in places)
    for name in ("incidents", "requests", "changes", "silent", "promises"):
        listed = await faces.every(f"/api/v1/{name}", name)
        counted = {
            "promises": whole["promise"]["exceeded"], "silent": whole["silent"],
        }.get(name, whole.get(f"open_{name}"))  # fmt: skip
        assert len(listed) == counted > 0
    families = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for one in text_string_to_metric_families(await faces.get("/metrics"))
        for sample in one.samples
    }
    for one in sites:
        labels = (("site", one["site"]), ("verdict", "untrusted"))
        assert families["fieldwarden_fleet_models", *labels] == one["untrusted"]
    assert families["fieldwarden_fleet_promises", ("kept", "exceeded")] == 2
    assert families["fieldwarden_central_rows_total", ("worker", "central-2")] == 2_000


def later(database, seconds):
    """As if the database's clock had gone on: all that was heard was heard that much earlier."""
    span = timedelta(seconds=seconds)
    with database.writing() as connection:
        for table, keys in (
            (schema.MODEL, ("gateway_id", "store", "model")), (schema.GATEWAY, ("id",)),
        ):  # fmt: skip
            for row in connection.execute(select(table)).mappings().all():
                moved = {key: row[key] - span for key in ("heard_at", "expires_at") if key in row}
                same = [table.c[key] == row[key] for key in keys]
                connection.execute(update(table).where(*same).values(moved))


def gone(database):
    """The broker says that every gateway is gone."""
    with database.writing() as connection:
        for table in (schema.GATEWAY, schema.PRESENCE):
            connection.execute(update(table).values(online=False, reason="connection lost"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda database: later(database, 3_700), "no longer valid: nothing heard in time"),
        (
            lambda database: later(database, -86_400),
            "the clock of the database was set back",
        ),
        (gone, "the gateway is offline: connection lost"),
    ],
)
async def test_offline_or_expired_reads_unassessable_on_every_face(faces, change, why):
    """By the database's clock, at once: lines, documents, each answer, metrics, the terminal."""
    before = await faces.get("/api/v1/fleet")
    assert before["trusted"] > 100
    change(faces.database)
    for verdict in ("trusted", "caution", "untrusted"):
        assert faces.fleet().counts[verdict].sum() == 0
    models = [model for one in faces.documents() for model in one["models"]]
    assert {model["verdict"] for model in models} == {"unassessable"}
    told_so = {model["why"] for model in models if model["told"] != "unassessable"}
    assert told_so in ({why}, {why, "the gateway is offline: connection lost"})
    assert all(model["valid_for_s"] == 0.0 for model in models if model["why"])
    server = FleetServer("127.0.0.1:0", faces.database)  # nothing of before is remembered
    await server.start()
    try:
        now = Faces(faces.database, server, faces.session)
        whole = await now.get("/api/v1/fleet")
        assert (whole["trusted"], whole["unassessable"]) == (0, before["models"])
        for one in (await now.get("/api/v1/sites"))["sites"]:
            assert one["unassessable"] == one["models"]
        answer = await now.get("/api/v1/gateways?only=trusted&only=untrusted&only=caution")
        assert (answer["total"], answer["gateways"]) == (0, [])
        first = (await now.get("/api/v1/gateways"))["gateways"][0]
        one = await now.get(f"/api/v1/gateways/{first['site']}/{first['gateway']}")
        assert {model["verdict"] for model in one["models"]} == {"unassessable"}
        silent = await now.get("/api/v1/silent")
        assert {line["unassessable"] == line["of_models"] for line in silent["silent"]} == {True}
        assert 'verdict="trusted"} 0.0' in await now.get("/metrics")
        text = now.terminal()
        assert f"models: {before['models']} unassessable" in text and why in " ".join(text.split())
        assert " trusted " not in text.replace("(was trusted)", "")
    finally:
        await server.stop()


async def test_what_was_answered_is_no_older_than_a_second(faces):
    """Without anybody's help: an answer after the second has the change in it."""
    before = await faces.get("/api/v1/fleet")
    gone(faces.database)
    faces.server.routes._known._had = None  # as if the second were over
    assert (await faces.get("/api/v1/fleet"))["trusted"] == 0 < before["trusted"]


async def test_lists_are_searched_filtered_and_cut_by_the_server(faces, places):
    """By site, gateway or model, verdict and state; one character of LIKE is no pattern."""
    north = await faces.every("/api/v1/gateways?site=north", "gateways")
    assert {one["site"] for one in north} == {"north"}
    name = north[0]["gateway"]
    (found,) = await faces.every(f"/api/v1/gateways?search=NORTH/{name.upper()}", "gateways")
    assert found["gateway"] == name
    energy = await faces.every("/api/v1/gateways?search=ENERG", "gateways")
    assert len(energy) == sum("energy" in one.models for one in places)
    assert await faces.every("/api/v1/gateways?search=%25", "gateways") == []
    assert await faces.every("/api/v1/incidents?search=_", "incidents") == []
    offline = await faces.every("/api/v1/gateways?state=offline", "gateways")
    assert {one["online"] for one in offline} == {False} and len(offline) == 2
    poor = await faces.every("/api/v1/gateways?only=caution", "gateways")
    assert all(one["caution"] for one in poor) and poor
    stuck = await faces.every("/api/v1/incidents?search=stuck", "incidents")
    assert {one["text"] for one in stuck} == {"cooling.flow is stuck at 41.2 m3/h"}
    held = await faces.every("/api/v1/changes", "changes")
    assert [one["hold"] for one in held] == ["held"] * 2 + ["would hold"] * 2
    assert all(one["age_s"] > 3_500 for one in held)
    for wrong in ("limit=x", "offset=-1", "only=fine", "state=fine", f"search={'x' * 201}"):
        await faces.get(f"/api/v1/gateways?{wrong}", 422)
    await faces.get("/api/v1/gateways/north/nobody", 404)


JSON_PATHS = [
    "/api/v1/fleet", "/api/v1/sites", "/api/v1/gateways", "/api/v1/gateways?limit=1&offset=1",
    "/api/v1/incidents", "/api/v1/requests", "/api/v1/changes", "/api/v1/silent",
    "/api/v1/promises", "/healthz",
]  # fmt: skip


async def test_the_description_has_every_route_and_answers_fit_it(faces):
    """Also of a gateway, and of what is refused."""
    described = await faces.get("/api/v1/openapi.json")
    routes = {route.path for route in faces.server.routes.table()}
    assert routes == set(described["paths"])
    for path in JSON_PATHS:
        check(described, path.partition("?")[0], "get", 200, "application/json",
              await faces.get(path))  # fmt: skip
    for one in faces.documents():
        path = f"/api/v1/gateways/{one['site']}/{one['gateway']}"
        check(described, path, "get", 200, "application/json", await faces.get(path))


async def test_the_terminal_says_what_a_screen_leaves_out(faces):
    """Worst first; how many gateways more, and how many of them in trouble."""
    text = faces.terminal(height=24, width=80)
    assert len(text.splitlines()) <= 23
    plain = " ".join(text.split())
    assert "gateways more" in plain and "in trouble" in plain
    whole = faces.terminal()
    assert all(f"{one['site']}/{one['gateway']}" in whole for one in faces.documents())
    only = faces.terminal(only=["untrusted"])
    assert "caution" not in only.partition("gateway")[2].partition("models:")[2].partition("\n")[2]


@pytest.mark.parametrize(
    "told",
    [None, 3, [], {}, {"false": "x", "raised": -1, "expected_per_30_days": float("nan")},
     {"expected_per_30_days": True, "exceeded": 1, "watched_days": 10**30}],
)  # fmt: skip
def test_a_promise_in_no_form_does_no_harm(told):
    """Counts are counts, whatever a gateway sent."""
    found = promise_of(told)
    assert found is None or (
        found["exceeded"] is False
        and all(type(found[key]) is int for key in ("false", "raised", "watched_days"))
        and found["expected_per_30_days"] == 0.0
    )


async def test_relays_are_told_as_the_queue_has_them(faces, database):
    """What waits, was delivered, was given up and why: in the API, as described, and metrics."""
    rows = [
        {"target": "desk", "name": f"/fieldwarden/s/g/a-1-{number}", "payload": b"{}", "why": why,
         "queued_at": database.now() - timedelta(seconds=90)}
        for number, why in enumerate(("", "", "refused: it answered 422"))
    ]  # fmt: skip
    with database.writing() as connection:
        connection.execute(insert(schema.RELAY), rows)
        connection.execute(insert(schema.RELAY_TARGET).values(
            target="desk", delivered=7, dropped='{"refused": 1}', attempts=3, trouble="it errs",
        ))  # fmt: skip
    whole = await faces.get("/api/v1/fleet")
    (told,) = whole["relays"]
    assert told["oldest_s"] >= 90
    assert told | {"oldest_s": 90} == {
        "oldest_s": 90,
        "name": "desk", "waiting": 2, "dead": 1, "delivered": 7, "dropped": {"refused": 1},
        "attempts": 3, "trouble": "it errs",
    }  # fmt: skip
    described = await faces.get("/api/v1/openapi.json")
    check(described, "/api/v1/fleet", "get", 200, "application/json", whole)
    text = await faces.get("/metrics")
    for line in (
        'relay_waiting{relay="desk"} 2.0', 'relay_dead{relay="desk"} 1.0',
        'relay_trouble{relay="desk"} 1.0', 'relay_delivered_total{relay="desk"} 7.0',
        'relay_dropped_total{reason="refused",relay="desk"} 1.0',
    ):  # fmt: skip
        assert f"fieldwarden_central_{line}" in text
