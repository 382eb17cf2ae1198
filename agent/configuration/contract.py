"""`[contract]`: who decides on changes upstream, and from when on they are held."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.configuration.values import Duration, Section, duration_ns

Side = Literal["owner", "integration"]
Compatibility = Literal["full", "backward", "none"]
Hold = Literal["", "hold", "report"]


class ContractRules(Section):
    """`[contract]`: the sides that must approve a change, and the persons of `[people]` on each.

    A side without persons is anybody's who may act; who is on both sides approves for both.
    """

    approvals: list[Side] = Field(default=["owner", "integration"], min_length=1, max_length=2)
    owner: list[str] = Field(default=[], max_length=256)
    integration: list[str] = Field(default=[], max_length=256)
    report_first: Duration = duration_ns("30d")  # a source's changes are told only, so long
    proposals_expire: Duration = duration_ns("30d")  # where nothing comes of them

    def persons(self, side: str) -> list[str]:
        """Who approves for a side; empty: anybody who may act."""
        return {"owner": self.owner, "integration": self.integration}.get(side, [])

    def sides_of(self, person: str) -> list[Side]:
        """The sides that a person approves for."""
        sides: Iterable[Side] = dict.fromkeys(self.approvals)
        return [side for side in sides if person in (self.persons(side) or [person])]


def contract_beside(file: Path) -> Path:
    """Where the contract of a configuration is."""
    return file.with_name(f"{file.stem}.contract.json")
