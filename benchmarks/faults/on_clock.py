"""Faults of the wall clock: wrong at boot, set while running, before and after a kill."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from chain import Chain, wait

from agent.forward.json_payload import time_of

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
NEAR_S = 5.0


def environment(orders: Path) -> dict[str, str]:
    """What makes the agent's wall clock read as the file says; monotonic clocks stay true."""
    return {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(orders),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


def offset(text: str) -> str:
    """An absolute time, or seconds, as libfaketime reads an offset: ``+3600``."""
    if text[0] in "+-":
        return text
    there = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    return f"{there - time.time():+.0f}"


def set_clock(orders: Path, text: str) -> None:
    """Set the agent's clock, in one step."""
    fresh = orders.with_suffix(".new")
    fresh.write_text(offset(text) + "\n")
    fresh.replace(orders)


def stepped(chain: Chain, orders: Path, first: str, *, kill: bool) -> list[float]:
    """The clock stands at `first`, then is set to the true time, perhaps with a kill between.

    Seconds until what the agent tells has true times, is live, and the model reads as it should.
    """
    set_clock(orders, first)
    time.sleep(4)
    if kill:
        chain.stop_agent(kill=True)
    set_clock(orders, "+0")
    if kill:
        chain.start_agent()
    began = time.monotonic()
    chain.recovered()
    wait("true times at central", lambda: _tells_true_time(chain))
    wait("true times in status", lambda: _shows_true_time(chain))
    return [time.monotonic() - began]


def _tells_true_time(chain: Chain) -> bool:
    last = next((m for m in reversed(chain.received()) if m["stream"] == "verdict"), None)
    return last is not None and abs(time_of(last["time"]) / 1e9 - time.time()) < 130


def _shows_true_time(chain: Chain) -> bool:
    tags = chain.live().get("tags", [])
    last = next((one for one in tags if one["name"] == "number"), None)
    return last is not None and abs((last["arrival_ns"] or 0) / 1e9 - time.time()) < NEAR_S


def dead_is_not_trusted(chain: Chain, orders: Path) -> list[float]:
    """Killed while its clock stood in 2040: seconds until it reads as unassessable."""
    set_clock(orders, "2040-01-01")
    time.sleep(4)
    chain.stop_agent(kill=True)
    began = time.monotonic()
    wait("word that it is dead", lambda: not _reads_trusted(chain), 15)
    took = time.monotonic() - began
    set_clock(orders, "+0")
    chain.start_agent()
    chain.recovered()
    return [took]


def _reads_trusted(chain: Chain) -> bool:
    return any(one["verdict"] == "trusted" for one in chain.status().get("models", []))
