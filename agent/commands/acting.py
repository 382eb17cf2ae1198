"""What the commands that act on a running agent share: arguments, completion, the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_COMPLETION_S = 1.0


def subject_argument(function: F) -> F:
    """The positional SUBJECT, completed from the open conditions."""
    return click.argument("subject", metavar="SUBJECT", shell_complete=_complete_subject)(function)


def tag_argument(function: F) -> F:
    """The positional TAG, completed from the agent's tags."""
    return click.argument("tag", metavar="TAG", shell_complete=_complete_tag)(function)


def reason_option(function: F) -> F:
    """`--reason TEXT`; `--note` is its name of before."""
    return click.option(
        "--reason", "--note", "reason", required=True, metavar="TEXT",
        help="Why; kept with your name in the account.",
    )(function)  # fmt: skip


def act(config: Path, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Have the agent of a configuration carry out a command; the event that came of it."""
    from agent.client import tell
    from agent.configuration.whereabouts import find

    return tell(find(config).socket, kind, data)


def incident_option(function: F) -> F:
    """`--incident`, for `act_on`."""
    return click.option(
        "--incident", is_flag=True,
        help="All conditions of the incident that SUBJECT is part of, or begins.",
    )(function)


def act_on(
    config: Path, kind: str, data: Mapping[str, Any], what: str, *, incident: bool
) -> None:
    """Have a command carried out on one condition, or on all of its incident, and say so.

    Of an incident, those conditions count on which it would change something.

    Raises:
        FieldwardenError: no condition was meant, or what the agent answered on the first.
    """
    if not incident:
        say(act(config, kind, data), what)
        return
    for name in _members(config, kind, str(data["subject"])):
        say(act(config, kind, {**data, "subject": name}), what)


def _members(config: Path, kind: str, asked: str) -> list[str]:
    """Ids of the conditions of one incident on which a command makes sense."""
    from agent.client import request
    from agent.configuration.whereabouts import find
    from agent.errors import FieldwardenError

    rows = request(find(config).socket, "GET", "/api/v1/conditions")["conditions"]
    meant = {
        row["incident"] for row in rows
        if asked in (row["incident"], row["id"], row["subject"])
        or asked == row["subject"].partition("/")[2]
    }
    if len(meant) != 1:
        cause = "it is part of several incidents" if meant else "it is part of no incident"
        hint = f"say which: {', '.join(sorted(meant))}" if meant else "see: fieldwarden status"
        raise FieldwardenError(f"carrying out {kind} on", asked, cause, hint)
    own = [row for row in rows if row["incident"] in meant]
    found = [row["id"] for row in own if _FITS[kind](row)]
    if not found:
        raise FieldwardenError(
            f"carrying out {kind} on", asked, "none of its conditions would change",
            "see: fieldwarden status",
        )
    return found


_FITS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "acknowledge": lambda _: True,
    "shelve": lambda row: row["state"] != "cleared" and not row["shelved"],
    "unshelve": lambda row: bool(row["shelved"]),
}


def say(event: Mapping[str, Any], what: str) -> None:
    """One line: what was done to which condition, in whose name."""
    from agent.commands.lines import hanging
    from agent.status.terminal import plain

    told = event["data"]
    text = f": {told['text']}" if told.get("text") else ""
    over = " (it has cleared)" if told.get("state") == "cleared" else ""
    line = plain(f"{what} {event['subject']}{text}{over}, by {told.get('by')}")
    click.echo(hanging(line, 2, begun=False))


def _complete_subject(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del param
    return [
        CompletionItem(row["subject"], help=str(row.get("kind", "")))
        for row in _asked(ctx, "conditions")
        if str(row.get("subject", "")).startswith(incomplete)
    ]


def _complete_tag(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del param
    rows = _asked(ctx, "tags?history=false")
    return [CompletionItem(row["name"]) for row in rows if row["name"].startswith(incomplete)]


def _asked(ctx: click.Context, what: str) -> list[Mapping[str, Any]]:
    """A list of the running agent; empty on any trouble, for completion has nobody to tell."""
    from agent.client import request
    from agent.configuration.whereabouts import find
    from agent.errors import FieldwardenError

    config = ctx.params.get("config")
    if not config:
        return []
    try:
        path = find(Path(config)).socket
        answer = request(path, "GET", f"/api/v1/{what}", timeout_s=_COMPLETION_S)
    except FieldwardenError:
        return []
    rows = answer.get(what.partition("?")[0], [])
    return rows if isinstance(rows, list) else []
