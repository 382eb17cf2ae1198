"""What people may tell the agent, and what is taken over of it: known keys of known kinds only.

What is journaled lasts, and is judged again at every replay: so a body's unknown keys go no
further, texts have a limit, and a duration has one too (ISA-18.2: shelving is for a time).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agent.errors import FieldwardenError

LONGEST_NOTE: Final = 500  # characters
LONGEST_SHELVING_NS: Final = 30 * 86_400 * 1_000_000_000
_LONGEST_NAME: Final = 400
_NEVER_IN_NAMES: Final = frozenset({"Cc", "Cs"})  # control characters, halves of surrogate pairs


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of command.

    Attributes:
        about: key of what it is about: the subject of a condition, a tag, or a retraining request.
        change: what its event says was done.
        needs_reason: whether it is taken without a ``note``.
        more: takes further keys out of a body, and raises where one is not as it must be.
    """

    about: Literal["subject", "tag", "request"]
    change: str
    needs_reason: bool = False
    more: Callable[[str, Mapping[str, Any]], dict[str, Any]] = lambda _, __: {}


def _false(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    false = body.get("false", False)
    if not isinstance(false, bool):
        raise _error(kind, "false", f"{str(false)[:40]!r} is neither true nor false", "")
    return {"false": false}


def _until(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    for_ns = body.get("for_ns")
    if type(for_ns) is not int or not 0 < for_ns <= LONGEST_SHELVING_NS:
        hint = "give a whole number of nanoseconds, at most 30 days"
        raise _error(kind, "for_ns", "shelving needs an end", hint)
    return {"for_ns": for_ns}


COMMANDS: Final[Mapping[str, Kind]] = {
    "acknowledge": Kind("subject", "acknowledged", more=_false),
    "shelve": Kind("subject", "shelved", more=_until),
    "unshelve": Kind("subject", "unshelved"),
    "out_of_service": Kind("tag", "out_of_service"),
    "in_service": Kind("tag", "in_service"),
    "declare": Kind("request", "declared", needs_reason=True),
    "close": Kind("request", "closed", needs_reason=True),
    "withdraw": Kind("request", "withdrawn", needs_reason=True),
}
"""Every kind of command that a person may give."""

_HINTS: Final = {
    "subject": "name a tag, or the subject of a condition", "tag": "name a tag",
    "request": "name one of: fieldwarden retraining list",
}  # fmt: skip


def command_data(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a command, out of what a client sent.

    Args:
        kind: one of `COMMANDS`.
        body: with ``subject`` (``tag/<name>``, ``source/<name>``, ``model/<name>``, or the id of
            one occurrence), ``tag``, or ``request`` (the id of a retraining request, or its model);
            ``note`` where wanted or needed; ``false`` for acknowledge; ``for_ns`` for shelve.

    Raises:
        FieldwardenError: a key is missing or of the wrong kind.
    """
    told = COMMANDS[kind]
    key = told.about
    # Not changed, as a note is: names may have what is not printable, such as a no-break space.
    name = _text(kind, key, body.get(key), _LONGEST_NAME).strip(" ")
    if not name or any(unicodedata.category(c) in _NEVER_IN_NAMES for c in name):
        raise _error(kind, key, "it is required", _HINTS[key])
    note = _text(kind, "note", body.get("note", ""), LONGEST_NOTE)
    # Control characters, and what UTF-8 can not hold, would reach terminals and central.
    note = "".join(c if c.isprintable() else " " for c in note).strip()
    if told.needs_reason and not note:
        raise _error(kind, "note", "a reason is required", "say why: it is kept in the account")
    return {key: name, "note": note} | told.more(kind, body)


def _text(kind: str, key: str, value: Any, longest: int) -> str:
    if not isinstance(value, str):
        cause = "it is required" if value is None else "it is no text"
        raise _error(kind, key, cause, f"give {key!r} as text")
    if len(value) > longest:
        raise _error(kind, key, f"it is longer than {longest} characters", "")
    return value


def _error(kind: str, key: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError(f"taking {kind}:", key, cause, hint)
