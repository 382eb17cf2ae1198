"""Made-up changes of every state, and the lineage of a made-up plant; names are hostile."""

from __future__ import annotations

from agent.contract.graph import Graph, ModelNode, TagNode, Use, reached
from agent.contract.graph_layout import picture

NS = 1_000_000_000
HOSTILE = '<img src=x onerror="alert(1)">&lt;b&gt;'


def difference(tag, term, was, now, grade="breaking", models=("yield",)):
    return {
        "subject": f"tag/{tag}", "source": "utilities", "term": term, "was": was, "now": now,
        "grade": grade, "models": list(models), "text": f"tag {tag}: {term} was {was}, is {now}",
    }  # fmt: skip


def change(name, state, now_ns, **more):
    """A change with all that may be told of one."""
    tags = more.pop("tags", ["cooling.flow"])
    differences = [difference(tag, "unit", "m3/h", "l/min") for tag in tags]
    undecided = state in ("detected", "proposed", "assessed")
    return {
        "id": name, "state": state, "how": "interval", "source": "utilities", "tags": tags,
        "held_tags": tags,
        "models": [{"name": "yield", "version": "2026.3", "owner": "process <p@plant.example>"},
                   {"name": "energy", "version": "2026.3", "owner": "energy <e@plant.example>"}],
        "grade": "breaking", "differences": differences, "text": differences[0]["text"],
        "found_ns": now_ns - 900 * NS, "since_ns": now_ns - 960 * NS, "hold": "held",
        "assessment": None, "assessing": None, "approvals": [], "map": None, "suggested": None,
        "needs": ["owner", "integration"] if undecided else [], "in_force_from": 0,
        "revision": "0a1b2c3d",
        "window": None, "expires_ns": 0, "ended_ns": 0, "figures": {},
        "hint": f"look at it, then approve or reject it: fieldwarden change show CONFIG {name}",
        **more,
    }  # fmt: skip


def assessment(now_ns):
    """What a replay of three days showed."""
    verdicts = {"trusted": 254_016, "caution": 5_184, "untrusted": 0, "unassessable": 0}
    return {
        "models": {"yield": {
            "version": "2026.3", "owner": "process data <p@plant.example>", "scans": 259_200,
            "changed": 31_104, "share": 0.12, "alarms": {"now": 1, "then": 4},
            "verdicts": {
                "now": verdicts, "then": {**verdicts, "trusted": 222_912, "caution": 36_288},
            },
            "losses": {"lab.yield": {"now": {"labels": 40, "mean": 0.51, "expected": None},
                                     "then": {"labels": 40, "mean": 0.93, "expected": None}}},
            "first_s": 1.0,
        }},
        "further": {"emissions": ["yield.predicted"]},
        "notes": ["the journal holds 3 days"], "basis": "replay", "map": None,
        "from_ns": now_ns - 3 * 86_400 * NS, "to_ns": now_ns - 960 * NS, "took_s": 41.0,
        "text": "12 % of scans of yield would get another verdict",
    }  # fmt: skip


def changes(now_ns):
    """One of each kind."""
    approved = {"side": "owner", "by": "Mara Lind", "at_ns": now_ns - 60 * NS, "note": HOSTILE}
    return [
        change("utilities-3", "assessed", now_ns, assessment=assessment(now_ns),
               approvals=[approved], needs=["integration"],
               suggested={"cooling.flow": {"factor": 0.06, "offset": 0.0, "unit": "m3/h"}}),
        change("line-4", "detected", now_ns, source="line", hold="would hold",
               tags=["line.speed", HOSTILE, *(f"line.extra{n}" for n in range(9))],
               assessing={"progress": 0.42, "since_ns": now_ns - 9 * NS, "text": ""}),
        change("reactor-5", "announced", now_ns, source="reactor", hold="none", grade="",
               differences=[], models=[], tags=["reactor.temperature"], hint="",
               window=[now_ns + 60 * NS, now_ns + 7_260 * NS], text="calibration of TT-101"),
        change("utilities-1", "approved", now_ns, in_force_from=1_234_000, hint="",
               map={"cooling.flow": {"factor": 0.06}}),
        change("utilities-2", "ended", now_ns, ended_ns=now_ns - 5 * NS, hint=""),
    ]  # fmt: skip


def graph():
    """Four models, of which one takes the outputs of two."""
    inputs = {
        "reactor.temperature": ("reactor", ["yield"]), "cooling.flow": ("utilities", ["yield"]),
        "line.speed": ("line", ["vibration forecast", "energy"]), HOSTILE: ("line", ["energy"]),
    }  # fmt: skip
    inputs |= {f"line.extra{n}": ("line", ["energy"]) for n in range(30)}
    tags = {
        name: TagNode(name, source, "", (), tuple(Use(model, "input") for model in models))
        for name, (source, models) in inputs.items()
    }
    tags["lab.yield"] = TagNode("lab.yield", "lab", "", (), (Use("yield", "label"),))
    emissions = (Use("emissions", "input"),)
    for model in ("yield", "energy"):
        name = f"{model}.predicted"
        tags[name] = TagNode(name, "line", "", (model,), emissions)
    models = {
        name: ModelNode(
            name, "2026.3", "process data <process-data@plant.example>",
            (f"{name}.predicted",) if f"{name}.predicted" in tags else (),
        )
        for name in ("yield", "energy", "vibration forecast", "emissions")
    }  # fmt: skip
    sources = {"reactor": "10.0.3.5:4840", "utilities": "10.0.3.7:502", "line": "broker:1883",
               "lab": "broker:1883"}  # fmt: skip
    return Graph("north", "gw-07", sources, tags, models)


def lineage(tags):
    """As `agent.runtime.lineage` gives it."""
    found = graph()
    lit = reached(found, tags)
    told = {name: sorted(getattr(lit, name)) for name in ("sources", "tags", "models")}
    return {"reached": told, "picture": picture(found, lit)}
