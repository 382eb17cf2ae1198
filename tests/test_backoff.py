"""The one backoff: its waits double from a short one to a longest one, each with jitter."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

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


async def test_a_swallowed_cancellation_still_ends_the_loop_that_waits():
    """A library takes the cancellation for one of its own: the next wait ends the task."""
    tries = []

    async def loop():
        backoff = Backoff(30.0)
        while True:
            tries.append(1)
            with contextlib.suppress(asyncio.CancelledError):  # as asyncua does
                await asyncio.sleep(60)
            await backoff.wait()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)
    assert tries == [1]


async def test_a_wait_is_no_shorter_than_it_must_be():
    """`least_s` counts where the step is shorter."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await Backoff(0.001).wait(0.05)
    assert loop.time() - began_s >= 0.045
