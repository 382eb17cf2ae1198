"""Errors that a person can act on: operation, subject, cause and hint, in that order.

`FieldwardenError` is the only base class. Every layer may raise it; only the top (`cli`, `app`)
prints or logs it, once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any


class FieldwardenError(Exception):
    """What was being done, to what, what went wrong, and what to run or change.

    Args:
        operation: a phrase in the present participle, such as ``"reading configuration"``.
        subject: the file, key, tag, source or address concerned.
        cause: what went wrong, as the lowest layer said it.
        hint: what to run or change; empty where nothing sensible can be said.
    """

    def __init__(self, operation: str, subject: str, cause: str, hint: str = "") -> None:
        self.operation = operation
        self.subject = subject
        self.cause = cause
        self.hint = hint
        super().__init__(str(self))

    def __reduce__(self) -> tuple[type[FieldwardenError], tuple[Any, ...]]:
        """An error of another process comes here as it was."""
        return type(self), (self.operation, self.subject, self.cause, self.hint)

    def __str__(self) -> str:
        text = f"{self.operation} {self.subject}: {self.cause}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


def cause_of(error: BaseException) -> str:
    """What an exception says, in the system's words where it is the system's, without numbers.

    asyncio words a refused connection its own way, once for each address of a name; ssl gives its
    errors numbers that are not the system's.
    """
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        if "[SSL" not in str(error.strerror):
            return os.strerror(error.errno)
        return str(error.strerror)
    return re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def explained(error: Exception, operation: str, subject: str) -> FieldwardenError:
    """`error` itself where it says all; any other exception as the fault of this program it is."""
    if isinstance(error, FieldwardenError):
        return error
    hint = "this is a fault of the program: please report it with the agent's log"
    return FieldwardenError(operation, subject, f"{type(error).__name__}: {error}", hint)


class ConfigurationError(FieldwardenError):
    """Every fault of a configuration at once; `faults` holds one error for each."""

    def __init__(self, subject: str, faults: Sequence[FieldwardenError]) -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__("reading configuration", subject, count)

    def __reduce__(self) -> tuple[type[ConfigurationError], tuple[Any, ...]]:
        return type(self), (self.subject, self.faults)

    def __str__(self) -> str:
        lines = [f"reading configuration {self.subject}: {self.cause}"]
        lines += [f"- {fault}" for fault in self.faults]
        return "\n".join(lines)


class StoreError(FieldwardenError):
    """The local store could not be opened, read or written."""


class UnfitError(StoreError):
    """What no waiting mends: the database is of another kind, or its tables of a newer version."""


class SourceError(FieldwardenError):
    """A source could not be configured, reached or understood."""


class BaselineError(FieldwardenError):
    """A baseline is missing, damaged, of another schema or of another model version."""
