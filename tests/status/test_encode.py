"""The document as strict JSON, in slices that let the loop turn."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.status import encode
from tests.status.fake_status import document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_any_value_becomes_strict_json_with_null_for_what_is_not_finite(value):
    """NaN and infinities become null; everything else comes back as it was."""
    text = encode.dumps(value)
    assert json.loads(text, parse_constant=refuse) == finite(value)
    text.encode("ascii")


def test_numpy_scalars_and_read_only_mappings_are_encoded():
    """Values often come straight from numpy columns."""
    value = {"a": np.float64(1.5), "b": np.int64(2), "c": np.float32("nan"), "d": np.bool_(True)}
    assert json.loads(encode.dumps(value)) == {"a": 1.5, "b": 2, "c": None, "d": True}


async def test_slices_join_to_the_whole_array_with_and_without_history():
    """Also where the number of tags is no multiple of the slice, and for none."""
    for count in (0, 1, encode.SLICE, encode.SLICE + 1, 3 * encode.SLICE - 1):
        whole = document(count)
        encoder = encode.TagsEncoder()
        assert json.loads(await encoder.encode(whole, history=True)) == whole["tags"]
        bare = [{k: v for k, v in tag.items() if k != "history"} for tag in whole["tags"]]
        assert json.loads(await encoder.encode(whole, history=False)) == bare


async def test_the_loop_turns_between_slices():
    """Acquisition gets its turn while 1,000 tags are encoded: once per slice at least."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_turns())
    await encode.TagsEncoder().encode(document(1000), history=True)
    counter.cancel()
    assert turns >= 1000 // encode.SLICE


async def test_a_document_is_encoded_once_and_a_new_one_anew():
    """Many viewers cost one encoding per document; the next document is never hidden."""
    encoder = encode.TagsEncoder()
    first, second = document(3), document(4)
    text = await encoder.encode(first, history=True)
    assert await encoder.encode(first, history=True) is text
    assert len(json.loads(await encoder.encode(second, history=True))) == 4
