"""Ports for servers of our own: nobody else is given them while their server is not up."""

import socket
import subprocess
import sys
from pathlib import Path

from simulators.ports import FIRST, LAST, free_port, port_is_free

TAKE = "from simulators.ports import free_port\nprint(*(free_port() for _ in range(60)))\ninput()"


def test_a_port_is_free_and_outside_the_range_of_outgoing_connections():
    """A client that tries to reach it can not be given it for its own side."""
    span = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    outgoing = range(int(span[0]), int(span[1]) + 1)
    for _ in range(20):
        port = free_port()
        assert FIRST <= port < LAST and port not in outgoing and port_is_free(port)


def test_a_port_that_somebody_listens_on_is_not_free():
    """Also where it is bound to all addresses."""
    with socket.socket() as server:
        server.bind(("", free_port()))
        server.listen()
        assert not port_is_free(server.getsockname()[1])


def test_no_two_processes_are_given_the_same_port():
    """Each claims what it was given, though no server has it yet."""
    processes = [
        subprocess.Popen([sys.executable, "-c", TAKE], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]  # fmt: skip
    mine = [free_port() for _ in range(60)]
    given = [mine, *(process.stdout.readline().split() for process in processes)]
    for process in processes:
        process.communicate("\n", 30)
    ports = [int(port) for some in given for port in some]
    assert len(ports) == 240 == len(set(ports))
