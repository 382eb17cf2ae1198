"""What the commands on changes upstream share: the one that is meant, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from agent.commands import deciding


def say(event: Mapping[str, Any]) -> None:
    """Print what came of a command."""
    from agent.status.terminal import plain

    told = event["data"]
    click.echo(plain(f"change {told['id']}: {told['change']}, by {told['by']}: {told['note']}"))
    if str(told["text"]) not in told["note"]:  # what is told ahead is told by its reason
        click.echo(plain(str(told["text"])))
    if told["needs"] and told["change"] == "approved by one side":
        click.echo(f"it waits for the other side: {', '.join(told['needs'])}")


def known(config: Path, change: str, operation: str) -> dict[str, Any]:
    """The change of this id, of the running agent, else as it told of it last.

    Raises:
        FieldwardenError: there is none.
    """
    there = deciding.known(config, "changes")
    found = next((one for one in there if one.get("id") == change), None)
    if found is None:
        raise deciding.none_such(operation, change, "there is no such change", there)
    return found
