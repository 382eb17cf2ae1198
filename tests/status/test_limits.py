"""Slow, greedy and broken clients cost the status server no more than its limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import pytest

from agent.status.connections import Limits
from tests.status.conftest import KNOWN, TOKEN, people, serving, tls_of
from tests.status.fake_status import document
from tests.waiting import PATIENCE_S, until

QUICK = Limits(header_s=0.4, request_s=0.4, keepalive_s=20)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextlib.asynccontextmanager
async def connection(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def closed(reader):
    """All that comes until the server closes; fails when it does not."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read()
    return b""


async def answer(reader):
    """Status code and body of one response."""
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET[:-2]], ids=["nothing", "line", "headers"])
async def test_a_client_that_does_not_finish_its_headers_is_dropped(sent):
    """Slow loris: a connection costs at most `header_s`."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        writer.write(sent)
        assert await closed(reader) == b""
        assert served.server.connections.ended == 1


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # asyncio drops what is refused
async def test_clients_that_never_shake_hands_are_few_and_are_dropped(tmp_path):
    """Over TLS aiohttp and the limit on connections hear of a client only after its handshake."""
    limits = replace(QUICK, connections=4, header_s=2.0)  # all 40 come before any is dropped
    async with (
        serving(limits=limits, tls=tls_of(tmp_path)) as served, contextlib.AsyncExitStack() as stack
    ):
        silent = [(await stack.enter_async_context(connection(served)))[0] for _ in range(40)]
        ends = [asyncio.create_task(closed(reader)) for reader in silent]
        await until(lambda: sum(end.done() for end in ends) >= 36)
        assert served.server.connections.refused >= 36
        assert not any(await asyncio.gather(*ends))
        assert len(served.server.connections) == 0
        assert (await served.get("/healthz", ssl=False))[0] == 200


async def test_a_client_that_trickles_its_headers_is_dropped():
    """Each byte is progress, but the time runs from the first."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        end = asyncio.create_task(closed(reader))
        with contextlib.suppress(OSError):
            for byte in GET[:-1] * 3:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
                if end.done():
                    break
        assert await end == b""
        assert served.server.connections.ended == 1


async def test_an_idle_connection_is_kept_for_the_next_request():
    """The limit on headers does not end a browser's connection between two polls."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(3 * QUICK.header_s)
        assert served.server.connections.ended == 0


async def test_pipelined_requests_are_answered_in_order():
    """The guard hands everything on; it only watches."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        writer.write(GET + GET.replace(b"/healthz", b"/nothing"))
        assert (await answer(reader))[0] == 200
        assert (await answer(reader))[0] == 404


async def test_a_body_that_does_not_come_is_given_up():
    """A client that promises a body and waits is dropped after `request_s`."""

    async def never(kind, data):
        raise AssertionError("a half body must not be carried out")

    async with (
        serving(command=never, people=people, limits=QUICK) as served,
        connection(served) as (reader, writer),
    ):
        writer.write(
            b"POST /api/v1/commands/shelve HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: 100\r\n\r\n{"
        )
        assert await closed(reader) == b""


@pytest.mark.parametrize("path", ["/api/v1/commands/shelve", "/api/v1/status", "/nothing"])
async def test_an_announced_body_beyond_the_limit_is_413_on_every_path(path):
    """It is refused by its length, before it is read."""
    async with serving() as served, connection(served) as (reader, writer):
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n".encode()
        )
        status, body = await answer(reader)
        assert status == 413
        assert "65536" in json.loads(body)["detail"]


async def test_a_chunked_body_beyond_the_limit_is_413():
    """Without a length the limit is kept while reading."""

    async def never(kind, data):
        raise AssertionError("an oversized body must not be carried out")

    async def chunks():
        for _ in range(70):
            yield b" " * 1024

    async with serving(command=never, people=people) as served:
        async with served.session.post(
            served.server.url + "api/v1/commands/shelve",
            data=chunks(),
            headers=KNOWN,
        ) as refused:
            assert refused.status == 413


async def test_a_compressed_body_is_not_unpacked():
    """A bomb of zeros stays as small as it came, and is no JSON."""

    async def never(kind, data):
        raise AssertionError("must not be carried out")

    async with serving(command=never, people=people) as served:
        async with served.session.post(
            served.server.url + "api/v1/commands/shelve",
            data=b" " * 1_000_000 + b"{}",
            headers=KNOWN,
            compress="gzip",
        ) as refused:
            assert refused.status == 400


@pytest.mark.parametrize(
    "header",
    [
        b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"".join(b"X-%d: %s\r\n" % (i, b"a" * 200) for i in range(120)) + b"\r\n",
        b"X-Endless: " + b"a" * 200_000,
    ],
    ids=["one", "many", "endless"],
)
async def test_headers_beyond_their_limit_are_refused(header):
    """One long, many short and one endless header: refused, and the connection ends."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        with contextlib.suppress(OSError):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + header)
            await writer.drain()
        text = await closed(reader)
        assert text == b"" or text.split()[1] in {b"400", b"431"}
        assert b"healthy" not in text


async def test_connections_beyond_the_limit_get_503_and_the_others_stay():
    """A browser gone mad does not take the agent's file descriptors."""
    limits = replace(QUICK, connections=3, header_s=30)
    async with serving(limits=limits) as served, contextlib.AsyncExitStack() as stack:
        first = [await stack.enter_async_context(connection(served)) for _ in range(3)]
        for reader, writer in first:
            writer.write(GET)
            assert (await answer(reader))[0] == 200
        reader, _ = await stack.enter_async_context(connection(served))
        assert (await answer(reader))[0] == 503
        assert served.server.connections.refused == 1
        first[0][1].write(GET)
        assert (await answer(first[0][0]))[0] == 200


async def test_a_connection_that_ended_makes_room():
    """The count goes down again."""
    limits = replace(QUICK, connections=1)
    async with serving(limits=limits) as served:
        for _ in range(3):
            async with connection(served) as (reader, writer):
                writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert (await answer(reader))[0] == 200
                await closed(reader)
            await until(lambda: len(served.server.connections) == 0)


async def test_an_answer_that_nobody_reads_is_given_up():
    """A client that asks for megabytes and reads nothing is dropped after `request_s`."""
    async with serving(limits=QUICK) as served:
        served.document = document(3000)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", served.server.port))
        ask = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await loop.sock_sendall(client, ask * 4)
        await until(lambda: served.server.connections.ended == 1)
        client.close()
        assert (await served.get("/healthz"))[0] == 200


async def test_garbage_is_answered_with_400_and_closed():
    """What is no HTTP does not reach a handler."""
    async with serving(limits=QUICK) as served, connection(served) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert (await closed(reader)).startswith(b"HTTP/1.0 400")
        assert (await served.get("/healthz"))[0] == 200
