"""What a worker acknowledges: at once after a birth, else paced; the later word counts."""

from __future__ import annotations

import json

from agent.central.pace import FOLLOW_NS, PACE_NS
from agent.fleet.answers import Answers
from agent.fleet.ledger import Owed


def owed(through, *, gateway="gw", born=False, stream="event", missing=()):
    word = {"boot": 3, "stream": stream, "through": through, "missing": list(missing)}
    return Owed("north", gateway, "00000001", born, [word])


def said(answers, now_ns):
    return [(answer.topic, json.loads(answer.payload)["received"], store)
            for answer, store in answers.due(now_ns)]  # fmt: skip


def test_the_later_word_of_a_stream_counts_and_a_gateway_is_told_in_paces():
    """Not with each batch: gateways are many, and each answer is a message of its own."""
    answers = Answers("central-1")
    answers.take([owed(4)], 0)
    (first,) = said(answers, 0)
    assert first[0] == "fieldwarden/1/north/gw/central" and first[1][0]["through"] == 4
    answers.take([owed(5), owed(6), owed(2, stream="summary")], 1)
    assert said(answers, PACE_NS - 1) == []
    (second,) = said(answers, PACE_NS)
    assert [(one["stream"], one["through"]) for one in second[1]] == [("event", 6), ("summary", 2)]


def test_a_birth_is_answered_at_once_and_asked_for_again_twice():
    """Of a tail that went to nobody nobody knows; a gateway does not send again at once."""
    answers = Answers("central-1")
    answers.take([owed(4)], 0)
    assert said(answers, 0)
    answers.take([owed(4, born=True)], 1)
    assert said(answers, 2)
    asked = [at for at in range(0, 60 * 10**9, 10**9) if answers.asked(at)]
    assert asked == [FOLLOW_NS[0] + 10**9, FOLLOW_NS[1] + 10**9]


def test_what_did_not_go_out_is_read_anew_and_nothing_is_remembered_for_ever():
    """The database knows better by then; ten thousand quiet gateways cost nothing."""
    answers = Answers("central-1")
    answers.take([owed(4, gateway=f"gw-{one}") for one in range(100)], 0)
    assert len(said(answers, 0)) == 100
    answers.again(("north", "gw-7"), ["00000001"])
    assert answers.asked(1) == {("north", "gw-7", "00000001")}
    assert answers.asked(2) == set()
    assert said(answers, PACE_NS) == []
    assert len(answers) == 0


def test_many_ranges_are_told_in_several_messages():
    """As the central in memory does."""
    answers = Answers("central-1")
    many = [(2 * one, 2 * one) for one in range(1, 401)]
    answers.take([owed(900, missing=many), owed(900, stream="summary", missing=many)], 0)
    parts = said(answers, 0)
    assert len(parts) == 2 and all(len(part[1]) == 1 for part in parts)
