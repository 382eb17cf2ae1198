"""`fieldwarden retraining`: what asks for a model to be trained anew, and what people decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.commands import config_argument
from agent.commands.acting import reason_option

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
      fieldwarden retraining trial config.toml yield --baseline new.json --version 2 --reason "..."
      fieldwarden retraining accept config.toml yield --reason "all criteria are met"
      fieldwarden retraining rollback config.toml yield --reason "its outputs jump"
    """


def _id_argument(function: F) -> F:
    """The positional ID: of a request, or the model that it is of."""
    return click.argument("request", metavar="ID")(function)


def _model_argument(function: F) -> F:
    """The positional MODEL: or the id of a retraining request of it."""
    return click.argument("model", metavar="MODEL")(function)


def _json_option(function: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(function)


@command.command(name="list")
@config_argument
@_json_option
def show_all(config: Path, *, as_json: bool) -> None:
    """Every request that is known, the newest first; also when the agent is dead."""
    import json

    from agent.status.retraining_lines import line_of, trial_line
    from agent.status.terminal import plain

    found, trials = _known(config), _known(config, "trials")
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in (*map(line_of, found), *map(trial_line, trials)):
        click.echo(plain(line))
    if not found and not trials:
        click.echo("no model asks for retraining")


@command.command(name="show")
@config_argument
@_id_argument
@_json_option
def show(config: Path, request: str, *, as_json: bool) -> None:
    """All that is known of one request, and of the trial of its model: criteria beside figures.

    What moved, how far, what was left out, who decided; how long a trial goes on yet, and what
    candidate and model in service showed.
    """
    import json

    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError
    from agent.status.retraining_lines import report, trial_report
    from agent.status.terminal import plain

    known, trials = _known(config), _known(config, "trials")
    found = next((one for one in known if request in (one.get("id"), one.get("model"))), None)
    trial = next((one for one in trials if request in
                  (one.get("id"), one.get("model"), one.get("request"))), None)  # fmt: skip
    if found is None and trial is None:
        hint = nearest(request, [str(one.get("id")) for one in (*known, *trials)])
        cause = "there is no such request, nor a trial"
        raise FieldwardenError("showing retraining request", request, cause, hint)
    if as_json:
        shown = dict(found or {}) | ({"trial": trial} if trial is not None else {})
        click.echo(json.dumps(shown, indent=2))
        return
    for line in (*(report(found) if found else ()), *(trial_report(trial) if trial else ())):
        click.echo(plain(line))


@command.command(name="declare")
@config_argument
@_id_argument
@reason_option
def declare(config: Path, request: str, reason: str) -> None:
    """Declare the shift the new normal, in your name: its data is offered from then on."""
    _decide(config, "declare", request, reason)


@command.command(name="close")
@config_argument
@_id_argument
@reason_option
def close(config: Path, request: str, reason: str) -> None:
    """Close it as an equipment fault, in your name: its time is never offered for training."""
    _decide(config, "close", request, reason)


@command.command(name="withdraw")
@config_argument
@_id_argument
@reason_option
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
    if not found.blocks and not count:
        click.echo("there is nothing to train on: left_out.json in it says what was left out, why")


@command.command(name="trial")
@config_argument
@_model_argument
@click.option(
    "--baseline", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="NEW.json", help="The candidate's, made by `fit`; the agent copies it.",
)
@click.option("--version", "version", required=True, metavar="V", help="The candidate's.")
@reason_option
def trial(config: Path, model: str, baseline: Path, version: str, reason: str) -> None:
    """Try a candidate beside the model in service, whose verdict alone counts.

    It is judged by [models.<name>.trial] as it is right now. The candidate's predictions come by
    the API, with its version.
    """
    from agent.core.trial_criteria import span

    told = _act(config, "trial", model, reason, baseline=str(baseline.resolve()), version=version)
    click.echo(f"it is watched for {span(int(told['left_ns']))} at least; these are asked of it:")
    for one in told["judged"]:
        click.echo(f"  {one['text']}")


@command.command(name="accept")
@config_argument
@_model_argument
@reason_option
def accept(config: Path, model: str, reason: str) -> None:
    """Take a candidate that meets all criteria into service, in your name."""
    _act(config, "accept", model, reason)


@command.command(name="reject")
@config_argument
@_model_argument
@reason_option
def reject(config: Path, model: str, reason: str) -> None:
    """End a trial, in your name; the model in service goes on."""
    _act(config, "reject", model, reason)


@command.command(name="rollback")
@config_argument
@_model_argument
@reason_option
def rollback(config: Path, model: str, reason: str) -> None:
    """Return to what the accepted candidate replaced, in your name."""
    _act(config, "rollback", model, reason)


def _act(config: Path, kind: str, model: str, reason: str, **more: str) -> Mapping[str, Any]:
    """Have it done, and say what came of it."""
    from agent.commands.acting import act
    from agent.status.terminal import plain

    asked = {"model": model, "note": reason, **more}
    told: Mapping[str, Any] = act(config, kind, asked)["data"]
    click.echo(plain(f"model {told['model']}: {told['change']}, by {told['by']}: {told['note']}"))
    click.echo(plain(str(told["text"])))
    if serves := told.get("in_service"):
        click.echo(plain(f"in service: version {serves['version']}, {serves['baseline'][:12]}"))
    if told.get("hint"):
        click.echo(plain(f"to do: {told['hint']}"))
    return told


def _decide(config: Path, kind: str, request: str, reason: str) -> None:
    from agent.commands.acting import act
    from agent.status.terminal import plain

    told: Mapping[str, Any] = act(config, kind, {"request": request, "note": reason})["data"]
    click.echo(plain(f"{told['id']} is {told['state']}, by {told['by']}: {told['note']}"))
    if told.get("hint"):
        click.echo(plain(f"to do: {told['hint']}"))


def _known(config: Path, what: str = "retraining") -> list[Mapping[str, Any]]:
    """The requests, or trials, as the running agent or its store tells them."""
    from agent.commands.status import document_of
    from agent.status.view import items

    return list(items(document_of(config), what))
