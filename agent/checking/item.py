"""One line of the report of `fieldwarden check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import FieldwardenError


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the report; `tag` has the facts of a tag's line, for programs."""

    level: Literal["ok", "warning", "fault"]
    subject: str
    text: str
    hint: str = ""
    tag: Mapping[str, Any] | None = None


def fault_of(subject: str, error: FieldwardenError) -> Item:
    """An error as a fault of the report."""
    return Item("fault", subject, f"{error.operation} {error.subject}: {error.cause}", error.hint)
