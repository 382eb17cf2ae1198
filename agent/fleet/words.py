"""What a gateway said, as a database can keep it. Pure.

PostgreSQL keeps no NUL in texts, UTF-8 has no lone surrogates, JSON no infinities: those characters
and numbers are replaced in texts. A name that has them, or is too long for an index, is refused:
two names must not become one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from agent.central.reading import LONGEST_NAME
from agent.fleet.columns import LATEST_US
from agent.forward.json_payload import time_of

LONGEST_TEXT: Final = 2_000  # characters of a text that has a column of its own
_REPLACED: Final = "\ufffd"


def text_of(value: Any, most: int = LONGEST_TEXT) -> str:
    """A text that a database takes; empty for None."""
    if value is None:
        return ""
    found = str(value)[:most]
    return found if found.isascii() and "\x00" not in found else _clean(found)


def _clean(text: str) -> str:
    found = text.encode("utf-8", "replace").decode() if _has_surrogates(text) else text
    return found.replace("\x00", _REPLACED)


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def key_of(value: Any) -> str:
    """A name that rows are found by, as it is.

    Raises:
        ValueError: a database could not keep it.
    """
    found = str(value)
    if "\x00" in found or len(found.encode()) > LONGEST_NAME:
        raise ValueError("a name that no index can hold")
    return found


def json_of(value: Any) -> str:
    """JSON that a database takes.

    Raises:
        RecursionError: it is too deep.
    """
    try:
        found = _dumps(value)
        if "\\u0000" not in found:
            found.encode()
            return found
    except ValueError:
        pass
    return _dumps(_cleaned(value))


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_clean(str(key)): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return value


def us_of_ns(ns: int) -> int:
    """Microseconds of a time in nanoseconds.

    Raises:
        ValueError: before 1970 or after 9999.
    """
    found = ns // 1_000
    if not 0 <= found <= LATEST_US:
        raise ValueError("a time that no calendar has")
    return found


def us_of_text(value: Any) -> int | None:
    """Microseconds of a time that was told as text; None where it is none."""
    try:
        return us_of_ns(time_of(value))
    except (ValueError, TypeError, OverflowError):
        return None


def us_if_known(ns: int) -> int | None:
    """Microseconds; None for 0 and for what no calendar has."""
    return ns // 1_000 if 0 < ns // 1_000 <= LATEST_US else None
