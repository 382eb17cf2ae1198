"""Faults of the wall clock: wrong at boot, set while running, before and after a kill."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chain import Chain
from common import wait

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
NEAR_S = 5.0
TOLD_S = 130.0


def environment(orders: Path) -> dict[str, str]:
    """What makes the agent's wall clock read as the file says; monotonic clocks stay true."""
    return {
        "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(orders),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
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
    wrong(chain, orders, first)
    if kill:
        chain.stop_agent(kill=True)
    set_clock(orders, "+0")
    if kill:
        chain.start_agent()
    began = time.monotonic()
    chain.recovered()
    wait("true times at central", lambda: _tells_time(chain, 0.0))
    wait("true times in status", lambda: _shows_time(chain, 0.0))
    return [time.monotonic() - began]


def wrong(chain: Chain, orders: Path, first: str) -> None:
    """Set the clock, and wait until the agent lives by it: on its page and at central."""
    set_clock(orders, first)
    off_s = float(offset(first))
    wait(f"the time of {first} in status", lambda: _shows_time(chain, off_s))
    wait(f"the time of {first} at central", lambda: _tells_time(chain, off_s))


def _tells_time(chain: Chain, off_s: float) -> bool:
    last = next((m for m in reversed(chain.received()) if m.stream == "verdict"), None)
    return last is not None and abs(last.time_ns / 1e9 - time.time() - off_s) < TOLD_S


def _shows_time(chain: Chain, off_s: float) -> bool:
    tags = chain.live().get("tags", [])
    last = next((one for one in tags if one["name"] == "number"), None)
    return last is not None and abs((last["arrival_ns"] or 0) / 1e9 - time.time() - off_s) < NEAR_S


def dead_is_not_trusted(chain: Chain, orders: Path) -> list[float]:
    """Killed while its clock stood in 2040: seconds until it reads as unassessable."""
    wrong(chain, orders, "2040-01-01")
    wait("a trusted model", lambda: _trusted(chain.live()))
    chain.stop_agent(kill=True)
    began = time.monotonic()
    wait("word that it is dead", lambda: not _trusted(chain.status()), 15)
    took = time.monotonic() - began
    set_clock(orders, "+0")
    chain.start_agent()
    chain.recovered()
    return [took]


def _trusted(status: dict[str, Any]) -> bool:
    return any(one["verdict"] == "trusted" for one in status.get("models", []))
