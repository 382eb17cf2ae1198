"""`fieldwarden retraining`: what asks for a model to be trained anew, and what people decide."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from agent.commands import config_argument, deciding
from agent.commands.acting import reason_option


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


@command.command(name="list")
@config_argument
@deciding.json_option
def show_all(config: Path, *, as_json: bool) -> None:
    """Every request that is known, the newest first; also when the agent is dead."""
    from agent.status.retraining_lines import line_of, trial_line

    found, trials = deciding.known(config, "retraining"), deciding.known(config, "trials")
    lines = [*map(line_of, found), *map(trial_line, trials)]
    deciding.show(found, lines or ["no model asks for retraining"], as_json=as_json)


@command.command(name="show")
@config_argument
@click.argument("request", metavar="ID")
@deciding.json_option
def show(config: Path, request: str, *, as_json: bool) -> None:
    """All that is known of one request, and of the trial of its model: criteria beside figures.

    What moved, how far, what was left out, who decided; how long a trial goes on yet, and what
    candidate and model in service showed.
    """
    from agent.status.retraining_lines import report, trial_report

    known, trials = deciding.known(config, "retraining"), deciding.known(config, "trials")
    found = next((one for one in known if request in (one.get("id"), one.get("model"))), None)
    trial = next((one for one in trials if request in
                  (one.get("id"), one.get("model"), one.get("request"))), None)  # fmt: skip
    if found is None and trial is None:
        cause = "there is no such request, nor a trial"
        raise deciding.none_such("showing retraining request", request, cause, [*known, *trials])
    whole = (found or {}) | ({"trial": trial} if trial is not None else {})
    lines = [*(report(found) if found else ()), *(trial_report(trial) if trial else ())]
    deciding.show(whole, lines, as_json=as_json)


@command.command(name="bundle")
@config_argument
@click.argument("request", metavar="ID")
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
@click.argument("model", metavar="MODEL")
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

    path = str(baseline.resolve())
    told = _act(config, model, reason, kind="trial", baseline=path, version=version)
    click.echo(f"it is watched for {span(int(told['left_ns']))} at least; these are asked of it:")
    for one in told["judged"]:
        click.echo(f"  {one['text']}")


def _act(config: Path, model: str, reason: str, *, kind: str, **more: str) -> Mapping[str, Any]:
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


def _decide(config: Path, request: str, reason: str, *, kind: str) -> None:
    from agent.commands.acting import act
    from agent.status.terminal import plain

    told: Mapping[str, Any] = act(config, kind, {"request": request, "note": reason})["data"]
    click.echo(plain(f"{told['id']} is {told['state']}, by {told['by']}: {told['note']}"))
    if told.get("hint"):
        click.echo(plain(f"to do: {told['hint']}"))


# What is decided with a reason alone: of a request, and of a trial or what came of it.
for _name, _text in (
    ("declare",
     "Declare the shift the new normal, in your name: its data is offered from then on."),
    ("close",
     "Close it as an equipment fault, in your name: its time is never offered for training."),
    ("withdraw", "Withdraw it, in your name, where its evidence has cleared."),
):
    command.add_command(deciding.decision(_name, "ID", _text, partial(_decide, kind=_name)))
for _name, _text in (
    ("accept", "Take a candidate that meets all criteria into service, in your name."),
    ("reject", "End a trial, in your name; the model in service goes on."),
    ("rollback", "Return to what the accepted candidate replaced, in your name."),
):
    command.add_command(deciding.decision(_name, "MODEL", _text, partial(_act, kind=_name)))
