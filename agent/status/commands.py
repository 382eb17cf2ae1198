"""What people may tell the agent, and what is taken over of it: known keys of known kinds only.

What is journaled lasts, and is judged again at every replay: so a body's unknown keys go no
further, texts have a limit, and a duration has one too (ISA-18.2: shelving is for a time). Each
needs a reason: it stands in the account, with who gave it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agent.status.bodies import LONGEST_NAME, error_of, is_time, text_of
from agent.status.change_bodies import approval_of, proposal_of, window_of

LONGEST_NOTE: Final = 500  # characters
LONGEST_SHELVING_NS: Final = 30 * 86_400 * 1_000_000_000
_SHA256: Final = re.compile("[0-9a-f]{64}")
_LONGEST_PATH: Final = 4000
_NEVER_IN_NAMES: Final = frozenset({"Cc", "Cs"})  # control characters, halves of surrogate pairs


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of command.

    Attributes:
        about: key of what it is about: the subject of a condition, a tag, a retraining request, or
            a model, a change upstream; empty where it begins something.
        change: what its event says was done.
        of_candidates: whether it is about a trial, or about what serves.
        of_changes: whether it is about a change upstream.
        more: takes further keys out of a body, and raises where one is not as it must be.
    """

    about: Literal["subject", "tag", "request", "model", "change", ""]
    change: str
    of_candidates: bool = False
    of_changes: bool = False
    more: Callable[[str, Mapping[str, Any]], dict[str, Any]] = lambda _, __: {}


def _false(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    false = body.get("false", False)
    if not isinstance(false, bool):
        raise error_of(kind, "false", f"{str(false)[:40]!r} is neither true nor false", "")
    return {"false": false}


def _until(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    for_ns = body.get("for_ns")
    if type(for_ns) is not int or not 0 < for_ns <= LONGEST_SHELVING_NS:
        hint = "give a whole number of nanoseconds, at most 30 days"
        raise error_of(kind, "for_ns", "shelving needs an end", hint)
    return {"for_ns": for_ns}


def _signed(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Which report, of what time."""
    report = body.get("report")
    if not isinstance(report, str) or not _SHA256.fullmatch(report):
        raise error_of(kind, "report", "it is no SHA-256", "give the hash of the report's file")
    since_ns, until_ns = (body.get(key) for key in ("since_ns", "until_ns"))
    if not is_time(since_ns) or not is_time(until_ns) or since_ns >= until_ns:
        raise error_of(kind, "since_ns", "a report has a begin and an end behind it", "in ns")
    return {"report": report, "since_ns": since_ns, "until_ns": until_ns}


def _candidate(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key in ("baseline", "version"):
        found[key] = text_of(kind, key, body.get(key), _LONGEST_PATH)
        if not found[key].strip() or not found[key].isprintable():
            raise error_of(kind, key, "it is blank, or has characters that can not be printed", "")
    return found


COMMANDS: Final[Mapping[str, Kind]] = {
    "acknowledge": Kind("subject", "acknowledged", more=_false),
    "shelve": Kind("subject", "shelved", more=_until),
    "unshelve": Kind("subject", "unshelved"),
    "out_of_service": Kind("tag", "out_of_service"),
    "in_service": Kind("tag", "in_service"),
    "declare": Kind("request", "declared"),
    "close": Kind("request", "closed"),
    "withdraw": Kind("request", "withdrawn"),
    "review": Kind("model", "reviewed", more=_signed),
    "trial": Kind("model", "in trial", of_candidates=True, more=_candidate),
    "accept": Kind("model", "accepted", of_candidates=True),
    "reject": Kind("model", "rejected", of_candidates=True),
    "rollback": Kind("model", "rolled back", of_candidates=True),
    "approve": Kind("change", "approved", of_changes=True, more=approval_of),
    "reject_change": Kind("change", "rejected", of_changes=True),
    "revert": Kind("change", "reverted", of_changes=True),
    "announce": Kind("", "announced", of_changes=True, more=window_of),
    "propose": Kind("", "proposed", of_changes=True, more=proposal_of),
}
"""Every kind of command that a person may give."""

_HINTS: Final = {
    "subject": "name a tag, or the subject of a condition", "tag": "name a tag",
    "request": "name one of: fieldwarden retraining list CONFIG",
    "model": "name a model, or, for a trial, one of: fieldwarden retraining list CONFIG",
    "change": "name one of: fieldwarden change list CONFIG",
}  # fmt: skip


def command_data(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a command, out of what a client sent.

    Args:
        kind: one of `COMMANDS`.
        body: with ``subject`` (``tag/<name>``, ``source/<name>``, ``model/<name>``, or the id of
            one occurrence), ``tag``, ``request`` (the id of a retraining request, or its model), or
            ``model`` (of trials also the id of a request of it); ``note``, the reason; ``false``
            for acknowledge; ``for_ns`` for shelve; ``change`` (its id) and ``map`` for approve;
            ``tags`` or ``source``, ``from_ns`` and ``until_ns`` for announce; ``report`` (its
            SHA-256), ``since_ns`` and ``until_ns`` for review; ``baseline`` and ``version`` for
            trial.

    Raises:
        FieldwardenError: a key is missing or of the wrong kind.
    """
    told = COMMANDS[kind]
    key = told.about
    # Not changed, as a note is: names may have what is not printable, such as a no-break space.
    name = text_of(kind, key, body.get(key), LONGEST_NAME).strip(" ") if key else ""
    if (key and not name) or any(unicodedata.category(c) in _NEVER_IN_NAMES for c in name):
        raise error_of(kind, key, "it is required", _HINTS[key])
    note = text_of(kind, "note", body.get("note", ""), LONGEST_NOTE)
    # Control characters, and what UTF-8 can not hold, would reach terminals and central.
    note = "".join(c if c.isprintable() else " " for c in note).strip()
    if not note:
        raise error_of(kind, "note", "a reason is required", "say why: it is kept in the account")
    return ({key: name} if key else {}) | {"note": note} | told.more(kind, body)
