"""What the commands of `fieldwarden contract` share: reading it, and showing differences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration
    from agent.contract.differences import Difference
    from agent.contract.document import Contract

_SIGNS = {"additive": "green", "compatible": "yellow", "breaking": "red"}

timeout_option = click.option(
    "--timeout", default=5.0, show_default=True, type=click.FloatRange(0.1, 600.0),
    help="Seconds for each source, and to listen for what is sent unasked.",
)  # fmt: skip


def path_of(config: Path) -> Path:
    """Where the contract of a configuration is."""
    from agent.configuration.contract import contract_beside

    return contract_beside(config)


def saved(path: Path) -> Contract:
    """The contract of a file.

    Raises:
        FieldwardenError: there is none, or it was changed by hand.
    """
    from agent.contract.document import LIMIT_BYTES, contract_of
    from agent.files import read_bounded

    hint = "make it: fieldwarden contract snapshot CONFIG"
    return contract_of(read_bounded(path, LIMIT_BYTES, "reading the contract", hint), str(path))


def live_contract(
    configuration: Configuration, timeout_s: float
) -> tuple[Contract, dict[str, Any]]:
    """(the contract as of now, why a source could not be asked); see `agent.contract.made.live`."""
    import asyncio

    from agent.contract.made import live

    return asyncio.run(live(configuration, timeout_s))


def say(found: list[Difference]) -> None:
    """One line each, what breaks first."""
    from agent.commands.lines import hanging
    from agent.status.terminal import plain

    for one in found:
        touched = f" (models {', '.join(one.models)})" if one.models else ""
        click.secho(f"{one.grade:>10}  ", fg=_SIGNS[one.grade], nl=False)
        click.echo(hanging(plain(f"{one.text}{touched}"), 12))


def summary(agreed: Contract, found: list[Difference]) -> str:
    """How many of which grade there are."""
    if not found:
        return f"nothing differs from contract {agreed.digest[:12]} of {agreed.made}"
    counts = [(grade, sum(one.grade == grade for one in found)) for grade in reversed(_SIGNS)]
    told = ", ".join(f"{count} {grade}" for grade, count in counts if count)
    return f"{told}; contract {agreed.digest[:12]} of {agreed.made}"
