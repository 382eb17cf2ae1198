"""What a gateway reads, in JSON: central's acknowledgements, and states said in its own name.

Anybody may publish: what is not exactly as it should be is refused as a whole.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from agent.forward.form import Identity
from agent.store.batch import Acknowledgement
from agent.store.numbers import CONFIRMED

LARGEST_BYTES = 1_000_000
MOST_STREAMS = 5_000  # in one answer
MOST_RANGES = 1_000  # in one stream
LARGEST_NUMBER = 2**53
SCHEMA = 1


class Said(NamedTuple):
    """Who said a state."""

    store: str
    boot: int
    seq: int


def acknowledgements(payload: bytes, sender: Identity) -> list[Acknowledgement]:
    """What central has of this store.

    Raises:
        ValueError: it is none, or not for this store, or can not be true.
    """
    document = _document(payload)
    if document.get("schema") != SCHEMA or document.get("store") != sender.store:
        raise ValueError("not for this store")
    received = document.get("received")
    if not isinstance(received, list) or len(received) > MOST_STREAMS:
        raise ValueError("received is no list")
    return [_acknowledgement(one) for one in received]


def state_said(payload: bytes) -> Said:
    """Who said a state.

    Raises:
        ValueError: it is no state.
    """
    document = _document(payload)
    store = document.get("store")
    if not isinstance(store, str) or document.get("stream") != "state":
        raise ValueError("no state")
    return Said(store, _number(document.get("boot"), 1), _number(document.get("seq"), 1))


def _document(payload: bytes) -> dict[str, Any]:
    if len(payload) > LARGEST_BYTES:
        raise ValueError("too long")
    try:
        document = json.loads(payload)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 - one kind for all that is refused
    return document


def _acknowledgement(one: Any) -> Acknowledgement:
    if not isinstance(one, dict) or one.get("stream") not in CONFIRMED:
        raise ValueError("no stream that is acknowledged")
    through = _number(one.get("through"), 0)
    missing = one.get("missing", [])
    if not isinstance(missing, list) or len(missing) > MOST_RANGES:
        raise ValueError("missing is no list")
    found: list[tuple[int, int]] = []
    for pair in missing:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("no range")
        first, last = _number(pair[0], 1), _number(pair[1], 1)
        if not (found[-1][1] if found else 0) < first <= last <= through:
            raise ValueError("ranges that are not sorted, or beyond the last number")
        found.append((first, last))
    return Acknowledgement(_number(one.get("boot"), 1), one["stream"], through, tuple(found))


def _number(value: Any, least: int) -> int:
    if type(value) is not int or not least <= value < LARGEST_NUMBER:
        raise ValueError("no number of a message")
    return value
