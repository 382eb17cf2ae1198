"""When a gateway sends what it summed up, so that not all of a fleet do so in one second. Pure.

Windows begin at multiples of their length in engine time, so those of all gateways end at the same
instants. Each gateway waits after that, always as long, by its name: no key, and no gateway needs
to know of the others. What is older goes at once: a backlog, after a connection was lost, is spread
by the jitter of `agent.backoff`. Nothing but summaries waits.
"""

from __future__ import annotations

import hashlib
import json

from agent.forward.form import Identity
from agent.store.reader import OutboxRow

SHARE = 10  # the wait is less than this part of a window
LONGEST_NS = 30_000_000_000  # and than this: what is sent a minute late is history to central


def spread_ns(site: str, gateway: str, window_ns: int) -> int:
    """How long after a window's end its summary is sent, ns; even over the names of gateways.

    Args:
        site: of the gateway.
        gateway: its name.
        window_ns: length of the window.
    """
    digest = hashlib.sha256(f"{site}/{gateway}".encode()).digest()
    return min(window_ns // SHARE, LONGEST_NS) * int.from_bytes(digest[:8], "big") >> 64


def waits_ns(row: OutboxRow, sender: Identity, now_ns: int) -> int:
    """How long a row is to wait still, ns; 0 where it is not a window that has just ended.

    Args:
        row: of the outbox.
        sender: the gateway.
        now_ns: engine time. Where it was set back behind the row's, nothing waits for it.
    """
    if row.stream != "summary" or not 0 <= now_ns - row.time_ns < LONGEST_NS:
        return 0
    try:
        common = json.loads(row.payload)["common"]
        window_ns = int(common["end_ns"]) - int(common["start_ns"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    wait_ns = row.time_ns + spread_ns(sender.site, sender.gateway, max(0, window_ns)) - now_ns
    return max(0, wait_ns)
