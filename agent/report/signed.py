"""A report's file as it is signed: its hash, and of which model and time it says that it is."""

from __future__ import annotations

import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.errors import FieldwardenError
from agent.files import read_bounded

META: Final = "fieldwarden-report"
KEYS: Final = ("model", "asked_since_ns", "until_ns")
"""What a report says of itself, in its JSON and in the head of its page."""

_LIMIT: Final = 256 * 1024 * 1024
_HEAD: Final = re.compile(rf'<meta name="{META}" content="([^"]*)">')


class Signed(NamedTuple):
    """A report's file."""

    model: str
    since_ns: int
    until_ns: int
    digest: str


def signed(path: Path) -> Signed:
    """What signing a report's file means.

    Raises:
        FieldwardenError: it can not be read, or `fieldwarden report` did not write it.
    """
    content = read_bounded(path, _LIMIT, "reading the report")
    try:
        text = content.decode("utf-8")
        found = _HEAD.search(text[:4096])
        about: dict[str, Any] = json.loads(html.unescape(found[1]) if found else text)
        model, since_ns, until_ns = (about[key] for key in KEYS)
        return Signed(
            str(model), int(since_ns), int(until_ns), hashlib.sha256(content).hexdigest()
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise FieldwardenError(
            "signing", str(path), "it is no report of this program",
            "make one: fieldwarden report CONFIG --month 2026-10 --out report.html",
        ) from None
