"""What cells of recorded data say when they hold no number, and what reading them shares."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from agent.configuration.rules import nearest
from agent.errors import FieldwardenError

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "#n/a", "-"})
"""Texts, in lower case, of a cell that holds nothing."""

STATUS_WORDS = frozenset({
    "bad", "bad input", "bad data", "bad quality", "i/o timeout", "io timeout", "no data",
    "nodata", "no value", "no result", "no good", "not available", "scan timeout", "scan off",
    "inp outrange", "input outrange", "out of range", "over range", "under range", "overrange",
    "underrange", "configure", "shutdown", "pt created", "calc failed", "calc timeout", "calc off",
    "intf shut", "comm fail", "comm loss", "comm error", "not connected", "disconnected",
    "out of serv", "out of service", "offline", "off-line", "error", "err", "fault", "failed",
    "invalid", "unknown", "undefined", "uncertain", "stale", "?", "??", "???", "--", "---", "*",
    "#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!", "inf", "-inf", "+inf", "infinity",
    "-infinity", "ungültig", "störung", "schlecht", "kein wert", "keine daten", "außer betrieb",
    "mauvais", "invalide", "hors service", "pas de données", "malo", "sin datos",
    "arc off-line", "arc offline", "no sample", "filtered", "set to bad", "invalid data",
    "dcs failed", "dcs error", "not connect", "ptcreated", "no good data for calculation",
    "tag not found", "burnout", "burn out", "open circuit", "sensor fault", "gated", "overflow",
    "underflow", "over scale", "under scale",
})  # fmt: skip
"""Texts, in lower case, by which historians say that there is no value."""
_NO_VALUE = re.compile(
    r"\[-\d{1,6}\].*|<[^<>\d]*>|#[^\W\d_][^\W_]*([/0-9]*)[!?]?"
    r"|(bad|uncertain|invalid|failed|error|no (good )?data)\b[\s:,(\[-].*"
)


def says_no_value(text: str) -> bool:
    """Whether a cell says that there is no value: a word, or what tools write for their errors.

    PI numbers its errors (``[-11059] No Good Data``), spreadsheets begin theirs with a hash in
    every language (``#BEZUG!``), Citect puts them in angles (``<GATED>``).
    """
    lower = text.lower()
    return lower in STATUS_WORDS or _NO_VALUE.fullmatch(lower) is not None


def data_error(file: Path, cause: str, hint: str = "") -> FieldwardenError:
    """What went wrong with a file of recorded data."""
    return FieldwardenError("reading data", str(file), cause, hint)


def wanted_columns(
    file: Path,
    names: Sequence[str],
    times: Collection[int],
    columns: Sequence[str] | None,
    *,
    lenient: bool,
) -> list[int]:
    """Positions of the columns to read, in the order asked for; all but the times' for None.

    Raises:
        FieldwardenError: one is not there; with `lenient` only where none is.
    """
    if columns is None:
        return [place for place in range(len(names)) if place not in times]
    others = [name for place, name in enumerate(names) if place not in times]
    missing = [name for name in columns if name not in others]
    if lenient and len(missing) < len(columns):
        columns = [name for name in columns if name in others]
    elif lenient:
        cause = f"no column is a tag of the configuration (columns: {', '.join(others[:8])})"
        raise data_error(file, cause, "columns are named as the tags are")
    elif missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise data_error(file, f"no column {missing[0]!r}{more}", nearest(missing[0], others))
    return [names.index(name) for name in columns]
