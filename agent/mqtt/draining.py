"""A TCP connection is closed so that what was sent last arrives.

Closed with data unread, TCP resets the connection (RFC 9293, 3.10.4), and what is on its way to the
peer, such as acknowledgements, may be lost. So the end is told first, and what still comes is read
until the peer closes, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

DRAIN_TIMEOUT_S: Final = 1.0  # for the peer to read the rest, and to close
_READ_BYTES: Final = 65_536


@contextlib.asynccontextmanager
async def drained(sock: Any) -> AsyncIterator[None]:
    """Within it `sock` may be closed; afterwards the end is told, and what comes is read.

    Args:
        sock: of TCP or of TLS over it; None: there is nothing to drain.
    """
    kept = _second(sock)
    try:
        yield
    finally:
        if kept is not None:
            await _drain(kept)


def _second(sock: Any) -> socket.socket | None:
    """The same connection once more, below TLS."""
    if sock is None:
        return None
    try:
        found = socket.socket(fileno=os.dup(sock.fileno()))
    except OSError:
        return None
    found.setblocking(False)
    return found


async def _drain(kept: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with kept, contextlib.suppress(OSError, TimeoutError):
        kept.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            while await loop.sock_recv(kept, _READ_BYTES):
                pass
