"""Central's side: each message counts once, holes show, sums add up, verdicts expire."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.central.subscriber import Central, line_of
from agent.central.view import show_central, table_of
from agent.core.summary import merge
from agent.forward import Identity
from agent.forward.json_payload import (
    event_message,
    state_payload,
    summary_messages,
    topic_of,
    verdict_message,
    wire,
)
from agent.mqtt import MqttLink
from agent.store.reader import OutboxRow
from agent.types import Event
from tests.mosquitto import Mosquitto

NOW = 1_790_000_000_000_000_000
S = 1_000_000_000


def who(gateway="gw", store="00000001"):
    return Identity("north", gateway, store)


def sent(message, seq, *, sender=None, boot=1, covers=(), now=NOW):
    row = OutboxRow(
        seq, boot, message.stream, seq, message.topic, message.payload, message.time_ns,
        message.retain, message.expiry_s, list(covers),
    )  # fmt: skip
    return wire(row, sender or who(), now).payload


def event(number=1, kind="engine", **data):
    return event_message(number, 0, Event(kind, NOW, "gateway", {"change": str(number), **data}))


def window(start, total, gateway_scale=1.0):
    return {
        "model": "yield", "tag": "a", "baseline": "b", "centre": 0.0, "scale": gateway_scale,
        "start_ns": start, "end_ns": start + 10, "count": 10, "good": 9, "sum": total,
        "sum_sq": total * total, "min": 1.0, "max": 2.0, "histogram": [1, total],
    }  # fmt: skip


def gap(ranges, reason="outbox_full", of="event"):
    count = sum(last - first + 1 for first, last in ranges)
    data = {"of": of, "reason": reason, "count": count, "ranges": ranges}
    payload = json.dumps({**data, "start_ns": 1, "end_ns": 2}).encode()
    return OutboxRow(1, 1, "gap", 1, "gap", payload, NOW, False, None, [])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=80))
def test_each_message_counts_once_and_holes_show(seqs):
    """In any order and repetition: each seq is accepted once, and what is missing is exact."""
    central = Central()
    accepted = [seq for seq in seqs if central.take(sent(event(seq), seq), NOW) is not None]
    assert sorted(accepted) == sorted(set(seqs))
    (view,) = central.gateways.values()
    holes = {
        n for first, last in central.missing(view).get("event", []) for n in range(first, last + 1)
    }
    assert holes == set(range(min(seqs), max(seqs) + 1)) - set(seqs)
    assert central.count("duplicates") == len(seqs) - len(set(seqs))


def test_gateways_stores_and_streams_are_apart():
    """The same seq of another gateway, another store or another stream is another message."""
    central = Central()
    for sender in (who("a"), who("b"), who("a", "00000002")):
        assert central.take(sent(event(), 1, sender=sender), NOW) is not None
    assert central.take(sent(summary_messages([window(0, 1)])[0], 1, sender=who("a")), NOW)
    assert central.take(sent(event(), 1, sender=who("a")), NOW) is None


def test_numbers_go_on_across_boots():
    """A hole between the last message of one boot and the first of the next is a hole."""
    central = Central()
    central.take(sent(event(1), 1, boot=1), NOW)
    central.take(sent(event(3), 3, boot=2), NOW)
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(2, 2)]}


def test_a_gap_record_explains_a_hole():
    """What the gateway says it dropped is lost, with the reason; told twice it counts once."""
    central = Central()
    for seq in (1, 5, 9):
        central.take(sent(event(seq), seq), NOW)
    central.take(wire(gap([[2, 4]]), who(), NOW).payload, NOW)
    later = dataclasses.replace(gap([[2, 4], [8, 8]]), seq=2)
    central.take(wire(later, who(), NOW).payload, NOW)
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(6, 7)]}
    assert central.document(NOW)["gateways"][0]["dropped"] == {"event: outbox_full": 4}


@given(st.randoms(use_true_random=False))
def test_summaries_add_up_in_any_order_with_covers(order: random.Random):
    """Windows of two gateways, repeated and coarsened on the way, add up to each window once."""
    windows = [window(n * 10, 2**n) for n in range(6)]
    coarse = merge(merge(windows[0], windows[1]), windows[2])
    single = [sent(summary_messages([w])[0], n + 1) for n, w in enumerate(windows)]
    merged = sent(summary_messages([coarse])[0], 7, covers=[(1, 3)])
    other = sent(summary_messages([window(0, 1000)])[0], 1, sender=who("other"))
    messages = [*single, merged, other, *single[3:], other]
    order.shuffle(messages)
    central = Central()
    for message in messages:
        central.take(message, NOW)
    total = central.merged("yield", "a", "b")
    assert total["sum"] == sum(2**n for n in range(6)) + 1000
    assert total["count"] == 70
    assert central.missing(central.gateways["north", "gw"]) == {}


def test_a_verdict_expires_on_centrals_own_clock():
    """Past its validity a verdict reads as unassessable, even if the gateway's clock is wrong."""
    central = Central()
    for wrong in (0, -5 * 3600 * S):
        message = verdict_message(
            "m",
            "trusted",
            [],
            time_ns=NOW + wrong,
            since_ns=NOW,
            valid_until_ns=NOW + wrong + 60 * S,
        )
        central = Central()
        central.take(sent(message, 1), NOW)
        models = [central.document(NOW + s * S)["gateways"][0]["models"][0] for s in (59, 61)]
        assert [m["verdict"] for m in models] == ["trusted", "unassessable"]
    central = Central()
    central.take(sent(message, 1), NOW, retained=True)
    assert central.document(NOW)["gateways"][0]["models"][0]["verdict"] == "unassessable"


def test_only_the_latest_verdict_and_state_count():
    """Late older ones change nothing, in one store by number, after a new disk by time."""
    central = Central()

    def told(verdict, seq, time_ns=NOW, store="00000001"):
        message = verdict_message(
            "m", verdict, [], time_ns=time_ns, since_ns=1, valid_until_ns=time_ns + 60 * S
        )
        central.take(sent(message, seq, sender=who(store=store)), NOW)
        return central.document(NOW)["gateways"][0]["models"][0]["verdict"]

    assert told("caution", 8) == "caution"
    assert told("trusted", 7) == "caution"
    assert told("untrusted", 1, NOW + S, store="00000002") == "untrusted"
    assert told("trusted", 9) == "untrusted"
    states = [(1, 1, True, True), (1, 2, False, False), (2, 1, True, True), (1, 4, False, True)]
    for boot, seq, online, expected in states:
        raw = state_payload(
            who(), boot=boot, seq=seq, time_ns=NOW, online=online, version="1", reason="x"
        )
        central.take(raw, NOW)
        assert central.document(NOW)["gateways"][0]["online"] is expected


def test_conditions_open_and_clear():
    """A condition is open from its raising until it clears."""
    central = Central()
    raised = {"id": "tag/a@1", "change": "raised", "text": "stuck"}
    central.take(sent(event(1, "condition", **raised), 1), NOW)
    assert central.document(NOW)["gateways"][0]["open_conditions"] == 1
    central.take(sent(event(2, "condition", **{**raised, "change": "cleared"}), 2), NOW)
    assert central.document(NOW)["gateways"][0]["open_conditions"] == 0
    late = {**raised, "change": "acknowledged", "state": "cleared"}
    central.take(sent(event(3, "condition", **late), 3), NOW)
    assert central.document(NOW)["gateways"][0]["open_conditions"] == 0


@given(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"offline", b"[]", b"{}", b"null", b'{"schema":1}',
            sent(event(), 1).replace(b'"seq":1', b'"seq":"x"'),
            sent(event(), 1).replace(b'"stream":"event"', b'"stream":"nonsense"'),
            sent(event(), 1).replace(b'"type":"', b'"kind":"'),
            sent(summary_messages([window(0, 1)])[0], 1).replace(b'["a"]', b'["a"],"sum":[]'),
            sent(event(), 1).replace(b'"data":{', b'"covers":[[1]],"data":{'),
        ]
    )
)  # fmt: skip
def test_nonsense_is_counted_and_harms_nothing(payload):
    """What is no message of ours is counted as unreadable; the next good one is taken."""
    central = Central()
    assert central.take(payload, NOW) is None
    assert central.unreadable == 1
    assert central.take(sent(event(2), 2), NOW) is not None


@pytest.mark.parametrize("as_json", [True, False])
async def test_shows_what_arrives_and_ends_when_idle(tmp_path, as_json):
    """Against a real broker: prints each message once, then the whole, and ends by itself."""
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        out = io.StringIO()
        shown = asyncio.create_task(
            show_central("127.0.0.1", broker.port, as_json=as_json, once_idle=1.5, out=out)
        )
        gateway = MqttLink(host="127.0.0.1", port=broker.port, client_id="gw")
        task = asyncio.create_task(gateway.run())
        while "Sending SUBACK to fieldwarden-central" not in broker.log() or not gateway.connected:
            await asyncio.sleep(0.02)
        prefix = topic_of(who(), "")
        verdict = verdict_message(
            "yield", "untrusted", [{"text": "a is stuck", "cause": "sensor"}],
            time_ns=NOW, since_ns=NOW, valid_until_ns=NOW + 10**6 * S,
        )  # fmt: skip
        for _ in range(2):
            await gateway.publish(prefix + "verdict/yield", sent(verdict, 1), retain=True)
            await gateway.publish(prefix + "event", sent(event(7, text="hello"), 3))
        central = await asyncio.wait_for(shown, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        broker.stop()
    assert (central.count("count"), central.count("duplicates")) == (2, 2)
    lines = out.getvalue().splitlines()
    if as_json:
        documents = [json.loads(line) for line in lines]
        assert [d["stream"] for d in documents[:-1]] == ["verdict", "event"]
        assert documents[-1]["central"]["gateways"][0]["models"][0]["verdict"] == "untrusted"
    else:
        assert lines[0] == "north/gw yield: untrusted a is stuck"
        assert lines[1] == "north/gw engine gateway 7 hello"
        assert any("2 messages, 2 duplicates" in line for line in lines[2:])


def test_a_line_for_every_stream_a_person_reads():
    """State, verdict, event and gap give a line; summaries give none."""
    central = Central()
    raw = state_payload(who(), boot=1, seq=1, time_ns=NOW, online=False, version="1", reason="lost")
    assert line_of(central.take(raw, NOW)) == "north/gw is offline: lost"
    assert line_of(central.take(wire(gap([[1, 3]]), who(), NOW).payload, NOW)) == (
        "north/gw lost 3 of event: outbox_full"
    )
    old = sent(event(5, text="x"), 5, now=NOW + 100 * S)
    assert line_of(central.take(old, NOW)) == "north/gw engine gateway (late) 5 x"
    assert line_of(central.take(sent(summary_messages([window(0, 1)])[0], 1), NOW)) == ""


def test_names_are_whole_at_80_columns():
    """Gateway, model and verdict are each on one line; what was lost, and why, is all there."""
    def gateway(name, models, **more):
        return {
            "site": "north", "gateway": name, "online": True, "models": models,
            "open_conditions": 0, "missing": {}, "dropped": {},
        } | more  # fmt: skip

    why = "cooling_water.temperature is lost: no connection to source utilities"
    model = {"model": "quality-soft-sensor", "verdict": "unassessable", "told": "unassessable",
             "reasons": [{"text": why}]}  # fmt: skip
    document = {"messages": 3, "duplicates": 0, "gateways": [
        gateway("gateway-07", [model], online=False, open_conditions=2,
                missing={"event": [(3, 14)]}, dropped={"limit: verdict": 3}),
        gateway("packaging-1", []),
    ]}  # fmt: skip
    out = io.StringIO()
    Console(file=out, width=80).print(table_of(document))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for whole in ("north/gateway-07", "north/packaging-1", "unassessable", "offline", "online"):
        assert whole in text
    assert sum("quality-soft-sensor" in line for line in text.splitlines()) == 1
    told = " ".join(line.rsplit("│", 2)[1].strip() for line in text.splitlines() if "│" in line)
    for said in (why, "2 open conditions", "12 event missing", "3 limit: verdict"):
        assert said in told
