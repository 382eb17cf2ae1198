"""What the commands on changes upstream share: those that are known, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def say(event: Mapping[str, Any]) -> None:
    """Print what came of a command."""
    from agent.status.terminal import plain

    told = event["data"]
    click.echo(plain(f"change {told['id']}: {told['change']}, by {told['by']}: {told['note']}"))
    click.echo(plain(str(told["text"])))
    if told["needs"] and told["change"] == "approved by one side":
        click.echo(f"it waits for the other side: {', '.join(told['needs'])}")


def known(config: Path) -> list[dict[str, Any]]:
    """The changes of the running agent, else as it told of them last."""
    from agent.commands.status import document_of
    from agent.status.view import items

    return [dict(one) for one in items(document_of(config), "changes")]
