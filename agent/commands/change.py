"""`fieldwarden change`: what is different upstream, and what people decide on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from agent.commands import change_assess, change_propose, config_argument, deciding
from agent.commands.acting import act, reason_option
from agent.commands.change_known import known, say


@click.group(name="change")
def command() -> None:
    """Changes upstream: a source serves something else than its contract says.

    What breaks is held: its samples count for nothing until a named person approves it, with a
    map where values must be converted, or until reality is as agreed again. docs/changes.md has
    the whole way.

    \b
    Examples:
      fieldwarden change list config.toml
      fieldwarden change show config.toml line-3
      fieldwarden change propose config.toml new-transmitter.toml
      fieldwarden change assess config.toml line-3
      fieldwarden change approve config.toml line-3 --convert --reason "new transmitter in degF"
      fieldwarden change approve config.toml line-3 --tag TI-1 --factor 0.1 --reason "scale x 10"
      fieldwarden change revert config.toml line-3 --reason "it was the old transmitter after all"
      fieldwarden change announce config.toml --source line --window 14:00..16:00 --reason "valve"
    """


command.add_command(change_propose.command)
command.add_command(change_assess.command)


def _decide(config: Path, change: str, reason: str, *, kind: str, **more: Any) -> None:
    say(act(config, kind, {"change": change, "note": reason, **more}))


@command.command(name="list")
@config_argument
@deciding.json_option
def show_all(config: Path, *, as_json: bool) -> None:
    """Every change that is known, those that go on first; also when the agent is dead."""
    from agent.commands.change_lines import line_of

    found = deciding.known(config, "changes")
    lines = map(line_of, found) if found else ["nothing is different upstream"]
    deciding.show(found, lines, as_json=as_json)


@command.command(name="show")
@config_argument
@click.argument("change", metavar="ID")
@deciding.json_option
def show(config: Path, change: str, *, as_json: bool) -> None:
    """All that is known of one change: what is different, whom it touches, who decided what."""
    from agent.commands.change_lines import report

    found = known(config, change, "showing change")
    deciding.show(found, report(found), as_json=as_json)


@command.command(name="approve")
@config_argument
@click.argument("change", metavar="ID")
@click.option("--convert", is_flag=True, help="By the map that is known for it: see `show`.")
@click.option("--map", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              metavar="MAP.json", help="Tag -> factor, offset, unit, address, swap_with ...")
@click.option("--tag", metavar="TAG", help="The one that the options below are for.")
@click.option("--factor", type=float, help="agreed = served * factor + offset.")
@click.option("--offset", type=float, help="In the agreed unit.")
@click.option("--unit", metavar="UNIT", help="In which it is served: converted to the agreed one.")
@click.option("--address", metavar="ADDRESS", help="Where it is served by now.")
@click.option("--data-type", "data_type", metavar="TYPE", help="As what it is served.")
@click.option("--swap-with", "swap_with", metavar="TAG", help="The tag that it traded places with.")
@click.option("--revision", metavar="REVISION",
              help="As `show` told it: nothing is approved where the change has grown since.")
@reason_option
def approve(
    config: Path, change: str, *, convert: bool, file: Path | None, tag: str | None, reason: str,
    revision: str | None, **parts: Any,
) -> None:
    """Approve a change in your name: its tags count again, by the map that you give.

    Without any map, what is served is what the models get from here on.
    """
    asked = _map(change, file, tag, {k: v for k, v in parts.items() if v is not None})
    if convert and asked is not None:
        raise click.UsageError("give --convert, or a map, not both")
    seen = {} if revision is None else {"revision": revision}
    chosen = "suggested" if convert else asked
    _decide(config, change, reason, kind="approve", map=chosen, **seen)


def _map(
    change: str, file: Path | None, tag: str | None, part: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    import json

    from agent.errors import FieldwardenError
    from agent.files import read_bounded

    if bool(part) != bool(tag) or (file is not None and part):
        raise click.UsageError("give --tag with what its map is; or --map FILE")
    if file is None:
        return {str(tag): dict(part)} if part else None
    operation = f"approving {change} by the map"
    try:
        found = json.loads(read_bounded(file, 10_000_000, operation, "give a JSON file"))
    except ValueError as error:
        cause = f"it is no JSON: {str(error)[:80]}"
        raise FieldwardenError(operation, str(file), cause, "see docs/changes.md") from None
    if not isinstance(found, dict):
        hint = "see docs/changes.md"
        raise FieldwardenError(operation, str(file), "it is no object of tags", hint)
    return found


for _name, _kind, _text in (
    ("reject", "reject_change",
     "Reject a change in your name: its tags stay held until reality is as agreed again."),
    ("revert", "revert",
     "Take back what was approved, rejected or announced: it is undecided, or over."),
):
    command.add_command(deciding.decision(_name, "ID", _text, partial(_decide, kind=_kind)))


@command.command(name="announce")
@config_argument
@click.option("--window", required=True, metavar="FROM..TO",
              help="14:00..16:00 today, or 2026-12-01T14:00..2026-12-01T16:00, in UTC; now..TO.")
@click.option("--tags", metavar="TAG,TAG", help="Those that are worked on.")
@click.option("--source", metavar="SOURCE", help="All tags of a source.")
@reason_option
def announce(
    config: Path, window: str, tags: str | None, source: str | None, reason: str
) -> None:
    """Announce planned maintenance: in its window nothing is held, and nothing is evidence.

    Models that need one of the tags are not assessable meanwhile, and say why.
    """
    from agent.clock import wall_ns

    from_ns, until_ns = window_of(window, datetime.fromtimestamp(wall_ns() / 1e9, UTC))
    if bool(tags) == bool(source):
        raise click.UsageError("give --tags or --source")
    names = [name.strip() for name in (tags or "").split(",") if name.strip()]
    data = {"tags": names, "source": source or "", "from_ns": from_ns, "until_ns": until_ns,
            "note": reason}  # fmt: skip
    say(act(config, "announce", data))


def window_of(text: str, now: datetime) -> tuple[int, int]:
    """(from, until) in ns since 1970 of ``FROM..TO``; times of day are today's, in UTC.

    Raises:
        click.BadParameter: it is no such text.
    """
    first, dots, last = text.partition("..")
    if not dots:
        raise click.BadParameter("write FROM..TO", param_hint="--window")
    begin, end = (_time(part.strip(), now) for part in (first, last))
    return round(begin.timestamp()) * 10**9, round(end.timestamp()) * 10**9


def _time(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    try:
        if "T" not in text and "-" not in text:
            text = f"{now.date().isoformat()}T{text}"
        found = datetime.fromisoformat(text)
    except ValueError:
        hint = f"{text!r} is no time such as 14:00 or 2026-12-01T14:00"
        raise click.BadParameter(hint, param_hint="--window") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
