"""What bodies of commands have in common: texts and times, and what is said of a wrong one."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from agent.errors import FieldwardenError

LONGEST_NAME: Final = 400
LATEST_NS: Final = (1 << 63) - 1


def is_time(value: Any) -> TypeGuard[int]:
    """Whether it is an engine time, in ns."""
    return type(value) is int and 0 <= value <= LATEST_NS


def text_of(kind: str, key: str, value: Any, longest: int) -> str:
    """A text of at most so many characters.

    Raises:
        FieldwardenError: it is none.
    """
    if not isinstance(value, str):
        cause = "it is required" if value is None else "it is no text"
        raise error_of(kind, key, cause, f"give {key!r} as text")
    if len(value) > longest:
        raise error_of(kind, key, f"it is longer than {longest} characters", "")
    return value


def error_of(kind: str, key: str, cause: str, hint: str) -> FieldwardenError:
    """A body that is not taken, by the key that is wrong."""
    return FieldwardenError(f"taking {kind}:", key, cause, hint)
