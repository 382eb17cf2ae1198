"""Number types by the name that protocols give them, and which of them holds which. Pure."""

from __future__ import annotations

_HOLDS = {
    "boolean": (0, 0, 1), "sbyte": (0, 7, 7), "byte": (0, 0, 8), "int16": (0, 15, 15),
    "uint16": (0, 0, 16), "int32": (0, 31, 31), "uint32": (0, 0, 32), "int64": (0, 63, 63),
    "uint64": (0, 0, 64), "float": (1, 24, 24), "float32": (1, 24, 24), "double": (1, 53, 53),
    "float64": (1, 53, 53),
}  # fmt: skip
"""Data type, lower case -> (1: with fractions; bits of negative, of positive whole numbers)."""


def holds(now: object, was: object) -> bool:
    """Whether type `now` holds every value of type `was`; False where one is not known here."""
    after, before = (_HOLDS.get(str(one).lower()) for one in (now, was))
    if after is None or before is None:
        return False
    return all(new >= old for new, old in zip(after, before, strict=True))


def is_number(name: str) -> bool:
    """Whether values of this type are numbers or truth values."""
    return name.lower() in _HOLDS
