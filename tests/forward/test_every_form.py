"""What must hold for each row of `FORMS`, whatever its topics and bytes."""

from __future__ import annotations

import typing

import pytest

from agent.configuration.schema import Upstream
from agent.forward import FORMS, Identity
from agent.forward.form import Presence, left_s
from agent.store.reader import OutboxRow
from agent.types import Event

S = 1_000_000_000
NOW = 1_790_000_000 * S
WHO = Identity("north", "gw-07", "0badcafe")


def row_of(message, number=1):
    return OutboxRow(
        number, 3, message.stream, number, message.topic, message.payload, message.time_ns,
        message.retain, message.expiry_s, [],
    )  # fmt: skip


def said(form):
    """One outbox message of each kind that a form makes."""
    window = {"model": "yield", "tag": "a", "baseline": "b", "start_ns": 0, "end_ns": NOW}
    return [
        form.event_message(5, 0, Event("engine", NOW, "gateway", {"change": "x"})),
        *form.summary_messages([window]),
        form.verdict_message(
            "yield/a", "trusted", [], time_ns=NOW, since_ns=NOW, valid_until_ns=NOW + 300 * S
        ),
    ]


def test_each_format_of_the_configuration_has_its_form():
    """What `[upstream]` may name and what there is are the same."""
    assert set(typing.get_args(Upstream.model_fields["format"].annotation)) == set(FORMS)


@pytest.mark.parametrize("format_", FORMS)
def test_every_stream_can_be_put_on_the_wire(format_):
    """Topics without wildcards, some bytes, and the expiry that is left, for every stream."""
    form = FORMS[format_]
    messages = said(form)
    assert {message.stream for message in messages} == {"event", "summary", "verdict"}
    for message in messages:
        row = row_of(message)
        wire = form.wire(row, WHO, NOW + 100 * S)
        assert wire.topic and not set("+#") & set(wire.topic)
        assert wire.payload and wire.retain is message.retain
        assert wire.expiry_s == left_s(row, NOW + 100 * S)
        assert wire.expiry_s == (200 if message.stream == "verdict" else None)


@pytest.mark.parametrize("format_", FORMS)
def test_birth_and_will_of_a_connection_belong_together(format_):
    """The will takes back what the birth of the same connection said; connections differ."""
    form = FORMS[format_]
    first, second = (Presence(1, "1", connection, NOW) for connection in (1, 2))
    assert form.birth(WHO, first) != form.will(WHO, first)
    assert form.birth(WHO, first) != form.goodbye(WHO, first)
    assert form.will(WHO, first) != form.will(WHO, second)
