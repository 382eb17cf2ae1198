"""The one backoff: its waits double from a short one to a longest one, each with jitter."""

from __future__ import annotations

from agent.backoff import Backoff


def test_waits_double_up_to_the_longest_and_are_short_again_after_success():
    """Each wait is half to all of its step: 1, 2, 4, then 5 s for ever, and 1 s after `reset`."""
    backoff = Backoff(1.0, 5.0)
    for step_s in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert step_s / 2 <= backoff.next_s() <= step_s
    backoff.reset()
    assert 0.5 <= backoff.next_s() <= 1.0


def test_many_that_failed_together_do_not_try_again_together():
    """The jitter spreads first waits over half of the step."""
    waits = [Backoff(1.0).next_s() for _ in range(200)]
    assert max(waits) - min(waits) > 0.3
