"""Ports of loopback for servers of our own.

Binding port 0 gives one that the kernel may give again the moment it is closed, to another server
or to an outgoing connection. A client that tries again and again to reach a server that is down may
then be given the server's own port for its side: it connects to itself, and the server can not come
back. So ports are taken from outside that range, and each is claimed while its server is made.
"""

from __future__ import annotations

import random
import socket
import sys
from collections import deque
from typing import Final

from agent.errors import FieldwardenError

FIRST: Final = 10_000
LAST: Final = 32_000
"""Outgoing connections are given 32768 and up (Linux), or 49152 and up (RFC 6335)."""

_CLAIMS: Final = 256  # at most so many are held; one that serves is known by its port as well
_claimed: deque[socket.socket] = deque(maxlen=_CLAIMS)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses, and that no other process is given by this function.

    Raises:
        FieldwardenError: there is none.
    """
    for port in random.sample(range(FIRST, LAST), LAST - FIRST):
        claim = _claim(port)
        if claim is not None and port_is_free(port):
            _claimed.append(claim)
            return port
    raise FieldwardenError(
        "choosing", "a port of 127.0.0.1", f"all from {FIRST} to {LAST - 1} are in use", "ss -ltn"
    )


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> socket.socket | None:
    """An abstract Unix socket of its number: one on the machine, gone with its process."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return claim
    try:
        claim.bind(f"\0fieldwarden-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim
