"""A fleet's windows end at one instant; its summaries are sent over some seconds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.forward import Identity
from agent.forward.spread import LONGEST_NS, SHARE, spread_ns, waits_ns
from agent.store.reader import OutboxRow

S = 1_000_000_000
HALF_AN_HOUR = 1_800 * S
GW = Identity("north", "gw", "00000001")


def row(end_ns, window_ns=HALF_AN_HOUR, stream="summary", payload=None):
    common = {"start_ns": end_ns - window_ns, "end_ns": end_ns}
    payload = payload or json.dumps({"common": common, "columns": {}}).encode()
    return OutboxRow(1, 1, stream, 1, stream, payload, end_ns, False, None, [])


@given(site=st.text(), name=st.text(), window_ns=st.integers(0, 10**16))
def test_a_gateway_waits_always_as_long_and_never_long(site, name, window_ns):
    """Less than a tenth of the window, and than half a minute."""
    wait_ns = spread_ns(site, name, window_ns)
    assert 0 <= wait_ns <= min(window_ns // SHARE, LONGEST_NS)
    assert wait_ns == spread_ns(site, name, window_ns)


def test_a_fleet_is_spread_evenly():
    """10,000 gateways whose names count up: no second gets much more than its part."""
    waits = [
        spread_ns(f"site-{n % 50:02d}", f"gw-{n // 50:04d}", HALF_AN_HOUR) // S
        for n in range(10_000)
    ]
    seconds = [waits.count(second) for second in range(30)]
    assert sum(seconds) == 10_000
    assert max(seconds) < 1.3 * 10_000 / 30 and min(seconds) > 0.7 * 10_000 / 30


@given(now_ns=st.integers(-60 * S, 3_600 * S), window_ns=st.integers(S, 4 * HALF_AN_HOUR))
def test_only_a_window_that_has_just_ended_waits(now_ns, window_ns):
    """By its own end, whenever it is looked at; a backlog does not, nor one of a clock set back."""
    end_ns = 1_790_000_000 * S
    due_ns = spread_ns(GW.site, GW.gateway, window_ns)
    wait_ns = waits_ns(row(end_ns, window_ns), GW, end_ns + now_ns)
    assert wait_ns == (due_ns - now_ns if 0 <= now_ns < due_ns else 0)
    for stream in ("event", "verdict", "gap", "state"):
        assert waits_ns(row(end_ns, window_ns, stream), GW, end_ns + now_ns) == 0


def test_what_can_not_be_read_waits_for_nothing():
    """The sender says then what is wrong with it."""
    ends = b'{"common": {"end_ns": "x", "start_ns": 1}}'
    for payload in (b" ", b"[]", b"{}", b'{"common": []}', ends, b"[" * 99_999):
        assert waits_ns(row(5 * S, payload=payload), GW, 5 * S) == 0
