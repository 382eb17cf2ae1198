"""A gateway in rows for people: itself, its models, changes, errors, requests, incidents. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.central.worst import VERDICTS, verdicts_of
from agent.status.error_lines import measured
from agent.status.view import duration

INCIDENTS_NAMED = 5  # of a gateway in the table
REQUESTS_NAMED = 5
CHANGES_NAMED = 5
ERRORS_NAMED = 5
_CLOCK_TROUBLE = frozenset({"unsynchronised", "implausible"})
_SINCE = ", since "  # a text that says itself since when

Row = tuple[str, str, str]
"""(name, state or verdict, why)."""


def rows_of(gateway: Mapping[str, Any], *, linked: bool) -> list[Row]:
    """(name, state or verdict, why): one of the gateway itself, then one for each model."""
    state, told = _state(gateway), _told(gateway)
    if not linked:
        state, told = "?", [f"no link to the broker, last known: {state}", *told]
    own = (f"{gateway['site']}/{gateway['gateway']}", state, "; ".join(told))
    several = len({item.get("store") for item in gateway["models"]}) > 1
    models = [
        (
            f"  {item['model']}" + (f" ({item['store']})" if several else ""),
            str(item["verdict"]),
            _why(item),
        )
        for item in sorted(gateway["models"], key=_worst_first)
    ]
    asked = [*_changes(gateway), *_errors(gateway), *_retraining(gateway)]
    return [own, *models, *asked, *_incidents(gateway)]


def in_short(gateway: Mapping[str, Any], *, linked: bool) -> Row:
    """A gateway in one row: its worst verdict, of how many models, and why."""
    name = f"{gateway['site']}/{gateway['gateway']}"
    state, found = _state(gateway), verdicts_of(gateway)
    worst = next((one for one in VERDICTS[:-1] if found[one]), "")
    poor = [one for one in gateway["models"] if one["verdict"] == worst]
    of = f"{len(poor)} of {len(gateway['models'])}"
    told = [": ".join(filter(None, (of, _why(poor[0]))))] if poor else []
    if not linked:
        return name, "?", "; ".join(["no link to the broker", *told])
    return name, worst or state, "; ".join([*told, *_told(gateway)])


def _worst_first(model: Mapping[str, Any]) -> int:
    verdict = model["verdict"]
    return VERDICTS.index(verdict) if verdict in VERDICTS else 0


def _changes(gateway: Mapping[str, Any]) -> list[Row]:
    """A row for each of the worst open changes: what holds first, then the oldest."""
    contract = gateway.get("contract") or {}
    found = contract.get("changes", ())
    rows = [("  change", str(one["state"]), _change(one)) for one in found[:CHANGES_NAMED]]
    return rows + _more(contract.get("open_changes", 0) - len(rows), "change")


def _change(one: Mapping[str, Any]) -> str:
    facts = [str(one["id"]), f"for {duration(one['age_s'])}"]
    facts += [{"held": "held", "would hold": "would be held"}.get(one["hold"], "")]
    facts += [f"models {', '.join(one['models'])}"] if one["models"] else []
    facts += [f"to be approved by {' and '.join(one['needs'])}"] if one["needs"] else []
    return f"{one['text']} ({'; '.join(filter(None, facts))})"


def _agreed(gateway: Mapping[str, Any]) -> list[str]:
    """Which contract a gateway watches, and how much of it is open."""
    contract = gateway.get("contract")
    if not contract:
        return []
    told = f"contract {contract['hash'][:12] or 'unreadable'}"
    if contract["open_changes"]:
        ages = [one["age_s"] for one in contract["changes"] if one["age_s"] is not None]
        oldest = f", the oldest for {duration(max(ages))}" if ages else ""
        told += f", {plural(contract['open_changes'], 'open change')}{oldest}"
    held = contract["held_tags"]
    return [f"{told}, {plural(held, 'tag')} held" if held else told]


def _errors(gateway: Mapping[str, Any]) -> list[Row]:
    """A row for each output whose errors grew, or that nobody labels any more."""
    found = gateway.get("errors", ())
    rows = [
        ("  errors", "grew" if one.get("raised") else "no labels",
         f"{one['model']}: {_erring(one)}")
        for one in found[:ERRORS_NAMED]
    ]  # fmt: skip
    return rows + _more(len(found) - len(rows), "output")


def _erring(one: Mapping[str, Any]) -> str:
    if not one.get("raised"):
        return str(one["not_assessed"])
    return f"{one['output']}: {measured({**one, 'raised': False})}"


def _retraining(gateway: Mapping[str, Any]) -> list[Row]:
    """A row for each retraining request that somebody has to act on, the oldest first."""
    found = gateway.get("retraining", ())
    rows = [("  retraining", str(one["state"]), _asked(one)) for one in found[:REQUESTS_NAMED]]
    return rows + _more(gateway.get("open_requests", len(found)) - len(rows), "request")


def _asked(one: Mapping[str, Any]) -> str:
    why = "; ".join(one["criteria"]) or one["text"]
    facts = f"since {one['since']}; for {one['owner'] or 'nobody'}; {one['id']}"
    return f"{one['model']}: {why} ({facts})"


def _more(count: int, what: str) -> list[Row]:
    return [("", "", f"and {plural(count, what)} more: see --json")] if count > 0 else []


def _incidents(gateway: Mapping[str, Any]) -> list[Row]:
    """A row for each of the latest open incidents: what it began with, on whom, since when."""
    found = gateway.get("incidents", ())
    rows = [("  incident", str(one["cause"]), _incident(one)) for one in found[:INCIDENTS_NAMED]]
    return rows + (_more(gateway["open_incidents"] - len(rows), "incident") if rows else [])


def _incident(one: Mapping[str, Any]) -> str:
    told = [] if _SINCE in one["text"] else [f"since {one['since']}"]
    if one["conditions"] > 1:
        told.append(plural(one["conditions"], "condition"))
    if one["models"]:
        told.append(", ".join(one["models"]))
    return f"{one['text']} ({'; '.join(told)})" if told else str(one["text"])


def plural(number: int, what: str) -> str:
    """``1 incident``, ``2 incidents``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _told(gateway: Mapping[str, Any]) -> list[str]:
    """What a person has to know of a gateway."""
    told = []
    clash, count, lost = gateway.get("clash"), gateway["open_incidents"], _lost(gateway)
    if clash:
        told.append(
            f"{len(clash)} gateways have this one name, and throw each other out: "
            f"stores {' and '.join(clash)}; give one of them another name"
        )
    if gateway.get("time_quality") in _CLOCK_TROUBLE:
        told.append(f"its clock is {gateway['time_quality']}")
    if count:
        several = gateway["open_conditions"] > count
        of = f" of {plural(gateway['open_conditions'], 'condition')}" if several else ""
        told.append(f"{plural(count, 'open incident')}{of}")
    told += _agreed(gateway)
    promise = gateway.get("promise")
    if promise and promise["exceeded"]:
        told.append(
            f"promise exceeded: {plural(promise['false'], 'false alarm')} in "
            f"{plural(promise['watched_days'], 'day')}, {promise['false_alarms']} promised"
        )
    if lost:
        told.append(f"lost: {lost}")
    awaited = [f"{count} {name}" for name, count in gateway.get("awaited", {}).items()]
    if awaited:
        told.append(f"still at the gateway: {', '.join(awaited)}")
    earlier = [f"{count} {name}" for name, count in gateway.get("received_earlier", {}).items()]
    if earlier:
        told.append(f"received by an earlier central: {', '.join(earlier)}")
    return told


def _state(gateway: Mapping[str, Any]) -> str:
    return {True: "online", False: "offline", None: "?"}[gateway["online"]]


def _why(model: Mapping[str, Any]) -> str:
    if model.get("why"):
        return f"{model['why']} (was {model['told']})"
    return "; ".join(str(reason.get("text", "")) for reason in model["reasons"])


def _lost(gateway: Mapping[str, Any]) -> str:
    told = [f"{count} {reason}" for reason, count in gateway["dropped"].items()]
    missing = gateway["missing_count"].items()
    return ", ".join([*(f"{count} {name} missing" for name, count in missing), *told])
