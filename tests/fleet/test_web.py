"""The fleet's server itself: who may look, and how often the database is asked."""

from __future__ import annotations

import asyncio
import hashlib
import threading

import aiohttp
import pytest

from agent.clock import monotonic_ns
from agent.configuration.people import Person
from agent.errors import StoreError
from agent.fleet.database import Database
from agent.fleet.web import FleetServer
from agent.fleet.web_fresh import Fresh
from tests.waiting import PATIENCE_S, until

TOKEN = "a-token-of-mara"


@pytest.fixture
def empty(tmp_path):
    """A database that has its tables and nothing in them."""
    database = Database(f"sqlite:///{tmp_path}/central.db")
    database.migrate()
    yield database
    database.close()


async def asked(server, path, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session:
        async with session.get(server.url + path.lstrip("/"), headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers


async def test_where_somebody_has_a_token_everybody_needs_one(empty):
    """But for the page's own files; what is shown of a wrong one is the same, later."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    server = FleetServer("127.0.0.1:0", empty, {"Mara": Person(token_sha256=digest)})
    await server.start()
    try:
        for path in ("/", "/page/fleet.js", "/page/page.css", "/healthz", "/api/v1/openapi.json"):
            assert (await asked(server, path))[0] == 200
        for path in ("/api/v1/fleet", "/api/v1/gateways", "/metrics", "/api/v1/silent"):
            status, _, headers = await asked(server, path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
            assert (await asked(server, path, TOKEN))[0] == 200
        assert (await asked(server, "/api/v1/fleet", "wrong"))[0] == 401
        assert server._attempts.total == 1
        server.confidential = False  # as on an address that others reach, without a certificate
        status, text, _ = await asked(server, "/api/v1/fleet", TOKEN)
        assert status == 403 and "certificate" in text
    finally:
        await server.stop()


async def test_an_empty_fleet_and_a_database_that_is_away_are_told(empty, tmp_path):
    """Zeros for the one; 503 and a cause for the other, on every route."""
    server = FleetServer("127.0.0.1:0", empty)
    await server.start()
    try:
        status, text, headers = await asked(server, "/api/v1/fleet")
        assert status == 200 and '"gateways":0' in text.replace(" ", "")
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        (tmp_path / "central.db").unlink()
        empty.engine.dispose()
        (tmp_path / "central.db").mkdir()
        server.routes._known._had = None
        status, text, _ = await asked(server, "/api/v1/sites")
        assert status == 503 and "reading the database" in text
        status, text, _ = await asked(server, "/healthz")  # needs no token, so it names no place
        assert status == 503 and "can not be asked" in text and str(tmp_path) not in text
    finally:
        await server.stop()


async def test_many_who_wait_wait_for_one_question():
    """And nobody is given what was had longer ago than allowed."""
    made, let = [], threading.Event()

    def make():
        let.wait(PATIENCE_S)
        made.append(1)
        return len(made)

    fresh = Fresh(make, linger_s=0.0)
    waiting = [asyncio.create_task(fresh.get()) for _ in range(20)]
    await asyncio.sleep(0)
    let.set()
    assert await asyncio.gather(*waiting) == [1] * 20
    assert await fresh.get() == 1
    fresh._had = (1, monotonic_ns() - 1_100_000_000)
    assert await fresh.get() == 2
    await fresh.close()


async def test_what_fails_is_told_to_who_waits_and_not_kept():
    """The next one asks again."""
    answers = iter([StoreError("reading", "it", "away"), 7])

    def make():
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    fresh = Fresh(make, linger_s=0.0)
    with pytest.raises(StoreError):
        await fresh.get()
    assert await fresh.get() == 7


async def test_while_somebody_looks_it_is_asked_behind_and_then_no_more():
    """Who looks does not wait; who looks no more costs nothing."""
    made = []
    fresh = Fresh(lambda: made.append(1) or len(made), oldest_s=0.4, linger_s=0.5)
    await fresh.get()
    await until(lambda: len(made) > 1)
    await asyncio.wait_for(fresh._keeping, PATIENCE_S)
    before = len(made)
    assert fresh._keeping.done() and len(made) == before
    await fresh.close()


async def test_answers_that_nobody_asks_for_any_more_are_let_go(empty):
    """Who reads 10,000 gateways page by page leaves nothing behind."""
    server = FleetServer("127.0.0.1:0", empty)
    answers = server.routes._answers
    for number in range(300):
        assert await server.routes._shared(number, lambda: "told") == "told"
    assert len(answers) == 256 and 299 in answers
    for fresh in answers.values():
        fresh._asked_ns -= 6_000_000_000
    await server.routes._shared("new", lambda: 1)
    assert list(answers) == ["new"]
    await server.stop()
