"""What one try of a source brought, tag by tag: the facts that `check` judges and shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.sources.base import Remark

RAW_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class TagProbe:
    """One tag as the source gave it.

    Attributes:
        name: of the tag.
        value: in its unit, or its text; None where there is none.
        quality: `Quality` bits.
        raw: what came, before it was decoded: registers in hex, the JSON that the pointer points
            at or the payload where it finds nothing, a variant and its type.
        said: what the protocol said of it, where it said something.
        source_ns: the source's own time; 0 where it gave none.
        time_fault: why a configured time gives none: absent, unreadable or implausible.
        waited_s: it never arrived, though it was waited for so long; None where something came.
        keys: JSON pointers that the message has, where the configured one finds nothing in it.
        nearest: the one of them that is most like the configured one.
        others: (reading, value) of the same bytes in other types and word orders.
        served: what the source tells of it besides its value, JSON-ready: see
            `agent.contract.grades.SERVED`.
    """

    name: str
    value: float | str | None = None
    quality: int = 0
    raw: str = ""
    said: str = ""
    source_ns: int = 0
    time_fault: str = ""
    waited_s: float | None = None
    keys: tuple[str, ...] = ()
    nearest: str = ""
    others: tuple[tuple[str, float], ...] = ()
    served: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """One try of a source: what holds for all of it, and its tags.

    `identity` is what the other side tells of itself, JSON-ready: see
    `agent.contract.grades.SOURCE_SERVED`.
    """

    remarks: Sequence[Remark]
    tags: Sequence[TagProbe]
    identity: Mapping[str, Any] = field(default_factory=dict)


def shortened(text: str) -> str:
    """A raw payload in one line that a person can take in."""
    line = " ".join(text.split())
    return line if len(line) <= RAW_CHARACTERS else f"{line[:RAW_CHARACTERS]} ..."
