"""`fieldwarden contract graph`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument
from agent.commands.lines import size

if TYPE_CHECKING:
    from agent.contract.graph import Graph, Lit


@click.command(name="graph")
@config_argument
@click.option("--change", default="", metavar="ID", help="Show what an open change reaches.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Show what a tag reaches.")
@click.option("--every", is_flag=True, help="Name every tag, where else many are folded.")
@click.option("--json", "as_json", is_flag=True, help="Print nodes and edges as one JSON object.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a picture; it needs no other program.",
)  # fmt: skip
def graph(
    config: Path, *, change: str, tags: tuple[str, ...], every: bool, as_json: bool,
    svg: Path | None,
) -> None:  # fmt: skip
    """Show lineage: source, tag, model, output; one model's output may be another's input.

    A change is looked up in the running agent, or in its store where none runs.

    \b
    Examples:
      fieldwarden contract graph config.toml
      fieldwarden contract graph config.toml --change utilities-3
      fieldwarden contract graph config.toml --tag cooling.flow --svg lineage.svg
    """
    from agent.configuration.load import load
    from agent.contract.graph import graph_of, reached
    from agent.contract.graph_text import lines_of
    from agent.status.terminal import plain

    found = graph_of(load(config))
    lit = reached(found, [*_known(found, tags), *(_tags_of(config, change) if change else ())])
    if svg is not None:
        _draw(found, lit, svg)
    if as_json:
        click.echo(json.dumps(found.to_json(lit), ensure_ascii=False))
    elif svg is None:
        for line in lines_of(found, lit, every=every):
            click.echo(plain(line))


def _known(found: Graph, tags: tuple[str, ...]) -> tuple[str, ...]:
    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError

    for name in tags:
        if name not in found.tags:
            hint = nearest(name, list(found.tags))
            raise FieldwardenError("showing lineage of", name, "there is no such tag", hint)
    return tags


def _tags_of(config: Path, change: str) -> list[str]:
    """The tags of a change, as the running agent or its store tells it."""
    from agent.commands.status import document_of
    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError
    from agent.status.view import items

    known = {str(one.get("id")): one for one in items(document_of(config), "changes")}
    if change not in known:
        hint = nearest(change, list(known)) or "see which there are: fieldwarden status CONFIG"
        raise FieldwardenError("showing lineage of change", change, "there is none of that id",
                               hint)  # fmt: skip
    return [str(name) for name in known[change].get("tags") or ()]


def _draw(found: Graph, lit: Lit, path: Path) -> None:
    from agent.contract.graph_layout import picture
    from agent.contract.graph_svg import svg_of
    from agent.files import write_text

    title = f"Sources, tags, models and outputs of gateway {found.gateway}, site {found.site}"
    write_text(path, svg_of(picture(found, lit), title))
    told = size(len(found.sources), len(found.tags), len(found.models))
    click.echo(f"{path}: {told}", err=True)
