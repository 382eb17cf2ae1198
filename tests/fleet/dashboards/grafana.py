"""What Grafana does with a query: variables, macros, and which rows it takes.

As its PostgreSQL data source has it (without the switch for TimescaleDB): the browser fills in the
variables, then the server the intervals and the macros, whose arguments are cut at commas and may
hold no parenthesis; a time series needs a column `time`, in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)(?::(\w+))?\}")
_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_STEPS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass
class Shown:
    """The time that a dashboard shows, in steps of `interval`, and what was chosen.

    Attributes:
        chosen: a list where a variable may have several values.
    """

    since: datetime
    until: datetime
    interval: str
    chosen: dict[str, str | list[str]] = field(default_factory=dict)


def seconds(interval: str) -> float:
    """Of ``"1m"``, ``"'1d'"``."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)", interval.strip("'")).groups()
    return int(number) * _STEPS[unit]


def expanded(sql: str, shown: Shown) -> str:
    """The statement that PostgreSQL gets.

    Raises:
        ValueError: a macro that there is not, or a variable that the dashboard has not.
    """
    def chosen(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name.startswith("__"):
            return match[0]
        if name not in shown.chosen:
            raise ValueError(f"no variable {name}")
        value = shown.chosen[name]
        if isinstance(value, list):
            return ",".join("'" + one.replace("'", "''") + "'" for one in value)
        return value.replace("'", "''")

    sql = _VARIABLE.sub(chosen, sql)
    sql = sql.replace("$__interval_ms", str(round(seconds(shown.interval) * 1_000)))
    sql = sql.replace("$__interval", shown.interval)
    return _MACRO.sub(lambda match: _macro(match[1], match[2], shown), sql)


def _macro(name: str, inside: str, shown: Shown) -> str:
    args = [one.strip(" ") for one in inside.split(",")]
    since, until = (_time(one) for one in (shown.since, shown.until))
    if name == "__timeFrom":
        return since
    if name == "__timeTo":
        return until
    if name == "__timeFilter" and args[0]:
        return f"{args[0]} BETWEEN {since} AND {until}"
    if name in {"__timeGroup", "__timeGroupAlias"} and len(args) in {2, 3}:
        if len(args) == 3 and args[2] not in {"NULL", "previous"}:
            float(args[2])
        step = seconds(args[1])
        grouped = f"floor(extract(epoch from {args[0]})/{step:g})*{step:g}"
        return grouped + (' AS "time"' if name.endswith("Alias") else "")
    raise ValueError(f"no macro {name}({inside})")


def _time(moment: datetime) -> str:
    return f"'{moment.astimezone(UTC).isoformat().replace('+00:00', 'Z')}'"


def frame(columns: list[str], rows: list[tuple], shape: str) -> list[dict]:
    """Rows as Grafana takes them, by column.

    Raises:
        ValueError: it would take none of it, or show something else.
    """
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns of one name: {columns}")
    if shape == "table":
        return found
    if "time" not in columns:
        raise ValueError("time column is missing")
    for one in found:
        if not isinstance(one["time"], datetime):
            one["time"] = datetime.fromtimestamp(float(one["time"]), UTC)
        for name, value in one.items():
            number = value is None or isinstance(value, float | int | Decimal)
            if name not in {"time", "metric"} and not number:
                raise ValueError(f"{name} is {value!r}, no number")
    if "metric" in columns and columns != ["time", "metric", "value"]:
        raise ValueError("series are called by metric where the columns are time, metric, value")
    times = [one["time"] for one in found]
    if times != sorted(times):
        raise ValueError("not in the order of time")
    keys = [(one["time"], one.get("metric")) for one in found]
    if len(set(keys)) < len(keys):
        raise ValueError("a series has two values at one time")
    return found


def series(rows: list[dict]) -> dict[str, list[tuple[datetime, float]]]:
    """Series by name."""
    made: dict[str, list[tuple[datetime, float]]] = {}
    for one in rows:
        pairs = (
            [(one["metric"], one["value"])] if "metric" in one
            else [pair for pair in one.items() if pair[0] != "time"]
        )  # fmt: skip
        for name, value in pairs:
            if value is not None:
                made.setdefault(name, []).append((one["time"], float(value)))
    return made


def hours(count: float) -> timedelta:
    """For short."""
    return timedelta(hours=count)
