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

from agent.central.receipt import Receipt
from agent.central.report import line_of
from agent.central.subscriber import Central
from agent.central.table import table_of
from agent.central.view import _line, show_central
from agent.central.worst import EVERYTHING
from agent.core.summary import merge
from agent.forward import Identity
from agent.forward.json_payload import (
    CHECK,
    event_message,
    state_payload,
    summary_messages,
    to_json,
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


T0 = 5_000 * S  # of central's monotonic clock


def take(central, payload, now=T0, **receipt):
    return central.take(payload, Receipt(now, **receipt))


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
    accepted = [seq for seq in seqs if take(central, sent(event(seq), seq)) is not None]
    assert sorted(accepted) == sorted(set(seqs))
    (view,) = central.gateways.values()
    holes = {
        n for first, last in central.missing(view).get("event", []) for n in range(first, last + 1)
    }
    assert holes == set(range(1, max(seqs) + 1)) - set(seqs)
    assert central.count("duplicates") == len(seqs) - len(set(seqs))


def test_gateways_stores_and_streams_are_apart():
    """The same seq of another gateway, another store or another stream is another message."""
    central = Central()
    for sender in (who("a"), who("b"), who("a", "00000002")):
        assert take(central, sent(event(), 1, sender=sender)) is not None
    assert take(central, sent(summary_messages([window(0, 1)])[0], 1, sender=who("a")))
    assert take(central, sent(event(), 1, sender=who("a"))) is None


def test_each_boot_counts_from_one():
    """The same number of another boot is another message, also of a lower boot (an old image)."""
    central = Central()
    for boot in (7_000_123, 8_000_456, 6_000_789):
        assert take(central, sent(event(1), 1, boot=boot)) is not None
        assert take(central, sent(event(1), 1, boot=boot)) is None
    take(central, sent(event(3), 3, boot=6_000_789))
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(2, 2)]}


def test_a_gap_record_explains_a_hole():
    """What the gateway says it dropped is lost, with the reason; told twice it counts once."""
    central = Central()
    for seq in (1, 5, 9):
        take(central, sent(event(seq), seq))
    take(central, wire(gap([[2, 4]]), who(), NOW).payload)
    later = dataclasses.replace(gap([[2, 4], [8, 8]]), seq=2)
    take(central, wire(later, who(), NOW).payload)
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(6, 7)]}
    assert central.document(T0)["gateways"][0]["dropped"] == {"event: outbox_full": 4}


@pytest.mark.parametrize("turned", [False, True])
def test_a_number_is_lost_once_whatever_the_gateway_says_of_it_later(turned):
    """Asked for again, it says that it keeps it no longer; why it does not was told, or comes."""
    central = Central()
    take(central, sent(event(9), 9))
    told = [([[2, 4]], "outbox_full"), ([[3, 6]], "no_longer_kept"), ([[4, 4]], "outbox_full")]
    for seq, (some, why) in enumerate(reversed(told) if turned else told, 1):
        document = json.loads(wire(gap(some), who(), NOW).payload)
        document["seq"] = seq
        document["data"] |= {"reason": why, "count": some[0][1] - some[0][0] + 1}
        assert take(central, json.dumps(document).encode()) is not None
    dropped = central.document(T0)["gateways"][0]["dropped"]
    assert dropped == {"event: outbox_full": 3, "event: no_longer_kept": 2}


def test_a_gap_record_that_joins_ranges_acknowledges_nothing_more():
    """It names more numbers than it counts: among them may be some that still come."""
    central = Central()
    take(central, sent(event(9), 9))
    joined = json.loads(wire(gap([[2, 6]]), who(), NOW).payload)
    joined["data"] |= {"count": 3, "boot": 1}
    take(central, json.dumps(joined).encode())
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(1, 1), (7, 8)]}
    assert view.streams["00000001", 1, "event"].asked() == [(1, 8)]
    exact = json.loads(wire(gap([[3, 3]], of="event"), who(), NOW).payload)
    exact["seq"] = 2
    take(central, json.dumps(exact).encode())
    assert view.streams["00000001", 1, "event"].asked() == [(1, 2), (4, 8)]


def test_a_gap_of_an_earlier_run_closes_its_holes_and_no_others():
    """The record names the run; it was written by a later one."""
    central = Central()
    for boot in (1, 2):
        take(central, sent(event(3), 3, boot=boot))
    told = json.loads(wire(gap([[1, 2]]), who(), NOW).payload)
    told["boot"], told["data"]["boot"] = 2, 1
    take(central, json.dumps(told).encode())
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(1, 2)]}
    assert view.streams["00000001", 1, "event"].missing() == []


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
        take(central, message)
    total = central.windows.merged("yield", "a", "b")
    assert total["sum"] == sum(2**n for n in range(6)) + 1000
    assert total["count"] == 70
    assert central.missing(central.gateways["north", "gw"]) == {}


def verdict(name="trusted", model="m", time_ns=NOW, span_s=60, **details):
    until = time_ns + span_s * S
    return verdict_message(
        model, name, [], time_ns=time_ns, since_ns=time_ns, valid_until_ns=until, **details
    )


def state(
    online=True, seq=1, boot=1, sender=None, time_ns=NOW, time_quality="unknown", **more
):
    raw = state_payload(
        sender or who(), boot=boot, seq=seq, time_ns=time_ns, online=online, version="1",
        time_quality=time_quality, reason="connected" if online else "connection lost",
    )  # fmt: skip
    document = json.loads(raw)
    document["data"].update(more)
    return json.dumps(document).encode()


def models(central, now=T0):
    (gateway,) = central.document(now)["gateways"]
    return {model["model"]: model["verdict"] for model in gateway["models"]}


@pytest.mark.parametrize("wrong_s", [0, -5 * 3600, 14 * 365 * 86_400, -20 * 365 * 86_400])
def test_a_verdict_expires_on_centrals_own_clock(wrong_s):
    """A span from the receipt on counts, whatever year the gateway's clock is in."""
    message = sent(verdict(time_ns=NOW + wrong_s * S), 1, now=NOW + wrong_s * S)
    central = Central()
    take(central, message)
    assert models(central, T0 + 59 * S) == {"m": "trusted"}
    assert models(central, T0 + 60 * S) == {"m": "unassessable"}


@pytest.mark.parametrize(
    ("receipt", "span", "good_s"),
    [
        ({"expiry_s": 20}, {"valid_for_s": 30}, 20),
        ({"expiry_s": 90}, {"valid_for_s": 30}, 30),
        ({"retained": True, "expiry_s": 5}, {}, 5),
        ({"retained": True}, {}, 0),
        ({"retained": True}, {"valid_for_s": 300}, 0),
        ({"aged": True}, {"valid_for_s": 300}, 0),
        ({}, {"valid_for_s": 300}, 300),
        ({}, {"valid_for_s": 1e30}, 3_600),
        ({}, {"valid_for_s": -1}, 0),
        ({}, {}, 60),
    ],
)
def test_a_verdict_is_valid_for_the_shorter_of_its_span_and_its_expiry(receipt, span, good_s):
    """A message of unknown age is worth nothing; what the broker kept, only what is left of it."""
    central = Central()
    take(central, sent(verdict(**span), 1), **receipt)
    assert models(central, T0 + max(0, good_s * S - 1))["m"] == (
        "trusted" if good_s else "unassessable"
    )
    assert models(central, T0 + good_s * S) == {"m": "unassessable"}


def test_a_verdict_that_was_late_at_the_gateway_counts_only_with_an_expiry():
    """History without an expiry is of unknown age; a repetition with one tells what is left."""
    central = Central()
    late = sent(verdict(), 1, now=NOW + 70 * S)
    take(central, late)
    assert models(central) == {"m": "unassessable"}
    take(central, late, retained=True, expiry_s=10)
    assert models(central, T0 + 9 * S) == {"m": "trusted"}
    assert models(central, T0 + 10 * S) == {"m": "unassessable"}


def test_an_offline_gateways_models_read_unassessable_at_once():
    """Until it is back, and after a restart until the new run says it anew; the reason is told."""
    central = Central()
    take(central, state(seq=1))
    take(central, sent(verdict(), 1))
    assert models(central) == {"m": "trusted"}
    take(central, state(online=False, seq=2))
    assert models(central) == {"m": "unassessable"}
    (model,) = central.document(T0)["gateways"][0]["models"]
    assert model["why"] == "the gateway is offline: connection lost" and model["told"] == "trusted"
    take(central, state(seq=3))
    assert models(central) == {"m": "trusted"}
    take(central, state(seq=1, boot=2))
    assert models(central) == {"m": "unassessable"}
    take(central, sent(verdict(), 1, boot=2))
    assert models(central) == {"m": "trusted"}


def test_a_state_that_is_said_again_tells_how_good_the_clock_is_now():
    """Under its number, as a gateway does when its clock was set; an earlier one changes nothing.

    Neither is a new birth, nor does it count as somebody else's.
    """
    central = Central()
    for seq in (1, 3):
        take(central, state(seq=seq, time_quality="implausible"))
    take(central, state(seq=3, time_quality="synchronised"))
    take(central, state(seq=1, time_quality="implausible"))
    (gateway,) = central.document(T0)["gateways"]
    assert (gateway["time_quality"], gateway["online"]) == ("synchronised", True)
    assert gateway["clash"] == []


def test_only_the_latest_verdict_and_state_count():
    """Late older ones change nothing, whatever the clocks and the boot numbers say."""
    central = Central()
    states = [(1, 1, True, True), (1, 2, False, False), (2, 1, True, True), (1, 4, False, True)]
    for boot, seq, online, expected in states:
        take(central, state(online=online, boot=boot, seq=seq))
        assert central.document(T0)["gateways"][0]["online"] is expected
    take(central, sent(verdict("caution"), 8, boot=2))
    take(central, sent(verdict("trusted"), 7, boot=2))
    take(central, sent(verdict("trusted"), 9, boot=1))
    assert models(central) == {"m": "caution"}
    # An image is played back: its boots count from where it was made.
    take(central, state(boot=1_500, seq=1))
    take(central, state(boot=1_400, seq=1))
    take(central, sent(verdict("untrusted"), 1, boot=1_400))
    assert models(central) == {"m": "untrusted"}
    assert central.document(T0)["gateways"][0]["boot"] == 1_400


def test_a_replaced_store_takes_over_and_is_no_clash():
    """A new disk, even where the old clock stood in 2040: the dead store's word counts no more."""
    central, future = Central(), NOW + 14 * 365 * 86_400 * S
    old, new = who(store="00000001"), who(store="00000002")
    take(central, state(sender=old, time_ns=future))
    take(central, sent(verdict(time_ns=future), 1, sender=old, now=future))
    take(central, state(online=False, sender=old, seq=2, time_ns=future))
    take(central, state(sender=new))
    take(central, sent(verdict("caution"), 1, sender=new))
    take(central, state(sender=old, time_ns=future), retained=True)  # said before
    (gateway,) = central.document(T0)["gateways"]
    assert (gateway["online"], gateway["store"], gateway["clash"]) == (True, "00000002", [])
    assert models(central) == {"m": "caution"}


def test_nothing_that_a_gateway_says_steers_the_terminal_of_central():
    """Names and reasons come from afar: what would clear a line or turn a name round is shown."""
    odd = "\x1b[2J\x9b1A\u202e"
    central, sender = Central(), who(f"g{odd}")
    take(central, state(sender=sender, reason=odd), T0)
    accepted = take(central, sent(verdict("untrusted", f"m{odd}"), 1, sender=sender), T0)
    out = io.StringIO()
    Console(file=out, width=300).print(table_of(central.document(T0)))
    said = [*out.getvalue().splitlines(), _line(accepted, EVERYTHING, as_json=False)]
    assert all(line.isprintable() for line in said)
    assert r"m\x1b[2J\x9b1A\x202e" in out.getvalue()


def test_two_gateways_of_one_name_are_shown_with_both_ids_and_counted_apart():
    """Stores, or copies of one store, that speak by turns; it is over when one is silent."""
    central, stores = Central(), [who(store="00000001"), who(store="00000002")]
    for turn in range(2):
        for one in stores:
            take(central, state(sender=one, seq=2 * turn + 1), T0 + turn * 10 * S)
            assert take(central, sent(event(turn), turn + 1, sender=one)) is not None
    document = central.document(T0 + 10 * S)
    (gateway,) = document["gateways"]
    assert gateway["clash"] == ["00000001", "00000002"]
    assert (gateway["duplicates"], gateway["missing"]) == (0, {})
    out = io.StringIO()
    Console(file=out, width=300).print(table_of(document))
    assert "2 gateways have this one name" in out.getvalue() and "00000001 and" in out.getvalue()
    assert central.document(T0 + 700 * S)["gateways"][0]["clash"] == []
    copies = Central()
    for seq in (1, 3):
        for boot in (5_000_001, 5_000_002):
            take(copies, state(boot=boot, seq=seq))
    assert copies.document(T0)["gateways"][0]["clash"] == [
        "00000001 boot 5000001", "00000001 boot 5000002",
    ]  # fmt: skip


def test_a_model_that_is_no_longer_watched_goes():
    """At once where its retained topic is cleared, after a while where only that is said."""
    central = Central()
    for name in ("a/b", "c"):
        take(central, sent(verdict(model=name), 1 + len(models(central) if name == "c" else [])))
    topic = topic_of(who(), verdict(model="a/b").topic)
    take(central, b"", topic=topic)
    assert models(central) == {"c": "trusted"}
    gone = verdict_message(
        "c", "unassessable", [{"text": "no longer watched"}], time_ns=NOW, since_ns=NOW,
        valid_until_ns=NOW + 60 * S,
    )  # fmt: skip
    take(central, sent(gone, 3))
    assert models(central) == {"c": "unassessable"}
    assert models(central, T0 + 601 * S) == {}
    assert central.unreadable == 0


def test_what_an_earlier_central_had_is_not_called_missing():
    """The birth tells what was acknowledged and what the gateway still holds."""
    central = Central()
    take(central, sent(event(11), 11))
    (view,) = central.gateways.values()
    assert central.missing(view) == {"event": [(1, 10)]}
    born = state(
        unacknowledged=[{"boot": 1, "stream": "event", "first": 9, "last": 14}],
        acknowledged=[{"boot": 1, "stream": "event", "through": 8}],
    )
    take(central, born)
    (gateway,) = central.document(T0)["gateways"]
    assert gateway["missing"] == {} and gateway["received_earlier"] == {"event": 8}
    assert gateway["awaited"] == {"event": 5}  # 9, 10, 12, 13, 14
    take(central, state(seq=3))  # it holds nothing any more
    (gateway,) = central.document(T0)["gateways"]
    assert gateway["missing"] == {"event": [(9, 10)]} and gateway["awaited"] == {}


def test_memory_is_bounded_whatever_a_gateway_says():
    """Thousands of boots, holes and models: what is let go is still counted."""
    central = Central()
    for boot in range(1, 201):
        take(central, sent(event(1), 2, boot=boot))
    for seq in range(1, 2_600, 2):
        take(central, sent(verdict(model=f"m{seq}"), seq, boot=200))
    (view,) = central.gateways.values()
    assert len(view.streams) <= 66 and len(view.models) <= 1_000 and len(view.lives) <= 64
    assert central.count("count") == 200 + 1_300
    assert central.document(T0)["gateways"][0]["missing_count"] == {"event": 200}
    assert len(central.forgotten) == 136


def test_conditions_open_and_clear():
    """A condition is open from its raising until it clears."""
    central = Central()
    raised = {"id": "tag/a@1", "change": "raised", "text": "stuck"}
    take(central, sent(event(1, "condition", **raised), 1))
    assert central.document(T0)["gateways"][0]["open_conditions"] == 1
    take(central, sent(event(2, "condition", **{**raised, "change": "cleared"}), 2))
    assert central.document(T0)["gateways"][0]["open_conditions"] == 0
    late = {**raised, "change": "acknowledged", "state": "cleared"}
    take(central, sent(event(3, "condition", **late), 3))
    assert central.document(T0)["gateways"][0]["open_conditions"] == 0
    assert central.document(T0)["gateways"][0]["open_incidents"] == 0


@given(
    st.binary(min_size=1, max_size=40).filter(lambda some: some != to_json(CHECK))
    | st.sampled_from(
        [
            b"offline", b"[]", b"{}", b"null", b'{"schema":1}',
            b"[" * 100_000,
            b'{"schema":' + b"9" * 10_000 + b"}",
            sent(event(), 1).replace(b'"seq":1', b'"seq":true'),
            sent(event(), 1).replace(b'"boot":1', b'"boot":0'),
            sent(event(), 1).replace(b'"site":"north"', b'"site":"north/#"'),
            sent(verdict(), 1).replace(b'"reasons":[]', b'"reasons":[1]'),
            state().replace(b'"data": {', b'"data": {"acknowledged": [1], '),
            state(seq=2, unacknowledged=[{"boot": 1, "stream": "event", "first": 3, "last": 2}]),
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
    assert take(central, payload) is None
    assert central.unreadable == 1
    assert take(central, sent(event(2), 2)) is not None


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
        central = (await asyncio.wait_for(shown, 20)).central
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

    def said(accepted):
        return line_of(accepted.view, accepted.stream, accepted.document)

    central = Central()
    raw = state_payload(who(), boot=1, seq=1, time_ns=NOW, online=False, version="1", reason="lost")
    assert said(take(central, raw)) == "north/gw is offline: lost"
    assert said(take(central, wire(gap([[1, 3]]), who(), NOW).payload)) == (
        "north/gw lost 3 of event: outbox_full"
    )
    assert said(take(central, sent(verdict(), 3))) == (
        "north/gw m: unassessable the gateway is offline: lost (was trusted)"
    )
    assert said(take(central, sent(verdict(), 2))) == ""  # not the latest
    old = sent(event(5, text="x"), 5, now=NOW + 100 * S)
    assert said(take(central, old)) == "north/gw engine gateway (late) 5 x"
    assert said(take(central, sent(summary_messages([window(0, 1)])[0], 1))) == ""


def test_names_are_whole_at_80_columns():
    """Gateway, model and verdict are each on one line; what was lost, and why, is all there."""

    def gateway(name, models, **more):
        return {
            "site": "north", "gateway": name, "online": True, "models": models,
            "open_incidents": 0, "open_conditions": 0, "missing_count": {}, "dropped": {},
        } | more  # fmt: skip

    why = "cooling_water.temperature is lost: no connection to source utilities"
    model = {"model": "quality-soft-sensor", "verdict": "unassessable", "told": "unassessable",
             "reasons": [{"text": why}]}  # fmt: skip
    document = {"messages": 3, "duplicates": 0, "gateways": [
        gateway("gateway-07", [model], online=False, open_incidents=2, open_conditions=5,
                missing_count={"event": 12}, dropped={"limit: verdict": 3}),
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
    for said in (why, "2 open incidents of 5 conditions", "12 event missing", "3 limit: verdict"):
        assert said in told
