"""Faults of processes and links, on one chain that runs all the while."""

from __future__ import annotations

import asyncio
import signal
import time

from chain import Chain
from common import wait
from proxy import PUBACK

from agent.core.summary import merge
from agent.forward.json_payload import event_message
from agent.store import Batch, Store
from agent.types import Event

HALF_OPEN_S = 20.0
FLAP_S = 0.25
ROWS_AT_ONCE = 10_000


def kill(chain: Chain, rounds: int) -> list[float]:
    """SIGKILL of the agent, at any instant."""
    took = []
    for number in range(rounds):
        time.sleep(0.3 + 0.137 * (number % 8))
        chain.stop_agent(kill=True)
        chain.start_agent()
        took.append(chain.recovered())
    return took


def cut_before_puback(chain: Chain, rounds: int) -> list[float]:
    """The link ends between PUBLISH and PUBACK: sent and received, but nobody told the agent."""
    took = []
    for _ in range(rounds):
        hit = chain.uplink.cut_at(PUBACK)
        if not hit.wait(60):
            raise TimeoutError("no PUBACK was sent within 60 s")
        took.append(_connected(chain))
    return took


def _connected(chain: Chain) -> float:
    """Seconds until the uplink says that it is connected, and a new event reached central."""
    began = time.monotonic()
    wait("uplink", lambda: chain.live().get("outbox", {}).get("connected"))
    known = len(chain.received())
    wait("message at central", lambda: len(chain.received()) > known)
    return time.monotonic() - began


def half_open(chain: Chain, rounds: int) -> list[float]:
    """The uplink takes bytes and delivers none, for longer than keep-alive allows."""
    took = []
    for _ in range(rounds):
        chain.uplink.freeze()
        time.sleep(HALF_OPEN_S)
        chain.uplink.thaw()
        took.append(_connected(chain))
    return took


def flaps(chain: Chain, rounds: int) -> list[float]:
    """The uplink comes and goes."""
    for _ in range(rounds):
        chain.uplink.cut()
        time.sleep(FLAP_S)
    return [_connected(chain)]


def broker_killed(chain: Chain, rounds: int) -> list[float]:
    """SIGKILL of central's broker."""
    took = []
    for _ in range(rounds):
        chain.brokers["central"].stop(kill=True)
        chain.brokers["central"].start()
        took.append(_connected(chain))
    return took


def central_killed(chain: Chain, rounds: int) -> list[float]:
    """SIGKILL of central: what it acknowledged it has, what it has not is sent again."""
    took = []
    for _ in range(rounds):
        time.sleep(0.7)
        chain.stop_central(kill=True)
        chain.start_central()
        began = time.monotonic()
        known = len(chain.received())
        wait("message at central", lambda known=known: len(chain.received()) > known)
        took.append(time.monotonic() - began)
    return took


def stopped(chain: Chain, rounds: int, seconds: float) -> list[float]:
    """SIGSTOP of the agent, as long as a suspended machine or a starved core."""
    took = []
    for _ in range(rounds):
        chain.signal_agent(signal.SIGSTOP)
        time.sleep(seconds)
        chain.signal_agent(signal.SIGCONT)
        took.append(chain.recovered())
    return took


def backlog(chain: Chain, rows: int) -> list[float]:
    """A long outage left many rows: seconds until an event of now is at central."""
    chain.stop_agent()
    asyncio.run(_fill(chain, rows))
    chain.start_agent()
    began = time.monotonic()
    wait("agent", chain.live)
    known = len(chain.received())

    def fresh() -> bool:
        some = chain.received()[known:]
        return any(one.stream == "event" and one.type.endswith(".mode") for one in some)

    wait("event of now at central", fresh)
    took = time.monotonic() - began
    wait("end of the backlog", lambda: _owes_nothing(chain), 60 + rows / 50)
    return [took]


async def _fill(chain: Chain, rows: int) -> None:
    """Put events into the dead agent's store, as an outage of months would have."""
    store = Store.open(chain.store, journal_limit_bytes=10**9, outbox_limit_bytes=10**10,
                       merge=merge)  # fmt: skip
    sequence, now = store.last_sequence, time.time_ns()
    try:
        for first in range(0, rows, ROWS_AT_ONCE):
            events = [
                (sequence, 1000 + i, Event("engine", now, "gateway", {"change": "old", "n": i}))
                for i in range(first, min(rows, first + ROWS_AT_ONCE))
            ]
            messages = [event_message(*one) for one in events]
            await store.commit(Batch(events=events, messages=messages))
    finally:
        await store.close()


def _owes_nothing(chain: Chain) -> bool:
    time.sleep(1)
    return int(chain.live().get("outbox", {}).get("pending", 1)) < 50
