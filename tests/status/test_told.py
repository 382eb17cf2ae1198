"""What a model's process may tell: known keys, finite numbers, bounded sizes, by somebody known."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import FieldwardenError
from agent.status.told import ITEMS_MAX, told_items
from tests.status.conftest import KNOWN, people, serving


def body(*items: object) -> bytes:
    return json.dumps(list(items)).encode()


def test_one_or_a_batch_is_taken_with_its_known_keys():
    """What is not said is empty; a class and scores stand beside the number."""
    plain = {"id": "", "time_ns": 0, "output": "", "version": "", "value": 2.0, "class": "",
             "scores": {}}  # fmt: skip
    assert told_items("predictions", json.dumps({"value": 2}).encode()) == [plain]
    found = told_items("predictions", body(
        {"id": "a", "scores": {"good": 0.2, "bad": 0.8}, "version": "2", "time_ns": 5},
        {"class": "good", "output": "y"},
    ))  # fmt: skip
    assert found[0] == {**plain, "id": "a", "version": "2", "time_ns": 5, "value": 0.0,
                        "class": "bad", "scores": {"good": 0.2, "bad": 0.8}}  # fmt: skip
    assert found[1] == {**plain, "value": 0.0, "class": "good", "output": "y"}


@pytest.mark.parametrize(("kind", "told", "why"), [
    ("predictions", b"", "no JSON"), ("predictions", b"[NaN]", "no JSON"),
    ("predictions", b"[" * 100_000, "no JSON"), ("predictions", b"3", "neither"),
    ("predictions", body(), "neither"), ("predictions", body(*[{"value": 1}] * 257), "neither"),
    ("predictions", body(3), "no object"), ("predictions", body({"value": "3"}), "finite"),
    ("predictions", body({"value": True}), "finite"),
    ("predictions", b'{"value": 1e999}', "finite"),
    ("predictions", body({"value": 10**400}), "finite"), ("predictions", body({}), "give one of"),
    ("predictions", body({"value": 1, "class": "a"}), "give one of"),
    ("predictions", body({"value": 1, "by": "me"}), "unknown key"),
    ("predictions", body({"value": 1, "time_ns": 1.5}), "time_ns"),
    ("predictions", body({"value": 1, "time_ns": -1}), "time_ns"),
    ("predictions", body({"value": 1, "id": 5}), "no text"),
    ("predictions", body({"value": 1, "id": "x" * 201}), "no text"),
    ("predictions", body({"value": 1, "id": "a\nb"}), "no text"),
    ("predictions", body({"scores": {"a": 1}}), "scores need an id"),
    ("predictions", body({"id": "x", "scores": {"a": -1, "b": 2}}), "negative"),
    ("predictions", body({"id": "x", "scores": {}}), "scores are no object"),
    ("predictions", body({"id": "x", "scores": {"": 1, "b": 2}}), "has no name"),
    ("predictions", b'{"id": "x", "value": 1, "value": 2}', "twice"),
    ("predictions", b'{"id": "x", "scores": {"a": 0.2, "a": 0.8}}', "twice"),
    ("labels", b'[{"id": "x", "id": "y", "value": 1}]', "twice"),
    ("labels", body({"value": 1}), "give the id"),
    ("labels", body({"id": "x", "scores": {"a": 1}}), "give one of"),
    ("labels", body({"id": "x", "value": 1, "version": "2"}), "no version"),
])  # fmt: skip
def test_anything_else_is_refused_whole_with_its_place(kind, told, why):
    """Nothing of a batch is taken where one item is wrong."""
    with pytest.raises(FieldwardenError, match=why):
        told_items(kind, told)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["id", "time_ns", "output", "value", "class", "scores", "version", "x"]),
        inner, max_size=4,
    ),
))  # fmt: skip
def test_whatever_comes_is_taken_as_what_can_be_journaled_or_refused(told):
    """No other error, and what is taken is JSON without NaN."""
    for kind in ("predictions", "labels"):
        try:
            found = told_items(kind, json.dumps(told).encode())
        except FieldwardenError:
            continue
        assert 0 < len(found) <= ITEMS_MAX
        json.dumps(found, allow_nan=False)


async def send(path: str, told: object, times: int = 1, **request):
    """(status, answer) of the last of some requests to a fresh server."""
    async def take(kind, data):
        return {"accepted": kind, **data}

    async with serving("127.0.0.1:0", take, people=people) as served:
        for _ in range(times):
            url = f"{served.server.url}api/v1/models/{path}"
            async with served.session.post(url, json=told, **request) as answer:
                found = answer.status, await answer.json(content_type=None)
    return found


async def test_a_known_process_tells_in_its_name():
    """The model of the path, and the person of the token."""
    status, answer = await send("a/b/predictions", {"value": 1.0}, headers=KNOWN)
    assert status == 200
    told = (answer["accepted"], answer["model"], answer["by"])
    assert told == ("predictions", "a/b", "Mara Lind")


async def test_nobody_unknown_tells_anything():
    """As with any command: 401 without a token; 422 for what is no prediction."""
    assert (await send("m/labels", {"id": "x", "value": 1}))[0] == 401
    status, answer = await send("m/labels", {"value": 1}, headers=KNOWN)
    assert status == 422
    assert "nothing of it was taken" in answer["hint"]


async def test_a_flood_is_refused():
    """More than the pace: 429, and nothing of the request is taken."""
    status, answer = await send("m/predictions", [{"value": 1.0}] * 256, 12, headers=KNOWN)
    assert status == 429
    assert "a second" in answer["detail"]
