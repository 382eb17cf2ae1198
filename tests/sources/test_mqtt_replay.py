"""What a broker sends again is known by what the journal's end holds, whatever the clocks said."""

from __future__ import annotations

import numpy as np
import pytest

from agent.decode.mqtt import Columns
from agent.mqtt import Message
from agent.sources.mqtt_replay import Replay
from agent.types import Block, Quality

TAG = 7
NOW_NS = 1_800_000_000_000_000_000
S = 1_000_000_000


def journal(samples):
    """Samples (source_ns or 0, value) as a block; without a time they have that of arrival."""
    n = len(samples)
    source = [stamp or NOW_NS for stamp, _ in samples]
    return Block(
        1, NOW_NS, np.full(n, TAG, np.int32), np.array(source, np.int64),
        np.full(n, NOW_NS, np.int64), np.array([value for _, value in samples]),
        np.zeros(n, np.uint16),
    )  # fmt: skip


def sent_again(replay, samples):
    """Whether each counts, when the broker sends it after a restart, marked as sent before."""
    found = []
    for mid, (stamp, value) in enumerate(samples, 1):
        message = Message("t", b"%g" % value, 1, False, mid, 1, dup=True, resumed=True)
        columns = Columns([TAG], [stamp], [value], [replay.bits(message, 0.01 * mid)])
        replay.mark(message, columns, 0, NOW_NS)
        found.append(not columns.quality[0] & Quality.REPEATED)
    return found


@pytest.mark.parametrize("timed_again", [True, False])
@pytest.mark.parametrize("timed_before", [True, False])
def test_sent_again_counts_once_whatever_the_clocks_said(timed_before, timed_again):
    """A gateway's clock that is years off takes samples their own time, at either side of a kill:
    what is journaled counts once; what is not, though it was sent before, counts.
    """
    samples = [(NOW_NS - 60 * S + i * S, 10.0 + i) for i in range(5)]
    held = [(stamp * timed_before, value) for stamp, value in samples[:4]]
    again = [(stamp * timed_again, value) for stamp, value in samples]
    replay = Replay(1)
    replay.recall([journal(held)], [TAG])
    assert sent_again(replay, again) == [False] * 4 + [True]


def test_an_equal_value_is_known_as_often_as_it_was_journaled():
    """One of two equal values was journaled, both without a time: the other one counts."""
    replay = Replay(1)
    replay.recall([journal([(0, 1.0)])], [TAG])
    assert sent_again(replay, [(NOW_NS - S, 1.0), (NOW_NS, 1.0)]) == [False, True]


def test_an_equal_value_of_another_time_counts():
    """Both have a time of their own, so the value alone is no sign that it is the same sample."""
    replay = Replay(1)
    replay.recall([journal([(NOW_NS - 5 * S, 1.0)])], [TAG])
    assert sent_again(replay, [(NOW_NS, 1.0)]) == [True]
