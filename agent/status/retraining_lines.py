"""Retraining requests in a terminal: one paragraph each, for `status` and `retraining`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.status import view
from agent.status.view import Document

IN_HAND: Final = frozenset({"open", "declared", "in trial"})
RUNNING: Final = frozenset({"in trial", "passed"})
_MOST: Final = 5


def waiting(document: Document) -> list[Mapping[str, Any]]:
    """Those that somebody must act on: decide, or train."""
    return [one for one in view.items(document, "retraining") if one.get("state") in IN_HAND]


def line_of(request: Mapping[str, Any]) -> str:
    """One line: which, of what state, why."""
    return f"{request.get('id')}: {request.get('state')}: {request.get('text')}"


def by_model(document: Document) -> dict[str, list[str]]:
    """Model -> a line for each of its requests that waits for somebody."""
    found: dict[str, list[str]] = {}
    for one in waiting(document):
        line = f"asks for retraining: {one.get('id')}, {one.get('state')}; see below"
        found.setdefault(str(one.get("model")), []).append(line)
    return found


def lines(document: Document) -> list[str]:
    """For `status`: what waits, and what to do; nothing where nothing does."""
    found = waiting(document)
    told = [f"{line_of(one)}\n  to do: {one.get('hint')}" for one in found[:_MOST]]
    if len(found) > _MOST:
        told.append(f"and {len(found) - _MOST} more: fieldwarden retraining list CONFIG")
    return told + [
        f"{trial_line(one)}\n  to do: {one.get('hint')}"
        for one in view.items(document, "trials") if one.get("state") in RUNNING
    ]


def trial_line(trial: Mapping[str, Any]) -> str:
    """One line of a trial: which, of what state, what it lacks."""
    return f"trial {trial.get('id')}: {trial.get('state')}: {trial.get('text')}"


def report(request: Mapping[str, Any]) -> list[str]:
    """All of one request, line by line."""
    told = [
        line_of(request), f"model: {request.get('model')} {request.get('version')}",
        f"for: {request.get('owner')}", f"since: {view.utc(request.get('since_ns'))}",
        f"asked: {view.utc(request.get('opened_ns'))}",
    ]
    told += [f"criterion: {one}" for one in request.get("criteria") or ()]
    told += [_moved(one) for one in request.get("moved") or ()]
    if request.get("further"):
        told.append(f"and {request['further']} more inputs moved")
    told += [_left_out(one) for one in request.get("left_out") or ()]
    told += [
        f"{one.get('state')} {view.utc(one.get('time_ns'))} by {one.get('by')}: {one.get('note')}"
        for one in request.get("decisions") or ()
    ]
    return [*told, f"to do: {request['hint']}"] if request.get("hint") else told


def _moved(one: Mapping[str, Any]) -> str:
    unit = f" {one.get('unit')}" if one.get("unit") else ""
    low, high = one.get("trained") or (None, None)
    return (
        f"moved: {one.get('tag')} by {one.get('off', 0.0):+.2f} sd: {view.number(one.get('value'))}"
        f"{unit}, in training {view.number(one.get('centre'))}{unit} "
        f"({view.number(low)} to {view.number(high)})"
    )


def _left_out(one: Mapping[str, Any]) -> str:
    until = view.utc(one.get("to_ns")) if one.get("to_ns") else "now"
    return (
        f"left out: {view.utc(one.get('from_ns'))} to {until}: {one.get('kind')} on "
        f"{one.get('subject')} ({one.get('cause')})"
    )


# --- trials -------------------------------------------------------------------------------------

_VERDICTS: Final = ("trusted", "caution", "untrusted", "unassessable")


def trial_report(trial: Mapping[str, Any]) -> list[str]:
    """All of one trial, line by line: how long yet, criteria beside figures, both models."""
    champion, figures = trial.get("champion") or {}, trial.get("figures") or {}
    told = [
        trial_line(trial), f"candidate: {_which(trial)}",
        f"in service as it began: {_which(champion)}",
        f"since: {view.utc(trial.get('since_ns'))}",
    ]
    if trial.get("state") in RUNNING and (left := float(trial.get("left_ns") or 0) / 1e9):
        told.append(f"time left: {view.duration(left)}, while it is watched")
    told += [
        f"criterion: {one.get('text')}: {one.get('state')}: {one.get('found')}"
        for one in trial.get("judged") or ()
    ]
    told += [_of_both(name, figures) for name in _VERDICTS]
    told += [
        f"{text}: candidate {_figure(figures, 'candidate', key)}, in service "
        f"{_figure(figures, 'champion', key)}"
        for key, text in (("scans", "scans"), ("outside", "scans outside of training"),
                          ("incidents", "incidents"), ("own_incidents", "incidents of its own"))
    ]  # fmt: skip
    told += [_losses(one) for one in figures.get("losses") or ()]
    told += [
        f"{one.get('state')} {view.utc(one.get('time_ns'))}"
        + (f" by {one['by']}: {one.get('note')}" if one.get("by") else "")
        for one in trial.get("decisions") or ()
    ]
    return [*told, f"to do: {trial['hint']}"] if trial.get("hint") else told


def _losses(one: Mapping[str, Any]) -> str:
    told = f"losses of {one.get('output')}: "
    if not one.get("labels"):
        return f"{told}no label was compared with predictions of both yet"
    return (
        f"{told}candidate {view.number(one.get('candidate'))}, in service "
        f"{view.number(one.get('champion'))}, of {one.get('labels')} labels; the candidate's is "
        f"the smaller one of {one.get('better')}"
    )


def _which(one: Mapping[str, Any]) -> str:
    return f"version {one.get('version')}, baseline {str(one.get('baseline'))[:12]}"


def _figure(figures: Mapping[str, Any], which: str, key: str) -> int:
    return int((figures.get(which) or {}).get(key) or 0)


def _of_both(verdict: str, figures: Mapping[str, Any]) -> str:
    parts = []
    for which, called in (("candidate", "candidate"), ("champion", "in service")):
        own = figures.get(which) or {}
        watched = own.get("watched_ns") or 0
        share = (own.get("spent_ns") or {}).get(verdict, 0) / watched if watched else 0.0
        parts.append(f"{called} {100.0 * share:.1f} %")
    return f"time {verdict}: {', '.join(parts)}"
