"""Wrong tokens are logged and slowed down; large answers are compressed for who can read that."""

from __future__ import annotations

import asyncio
import gzip
import time

import aiohttp

from agent.status.attempts import MOST_WAITING, Attempts
from tests.status.conftest import KNOWN, people, serving

WRONG = {"Authorization": "Bearer not-a-token"}


async def test_wrong_tokens_are_logged_and_answered_ever_later(caplog):
    """The right token is answered at once meanwhile."""
    async with serving(command=lambda *_: None, people=people) as served:
        took = []
        for _ in range(3):
            began = time.monotonic()
            status, _ = await served.json("/api/v1/person", headers=WRONG)
            took.append(time.monotonic() - began)
            assert status == 401
        assert took[0] < took[1] < took[2] and took[2] >= 1.0
        began = time.monotonic()
        status, body = await served.json("/api/v1/person", headers=KNOWN)
        assert (status, body) == (200, {"person": "Mara Lind"})
        assert time.monotonic() - began < took[2]
    said = [record.getMessage() for record in caplog.records if "token" in record.getMessage()]
    assert said == ["a token that is nobody's was shown by=127.0.0.1"]


async def test_a_guesser_fills_no_log(caplog):
    """The first is told, then counts, ever more sparingly; another address is told at once."""
    attempts = Attempts()
    tries = [asyncio.create_task(attempts.failed("10.0.0.9")) for _ in range(150)]
    tries.append(asyncio.create_task(attempts.failed("10.0.0.8")))
    await asyncio.sleep(0)
    for one in tries:
        one.cancel()
    await asyncio.gather(*tries, return_exceptions=True)
    shown = "a token that is nobody's was shown"
    assert [record.getMessage() for record in caplog.records] == [
        f"{shown} by=10.0.0.9", f"{shown}, 10 times of late by=10.0.0.9",
        f"{shown}, 100 times of late by=10.0.0.9", f"{shown} by=10.0.0.8",
    ]  # fmt: skip


async def test_few_may_wait_at_once():
    """A flood of guesses holds no requests open without a limit."""
    attempts = Attempts()
    waiting = [asyncio.create_task(attempts.failed(f"10.0.0.{i}")) for i in range(MOST_WAITING + 5)]
    assert [await one for one in waiting].count(False) == 5
    assert attempts.total == MOST_WAITING + 5


async def test_large_answers_are_compressed_for_who_can_read_that():
    """The same document, a fraction of its bytes; without Accept-Encoding as it was."""
    async with serving() as served:
        served.document["tags"] = served.document["tags"] * 200
        url = served.server.url.rstrip("/") + "/api/v1/status"
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            async with session.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
                packed = await answer.read()
                assert answer.headers["Content-Encoding"] == "gzip"
            async with session.get(url, headers={"Accept-Encoding": "identity"}) as answer:
                plain = await answer.read()
                assert "Content-Encoding" not in answer.headers
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 5


async def test_what_is_no_http_leaves_no_traceback(caplog):
    """Strangers and scanners send anything: a line of information at most."""
    async with serving() as served:
        for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 64):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
            writer.write(data + b"\r\n\r\n")
            await writer.drain()
            await reader.read(1_000)
            writer.close()
    from agent.commands.log_lines import BadRequests

    for record in caplog.records:
        BadRequests().filter(record)
        assert record.exc_info is None, record.getMessage()
