"""A link that ends loses nothing that it has sent, however much it leaves unread."""

from __future__ import annotations

import asyncio
import socket

import pytest

from agent.mqtt.draining import drained
from tests.waiting import PATIENCE_S


def connected(listener):
    """Both ends of a connection on loopback; one side's windows hold little."""
    near = socket.create_connection(listener.getsockname())
    near.setblocking(False)
    far, _ = listener.accept()
    far.settimeout(PATIENCE_S)
    return near, far


def rest(far):
    """All that comes until the end."""
    found = b""
    while part := far.recv(65_536):
        found += part
    return found


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def test_a_connection_that_is_closed_with_data_unread_is_reset(listener):
    """What the drain is for: else the peer sees an error where the last words were."""
    near, far = connected(listener)
    far.sendall(b"unread" * 1_000)
    near.send(b"last words")
    near.close()
    with far, pytest.raises(ConnectionResetError):
        rest(far)


async def test_what_was_sent_last_arrives_though_much_is_unread(listener):
    """The peer reads it to its end, and then an orderly end, while it goes on sending."""
    near, far = connected(listener)
    far.sendall(b"unread" * 20_000)
    last = b"last words" * 1_000

    def peer():
        with far:
            found = far.recv(10)
            for _ in range(50):
                far.sendall(b"more" * 1_000)
            return found + rest(far)

    reading = asyncio.create_task(asyncio.to_thread(peer))
    async with drained(near):
        near.send(last)
        near.close()
    assert await reading == last


async def test_a_peer_that_neither_reads_nor_closes_is_not_waited_for(listener):
    """For a second; nor is one that was never there, or is gone."""
    near, far = connected(listener)
    async with asyncio.timeout(PATIENCE_S):
        async with drained(near):
            near.close()
        async with drained(None):
            pass
        async with drained(near):
            pass
    far.close()
