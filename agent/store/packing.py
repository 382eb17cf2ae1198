"""Summaries of many tags in one JSON document, every key and every shared value written once.

    {"common": {"model": "yield", "start_ns": 0}, "columns": {"tag": ["a", "b"], "sum": [3, 4]}}

Exact both ways. A summary alone takes some 550 bytes as a message; packed, some 150: the
difference between 80 and 20 MB a day at 1,000 tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def pack(summaries: Sequence[Mapping[str, Any]]) -> bytes:
    """JSON, UTF-8. All must have the same keys.

    Raises:
        ValueError: none, of different keys, or a value that JSON can not hold (NaN).
    """
    if not summaries or any(one.keys() != summaries[0].keys() for one in summaries):
        raise ValueError("summaries to be packed need the same keys, and one at least")
    common: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for key, first in summaries[0].items():
        values = [one[key] for one in summaries]
        if key != "tag" and all(_same(v, first) for v in values):
            common[key] = first
        else:
            columns[key] = values
    packed = {"common": common, "columns": columns}
    return json.dumps(packed, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _same(one: Any, other: Any) -> bool:
    """Whether both are written alike: 1 and 1.0, or 0.0 and -0.0, are equal, yet they are not."""
    return one == other and repr(one) == repr(other)


def unpack(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The summaries of a parsed document.

    Raises:
        ValueError: columns of different lengths.
    """
    columns = packed["columns"]
    rows = zip(*columns.values(), strict=True)
    return [{**packed["common"], **dict(zip(columns, row, strict=True))} for row in rows]
