"""The status document as JSON bytes, without holding up the event loop.

At 1,000 tags with 60 recent values each the document is about a megabyte of JSON. Encoding it in
one go would stop acquisition for longer than the promised loop lag, so tags are encoded in slices
with a turn of the loop between them, and the result is kept until the next document.

Invariant: the result is strict JSON (RFC 8259). NaN and infinities, which sensors do send, are
null: one such value must not make the page of the whole plant unreadable.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

SLICE: Final = 50  # tags encoded in one turn of the loop: about 1 ms with their history
LARGE: Final = 5  # models or requests in one turn: each has up to some kB


def _plain(value: Any) -> Any:
    """What numpy scalars, mappings, tuples and enums are in JSON."""
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_plain)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    return _finite(_plain(value))


def dumps(value: Any) -> str:
    """Strict JSON text of `value`, ASCII only; not-finite numbers become null."""
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_finite(value))


class TagsEncoder:
    """Encodes a document's tags in slices; keeps the newest result with and without history."""

    def __init__(self) -> None:
        self._kept: dict[bool, tuple[Mapping[str, Any], str]] = {}

    async def encode(self, document: Mapping[str, Any], *, history: bool) -> str:
        """The JSON array of the document's tags; without `history` that key is left out."""
        kept = self._kept.get(history)
        if kept is not None and kept[0] is document:
            return kept[1]
        tags = list(document.get("tags") or ())
        text = await array(tags, SLICE, without="" if history else "history")
        self._kept[history] = (document, text)
        return text


async def array(rows: Sequence[Mapping[str, Any]], each: int, *, without: str = "") -> str:
    """A JSON array, so many rows in one turn of the loop; `without` one key of each row."""
    parts = []
    for start in range(0, len(rows), each):
        some = rows[start : start + each]
        if without:
            some = [{key: row[key] for key in row if key != without} for row in some]
        parts.append(dumps(some)[1:-1])
        await asyncio.sleep(0)
    return f"[{','.join(parts)}]"
