"""`fieldwarden audit`: the account of verdicts and decisions, whole or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands import config_argument
from agent.commands.lines import counted

if TYPE_CHECKING:
    from agent.store import Reader

_LEAST_DIGITS = 12
_SHOWN = 50


@click.group(name="audit")
def command() -> None:
    """Who decided what, when, why, on which evidence; and whether nothing of it was changed.

    Every change of a verdict and every act of a person is a record; each holds the hash of the one
    before it. Works on the store, while the agent runs and when it is dead.

    \b
    Examples:
      fieldwarden audit show config.toml
      fieldwarden audit verify config.toml
      fieldwarden audit verify config.toml --anchor 3f9a1c20b7d4
      fieldwarden audit export config.toml account.jsonl
    """


@command.command(name="verify")
@config_argument
@click.option(
    "--anchor", default="", metavar="HASH",
    help="Hash of a record that was told elsewhere: `account` of any verdict at central.",
)  # fmt: skip
def verify(config: Path, anchor: str) -> None:
    """Say whether records were altered, removed or put elsewhere.

    Whoever can write the store can write all of it anew: that is found with --anchor only, a hash
    that central received. It shows that all up to that record is as it was then.
    """
    from agent.errors import FieldwardenError

    anchor = anchor.strip().lower()
    if anchor and (len(anchor) < _LEAST_DIGITS or not set(anchor) <= set("0123456789abcdef")):
        raise FieldwardenError(
            "verifying the account by", anchor[:80], "it is no hash of a record",
            f"give at least the first {_LEAST_DIGITS} of its digits 0 to 9 and a to f",
        )
    reader = _reader(config)
    try:
        proof = reader.account_proof(anchor)
    finally:
        reader.close()
    if proof.faults:
        raise FieldwardenError(
            "verifying the account of", str(config), "; ".join(proof.faults),
            "compare it with an export, or with what central received",
        )
    known = f"; {anchor} is of them" if anchor else ""
    click.echo(f"{_counted(proof.records, proof.first, proof.head.number)} whole{known}")
    click.echo(f"head: {proof.head.number} {proof.head.hash}")


@command.command(name="show")
@config_argument
@click.option("--last", default=_SHOWN, type=click.IntRange(1), help="How many; default 50.")
@click.option("--json", "as_json", is_flag=True, help="The records as JSON lines.")
def show(config: Path, last: int, *, as_json: bool) -> None:
    """Show the newest records, the oldest of them first."""
    import json
    from collections import deque

    from agent.status.terminal import plain
    from agent.status.view import utc

    reader = _reader(config)
    try:
        records = deque(reader.account(), maxlen=last)
    finally:
        reader.close()
    for record in records:
        if as_json:
            click.echo(json.dumps(record))
            continue
        told = json.loads(record["data"])
        what = told.get("verdict") or str(told.get("change", "")).replace("_", " ")
        why = f": {record['why']}" if record["why"] else ""
        click.echo(plain(
            f"{record['number']} {utc(record['time_ns'])} {record['who']}: {record['subject']} "
            f"{what}{why} (evidence {record['evidence'][:12] or 'not kept'})"
        ))  # fmt: skip
    if not records and not as_json:
        click.echo("nothing was decided yet")


@command.command(name="export")
@config_argument
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def export(config: Path, file: Path) -> None:
    """Write all records to FILE, as JSON lines, for whoever verifies them without this program."""
    import json

    from agent.files import replacing

    reader = _reader(config)
    count = 0
    try:
        with replacing(file) as draft, draft.open("w", encoding="ascii") as out:
            for record in reader.account():
                out.write(json.dumps(record) + "\n")
                count += 1
    finally:
        reader.close()
    click.echo(f"{counted(count, 'record')} in {file}")


def _reader(config: Path) -> Reader:
    from agent.configuration.whereabouts import find
    from agent.store import Reader as Opened

    return Opened(find(config).store)


def _counted(records: int, first: int, last: Any) -> str:
    if records == 1:
        return f"1 record, number {first}, is"
    return f"{records:,} records, numbers {first} to {last}, are" if records else "0 records are"
