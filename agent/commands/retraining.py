"""`fieldwarden retraining`: what asks for a model to be trained anew, and what people decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.commands import config_argument

F = TypeVar("F", bound=Callable[..., Any])


@click.group(name="retraining")
def command() -> None:
    """Requests for retraining: see the evidence, decide in your name, take the data.

    Data is offered only after a named person declared the shift the new normal: a model that is
    taught on a fault learns the fault.

    \b
    Examples:
      fieldwarden retraining list config.toml
      fieldwarden retraining show config.toml yield@1764407222
      fieldwarden retraining declare config.toml yield --reason "new catalyst since May"
      fieldwarden retraining close config.toml yield --reason "exchanger E-12 is fouled"
      fieldwarden retraining bundle config.toml yield --out yield.zip
    """


def _id_argument(function: F) -> F:
    """The positional ID: of a request, or the model that it is of."""
    return click.argument("request", metavar="ID")(function)


def _reason_option(function: F) -> F:
    return click.option(
        "--reason", required=True, metavar="TEXT", help="Why; kept with your name in the account."
    )(function)


def _json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(function)


@command.command(name="list")
@config_argument
@_json_option
def show_all(config: Path, *, as_json: bool) -> None:
    """Every request that is known, the newest first; also when the agent is dead."""
    import json

    from agent.status.retraining_lines import line_of
    from agent.status.terminal import plain

    found = _known(config)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for request in found:
        click.echo(plain(line_of(request)))
    if not found:
        click.echo("no model asks for retraining")


@command.command(name="show")
@config_argument
@_id_argument
@_json_option
def show(config: Path, request: str, *, as_json: bool) -> None:
    """All that is known of one request: what moved, how far, what was left out, who decided."""
    import json

    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError
    from agent.status.retraining_lines import report
    from agent.status.terminal import plain

    known = _known(config)
    found = next((one for one in known if request in (one.get("id"), one.get("model"))), None)
    if found is None:
        hint = nearest(request, [str(one.get("id")) for one in known])
        raise FieldwardenError("showing retraining request", request, "there is none", hint)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in report(found):
        click.echo(plain(line))


@command.command(name="declare")
@config_argument
@_id_argument
@_reason_option
def declare(config: Path, request: str, reason: str) -> None:
    """Declare the shift the new normal, in your name: its data is offered from then on."""
    _decide(config, "declare", request, reason)


@command.command(name="close")
@config_argument
@_id_argument
@_reason_option
def close(config: Path, request: str, reason: str) -> None:
    """Close it as an equipment fault, in your name: its time is never offered for training."""
    _decide(config, "close", request, reason)


@command.command(name="withdraw")
@config_argument
@_id_argument
@_reason_option
def withdraw(config: Path, request: str, reason: str) -> None:
    """Withdraw it, in your name, where its evidence has cleared."""
    _decide(config, "withdraw", request, reason)


@command.command(name="bundle")
@config_argument
@_id_argument
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.zip",
    help="File to write.",
)  # fmt: skip
def bundle(config: Path, request: str, out: Path) -> None:
    """Write the evidence and the clean data of a declared request to one zip file.

    It works on the store, while the agent runs and when it is dead. Made again of the same store it
    has the same bytes. Needs pyarrow: pip install 'fieldwarden[parquet]'.
    """
    from agent.configuration.load import load
    from agent.errors import FieldwardenError
    from agent.store import Reader

    try:
        from agent.bundle import evidence, pack
    except ImportError as error:
        raise FieldwardenError(
            "bundling", request, f"{error.name} is not installed",
            "pip install 'fieldwarden[parquet]'",
        ) from error
    configuration = load(config)
    reader = Reader(configuration.store_path)
    try:
        found = evidence.gathered(reader, configuration, request)
    finally:
        reader.close()
    pack.write(out, pack.bundle(found, configuration))
    count = len(found.samples.time_ns)
    click.echo(f"{out}: {len(found.blocks)} clean windows and {count:,} samples of "
               f"{found.request['id']}")  # fmt: skip
    if found.samples.why_none:
        click.echo(f"no samples: {found.samples.why_none}")


def _decide(config: Path, kind: str, request: str, reason: str) -> None:
    from agent.commands.acting import act
    from agent.status.terminal import plain

    told: Mapping[str, Any] = act(config, kind, {"request": request, "note": reason})["data"]
    click.echo(plain(f"{told['id']} is {told['state']}, by {told['by']}: {told['note']}"))
    if told.get("hint"):
        click.echo(plain(f"to do: {told['hint']}"))


def _known(config: Path) -> list[Mapping[str, Any]]:
    """The requests, as the running agent or its store tells them."""
    from agent.commands.status import document_of
    from agent.status.view import items

    return list(items(document_of(config), "retraining"))
