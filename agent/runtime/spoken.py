"""What the log says of the plant: each change of a source, verdict, condition or mode, once.

The events that the engine tells are the truth; here they become one line each, with subject, cause
and person, at the level a service manager sorts by.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.types import Event

logger = logging.getLogger("fieldwarden")

_POOR_VERDICTS: Final = frozenset({"untrusted", "unassessable"})
_POOR_STATES: Final = frozenset({"failed", "stale"})


def say(events: Iterable[Event]) -> None:
    """Log what these events tell; findings are details of conditions, and are left out."""
    for event in events:
        level, text = _LINES.get(event.kind, _other)(event)
        if text:
            logger.log(level, "%s%s", _plain(text), _fields(event))


def _fields(event: Event) -> str:
    data = event.data
    told = {"subject": event.subject, "cause": data.get("cause"), "by": data.get("by")}
    return "".join(f" {name}={_quoted(str(value))}" for name, value in told.items() if value)


def _quoted(text: str) -> str:
    plain = _plain(text)
    return f'"{plain}"' if " " in plain or "=" in plain else plain


def _plain(text: str) -> str:
    """One line, whatever names and texts hold."""
    return "".join(c if c.isprintable() else " " for c in text)


def _verdict(event: Event) -> tuple[int, str]:
    verdict, reasons = str(event.data.get("verdict")), event.data.get("reasons") or ()
    text = f"model {_name(event)} is {verdict}"
    if reasons:
        text += f": {_text(reasons[0], 'text')}"
    return logging.WARNING if verdict in _POOR_VERDICTS else logging.INFO, text


def _condition(event: Event) -> tuple[int, str]:
    change = str(event.data.get("change"))
    text = f"alarm {change}: {_text(event.data, 'text')}"
    if change == "raised" and event.data.get("hint"):
        text += f"; to do: {_text(event.data, 'hint')}"
    alarming = change in {"raised", "updated"} and event.data.get("severity") != "low"
    return logging.WARNING if alarming else logging.INFO, text + _note(event)


def _source(event: Event) -> tuple[int, str]:
    state = str(event.data.get("state"))
    text = f"source {_name(event)} is {state}"
    if event.data.get("reason"):
        text += f": {_text(event.data, 'reason')}"
    return logging.WARNING if state in _POOR_STATES else logging.INFO, text


def _mode(event: Event) -> tuple[int, str]:
    return logging.INFO, f"model {_name(event)} is in mode {event.data.get('mode')}"


def _configuration(event: Event) -> tuple[int, str]:
    change = str(event.data.get("change", "")).replace("_", " ")
    return logging.INFO, f"{event.subject}: {change}{_note(event)}"


def _nothing(_: Event) -> tuple[int, str]:
    return logging.DEBUG, ""


def _other(event: Event) -> tuple[int, str]:
    told = [_text(event.data, name) for name in ("change", "part", "text", "reason")]
    level = logging.WARNING if event.kind == "gap" else logging.INFO
    return level, f"{event.kind}: {', '.join(filter(None, told)) or event.subject}"


def _name(event: Event) -> str:
    return event.subject.partition("/")[2] or event.subject


def _note(event: Event) -> str:
    return f" ({_text(event.data, 'note')})" if event.data.get("note") else ""


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data.get(name) or "")


_LINES: Final = {
    "verdict": _verdict, "condition": _condition, "source": _source, "mode": _mode,
    "configuration": _configuration, "finding": _nothing,
}  # fmt: skip
