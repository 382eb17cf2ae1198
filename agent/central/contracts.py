"""What central knows of a gateway's contract: which one it is, and what of it is open. Pure.

A gateway says all of it in its birth, and says that again where it changes: what is not in it any
more has ended, expired or been decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.status.view import utc

CHANGES_KEPT: Final = 20
_NAMES_KEPT: Final = 20
_LONGEST: Final = 500  # characters of a text
_LARGEST: Final = 2**63
_NS: Final = 1e9


@dataclass(frozen=True, slots=True)
class KnownContract:
    """As told last by one store.

    Attributes:
        hash: of the contract's terms.
        held_tags: how many.
        open_changes: how many; `changes` are the worst of them.
        said_ns: engine time of the gateway at which it was said.
        heard_ns: central's monotonic clock at that time.
    """

    hash: str
    made: str
    held_tags: int
    open_changes: int
    changes: tuple[Mapping[str, Any], ...]
    said_ns: int
    heard_ns: int

    def document(self, now_ns: int) -> dict[str, Any]:
        """JSON-ready; `now_ns` of central's monotonic clock, by which changes grow older."""
        passed = max(0, now_ns - self.heard_ns)
        return {
            "hash": self.hash, "made": self.made, "held_tags": self.held_tags,
            "open_changes": self.open_changes,
            "changes": [self._change(one, passed) for one in self.changes],
        }  # fmt: skip

    def _change(self, one: Mapping[str, Any], passed: int) -> dict[str, Any]:
        since = one["since_ns"]
        age = max(0, self.said_ns - since + passed) / _NS if since else None
        told = {key: val for key, val in one.items() if key != "since_ns"}
        return {**told, "since": utc(since), "age_s": age}

    def to_json(self) -> list[Any]:
        """JSON-ready, for central's file."""
        return [
            self.hash, self.made, self.held_tags, self.open_changes, list(self.changes),
            self.said_ns,
        ]  # fmt: skip

    @staticmethod
    def from_json(document: list[Any], now_ns: int) -> KnownContract:
        """From `to_json`: ages go on from when it was said."""
        digest, made, held, open_, changes, said_ns = document
        return KnownContract(
            str(digest), str(made), int(held), int(open_), tuple(map(_told, changes)),
            int(said_ns), now_ns,
        )  # fmt: skip


def contract_of(data: Mapping[str, Any], said_ns: int, heard_ns: int) -> KnownContract | None:
    """From the data of a birth; None where the gateway has no contract, or says it in no form."""
    told = data.get("contract")
    if not isinstance(told, dict):
        return None
    changes = told.get("changes")
    listed = changes if isinstance(changes, list) else []
    some = [_told(one) for one in listed[:CHANGES_KEPT] if isinstance(one, dict)]
    return KnownContract(
        _text(told.get("hash")), _text(told.get("made")), _count(told.get("held_tags")),
        max(_count(told.get("open_changes")), len(some)), tuple(some), said_ns, heard_ns,
    )  # fmt: skip


def _told(one: Mapping[str, Any]) -> dict[str, Any]:
    """One change, whatever a gateway sent."""
    return {
        **{key: _text(one.get(key)) for key in ("id", "source", "state", "grade", "hold", "text")},
        **{key: _count(one.get(key)) for key in ("since_ns", "tags")},
        **{key: _names(one.get(key)) for key in ("models", "needs")},
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:_LONGEST]


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < _LARGEST else 0


def _names(value: Any) -> list[str]:
    return [_text(one) for one in value[:_NAMES_KEPT]] if isinstance(value, list) else []
