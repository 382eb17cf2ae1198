"""What messages are like besides their values: told once, in time, and not where it is common."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode.columns import Dictionary
from agent.decode.kinds import MOST_CHANGES, WITHIN_NS, Kinds
from agent.decode.mqtt import Columns, Decoder, parse_address
from agent.decode.mqtt_shape import keys_of
from tests.sparkplug import metric, payload

S = 1_000_000_000


class Topic:
    """A decoder that watches, and what it told of its tags."""

    def __init__(self, *addresses, text=()):
        self.decoder = Decoder(
            [parse_address(one) for one in addresses], range(len(addresses)),
            [at in text for at in range(len(addresses))], Dictionary(), watches=True,
        )  # fmt: skip
        self.columns = Columns.empty()
        self.now_ns = S

    def hear(self, document, topic="t"):
        """The news of a message: [(row in the message, tag, terms)]; keys of it left out."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        begin = len(self.columns.tag)
        self.decoder.decode(topic, data, 0, self.columns, self.now_ns)
        self.now_ns += S
        found = [(row - begin, tag, terms) for row, tag, terms in self.decoder.news]
        self.decoder.news.clear()
        return found

    def types(self, *documents):
        """What is told of the first tag's type by each message."""
        told = []
        for document in documents:
            news = [terms for _, tag, terms in self.hear(document) if tag == 0]
            told.append([terms["json_type"] for terms in news if "json_type" in terms])
        return told


USUAL = [{"v": 1.5}] * 12


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"v": "21.5"}, "string"), ({"v": "n/a"}, "string"), ({"v": True}, "boolean"),
        ({"v": [1.5]}, "array"), ({"v": {"value": 1.5}}, "object"), (b"v=1.5", "no JSON"),
        (b'{"v": 1, "v": 2}', "twice"),
    ],
)  # fmt: skip
def test_another_type_is_told_with_its_first_message(document, kind):
    """Before the row of it; and when it is a number again."""
    topic = Topic("t /v", "t /other")
    topic.types(*USUAL)
    news = [one for one in topic.hear(document) if "json_type" in one[2]]
    assert news[0] == (0, 0, {"json_type": kind})
    assert topic.types({"v": 2.5}) == [["number"]]


def test_whole_numbers_are_numbers():
    """Many programs write 20.0 as 20."""
    topic = Topic("t /v")
    assert topic.types({"v": 1.5}, {"v": 20}, {"v": 1.5}, {"v": 1e300}) == [["number"], [], [], []]


def test_null_is_of_no_type():
    """A sensor without a value says so."""
    topic = Topic("t /v")
    assert topic.types({"v": None}, {"v": 1.5}, {"v": None}, {"v": 2}) == [[], ["number"], [], []]


@pytest.mark.parametrize("renamed", [{"V": 1.5}, {"data": {"v": 1.5}}, [1.5], 1.5])
def test_a_value_that_was_in_every_message_is_gone_after_three_without_it(renamed):
    """Renamed, dropped or nested; there again, it is told at once."""
    topic = Topic("t /v")
    topic.types(*USUAL)
    assert topic.types(renamed, renamed, renamed, renamed) == [[], [], [None], []]
    assert topic.types({"v": 1.5}) == [["number"]]


def test_messages_of_several_kinds_on_one_topic_are_common():
    """Each fifth one has the value: that it lacks in four is no news, nor ever was."""
    topic = Topic("t /v")
    cycle = [{"v": 1.5}, *({f"k{at}": 1} for at in range(4))]
    told = topic.types(*cycle * 20)
    assert told[0] == ["number"] and not any(told[1:])
    assert [None] in topic.types(*[{"k1": 1}] * 12)


def test_types_that_alternate_are_told_as_several():
    """And one type again when the other did not come for a while."""
    topic = Topic("t /v")
    told = topic.types(*[{"v": 1.5}, {"v": "2.5"}] * 20)
    assert ["number or string"] in told and sum(map(bool, told)) == MOST_CHANGES + 2
    topic.now_ns += 2 * WITHIN_NS
    assert topic.types({"v": 1.5}) == [["number"]]


def test_the_time_of_a_message_is_watched():
    """Text or number is another way to write it; gone is gone."""
    topic = Topic("t /v time /ts", "t /w time /ts")
    stamped = {"v": 1.5, "w": 2.5, "ts": "2026-01-02T12:00:00Z"}
    first = [terms for _, _, terms in topic.hear(stamped) if "time_type" in terms]
    assert first == [{"time_type": "string"}] * 2
    topic.types(*[stamped] * 12)
    found = topic.hear(stamped | {"ts": 1_767_355_200})
    assert [terms["time_type"] for _, _, terms in found] == ["number"] * 2
    without = {"v": 1.5, "w": 2.5}
    told = [topic.hear(without) for _ in range(4)]
    assert [len(one) for one in told] == [0, 0, 2, 0]
    assert told[2][0][2] == {"time_type": None}


def test_keys_are_told_where_there_are_more_and_after_a_while_fewer():
    """Of all kinds of messages together; at most once a minute and for each that is new."""
    topic = Topic("t /v")

    def keys(document):
        return [terms["keys"] for _, _, terms in topic.hear(document) if "keys" in terms]

    assert keys({"v": 1, "a": {"b": "x"}}) == [{"/v": "number", "/a/b": "string"}]
    assert keys({"v": 2, "a": {"b": "y"}}) == [] == keys({"v": 2})
    (told,) = keys({"v": 2, "c": True})
    assert told == {"/v": "number", "/a/b": "string", "/c": "boolean"}
    for _ in range(150):
        found = keys({"v": 3, "c": False})
        assert found in ([], [{"/v": "number", "/c": "boolean"}])
    assert topic.decoder._watch._keys["t"].told == {"/v": "number", "/c": "boolean"}


def test_a_tag_of_texts_may_be_a_whole_payload():
    """Which is no JSON, and is text; JSON is told."""
    topic = Topic("t", text=(0,))
    assert topic.types(b"idle", b"run fast", b'"run"', b"idle") == [
        ["text"], [], ["string"], ["text"]
    ]  # fmt: skip


def test_a_birth_of_sparkplug_is_told_before_its_values():
    """Type and unit of each metric, and which it does not have any more."""
    data = "spBv1.0/plant/DDATA/edge/dryer"
    birth = data.replace("DDATA", "DBIRTH")
    topic = Topic(f"{data} /Temp", f"{data} /Flow")
    both = payload(metric("Temp", 9, real=1.5, unit="degC"), metric("Flow", 3, raw=7))
    first = topic.hear(both, birth)
    assert first[0] == (0, 0, {"refused": None, "data_type": "Float", "unit": "degC"})
    assert first[1] == (0, 1, {"refused": None, "data_type": "Int32", "unit": None})
    assert topic.hear(payload(metric("Temp", 9, real=2.5)), data) == []
    again = topic.hear(payload(metric("Temp", 10, double=1.5)), birth)
    assert [terms for _, _, terms in again] == [
        {"refused": None, "data_type": "Double", "unit": None}, {"refused": "not in the birth"}
    ]  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["v", "w", "a/b", "~"]), inner, max_size=4),
    max_leaves=12,
)
messages = st.lists(anything.map(lambda one: json.dumps(one).encode()) | st.binary(max_size=9))


@given(messages)
def test_watching_changes_no_sample(sequence):
    """Whatever comes: the same columns, and each row is of the tag that the news say."""
    addresses = [parse_address(one) for one in ("t /v time /w", "t /w", "t", "t /v/0")]
    made = [
        Decoder(addresses, range(4), [False, False, True, False], Dictionary(), watches=watches)
        for watches in (False, True)
    ]
    columns = [Columns.empty(), Columns.empty()]
    for number, data in enumerate(sequence):
        for decoder, own in zip(made, columns, strict=True):
            decoder.decode("t", data, 0, own, number * S)
    for name in ("tag", "source_ns", "value", "quality"):
        assert repr(getattr(columns[0], name)) == repr(getattr(columns[1], name))
    rows = [row for row, _, _ in made[1].news]
    assert rows == sorted(rows) and all(row <= len(columns[1].tag) for row in rows)
    assert made[0].news == []


@given(anything)
def test_keys_are_what_can_be_pointed_at(document):
    """Each pointer finds a value of its type."""
    for pointer, kind in keys_of(document).items():
        value = document
        is_whole = pointer == "/" and not isinstance(document, dict)
        for token in () if is_whole else pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
        assert {"number": (int, float), "string": str, "boolean": bool}[kind] and value is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2 * WITHIN_NS))))
def test_kinds_tell_what_came(sequence):
    """What is told always holds what came last, and changes only where it says so."""
    kinds, now_ns, told = Kinds(), 0, ""
    for kind, wait_ns in sequence:
        now_ns += wait_ns
        is_news = kinds.came(kind, now_ns)
        assert is_news is (kinds.told != told)
        told = kinds.told
        assert kind in told.split(" or ") and kinds.latest == kind
