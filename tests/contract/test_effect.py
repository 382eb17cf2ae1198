"""What a change does to samples: value by value, and the same however blocks are cut."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.configuration.schema import Configuration
from agent.contract.differences import Difference
from agent.contract.effects import effect_of, effect_of_differences, suggested_map
from agent.contract.proposal import checked
from agent.types import Block, Quality
from tests.core.small import SECOND, START, cut

IDS = {"a": 1, "b": 2, "c": 3, "opc": 4, "mqtt": 5}
GOOD = int(Quality.GOOD)


def configured() -> Configuration:
    """Three float32 in a row of a Modbus source, one tag each of the other protocols."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"plc": {"protocol": "modbus", "host": "h"},
                    "server": {"protocol": "opcua", "endpoint": "opc.tcp://h:1"},
                    "line": {"protocol": "mqtt", "host": "h"}},
        "tags": {
            **{name: {"source": "plc", "address": f"holding {2 * row} float32", "unit": "degC"}
               for row, name in enumerate("abc")},
            "opc": {"source": "server", "address": "ns=2;s=x", "unit": "degC"},
            "mqtt": {"source": "line", "address": "t /speed", "unit": "degC"},
        },
    })  # fmt: skip


def effect(tags: dict | None = None, sources: dict | None = None):
    """Of a proposal."""
    document = {"text": "t", "who": "w", "tags": tags or {}, "sources": sources or {}}
    configuration = configured()
    return effect_of(checked(document, "f", configuration), configuration, IDS)[0]


def polled(rows: int = 20, seed: int = 1) -> Block:
    """One sample of each tag a second, all of one second together."""
    rng = np.random.default_rng(seed)
    count = len(IDS)
    times = START + np.repeat(np.arange(rows, dtype=np.int64), count) * SECOND
    return Block(
        1, START + rows * SECOND, np.tile(np.array(list(IDS.values()), np.int32), rows), times,
        times.copy(), np.round(20.0 + rng.standard_normal(rows * count), 3),
        np.zeros(rows * count, np.uint16),
    )  # fmt: skip


def of(block: Block, tag: str) -> np.ndarray:
    return block.value[block.tag == IDS[tag]]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"unit": "degF"}, lambda x: x * 1.8 + 32.0),
        ({"factor": -2.0, "offset": 1.0}, lambda x: -2.0 * x + 1.0),
        ({"decimals": 1}, lambda x: np.round(x, 1)),
        ({"whole_numbers": True}, np.round),
        ({"range": [19.5, 20.5]}, lambda x: np.clip(x, 19.5, 20.5)),
        ({"unit": "K", "decimals": 0}, lambda x: np.round(x + 273.15)),
        ({"data_type": "int8", "factor": 100.0}, lambda x: np.minimum(np.round(x * 100), 127)),
        ({"data_type": "float32"}, lambda x: x.astype(np.float32).astype(float)),
        ({"data_type": "string"}, lambda x: x),
    ],
)  # fmt: skip
def test_values_are_what_the_source_would_serve(keys, expected):
    """The tag's values alone change, and exactly so."""
    before = polled()
    after = effect({"opc": keys}).apply(before)
    assert of(after, "opc") == pytest.approx(expected(of(before, "opc")), rel=1e-12)
    others = before.tag != IDS["opc"]
    assert (after.value[others] == before.value[others]).all()
    assert (after.quality == GOOD).all()


def test_two_tags_trade_places():
    """Each has the samples of the other, at their times."""
    before = polled()
    after = effect({"opc": {"swap_with": "mqtt"}}).apply(before)
    assert (of(after, "opc") == of(before, "mqtt")).all()
    assert (of(after, "mqtt") == of(before, "opc")).all()


def test_what_is_removed_shows_as_its_source_shows_it():
    """Who is asked refuses; who sends unasked sends nothing of the key."""
    before = polled()
    after = effect({"a": {"removed": True}, "mqtt": {"removed": True}}).apply(before)
    gone = after.tag == IDS["a"]
    assert gone.sum() == 20
    assert (after.quality[gone] == int(Quality.BAD | Quality.ADDRESS_REFUSED)).all()
    assert np.isnan(after.value[gone]).all()
    assert not len(of(after, "mqtt"))


def test_a_slower_source_sends_less_or_repeats():
    """Fewer samples of who sends; who is asked gets the same value again."""
    before = polled()
    after = effect({"a": {"interval": "5s"}, "mqtt": {"interval": "5s"}}).apply(before)
    assert (of(after, "mqtt") == of(before, "mqtt")[::5]).all()
    assert (of(after, "a") == np.repeat(of(before, "a")[::5], 5)).all()


def test_a_map_that_moved_by_a_register_gives_halves_of_two_values():
    """To the bit what the device's registers hold; what no tag tells counts as refused."""
    before = polled()
    after = effect(sources={"plc": {"register_shift": 1}}).apply(before)
    halves = [
        struct.unpack(">f", struct.pack(">ff", one, two)[2:6])[0]
        for one, two in zip(of(before, "a"), of(before, "b"), strict=True)
    ]
    assert of(after, "b") == pytest.approx(halves, rel=1e-6, nan_ok=True)
    assert np.isnan(of(after, "a")).all()


def test_a_map_that_moved_by_a_whole_value_gives_the_neighbour():
    """A shift by two registers of float32."""
    before = polled()
    after = effect(sources={"plc": {"register_shift": 2}}).apply(before)
    assert of(after, "c") == pytest.approx(of(before, "b"), rel=1e-6)


def test_a_register_of_another_type_is_read_on_in_the_old_one():
    """Modbus tells no type: the agent reads the two registers as ever."""
    before = polled()
    found = effect({"a": {"data_type": "int32"}}).apply(before)
    whole = [struct.unpack(">f", struct.pack(">i", round(x)))[0] for x in of(before, "a")]
    assert of(found, "a") == pytest.approx(whole, rel=1e-6)


def test_what_is_sent_unasked_comes_at_once():
    """Who reports changes tells the new value, or the refusal, at once; who is asked does not."""
    found = effect({"opc": {"unit": "degF"}, "a": {"unit": "degF"}})
    told = found.begin(START, {"opc": 20.0, "a": 20.0})
    assert (told.tag.tolist(), told.value.tolist()) == ([IDS["opc"]], [68.0])
    gone = effect({"opc": {"removed": True}}).begin(START, {"opc": 20.0})
    assert gone.quality.tolist() == [int(Quality.BAD | Quality.ADDRESS_REFUSED)]


CHANGES = st.sampled_from([
    {"tags": {"a": {"unit": "degF"}, "opc": {"decimals": 0}}},
    {"tags": {"a": {"interval": "3s"}, "mqtt": {"interval": "7s"}}},
    {"tags": {"opc": {"swap_with": "mqtt"}, "b": {"removed": True}}},
    {"sources": {"plc": {"register_shift": 1}}},
    {"sources": {"plc": {"register_shift": -3}}, "tags": {"c": {"interval": "4s"}}},
])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(change=CHANGES, seed=st.integers(0, 99), ends=st.lists(st.integers(1, 59), max_size=6))
def test_cutting_blocks_otherwise_changes_no_sample(change, seed, ends):
    """What lasts of a change is in the effect."""
    whole = polled(60, seed)
    once = effect(**change).apply(whole)
    found = effect(**change)
    parts = [found.apply(one) for one in cut(whole, [START + end * SECOND for end in ends])]
    for name in ("tag", "source_ns", "arrival_ns", "value", "quality"):
        together = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(together, getattr(once, name))


@settings(max_examples=40, deadline=None)
@given(change=CHANGES, seed=st.integers(0, 99))
def test_a_change_only_touches_its_own_tags(change, seed):
    """Times never decrease; what is not named is bit for bit the same."""
    before = polled(30, seed)
    after = effect(**change).apply(before)
    assert (np.diff(after.arrival_ns) >= 0).all()
    named = set(change.get("tags", ())) | {"mqtt"} | (set("abc") if "sources" in change else set())
    for tag in IDS.keys() - named:
        np.testing.assert_array_equal(of(after, tag), of(before, tag))


def difference(subject: str, term: str, was: object, now: object) -> Difference:
    return Difference(subject, "server", term, was, now, "breaking", ("m",), f"{subject} {term}")


def test_differences_say_what_becomes_of_values():
    """A unit converts, a refusal ends it; what says nothing of values is told."""
    before = polled()

    def after(*found: Difference) -> tuple[Block, list[str]]:
        made, notes = effect_of_differences(found, configured(), IDS)
        return made.apply(before), notes

    told, notes = after(difference("tag/opc", "served unit", "degC", "degF"))
    assert of(told, "opc") == pytest.approx(of(before, "opc") * 1.8 + 32.0)
    assert not notes
    told, _ = after(difference("tag/opc", "served data_type", "Double", "Int16"))
    assert (of(told, "opc") == np.round(of(before, "opc"))).all()
    told, _ = after(difference("tag/mqtt", "", {"address": "t /speed"}, None))
    assert not len(of(told, "mqtt"))
    told, notes = after(difference("source/server", "served product_uri", "urn:a", "urn:b"))
    assert told is before
    assert "nothing says that its values are others" in notes[0]


def test_the_map_that_undoes_it_is_known():
    """Values go back to what they were; what is lost by rounding has no map."""
    found = effect({"opc": {"unit": "degF"}, "a": {"decimals": 0}})
    assert suggested_map(found) == {"opc": {"factor": 1 / 1.8, "offset": -32 / 1.8}}
