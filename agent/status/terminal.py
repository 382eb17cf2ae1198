"""`fieldwarden status`: the status document in a terminal, also of an agent that is dead.

It shows what the page shows, in the same order and words. Nothing hangs on colour: every state has
a sign and a word, and the output is the same without colours or in a pipe. Text from the plant is
put into `Text` objects, so that no tag can be called `[red]` and be taken for markup, and control
characters are shown, so that none can write to the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.status import (
    change_lines,
    error_lines,
    hook_metrics,
    reason_lines,
    retraining_lines,
    uplink_lines,
    view,
)
from agent.status.view import Document

VERDICT_SIGNS: Final = {
    "trusted": ("✔", "TRUSTED", "bold green"),
    "caution": ("▲", "CAUTION", "bold yellow"),
    "untrusted": ("✘", "UNTRUSTED", "bold white on red"),
    "unassessable": ("◆", "NOT ASSESSABLE", "bold white on magenta"),
}
_SEVERITY_STYLES: Final = {"high": "bold red", "medium": "yellow", "low": "dim"}
_STATE_SIGNS: Final = {
    "live": ("●", "green"),
    "connecting": ("○", "dim"),
    "stale": ("▲", "yellow"),
    "failed": ("✘", "bold red"),
}
_NARROW: Final = 90  # columns; below, tables leave out what can be looked up elsewhere
_MAX_TAGS: Final = 40  # tags that are not good; the page and the API have all of them
_MAX_CLEARED = 5
_MAX_MEMBERS: Final = 12  # conditions of an incident beside the first
_NS: Final = 1_000_000_000


def render(
    document: Document, *, width: int, age_s: float | None, running: bool | None = None
) -> RenderableType:
    """The whole status for a terminal.

    Args:
        document: the status document, from the store or the API.
        width: of the terminal, in columns.
        age_s: seconds of real time since the document's `time_ns`; beyond `view.FRESH_NS` the
            agent stands still, and verdicts past their `valid_until_ns` show as not assessable.
            None: it was written before the machine was started, so that no verdict is valid.
        running: whether the agent runs; None: not known, so that one whose document is old is
            taken not to. Of one that does not run no verdict is valid.
    """
    if not document:
        return Text("no status has been written yet: the agent never ran with this state directory")
    now_ns = int(document.get("time_ns") or 0) + round(max(0.0, age_s or 0.0) * _NS)
    parts: list[RenderableType] = [_title(document, age_s)]
    dead = running is False or age_s is None or age_s * _NS > view.FRESH_NS
    gone = dead and not running
    if age_s is not None and dead and running:
        parts.append(_still(document, age_s))
    elif dead:
        parts.append(_dead(document, age_s))
    elif poor := view.degraded(document):
        parts.append(_degraded(document, poor))
    known_ns = None if age_s is None else now_ns
    models = [
        view.effective_model(model, known_ns, gone=gone)
        for model in view.items(document, "models")
    ]
    asking = change_lines.asking(document)
    parts += [
        _model(model, document, now_ns, asking.get(str(model.get("name")), ()))
        for model in view.worst_first(models)
    ]
    if not models:
        parts.append(Text("no models are configured"))
    parts += [
        _incidents(document, now_ns, width),
        *_cleared(document, now_ns),
        *_paragraphs("Change", change_lines.lines(document, now_ns)),
        *_paragraphs("Retraining", retraining_lines.lines(document)),
        _sources(view.items(document, "sources"), now_ns, width, dead=dead),
        _tags(view.items(document, "tags"), now_ns, width),
        *_agent(document, now_ns, dead=dead),
    ]
    return Group(*parts)


def plain(text: Any) -> str:
    """`text` with control characters made visible, so that no name can steer the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text or ""))


def _text(text: Any, style: str = "") -> Text:
    return Text(plain(text), style=style)


def _title(document: Document, age_s: float | None) -> Text:
    where = f"{document.get('site', '')} / {document.get('gateway', '')}"
    title = Text.assemble(("Fieldwarden ", "bold"), plain(where))
    when = view.utc(document.get("time_ns")) if age_s is None else f"{view.duration(age_s)} ago"
    return title.append(f"   as of {when}", style="dim")


def _dead(document: Document, age_s: float | None) -> Panel:
    since = view.utc(document.get("time_ns"))
    ago = "before this machine was started" if age_s is None else f"{view.duration(age_s)} ago"
    return Panel(
        Text(
            f"The agent is not running since {since} ({ago}).\n"
            "What follows is the last known state; no verdict of it holds any more.\n"
            "See: systemctl status fieldwarden, journalctl -u fieldwarden"
        ),
        title="AGENT NOT RUNNING",
        border_style="bold red",
        box=box.HEAVY,
    )


def _still(document: Document, age_s: float) -> Panel:
    trouble = document.get("trouble") or {}
    why = trouble.get("text") or "intake, engine or store makes no progress"
    do = trouble.get("hint") or "see its log: journalctl -u fieldwarden"
    return Panel(
        Text(
            f"The agent runs, but has stood still for {view.duration(age_s)}: {plain(why)}\n"
            f"do: {plain(do)}\n"
            "What follows is old; verdicts past their time are not assessable."
        ),
        title="AGENT STANDS STILL",
        border_style="bold red",
        box=box.HEAVY,
    )


def _degraded(document: Document, poor: list[str]) -> Panel:
    lines = [plain(text) for text in poor]
    if hint := (document.get("trouble") or {}).get("hint"):
        lines.append(f"do: {plain(hint)}")
    text = Text("\n".join(lines))
    return Panel(text, title="DEGRADED", border_style="bold yellow", box=box.HEAVY)


def _model(
    model: Mapping[str, Any], document: Document, now_ns: int, asking: Iterable[str]
) -> RenderableType:
    """One model; `asking` says what of it waits for somebody: changes, retraining requests."""
    sign, word, style = VERDICT_SIGNS[model["verdict"]]
    head = Text.assemble(
        ("\n", ""), (f" {sign} {word} ", style), " ", (plain(model["name"]), "bold")
    )
    head.append(f"  {_since(model.get('since_ns'), now_ns)}", style="dim")
    groups = reason_lines.grouped(model.get("reasons") or (), document)
    lines = [line for group in groups for line in _reason(group)]
    known = model.get("last_known")
    if known:
        was = VERDICT_SIGNS[known["verdict"]][1].lower()
        lines.append(_text(f"before that: {was}", "dim"))
        lines += [_text(f"  {reason.get('text')}", "dim") for reason in known["reasons"]]
    if model.get("provisional"):
        lines.append(_text(model.get("provisional_text") or "thresholds are provisional", "yellow"))
    if outside := view.extrapolated(model):
        lines.append(_text(outside, "dim"))
    lines += [_text(text, "yellow" if poor else "dim") for text, poor in error_lines.lines(model)]
    lines += [_text(text, "yellow") for text in asking]
    owner = model.get("owner") or {}
    facts = (
        f"owner: {owner.get('team', '-')}, {owner.get('contact', '-')} · version "
        f"{model.get('version')} · {model.get('scans') or 0:,} scans"
    )
    lines.append(_text(facts, "dim"))
    return Group(head, Padding(Group(*lines), (0, 0, 0, 3)))


def _reason(group: Sequence[Mapping[str, Any]]) -> Iterable[RenderableType]:
    reason = group[0]
    label = plain(reason_lines.cause_label(reason))
    yield Text.assemble((plain(reason.get("text")), "bold"), (f"  ({label})", "dim"))
    if reason.get("hint"):
        yield Text.assemble(("do: ", "bold"), plain(reason["hint"]))
    if rest := reason_lines.rest(group):
        yield _text(rest, "dim")


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        header_style="dim",
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _incidents(document: Document, now_ns: int, width: int) -> RenderableType:
    """A row for each open incident, told by its first condition; what else is open below it."""
    incidents = [one for one in view.incidents(document) if one["open"]]
    if not incidents:
        return Text("\nOpen incidents: none", style="bold")
    wide = width >= _NARROW
    columns = ("", "what", "do", "cause", "since", "state") if wide else ("", "what", "since")
    of = sum(one["open"] for one in incidents)
    conditions = f" of {of} conditions" if of > len(incidents) else ""
    table = _table(f"Open incidents ({len(incidents)}{conditions})", *columns)
    known = {str(c.get("id")): c for c in view.items(document, "conditions")}
    for incident in incidents:
        members = [known[name] for name in incident["conditions"]]
        first = known[incident["told_by"]]
        rows = [_row(first, now_ns, incident["severity"], wide=wide)]
        others = [c for c in members if c is not first and c.get("state") != "cleared"]
        rows += [_row(c, now_ns, "", wide=wide) for c in others[:_MAX_MEMBERS]]
        if models := incident["models"]:
            rows[0][1].append(f"\nmodels: {plain(', '.join(models))}", style="dim")
        left = len(others) - _MAX_MEMBERS
        over = sum(c.get("state") == "cleared" for c in members if c is not first)
        told = [f"{left} more"] * (left > 0) + [f"{over} that cleared"] * (over > 0)
        if told:
            more = Text(f"and {', '.join(told)}", style="dim")
            rows.append([Text(), more, *(Text() for _ in columns[2:])])
        for row in rows:
            table.add_row(*row)
    return table


def _row(
    condition: Mapping[str, Any], now_ns: int, severity: str, *, wide: bool
) -> list[Text]:
    """One condition; without `severity` it is one more of the incident above it."""
    since = _since(condition.get("raised_ns"), now_ns).removeprefix("since ")
    standing = _standing(condition)
    if not wide:
        since = _ago(condition.get("raised_ns"), now_ns)
        if standing != "active":  # also where it is narrow
            since += f"\n{plain(standing)}"
    what = _text(condition.get("text"))
    if not severity:
        what = Text.assemble(("+ ", "dim"), what)
    cells = [
        Text(plain(severity), style=_SEVERITY_STYLES.get(severity, "")),
        what,
        _text(condition.get("hint")),
        _text(condition.get("cause")),
        Text(since),
        _text(standing),
    ]
    return cells if wide else [cells[0], cells[1], cells[4]]


def _standing(condition: Mapping[str, Any]) -> str:
    """``active``, or what people and the plant's design did to it, who, why and until when."""
    acts = [view.acted(act, view.utc) for act in condition.get("acts") or ()]
    said = {act.get("what") for act in condition.get("acts") or ()}
    others = [part for part in view.standing(condition).split(", ") if part not in said]
    return "; ".join([*acts, *(part for part in others if part != "active" or not acts)])


def _cleared(document: Document, now_ns: int) -> Iterable[RenderableType]:
    """Incidents that are over and that nobody has acknowledged: the latest, and how many more."""
    incidents = [one for one in view.incidents(document) if not one["open"]]
    if not incidents:
        return
    cleared = {str(c.get("id")): c.get("cleared_ns") for c in view.unacknowledged(document)}
    table = _table(f"Cleared, not acknowledged ({len(incidents)})", "", "what", "cleared")
    for incident in incidents[:_MAX_CLEARED]:
        severity = plain(incident["severity"])
        what = _text(incident["text"])
        if (others := len(incident["conditions"]) - 1) > 0:
            what.append(f" (+ {others} more)", style="dim")
        last = max((cleared[name] or 0 for name in incident["conditions"]), default=0)
        table.add_row(
            Text(severity, style=_SEVERITY_STYLES.get(severity, "")), what,
            Text(_ago(last or None, now_ns)),
        )
    yield table
    if len(incidents) > _MAX_CLEARED:
        more = f"and {len(incidents) - _MAX_CLEARED} more: see the status page or --json"
        yield Text(more, style="dim")


def _paragraphs(of: str, lines: Iterable[str]) -> Iterable[Text]:
    """A paragraph for each that somebody has to act on."""
    for told in lines:
        first, *more = told.splitlines()
        yield Text.assemble((f"\n{of} ", "bold"), plain(first))
        yield from (Text(plain(line)) for line in more)


def _sources(
    sources: list[Mapping[str, Any]], now_ns: int, width: int, *, dead: bool
) -> RenderableType:
    if not sources:
        return Text("\nSources: none are configured", style="bold")
    wide = width >= _NARROW
    columns = ("", "source", "state", "last value", "reason")
    table = _table("Sources", *columns, *(("protocol", "values") if wide else ()))
    for source in sources:
        state = str(source.get("state"))
        sign, style = _STATE_SIGNS.get(state, ("?", "bold"))
        if dead:  # nobody knows what they are now
            sign, style, state = "○", "dim", f"was {state}"
        cells = [
            Text(sign, style=style),
            _text(source.get("name")),
            _text(state, style),
            Text(_ago(source.get("last_arrival_ns"), now_ns)),
            _text("; ".join(filter(None, (source.get("reason"), *(source.get("details") or ()))))),
        ]
        if wide:
            cells += [_text(source.get("protocol")), Text(f"{source.get('received') or 0:,}")]
        table.add_row(*cells)
    return table


def _tags(tags: list[Mapping[str, Any]], now_ns: int, width: int) -> RenderableType:
    poor = [tag for tag in tags if view.is_poor(tag)]
    if not poor:
        return Text(f"\nTags: {len(tags):,}, all of good quality", style="bold")
    wide = width >= _NARROW
    title = f"Tags with trouble ({len(poor):,} of {len(tags):,})"
    table = _table(title, "tag", "value", "age", "quality", *(("source",) if wide else ()))
    for tag in poor[:_MAX_TAGS]:
        waits = tag.get("arrival_ns") is None
        cells = [
            _text(tag.get("name")),
            _text(f"{view.number(tag.get('value'))} {tag.get('unit') or ''}"),
            Text(_ago(tag.get("arrival_ns"), now_ns).removesuffix(" ago")),
            _text("nothing yet" if waits else view.quality_told(tag), "yellow"),
        ]
        table.add_row(*cells, *((_text(tag.get("source")),) if wide else ()))
    if len(poor) > _MAX_TAGS:
        more = f"and {len(poor) - _MAX_TAGS:,} more: see the status page or --json"
        return Group(table, Text(more, style="dim"))
    return table


def _agent(document: Document, now_ns: int, *, dead: bool) -> Iterable[Text]:
    uplink = uplink_lines.line(document.get("outbox") or {}, now_ns, dead=dead)
    yield Text.assemble(("\nUplink: ", "bold"), plain(uplink))
    for told, poor in hook_metrics.lines(document):
        yield Text.assemble(("Hook: ", "bold"), (plain(told), "yellow" if poor else ""))
    budget = document.get("budget") or {}
    yield Text.assemble(
        ("False alarms: ", "bold"),
        (plain(view.audited(budget)), "bold red" if budget.get("exceeded") else ""),
    )
    for told in view.texts(document, "certificates"):
        yield Text.assemble(("Certificate: ", "bold"), (plain(told), "yellow"))
    for told in view.recovered(document):
        yield Text.assemble(("Recovered: ", "bold"), (plain(told), "yellow"))
    if told := view.clock_told(document):
        yield Text.assemble(("Clock: ", "bold"), (told, "yellow"))
    for fault in (document.get("file") or {}, document.get("reload") or {}):
        if fault.get("text"):
            told = f"{plain(fault['text'])}\ndo: {plain(fault.get('hint'))}"
            yield Text.assemble(("Configuration: ", "bold"), (told, "yellow"))
    started = document.get("started_ns")
    up = view.duration((now_ns - started) / _NS) if started else "-"
    facts = (
        f"version {document.get('version')}, boot {document.get('boot')}, "
        f"entry {document.get('sequence') or 0:,}, started {up} ago"
    )
    yield Text.assemble(("Agent: ", "bold"), plain(facts))


def _since(time_ns: int | None, now_ns: int) -> str:
    return (
        f"since {view.utc(time_ns)} ({view.duration((now_ns - time_ns) / _NS)})" if time_ns else ""
    )


def _ago(time_ns: int | None, now_ns: int) -> str:
    return f"{view.duration((now_ns - time_ns) / _NS)} ago" if time_ns else "-"
