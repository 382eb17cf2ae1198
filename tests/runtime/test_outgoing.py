"""What central is told of models that come and go."""

from __future__ import annotations

import json
from types import SimpleNamespace

from agent.runtime.outgoing import Outgoing


def engine():
    return SimpleNamespace(
        time_ns=10**18, time_quality="synchronised", judge=SimpleNamespace(verdicts={}, since={})
    )


def configured(*models):
    upstream = SimpleNamespace(format="json")
    return SimpleNamespace(upstream=upstream, models=dict.fromkeys(models))


def test_a_model_that_is_gone_is_told_once_and_does_not_expire():
    """Renamed or removed, before a start or by a reload: its last verdict is taken back, once."""
    outgoing = Outgoing(configured("new"), told=["old", "new"])
    (message,) = outgoing.verdicts(engine(), set())
    data = json.loads(message.payload)
    assert (message.topic, message.retain, message.expiry_s) == ("verdict/old", True, None)
    assert (data["verdict"], data["reasons"][0]["text"]) == ("unassessable", "no longer watched")
    assert message.time_quality == "synchronised"
    assert outgoing.told == {"new"}
    assert outgoing.verdicts(engine(), set()) == []
    outgoing.configuration = configured()
    assert [one.topic for one in outgoing.verdicts(engine(), set())] == ["verdict/new"]
