"""What an MQTT source tells of its messages, before the values that are so; by a real broker."""

from __future__ import annotations

import pytest

from agent.sources import SOURCES
from tests.sources.test_mqtt_source import broker, config, publisher, subscribed

USUAL = b'{"v": 1.5, "w": 2, "ts": "2026-01-02T12:00:00Z"}'
ADDRESSES = {"a": "t /v time /ts", "b": "t /w"}


async def test_a_snapshot_and_a_running_source_tell_the_same(make_harness, free_port, tmp_path):
    """Of a message that the broker keeps: the first that is told has no difference."""
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        await out.publish("t", USUAL, retain=True)
        found = await SOURCES["mqtt"].probe(
            "s", config(free_port), make_harness().bind(ADDRESSES), 2.0
        )
        harness = make_harness().listen()
        async with harness.running(config(free_port), ADDRESSES):
            await harness.until(lambda: harness.values("b"))
            for _ in range(20):
                await out.publish("t", USUAL)
            await harness.until(lambda: len(harness.values("b")) == 21)
    assert harness.terms == {tag.name: dict(tag.served) for tag in found.tags}
    assert harness.terms["a"] == {
        "json_type": "number", "time_type": "string", "retained": True,
        "keys": {"/v": "number", "/w": "number", "/ts": "string"},
    }  # fmt: skip
    (told,) = harness.told
    assert told.partial and told.how == "in band" and set(told.tags) == {"a", "b"}


@pytest.mark.parametrize(
    ("payload", "kind"),
    [(b'{"v": "2.5", "w": 2}', "string"), (b'{"v": true, "w": 2}', "boolean"),
     (b"2.5", None), (b"v: 2.5", "no JSON"), (b'{"v": {"v": 2.5}, "w": 2}', "object")],
)  # fmt: skip
async def test_another_type_is_told_before_the_first_value_of_it(
    harness, free_port, tmp_path, payload, kind
):
    """However fast the messages come: the values that were numbers, and only they, are that."""
    harness.listen()
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v", "b": "t /w"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        for number in range(20):
            await out.publish("t", b'{"v": %d.5, "w": %d}' % (number, number))
        for _ in range(3):
            await out.publish("t", payload)
        await harness.until(lambda: harness.term("a", "json_type") == kind)
        await out.publish("t", b'{"v": 99.5, "w": 99}')
        await harness.until(lambda: 99.5 in harness.values("a"))
    numbers = harness.values_while("a", "json_type", "number")
    assert numbers == [*(number + 0.5 for number in range(20)), 99.5]
    kinds = [terms.get("json_type") for tag, _, terms in harness.marks if tag == "a"]
    assert kinds == ["number", kind, "number"]
    others = harness.values_while("a", "json_type", kind)
    assert len(others) == (0 if kind is None else 3)


async def test_a_key_more_is_told_and_no_type(harness, free_port, tmp_path):
    """What is read is as it was."""
    harness.listen()
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        await out.publish("t", b'{"v": 1}')
        await out.publish("t", b'{"v": 2, "more": "x"}')
        await harness.until(lambda: len(harness.values("a")) == 2)
    assert harness.terms["a"]["keys"] == {"/v": "number", "/more": "string"}
    assert harness.terms["a"]["json_type"] == "number"
