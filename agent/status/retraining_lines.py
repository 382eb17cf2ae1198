"""Retraining requests in a terminal: one paragraph each, for `status` and `retraining`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.status import view
from agent.status.view import Document

IN_HAND: Final = frozenset({"open", "declared"})
_MOST: Final = 5


def waiting(document: Document) -> list[Mapping[str, Any]]:
    """Those that somebody must act on: decide, or train."""
    return [one for one in view.items(document, "retraining") if one.get("state") in IN_HAND]


def line_of(request: Mapping[str, Any]) -> str:
    """One line: which, of what state, why."""
    return f"{request.get('id')}: {request.get('state')}: {request.get('text')}"


def lines(document: Document) -> list[str]:
    """For `status`: what waits, and what to do; nothing where nothing does."""
    found = waiting(document)
    told = [f"{line_of(one)}\n  to do: {one.get('hint')}" for one in found[:_MOST]]
    if len(found) > _MOST:
        told.append(f"and {len(found) - _MOST} more: fieldwarden retraining list")
    return told


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
