"""What a single value of the file may be: durations, budgets, ranges, addresses, names.

A value that is none raises `ValueError`, whose text `load` puts beside file, line and key.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
)

_UNITS_NS = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_LONGEST_NS = 3650 * _UNITS_NS["d"]
_IN_QUERY = re.compile(
    r"(?i)([?&;](?:[\w-]*[_-])?"
    r"(?:password|passwd|passphrase|pass|pwd|pw|token|secret|(?:api|access|shared)[_-]?key)=)"
    r"[^&;#\s]+"
)
_WITH_PASSWORD = re.compile(r"(://[^/?#\s@:]*:)[^/?#\s@]+@")
_BUDGET = re.compile(r"\s*(\d+(?:\.\d+)?)\s+per\s+(?:(\d+(?:\.\d+)?)\s+)?(day|hour)s?\s*")


class Section(BaseModel):
    """Base of every table of the file: unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def duration_ns(text: Any) -> int:
    """``"250ms"``, ``"1s"``, ``"10min"``, ``"12h"``, ``"7d"`` -> nanoseconds."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)\s*", str(text))
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 250ms, 1s, 10min, 12h or 7d")
    value = round(float(match[1]) * _UNITS_NS[match[2]])
    if value <= 0:
        raise ValueError(f"{text!r} must be longer than nothing")
    if value > _LONGEST_NS:
        raise ValueError(f"{text!r} is longer than ten years")
    return value


def budget_per_ns(text: str) -> float:
    """``"1 per 30 days"``, ``"100 per 1 day"``, ``"2 per hour"`` -> false alarms per nanosecond."""
    match = _BUDGET.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no budget; write it like '1 per 30 days' or '2 per 8 hours'")
    count = float(match[1])
    span_ns = float(match[2] or 1) * _UNITS_NS["d" if match[3] == "day" else "h"]
    if count <= 0 or span_ns <= 0:
        raise ValueError(f"{text!r} must be more than nothing, or nothing could ever be found")
    return count / span_ns


def masked(text: str) -> str:
    """`text` with the password of every URL in it hidden."""
    return _IN_QUERY.sub(r"\1***", _WITH_PASSWORD.sub(r"\1***@", text))


def is_loopback(host: str) -> bool:
    """Whether a listening host can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _duration_field(value: Any, info: ValidationInfo) -> int:
    # A bare number in the file would silently be nanoseconds; only programs may hand those over.
    if info.context is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit; write 250ms, 1s, 10min, 12h or 7d")
    return duration_ns(value)


def _path_field(value: str, info: ValidationInfo) -> str:
    directory = (info.context or {}).get("directory")
    return str(Path(directory) / value) if directory is not None and value else value


def _topic_level(value: str) -> str:
    if not value or re.search(r"[/+#$\s\x00-\x1f\x7f]", value):
        raise ValueError(f"{value!r} becomes part of MQTT topics: no blank, '/', '+', '#' or '$'")
    return value


def _budget_field(value: str) -> str:
    budget_per_ns(value)
    return value


def _range_field(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] < value[1]:
        raise ValueError(f"the low end {value[0]:g} must be below the high end {value[1]:g}")
    return value


def _listen_field(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{value!r} is no address; write it like 127.0.0.1:8686 or [::1]:8686")
    return value


def _raw_codes_field(value: Any) -> Any:
    """``["0x8000", 65535]`` or, in a tag list, ``"0x8000 65535"`` -> codes."""
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        cause = f'{value!r} is no list; write it like ["0x8000"] or [-32768]'
        raise ValueError(cause)  # noqa: TRY004 - pydantic takes no TypeError
    return tuple(_raw_code(part) for part in parts)


def _raw_code(part: Any) -> int | str:
    if isinstance(part, int) and not isinstance(part, bool):
        return part
    if isinstance(part, str) and re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}", part.strip()):
        return part.strip()
    if isinstance(part, str) and re.fullmatch(r"-?\d{1,20}", part.strip(), re.ASCII):
        return int(part)
    raise ValueError(f'{part!r} is no raw value; write "0x8000" for bits, or a whole number')


RawCodes = Annotated[tuple[int | str, ...], BeforeValidator(_raw_codes_field)]
Duration = Annotated[int, BeforeValidator(_duration_field)]
Range = Annotated[tuple[float, float], AfterValidator(_range_field)]
FilePath = Annotated[str, AfterValidator(_path_field)]
TopicLevel = Annotated[str, AfterValidator(_topic_level)]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Budget = Annotated[str, AfterValidator(_budget_field)]
# Of numbers, of a predicted quantile, or of classes.
LossName = Annotated[
    str, Field(pattern=r"^(absolute|squared|log|brier|pinball 0\.\d{1,6})$")
]
Listen = Annotated[str, AfterValidator(_listen_field)]
