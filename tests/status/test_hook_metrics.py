"""What status, metrics and API say of hooks: what waits and why, and what was given up."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from agent.status import view
from tests.status.fake_status import document
from tests.status.test_metrics import page, value
from tests.status.test_terminal import shown

HOOK = {
    "name": "desk", "kind": "webhook", "reason": "it answered 503", "pending": 3, "delivered": 12,
    "dropped": {"too old": 2},
}  # fmt: skip


def hooked():
    """A status with one hook."""
    whole = document(5)
    whole["outbox"]["hooks"] = [HOOK]
    return whole


def test_metrics_count_what_waits_was_delivered_and_was_given_up():
    """By hook, and by reason."""
    text = page(hooked())
    assert value(text, "fieldwarden_hook_pending_messages", hook="desk") == 3
    assert value(text, "fieldwarden_hook_messages_delivered_total", hook="desk") == 12
    dropped = {"hook": "desk", "reason": "too old"}
    assert value(text, "fieldwarden_hook_messages_dropped_total", **dropped) == 2
    assert "fieldwarden_hook" not in page(document(5))


def test_the_terminal_says_why_something_waits():
    """In a line of its own; none where there is no hook."""
    line = "Hook: desk: 12 delivered, 3 waiting (it answered 503); dropped: 2 too old"
    assert line in " ".join(shown(hooked()).split())
    assert "Hook:" not in shown(document(5))


def test_the_api_describes_it():
    """Exactly what is told."""
    path = Path(view.__file__).with_name("openapi.json")
    description = json.loads(path.read_text(encoding="utf-8"))
    outbox = description["components"]["schemas"]["Outbox"]["properties"]["hooks"]
    schema = {**outbox, "components": description["components"]}
    jsonschema.Draft202012Validator(schema).validate([HOOK])
    assert set(outbox["items"]["required"]) == set(HOOK)
