"""Entries survive the journal's bytes exactly, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from agent.errors import StoreError
from agent.store.codec import decode, encode
from agent.types import Block, Command

VERSION_1 = (
    "01030000005a000000780163616060f8f7ffff7f2620cd05c4c84004990364b342f97f80ea41004d"
    "1ac8bda0c1b2bf8101641623030084850e58"
)


def bits_of(value):
    return int(np.float64(value).view(np.uint64))


DECIMALS = st.builds(
    lambda number, places: bits_of(number / 10**places),
    st.integers(-(10**6), 10**6) | st.integers(-(2**60), 2**60), st.integers(0, 12),
)  # fmt: skip
FLOAT32 = st.floats(width=32).map(bits_of)
EDGES = st.sampled_from([-0.0, 0.0, np.inf, -np.inf, np.nan, 5e-324, 2.0**53, 2.0**53 + 2, 1e300])
BITS = DECIMALS | FLOAT32 | EDGES.map(bits_of) | st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def blocks(draw):
    n = draw(st.integers(0, 60))
    bits = draw(npst.arrays(np.uint64, n, elements=BITS))
    return Block(
        draw(st.integers(1, 2**62)),
        draw(I64),
        draw(
            npst.arrays(np.int32, n, elements=st.integers(-(2**31), 2**31 - 1) | st.integers(0, 4))
        ),
        draw(npst.arrays(np.int64, n, elements=I64)),
        draw(npst.arrays(np.int64, n, elements=I64)),
        bits.view(np.float64),
        draw(npst.arrays(np.uint16, n, elements=st.integers(0, 2**16 - 1))),
    )


def same(a: Block, b: Block) -> bool:
    columns = ("tag", "source_ns", "arrival_ns", "quality")
    return (
        (a.sequence, a.sealed_ns) == (b.sequence, b.sealed_ns)
        and all(
            getattr(a, c).dtype == getattr(b, c).dtype
            and np.array_equal(getattr(a, c), getattr(b, c))
            for c in columns
        )
        and np.array_equal(a.value.view(np.uint64), b.value.view(np.uint64))
    )


@settings(max_examples=300, deadline=None)
@given(blocks())
def test_block_round_trip_is_exact(block):
    """Any block, with NaN payloads, minus zero and hostile times, comes back bit for bit."""
    kind, blob = encode(block)
    assert kind == "block"
    assert same(decode(block.sequence, block.sealed_ns, kind, blob), block)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_command_round_trip_is_exact(data):
    """Any JSON in a command, with any text, comes back equal."""
    command = Command(7, 99, "text", data)
    assert decode(7, 99, *encode(command)) == command


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_an_error_and_never_other_values(data):
    """A flipped bit or a cut anywhere gives a StoreError naming the entry, or the same block."""
    n = 30
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    arrival = np.cumsum(rng.integers(0, 1000, n))
    block = Block(
        5, 10**6, rng.integers(0, 3, n).astype(np.int32), arrival, arrival,
        rng.normal(size=n), np.zeros(n, np.uint16),
    )  # fmt: skip
    kind, blob = encode(block)
    damaged = bytearray(blob)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(blob) - 1))]
    else:
        damaged[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        back: Block | str = decode(5, 10**6, kind, bytes(damaged))
    except StoreError as error:
        back = str(error)
    assert "entry 5" in back if isinstance(back, str) else same(back, block)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3), st.sampled_from([DECIMALS, FLOAT32, EDGES.map(bits_of)]), st.data())
def test_tags_of_one_form_round_trip_exactly(tags, form, data):
    """Blocks in which each tag has values of one kind, as plants give them."""
    n = 12
    bits = np.array(data.draw(st.lists(form, min_size=n, max_size=n)), np.uint64)
    arrival = np.arange(n, dtype=np.int64)
    block = Block(
        1, n + 1, (np.arange(n) % tags).astype(np.int32), arrival, arrival, bits.view(np.float64),
        np.zeros(n, np.uint16),
    )  # fmt: skip
    assert same(decode(1, n + 1, *encode(block)), block)


def test_blobs_of_version_1_are_read():
    """A journal of an older program: three samples of two tags, written by it."""
    blob = bytes.fromhex(VERSION_1)
    block = decode(7, 99, "block", blob)
    assert block.tag.tolist() == [4, 2, 4]
    assert block.arrival_ns.tolist() == [10, 10, 30]
    assert block.source_ns.tolist() == [5, 10, 29]
    assert block.value.tolist() == [1.5, -0.25, 1.75]
    assert block.quality.tolist() == [0, 2, 1]


def test_newer_version_is_refused():
    """A blob of a later version is refused by name, not misread."""
    with pytest.raises(StoreError, match="version 9"):
        decode(1, 1, "block", b"\x09rest")


@pytest.mark.parametrize(
    ("decimals", "most"), [(2, 2.5), (4, 3.5), (6, 4.5), (None, 4.0)],
    ids=["2 decimals", "4 decimals", "6 decimals", "float32"],
)  # fmt: skip
def test_a_second_of_a_plant_is_small(decimals, most):
    """1,000 noisy tags about 1,000 levels, one sample each: bytes a sample by what they hold."""
    rng = np.random.default_rng(1)
    value = rng.normal(50.0, 20.0, 1000) + rng.normal(0.0, 1.0, 1000)
    value = value.astype(np.float32) if decimals is None else np.round(value, decimals)
    arrival = np.full(1000, 1_700_000_000_000_000_000)
    block = Block(1, 1, np.arange(1000, dtype=np.int32), arrival, arrival,
                  value.astype(np.float64), np.zeros(1000, np.uint16))  # fmt: skip
    assert len(encode(block)[1]) / 1000 < most


def test_a_plant_block_is_small():
    """1,000 noisy tags at 1 Hz take less than 9 bytes a sample, a constant plant less than 1."""
    n, tags = 20_000, 1_000
    tag = np.tile(np.arange(tags, dtype=np.int32), n // tags)
    arrival = 1_700_000_000_000_000_000 + np.repeat(np.arange(n // tags) * 10**9, tags)
    noisy = np.random.default_rng(1).normal(50.0, 1.0, n)
    sizes = [
        len(encode(Block(1, 1, tag, arrival - 5_000_000, arrival, v, np.zeros(n, np.uint16)))[1])
        / n
        for v in (noisy.astype(np.float32).astype(np.float64), np.full(n, 50.0))
    ]
    assert sizes[0] < 9
    assert sizes[1] < 1
