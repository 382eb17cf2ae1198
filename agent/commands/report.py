"""`fieldwarden report`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent.commands import config_argument, model_option
from agent.commands.lines import counted


@click.command(name="report")
@config_argument
@model_option
@click.option("--since", metavar="SPAN", help="How far back from the newest record; default 30d.")
@click.option("--month", metavar="YYYY-MM", help="A calendar month (UTC) instead, for its review.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to: .html for a page that needs nothing else, .json for programs.",
)  # fmt: skip
@click.option(
    "--for", "rules", default=None, type=click.Choice(["annex22", "ai-act", "iso42001"]),
    help="Say which record is evidence for which clause.",
)
def command(
    config: Path, model: str | None, since: str | None, month: str | None, out: Path,
    rules: str | None,
) -> None:
    """Report on a model: verdicts, incidents, drift, decisions, and what was not checked.

    Works on the store, while the agent runs and when it is dead. The same store gives the same
    report.

    \b
    Examples:
      fieldwarden report config.toml --model quality --since 30d --out report.html
      fieldwarden report config.toml --model quality --month 2026-10 --out october.html
      fieldwarden report config.toml --model quality --for annex22 --out annex22.html
      fieldwarden report config.toml --model quality --out report.json
    """
    import json

    from agent.errors import FieldwardenError
    from agent.files import write_text
    from agent.report.clauses import RULE_BOOKS
    from agent.report.page import page

    span = _span(since, month)
    if out.suffix not in {".html", ".json"}:
        raise FieldwardenError("writing", str(out), "it ends in neither .html nor .json", "")
    facts = _facts(config, model, span)
    book = RULE_BOOKS[rules] if rules else None
    if out.suffix == ".html":
        text = page(facts, book)
    else:
        told = {**facts, "evidence_for": book and book._asdict()}
        text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(out, text)
    sizes = [counted(len(facts[f"{what}s"]), what) for what in ("incident", "decision")]
    click.echo(f"{out}: {facts['model']}, {', '.join(sizes)}")


def _span(since: str | None, month: str | None) -> Callable[[int], tuple[int, int]]:
    """Gives begin and end of the time that is meant, by the newest record's."""
    from agent.configuration.values import duration_ns
    from agent.report import decided

    if month is None:
        try:
            length_ns = duration_ns(since or "30d")
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--since") from error
        return lambda newest_ns: (newest_ns - length_ns, newest_ns)
    if since is not None:
        raise click.UsageError("--since and --month do not go together")
    try:
        begin_ns, end_ns = decided.month(month)
    except ValueError:
        raise click.BadParameter("give a month like 2026-10", param_hint="--month") from None
    return lambda newest_ns: (begin_ns, min(end_ns, newest_ns))


def _facts(
    config: Path, model: str | None, span: Callable[[int], tuple[int, int]]
) -> dict[str, Any]:
    from agent.commands import one_model
    from agent.configuration.load import load
    from agent.errors import FieldwardenError
    from agent.report.facts import facts_of
    from agent.runtime.candidates import in_service
    from agent.store import Reader

    configuration = load(config)
    name = one_model(configuration, model)
    reader = Reader(configuration.store_path)
    try:
        since_ns, until_ns = span(reader.last_time_ns())
        if since_ns >= until_ns:
            raise FieldwardenError(
                "reporting on", name, "no record is of that time", "give an earlier one"
            )
        baseline = in_service(configuration, name, until_ns)
        return facts_of(configuration, name, baseline, reader, since_ns, until_ns)
    finally:
        reader.close()
