"""What an endpoint's answer means for the next try."""

from __future__ import annotations

import pytest

from agent.hooks import posting
from agent.hooks.attempts import attempted
from agent.hooks.form import LaterError
from agent.hooks.posting import LONGEST_ASKED_S

NOW_S = 1_790_000_000  # 2026-09-21T14:13:20Z


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Mon, 21 Sep 2026 14:14:20 GMT", 60.0),
        ("Mon, 21 Sep 2026 14:00:00 GMT", 0.0),
        ("Mon, 21 Sep 2099 14:00:00 GMT", LONGEST_ASKED_S),
        ("9" * 400, LONGEST_ASKED_S),
        ("-5", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("1e9", 0.0),
    ],
)
async def test_an_endpoint_says_when_to_come_again(monkeypatch, said, wait_s):
    """In seconds or as a date (RFC 9110, 10.2.3); nonsense is as if nothing was said."""
    monkeypatch.setattr(posting, "wall_ns", lambda: NOW_S * 10**9)
    found = posting._asked_s({"Retry-After": said})
    assert found == pytest.approx(wait_s)

    async def deliver():
        raise LaterError("posting to", "desk", "it answered 429", found)

    attempt = await attempted(deliver(), "desk")
    assert (attempt.over, attempt.cause, attempt.wait_s) == (False, "it answered 429", found)
