"""`fieldwarden contract`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands import config_argument
from agent.commands.contract_apply import apply
from agent.commands.contract_graph import graph
from agent.commands.contract_lines import (
    live_contract,
    path_of,
    saved,
    say,
    summary,
    timeout_option,
)
from agent.commands.lines import size

if TYPE_CHECKING:
    from agent.contract.document import Contract


@click.group(name="contract")
def command() -> None:
    """What sources and models have agreed on, and what is different now.

    The contract is a file beside the configuration: of each source and tag the address, type,
    unit, ranges and interval, and what the source tells of itself; of each model what it was
    trained on. Keep it in version control; its hash names it.

    \b
    Examples:
      fieldwarden contract snapshot config.toml
      fieldwarden contract diff config.toml          # exit 1 where something breaks
      fieldwarden contract show config.toml --json
      fieldwarden contract graph config.toml
      fieldwarden contract apply config.toml tags.csv --dry-run
    """


command.add_command(apply)
command.add_command(graph)

@command.command(name="snapshot")
@config_argument
@click.option("--replace", is_flag=True, help="Write it although it differs from the one there.")
@timeout_option
def snapshot(config: Path, *, replace: bool, timeout: float) -> None:
    """Read the contract from the live sources, and write it beside the configuration.

    Every source must answer. A contract that is there already is replaced only with --replace,
    after its differences were shown.

    \b
    Examples:
      fieldwarden contract snapshot config.toml
      fieldwarden contract snapshot config.toml --replace
    """
    from agent.configuration.load import load

    configuration = load(config)
    now, failed = live_contract(configuration, timeout)
    for error in failed.values():
        raise error
    _keep(path_of(config), now, replace=replace)


def _keep(path: Path, now: Contract, *, replace: bool) -> None:
    """Write a contract; one that differs from it is replaced only where that is asked for."""
    from agent.contract.differences import differences
    from agent.contract.document import text_of
    from agent.errors import FieldwardenError
    from agent.files import write_text

    if path.exists():
        found = differences(saved(path), now)
        say(found)
        if found and not replace:
            cause = f"the one there differs in {len(found)} terms"
            hint = "look at them above; then write it with --replace"
            raise FieldwardenError("replacing the contract", str(path), cause, hint)
    write_text(path, text_of(now))
    tags = sum(len(source.tags) for source in now.sources.values())
    told = size(len(now.sources), tags, len(now.models))
    click.echo(f"{path}: {told}; hash {now.digest[:12]}")


@command.command(name="diff")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@timeout_option
@click.pass_context
def diff(ctx: click.Context, config: Path, *, as_json: bool, timeout: float) -> None:
    """Compare the contract with the configuration and the live sources; exit 1 if any breaks.

    A source that does not answer, and a tag of which nothing comes in time, is told, and what only
    it could tell is left out.

    \b
    Examples:
      fieldwarden contract diff config.toml
      fieldwarden contract diff config.toml --json
    """
    from agent.configuration.load import load
    from agent.contract.differences import differences
    from agent.contract.document import silent, without_served
    from agent.status.terminal import plain

    configuration = load(config)
    agreed = saved(path_of(config))
    now, failed = live_contract(configuration, timeout)
    for name, error in failed.items():
        told = f"source {name} does not answer, so what it serves is not compared: {error}"
        click.echo(plain(told), err=True)
    unheard = silent(agreed, now, now.sources.keys() - failed)
    for tag in unheard:
        told = f"nothing came of {tag} in {timeout:g} s, so what is served of it is not compared"
        click.echo(plain(told), err=True)
    found = differences(without_served(agreed, failed, unheard), now)
    if as_json:
        for one in found:
            click.echo(json.dumps(one.to_json(), ensure_ascii=False))
    else:
        say(found)
        click.echo(summary(agreed, found))
    ctx.exit(1 if any(one.grade == "breaking" for one in found) else 0)


@command.command(name="show")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print the file as it is.")
def show(config: Path, *, as_json: bool) -> None:
    """Show the contract: sources, tags, and which models need them.

    \b
    Examples:
      fieldwarden contract show config.toml
      fieldwarden contract show config.toml --json
    """
    from agent.commands.contract_table import table_of
    from agent.contract.document import text_of

    agreed = saved(path_of(config))
    if as_json:
        click.echo(text_of(agreed), nl=False)
        return
    from rich.console import Console

    Console(highlight=False).print(table_of(agreed))


@command.command(name="export")
@config_argument
@click.option(
    "--format", "form", default="odcs", show_default=True, type=click.Choice(["odcs", "asyncapi"]),
    help="odcs: Open Data Contract Standard v3.1.0, a file for each source; asyncapi: AsyncAPI 3.0,"
    " what this gateway says over MQTT.",
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Where to: SOURCE.odcs.yaml for each source, or asyncapi.yaml.",
)  # fmt: skip
def export(config: Path, form: str, out: Path) -> None:
    """Write the contract in a standard form, for catalogues and other tools.

    \b
    Examples:
      fieldwarden contract export config.toml --format odcs --out contracts
      fieldwarden contract export config.toml --format asyncapi --out contracts
    """
    from agent.files import write_text

    yaml = _yaml()
    made = {"odcs": _sources, "asyncapi": _messages}[form](config)
    out.mkdir(parents=True, exist_ok=True)
    for name, (document, told) in made.items():
        path = out / name
        write_text(path, yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
        click.echo(f"{path}: {told}")


def _sources(config: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """File name -> (document, what it is of)."""
    from agent.contract.odcs import documents

    found = documents(saved(path_of(config)))
    return {
        f"{file_name(name)}.odcs.yaml": (document, f"source {name}")
        for name, document in found.items()
    }


def _messages(config: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """The same of what is said over MQTT."""
    from agent import __version__
    from agent.configuration.load import load
    from agent.forward.form import Identity
    from agent.forward.json_asyncapi import document

    configuration = load(config)
    gateway, upstream = configuration.gateway, configuration.upstream
    who = Identity(gateway.site, gateway.name, "")
    server = f"{upstream.host}:{upstream.port_number}" if upstream else ""
    made = document(who, server, __version__, tls=upstream is None or upstream.tls)
    told = f"what gateway {gateway.name} of site {gateway.site} tells central"
    return {"asyncapi.yaml": (made, told)}


@command.command(name="import")
@config_argument
@click.option(
    "--format", "form", default="odcs", show_default=True, type=click.Choice(["odcs"]),
    help="Open Data Contract Standard v3.1.0.",
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--replace", is_flag=True, help="Write it although it differs from the one there.")
def from_files(config: Path, form: str, files: tuple[Path, ...], *, replace: bool) -> None:  # noqa: ARG001
    """Take the contract from files in a standard form, all sources of the gateway at once.

    \b
    Examples:
      fieldwarden contract import config.toml contracts/*.odcs.yaml
    """
    from agent.contract.document import LIMIT_BYTES
    from agent.contract.odcs import contract_from
    from agent.errors import FieldwardenError
    from agent.files import read_bounded

    yaml = _yaml()
    read = []
    for path in files:
        try:
            read.append(yaml.safe_load(read_bounded(path, LIMIT_BYTES, "reading the contract")))
        except (yaml.YAMLError, RecursionError) as error:
            cause = f"it is no YAML: {' '.join(str(error).split())[:160]}"
            raise FieldwardenError("reading the contract", str(path), cause, "") from None
    _keep(path_of(config), contract_from(read), replace=replace)


def file_name(name: str) -> str:
    """A source's name as that of a file: what no file may be called is percent-encoded."""
    from urllib.parse import quote

    return quote(name, safe=" ()+,-._").lstrip(".") or "%2E"


def _yaml() -> Any:
    from agent.errors import FieldwardenError

    try:
        import yaml
    except ImportError:
        hint = "pip install 'fieldwarden[contract]'"
        raise FieldwardenError("using", "YAML", "PyYAML is not installed", hint) from None
    return yaml
