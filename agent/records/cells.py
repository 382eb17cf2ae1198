"""What cells of recorded data say when they hold no number, and what reading them shares."""

from __future__ import annotations

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
    "-infinity", "ungültig", "störung", "schlecht", "kein wert", "keine daten",
})  # fmt: skip
"""Texts, in lower case, by which historians say that there is no value."""


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
