"""How much of its time an input was extrapolating: windows add up, the last day is kept apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.seen import Seen
from agent.runtime.extrapolated import Extrapolated

HOUR = 3_600_000_000_000
START = 500_000 * HOUR
A, B = ("m", "a"), ("m", "b")
NOTHING = Seen(0, 0, 0)


def window(key, hour, scans, outside, jointly=0):
    return {
        "model": key[0], "tag": key[1], "end_ns": START + hour * HOUR, "scans": scans,
        "extrapolating": outside, "jointly": jointly,
    }  # fmt: skip


def test_counts_add_up_for_ever_and_shares_over_a_day():
    """Metrics need what only grows, people what is so of late; the open window counts in both."""
    kept = Extrapolated()
    kept.count([window(A, 0, 100, 100), window(B, 0, 100, 0), window(A, 30, 100, 10, 5)])
    a, b = kept.of([A, B], [Seen(100, 0, 0), Seen(50, 25, 0)], START + 30 * HOUR)
    assert (a["scans"], a["extrapolating"], a["jointly"]) == (300, 110, 5)
    assert a["share"] == pytest.approx(10 / 200)
    assert a["share_jointly"] == pytest.approx(5 / 200)
    assert (b["scans"], b["extrapolating"], b["share"]) == (150, 25, 0.5)


def test_an_input_that_nothing_is_known_of_has_no_share():
    """Neither before the first window, nor where an earlier version wrote it."""
    kept = Extrapolated()
    assert kept.of([A], [NOTHING], START)[0]["share"] == 0.0
    kept.count([{"model": "m", "tag": "a", "end_ns": START}])
    assert kept.of([A], [NOTHING], START)[0] == {
        "scans": 0, "extrapolating": 0, "jointly": 0, "share": 0.0, "share_jointly": 0.0
    }  # fmt: skip


def test_inputs_that_a_reload_took_out_are_forgotten():
    """What stays keeps its counts, wherever it stands now."""
    kept = Extrapolated()
    kept.count([window(A, 0, 10, 1), window(B, 0, 20, 2)])
    assert kept.of([B], [NOTHING], START)[0]["scans"] == 20
    b, a = kept.of([B, A], [NOTHING, NOTHING], START)
    assert (b["extrapolating"], a["extrapolating"]) == (2, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 90), st.integers(0, 100)), max_size=40
    ).map(lambda rows: sorted(rows, key=lambda row: row[0]))
)
def test_any_windows_of_any_inputs_add_up(rows):
    """However many inputs there are, and however long nothing came."""
    kept = Extrapolated()
    made = [(hour, ("m", f"t{tag}"), 100, outside) for hour, tag, outside in rows]
    kept.count(window(key, hour, scans, outside) for hour, key, scans, outside in made)
    now = max((hour for hour, *_ in made), default=0)
    keys = sorted({key for _, key, *_ in made})
    told = kept.of(keys, [NOTHING] * len(keys), START + now * HOUR)
    for key, one in zip(keys, told, strict=True):
        own = [(hour, scans, outside) for hour, name, scans, outside in made if name == key]
        assert one["extrapolating"] == sum(outside for *_, outside in own)
        day = np.array([(s, o) for hour, s, o in own if now - hour < 24]).reshape(-1, 2).sum(axis=0)
        assert one["share"] == (day[1] / day[0] if day[0] else 0.0)
