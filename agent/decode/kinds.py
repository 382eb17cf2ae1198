"""The type of a value as it comes, told once where it changes, and as one where several alternate.

Pure: time comes in with the value. A type that comes and goes all the time would be news at each
sample: after a few changes in a short time what is told is all the types that come, until only one
has come for that time.
"""

from __future__ import annotations

from typing import Final

MOST_CHANGES: Final = 4
"""So many changes within `WITHIN_NS` are news; more of them are several types at the same time."""
WITHIN_NS: Final = 600_000_000_000


class Kinds:
    """The type of what comes at one place.

    Args:
        told: as it is known to be; empty where nothing came yet.

    Attributes:
        told: what comes: one type, or several joined by " or ".
        latest: what came last.
    """

    __slots__ = ("_changes", "_seen", "latest", "told")

    def __init__(self, told: str = "") -> None:
        self.told = self.latest = told
        self._changes: list[int] = []
        self._seen: dict[str, int] = {}  # type -> when it came last, where several alternate

    @property
    def is_mixed(self) -> bool:
        """Whether several types alternate."""
        return bool(self._seen)

    def came(self, kind: str, now_ns: int) -> bool:
        """A value of this type came; whether what is told is another one now."""
        self.latest = kind
        if not self._seen:
            if kind == self.told:
                return False
            was, self.told = self.told, kind
            if was:
                self._changes = [ns for ns in self._changes if now_ns - ns < WITHIN_NS] + [now_ns]
            if len(self._changes) > MOST_CHANGES:
                self._seen = {was: now_ns, kind: now_ns}
                self.told = _joined(self._seen)
            return True
        self._seen[kind] = now_ns
        self._seen = {one: ns for one, ns in self._seen.items() if now_ns - ns < WITHIN_NS}
        told = _joined(self._seen)
        if len(self._seen) == 1:
            self._seen, self._changes = {}, []
        was, self.told = self.told, told
        return was != told


def _joined(kinds: dict[str, int]) -> str:
    return " or ".join(sorted(kinds))
