"""MQTT: payloads as JSON documents, and what a pointer finds in them. Pure; hostile or not."""

from __future__ import annotations

import json
import re
from typing import Any

from agent.decode.mqtt_address import Pointer

MAX_PAYLOAD_BYTES = 1_000_000
_INDEX = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)


class Marker:
    """What stands where there is no value."""


ABSENT: Any = Marker()
UNDECODABLE: Any = Marker()
TWICE: Any = Marker()
"""A key that comes twice in one object, with different values."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that comes twice with different values has none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen and repr(seen[key]) != repr(value):
                found[key] = TWICE
            seen.setdefault(key, value)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def resolve(document: Any, pointer: Pointer) -> Any:
    """What the pointer points at, or the marker for nothing there."""
    for token in pointer:
        if isinstance(document, dict):
            document = document.get(token, ABSENT)
        elif isinstance(document, list) and _INDEX.fullmatch(token):
            index = int(token)
            document = document[index] if index < len(document) else ABSENT
        else:
            return TWICE if document is TWICE else ABSENT
    return document


def document_of(payload: bytes) -> Any:
    """The JSON document, or the marker for none."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        try:
            # ValueError also is bad UTF-8, and integers of thousands of digits.
            text = payload.decode()
            return _DECODER.decode(text[1:] if text[:1] == "\ufeff" else text)
        except (ValueError, RecursionError):
            pass
    return UNDECODABLE


def plain_text(payload: bytes) -> str | None:
    """A payload that is no JSON, for a tag of texts that takes the whole of it."""
    try:
        return payload[:1024].decode().strip()
    except UnicodeDecodeError:
        return None  # bytes of no text are no value
