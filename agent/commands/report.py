"""`fieldwarden report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.commands import config_argument, model_option


@click.command(name="report")
@config_argument
@model_option
@click.option("--since", default="30d", metavar="SPAN", help="How far back: 12h, 30d; default 30d.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to: .html for a page that needs nothing else, .json for programs.",
)  # fmt: skip
@click.option(
    "--for", "rules", default=None, type=click.Choice(["annex22", "ai-act", "iso42001"]),
    help="Say which record is evidence for which clause.",
)
def command(config: Path, model: str | None, since: str, out: Path, rules: str | None) -> None:
    """Report on a model: verdicts, incidents, drift, decisions, and what was not checked.

    Works on the store, while the agent runs and when it is dead. The same store gives the same
    report.

    \b
    Examples:
      fieldwarden report config.toml --model quality --since 30d --out report.html
      fieldwarden report config.toml --model quality --for annex22 --out annex22.html
      fieldwarden report config.toml --model quality --out report.json
    """
    import json

    from agent.configuration.values import duration_ns
    from agent.errors import FieldwardenError
    from agent.files import write_text
    from agent.report.clauses import RULE_BOOKS
    from agent.report.page import page

    try:
        since_ns = duration_ns(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    if out.suffix not in {".html", ".json"}:
        raise FieldwardenError("writing", str(out), "it ends in neither .html nor .json", "")
    facts = _facts(config, model, since_ns)
    book = RULE_BOOKS[rules] if rules else None
    if out.suffix == ".html":
        text = page(facts, book)
    else:
        told = {**facts, "evidence_for": book and book._asdict()}
        text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(out, text)
    click.echo(f"{out}: {facts['model']}, {len(facts['incidents'])} incidents, "
               f"{len(facts['decisions'])} decisions")  # fmt: skip


def _facts(config: Path, model: str | None, since_ns: int) -> dict[str, Any]:
    from agent.commands import one_model
    from agent.configuration.load import load
    from agent.core.baseline_file import read_baseline
    from agent.report.facts import facts_of
    from agent.store import Reader

    configuration = load(config)
    name = one_model(configuration, model)
    baseline = read_baseline(Path(configuration.models[name].baseline))
    reader = Reader(configuration.store_path)
    try:
        until_ns = reader.last_time_ns()
        return facts_of(configuration, name, baseline, reader, until_ns - since_ns, until_ns)
    finally:
        reader.close()
