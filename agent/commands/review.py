"""`fieldwarden review`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import reason_option


@click.command(name="review")
@config_argument
@click.argument(
    "report", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="REPORT"
)
@reason_option
def command(config: Path, report: Path, reason: str) -> None:
    """Sign a report that you have read, in your name.

    REPORT is a file that `fieldwarden report` wrote. Its hash, model and time stand in the account,
    with your name and what you made of it; the next report shows it, and which months nobody
    signed. Where the model has `reviewers`, only they may sign.

    \b
    Examples:
      fieldwarden report config.toml --model yield --month 2026-10 --out october.html
      fieldwarden review config.toml october.html --reason "two drifts seen, both mended"
    """
    from agent.commands.acting import act
    from agent.report.signed import signed
    from agent.status.terminal import plain

    found = signed(report)
    data = {
        "model": found.model, "report": found.digest, "since_ns": found.since_ns,
        "until_ns": found.until_ns, "note": reason,
    }  # fmt: skip
    told = act(config, "review", data)["data"]
    click.echo(plain(f"signed: {report}, on model {found.model}, by {told['by']}"))
    click.echo(f"sha256: {found.digest}")
