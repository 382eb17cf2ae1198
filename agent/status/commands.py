"""What people may tell the agent, and what is taken over of it: known keys of known kinds only.

What is journaled lasts, and is judged again at every replay: so a body's unknown keys go no
further, texts have a limit, and a duration has one too (ISA-18.2: shelving is for a time).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from agent.errors import FieldwardenError

COMMANDS: Final = ("acknowledge", "shelve", "unshelve", "out_of_service", "in_service")
LONGEST_NOTE: Final = 500  # characters
LONGEST_SHELVING_NS: Final = 30 * 86_400 * 1_000_000_000
_LONGEST_NAME: Final = 400
_NEVER_IN_NAMES: Final = frozenset({"Cc", "Cs"})  # control characters, halves of surrogate pairs


def command_data(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a command, out of what a client sent.

    Args:
        kind: one of `COMMANDS`.
        body: with ``subject`` (``tag/<name>``, ``source/<name>``, ``model/<name>``, or the id of
            one occurrence) or, for the service of tags, ``tag``; ``note`` where wanted;
            ``false`` for acknowledge; ``for_ns`` for shelve.

    Raises:
        FieldwardenError: a key is missing or of the wrong kind.
    """
    key = "tag" if kind in {"out_of_service", "in_service"} else "subject"
    # Not changed, as a note is: names may have what is not printable, such as a no-break space.
    name = _text(kind, key, body.get(key), _LONGEST_NAME).strip(" ")
    if not name or any(unicodedata.category(c) in _NEVER_IN_NAMES for c in name):
        raise _error(kind, key, "it is required", "name a tag, or the subject of a condition")
    data: dict[str, Any] = {key: name}
    note = _text(kind, "note", body.get("note", ""), LONGEST_NOTE)
    # Control characters, and what UTF-8 can not hold, would reach terminals and central.
    data["note"] = "".join(c if c.isprintable() else " " for c in note).strip()
    if kind == "acknowledge":
        false = body.get("false", False)
        if not isinstance(false, bool):
            raise _error(kind, "false", f"{str(false)[:40]!r} is neither true nor false", "")
        data["false"] = false
    if kind == "shelve":
        for_ns = body.get("for_ns")
        if type(for_ns) is not int or not 0 < for_ns <= LONGEST_SHELVING_NS:
            hint = "give a whole number of nanoseconds, at most 30 days"
            raise _error(kind, "for_ns", "shelving needs an end", hint)
        data["for_ns"] = for_ns
    return data


def _text(kind: str, key: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        cause = "it is required" if value is None else "it is no text"
        raise _error(kind, key, cause, f"give {key!r} as text")
    if len(value) > longest:
        raise _error(kind, key, f"it is longer than {longest} characters", "")
    return value


def _error(kind: str, key: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError(f"taking {kind}:", key, cause, hint)
