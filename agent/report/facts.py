"""All that a report says of a model, as one JSON-ready document: from the store and the baseline.

The same store, configuration and stretch of time give the same document. Nothing is judged here:
what the agent found is put together, and what nobody looked at is said (`not_checked`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from agent.configuration.schema import Configuration, Model
from agent.core.baseline import Baseline, InputBaseline, OutputBaseline
from agent.core.summary import mean_and_sd, merge
from agent.fit.watched import OUTPUT_WORDS, RELATIONS, watched
from agent.report import decided, history
from agent.report.errors import errors
from agent.runtime.audit import at_least
from agent.store import Reader
from agent.store.account import BEGIN

SCHEMA: Final = 2
AGENT: Final = "agent"
_MOST: Final = 1_000_000  # windows of summaries that are read


def facts_of(
    configuration: Configuration, name: str, baseline: Baseline, reader: Reader, since_ns: int,
    until_ns: int,
) -> dict[str, Any]:
    """The document of a model for the time from `since_ns` to `until_ns`.

    Args:
        configuration: as it is now.
        name: of the model.
        baseline: by which it was judged in the end, of the version that served then.
        reader: of the store.
        since_ns: engine time from which on.
        until_ns: engine time up to which.
    """
    model = configuration.models[name]
    first, away = reader.away()
    asked_ns, since_ns = since_ns, max(since_ns, until_ns if first is None else first)
    verdicts = history.verdicts(
        history.told(reader, "verdict", until_ns), name, since_ns, until_ns, away
    )
    found = history.incidents(history.told(reader, "condition", until_ns), name, since_ns)
    windows = _windows(reader, name, since_ns, until_ns)
    losses = errors(model, baseline, windows, since_ns, until_ns)
    signed = decided.reviews(history.told(reader, "review", until_ns), name)
    return {
        "schema": SCHEMA, "model": name, "version": baseline.model_version,
        "owner": model.owner.model_dump(), "site": configuration.gateway.site,
        "gateway": configuration.gateway.name, "since_ns": since_ns, "until_ns": until_ns,
        "asked_since_ns": asked_ns, "baseline": baseline.digest,
        "provisional": baseline.provisional_text,
        **_account(reader, until_ns),
        "shares": history.shares(verdicts),
        "verdicts": [
            {"start_ns": one.start_ns, "end_ns": one.end_ns, "verdict": one.verdict, "why": one.why}
            for one in verdicts
        ],
        "incidents": found,
        "promise": _promise(configuration, found, since_ns, until_ns, away),
        "inputs": [
            _input(mode.name, item, model, [w for w in windows if w["tag"] == item.tag],
                   baseline.digest)
            for mode in baseline.modes for item in mode.inputs
        ],
        "outputs": [
            _output(mode.name, one, model, [w for w in windows if w["tag"] == one.item.tag],
                    baseline.digest)
            for mode in baseline.modes for one in mode.outputs
        ],
        "errors": losses,
        "retraining": decided.retraining(
            history.told(reader, "retraining", until_ns), name, since_ns
        ),
        "reviews": signed, "unsigned_months": decided.unsigned(signed, first, until_ns),
        "decisions": list(_decisions(reader, name, model, since_ns, until_ns)),
        "changes": _changes(reader, name, since_ns, until_ns),
        "gaps": [
            {"start_ns": began, "end_ns": ended} for began, ended in away
            if ended > since_ns and began < until_ns
        ],
        "not_checked": _not_checked(model, baseline, verdicts, losses),
    }


def _account(reader: Reader, until_ns: int) -> dict[str, Any]:
    """The newest record of that time: what came later leaves a report of the time as it was."""
    head = [0, BEGIN]
    for record in reader.account():
        if record["time_ns"] <= until_ns:
            head = [record["number"], record["hash"]]
    return {"account_head": head, "account_faults": list(reader.account_proof().faults)}


def _windows(reader: Reader, model: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    rows = reader.summaries(limit=_MOST, model=model, since_ns=since_ns)
    return [row for row in rows if row["start_ns"] < until_ns]


def _promise(
    configuration: Configuration, incidents: Sequence[Mapping[str, Any]], since_ns: int,
    until_ns: int, away: Iterable[tuple[int, int]],
) -> dict[str, Any]:
    """False alarms as people found them in this time, beside what is promised for the gateway."""
    off = sum(max(0, min(end, until_ns) - max(start, since_ns)) for start, end in away)
    promised = configuration.gateway.false_alarms_per_ns * max(0, until_ns - since_ns - off)
    begun = [one for one in incidents if one["since_ns"] >= since_ns]
    words = [
        [act["false"] for act in one["said"] if act["what"] == "acknowledged"] for one in begun
    ]
    false = sum(bool(said and said[-1]) for said in words)
    return {
        "budget": configuration.gateway.false_alarms, "promised": promised,
        "incidents": len(begun), "judged": sum(map(bool, words)), "false": false,
        "chance": at_least(false, promised), "kept": at_least(false, max(promised, 1.0)) >= 0.05,
        "watched_ns": max(0, until_ns - since_ns - off),
    }


def _output(
    mode: str, output: OutputBaseline, model: Model, windows: Sequence[Mapping[str, Any]],
    digest: str,
) -> dict[str, Any]:
    """An output in a mode, as an input is told, and its own charts; it is outside of nothing."""
    told = _input(mode, output.item, model, windows, digest)
    own = [word for name, word in OUTPUT_WORDS.items() if name in output.charts]
    told["watched_for"] += own
    told["not_watched_for"] = [one for one in told["not_watched_for"] if one[0] != RELATIONS]
    return {key: value for key, value in told.items() if key not in {"required", "extrapolating"}}


def _input(
    mode: str, item: InputBaseline, model: Model, windows: Sequence[Mapping[str, Any]], digest: str
) -> dict[str, Any]:
    """An input in a mode: as trained, as it was, how far it moved, what it is watched for.

    Each mode has a scale of its own, by which its windows are known.
    """
    own = (digest, item.centre, item.scale)
    mine = [one for one in windows if (one["baseline"], one["centre"], one["scale"]) == own]
    seen = watched(item)
    told: dict[str, Any] = {
        "mode": mode, "tag": item.tag, "unit": item.unit, "kind": item.kind or "measurement",
        "required": item.tag not in model.optional, "trained": list(item.trained),
        "centre": item.centre, "scale": item.scale, "edges": list(item.edges),
        "watched_for": list(seen.on), "not_watched_for": [list(pair) for pair in seen.off],
        "windows_of_other_baselines": sum(one["baseline"] != digest for one in windows),
        "scans": 0, "extrapolating": 0.0, "good": None, "mean": None, "sd": None, "shift": None,
        "histogram": None,
    }
    if not mine:
        return told
    total = mine[0]
    for one in mine[1:]:
        total = merge(total, one)
    told |= {
        "scans": total["scans"],
        "extrapolating": total["extrapolating"] / total["scans"] if total["scans"] else 0.0,
        "good": total["good"] / total["count"] if total["count"] else None,
    }
    if total["good"]:
        mean, sd = mean_and_sd(total)
        told |= {"mean": mean, "sd": sd, "shift": (mean - item.centre) / item.scale,
                 "histogram": total["histogram"]}  # fmt: skip
    return told


def _decisions(
    reader: Reader, name: str, model: Model, since_ns: int, until_ns: int
) -> Iterable[dict[str, Any]]:
    """What people did: every record of the account by a person that touches the model."""
    own = {f"tag/{tag}" for tag in (*model.inputs, *model.outputs)} | {f"model/{name}"}
    for record in reader.account():
        data = json.loads(record["data"])
        touches = record["subject"] in own or name in data.get("models", ())
        if record["who"] != AGENT and touches and since_ns <= record["time_ns"] <= until_ns:
            yield {
                "number": record["number"], "time_ns": record["time_ns"], "who": record["who"],
                "subject": record["subject"], "what": str(data.get("change", record["kind"])),
                "why": record["why"], "evidence": record["evidence"], "hash": record["hash"],
            }


def _changes(reader: Reader, name: str, since_ns: int, until_ns: int) -> list[dict[str, Any]]:
    """Changes of configuration, of what is judged by, of the clock, and what was lost.

    What is told again and again without anything else between stands there once, with `count`.
    """
    found = []
    for kind in ("configuration", "engine", "gap", "clock"):
        for event in history.told(reader, kind, until_ns):
            about = event["subject"] in {"gateway", f"model/{name}"}
            if about and event["time_ns"] >= since_ns:
                data = event["data"]
                text = next((str(data[key]) for key in ("text", "reason", "change", "quality")
                             if data.get(key)), "")  # fmt: skip
                found.append({"time_ns": event["time_ns"], "kind": kind, "text": text})
    found.sort(key=lambda one: (one["time_ns"], one["kind"], one["text"]))
    alike = groupby(found, key=lambda one: (one["kind"], one["text"]))
    runs = [list(run) for _, run in alike]
    return [run[0] | {"last_ns": run[-1]["time_ns"], "count": len(run)} for run in runs]


def _not_checked(
    model: Model, baseline: Baseline, verdicts: Iterable[history.Span],
    losses: Sequence[Mapping[str, Any]],
) -> list[str]:
    """What nobody looked at, in sentences; never empty: no report knows everything."""
    told = []
    if baseline.provisional:
        told.append(f"Limits are provisional: {baseline.provisional_text}")
    blind = sorted({
        item.tag for mode in baseline.modes for item in mode.inputs if not watched(item).on
    })
    if blind:
        told.append(f"These inputs are watched for nothing but their coming: {', '.join(blind)}")
    judged = {label.of for label in model.labels}
    if unjudged := [tag for tag in model.outputs if tag not in judged]:
        told.append(f"Whether outputs without labels are right: {', '.join(unjudged)}")
    if not model.outputs and not judged:
        told.append("The outputs: none are configured")
    if not judged:
        told.append("The model's errors: no labels are configured, so its accuracy is not known")
    learnt = {item.item.tag for mode in baseline.modes for item in mode.outputs}
    if untrained := [tag for tag in model.outputs if tag not in learnt]:
        told.append("Whether these outputs are as in training, whose record does not have them: "
                    f"{', '.join(untrained)}")
    told += [
        f"Whether the losses of {one['label']} are as in training: it knows none"
        for one in losses if one["expected"] is None
    ]
    told += [
        f"{one['label']}: no truth came in this time"
        for one in losses if not one["labels"]
    ]
    off = history.shares(verdicts)[history.NOT_WATCHED]
    if off:
        told.append(f"{100 * off:.1f} % of the time: the agent did not run")
    told.append("Whether the training record was itself free of faults")
    told.append("The model's code, its training, and how its answers are used")
    return told
