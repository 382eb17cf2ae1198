"""What the log says of the plant: each change of a source, verdict, condition or mode, once.

The events that the engine tells are the truth; here they become one line each, with subject, cause
and person, at the level a service manager sorts by.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from agent.status.view import duration
from agent.types import Event, TimeQuality

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


def _retraining(event: Event) -> tuple[int, str]:
    data, change = event.data, str(event.data.get("change"))
    text = f"retraining of model {_name(event)} {change} ({_text(data, 'id')}), "
    text += f"for {_text(data, 'owner')}: {_text(data, 'text')}{_note(event)}"
    return logging.WARNING if change == "requested" else logging.INFO, text


def renewal_in_words(told: Mapping[str, Any], store: Path | None = None) -> str:
    """What happened to a store that began anew or lost something, and where the old file is.

    Args:
        told: see `agent.store.salvage.take_over`.
        store: its path, where the whole one of the old file is to be said.
    """
    text, aside = _text(told, "reason"), _text(told, "set_aside")
    if told.get("count"):
        text += f"; {told['count']:,} {_text(told, 'unit')} are lost"
    if aside:
        place = store.with_name(aside) if store is not None else aside
        text += f"; the old file is set aside as {place}: what could be read was taken over"
    return text


def _engine(event: Event) -> tuple[int, str]:
    if event.data.get("part") == "store":
        return logging.WARNING, f"store: {renewal_in_words(event.data)}"
    return _other(event)


def _gap(event: Event) -> tuple[int, str]:
    data, text = event.data, f"gap: {_text(event.data, 'reason') or event.subject}"
    if data.get("from_ns") and data.get("to_ns"):
        span = duration((data["to_ns"] - data["from_ns"]) / 1e9)
        reason = _text(data, "reason") or "it gave no reason"
        text = f"nothing came from source {_name(event)} for {span}: {reason}"
    if data.get("count"):
        text += f", {data['count']:,} {_text(data, 'unit')}"
    return logging.WARNING, text


def _clock(event: Event) -> tuple[int, str]:
    data = event.data
    shift_s, away_s = (int(data.get(key) or 0) / 1e9 for key in ("shift_ns", "away_ns"))
    parts = []
    if shift_s:
        way = "forward" if shift_s > 0 else "back"
        parts.append(f"it was set {way} by {duration(abs(shift_s))}; times before it are moved")
    if away_s:
        parts.append(f"the process stood still for {duration(away_s)}")
    quality, was = _text(data, "time_quality"), _text(data, "was")
    if quality != was:
        parts.append(f"it is {quality} now, was {was}")
    poor = quality == TimeQuality.IMPLAUSIBLE or away_s
    return logging.WARNING if poor else logging.INFO, f"clock: {', '.join(parts)}"


def _evidence(event: Event) -> tuple[int, str]:
    data, model = event.data, _name(event)
    if data.get("change") == "opened":
        told = (
            f"{_text(data, 'output')} errs more than is tolerated: mean loss "
            f"{data.get('mean_loss', 0.0):.3g} over {data.get('labels')} labels, expected "
            f"{data.get('expected', 0.0):.3g}"
        )
        return logging.WARNING, f"model {model}: {told}"
    told = _text(data, "text") or f"{_text(data, 'output')} is {_text(data, 'change')}"
    return logging.INFO, f"model {model}: {told}"


def _review(event: Event) -> tuple[int, str]:
    report = _text(event.data, "evidence")[:12]
    return logging.INFO, f"model {_name(event)} reviewed, report {report}{_note(event)}"


def _change(event: Event) -> tuple[int, str]:
    data, change = event.data, _text(event.data, "change")
    name = f" {_text(data, 'id')}" if data.get("id") else ""
    by = f" by {_text(data, 'by')}" if data.get("by") else ""
    held = {"held": ", held", "would hold": ", would be held"}.get(_text(data, "hold"), "")
    held = held if change in {"detected", "updated"} else ""
    text = f"change{name} of source {_name(event)} {change}{by}{held}: {_text(data, 'text')}"
    level = logging.WARNING if change in {"detected", "updated", "reverted"} else logging.INFO
    return level, text + _note(event)


def _nothing(_: Event) -> tuple[int, str]:
    return logging.DEBUG, ""


def _other(event: Event) -> tuple[int, str]:
    told = [_text(event.data, name) for name in ("change", "part", "text", "reason")]
    return logging.INFO, f"{event.kind}: {', '.join(filter(None, told)) or event.subject}"


def _name(event: Event) -> str:
    return event.subject.partition("/")[2] or event.subject


def _note(event: Event) -> str:
    return f" ({_text(event.data, 'note')})" if event.data.get("note") else ""


def _text(data: Mapping[str, Any], name: str) -> str:
    return str(data.get(name) or "")


_LINES: Final = {
    "verdict": _verdict, "condition": _condition, "source": _source, "mode": _mode,
    "configuration": _configuration, "finding": _nothing,
    "clock": _clock, "gap": _gap, "engine": _engine, "retraining": _retraining,
    "evidence": _evidence, "review": _review, "change": _change,
}  # fmt: skip
