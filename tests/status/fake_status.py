"""A made-up status document of any size, and a server of it: `python tests/status/fake_status.py`.

The plant's names are hostile on purpose: what a tag is called must never become markup.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
import sys
from pathlib import Path

NS = 1_000_000_000
T0 = 1_772_330_400 * NS
HOSTILE = '<img src=x onerror="alert(1)">&lt;b&gt;'
UNITS = ("degC", "m3/h", "m/min", "rpm", "%", "kW", "mm/s", "")


def reason(text, cause, tag="", hint=""):
    return {"text": text, "cause": cause, "tag": tag, "condition": "c-1", "hint": hint}


def request(name, state, now_ns, by=""):
    """A retraining request of the model that its id begins with."""
    decided = {"state": state, "by": by, "note": "exchanger fouled", "time_ns": now_ns - 60 * NS}
    return {
        "id": name, "model": name.partition("@")[0], "version": "2026.3",
        "owner": f"process data <{HOSTILE}>", "state": state, "baseline": "3f9a1c20",
        "since_ns": now_ns - 90_000 * NS, "opened_ns": now_ns - 3_600 * NS, "until_ns": 0,
        "criteria": ["at least 2 of 3 inputs shifted by the process for 24 h"], "further": 2,
        "moved": [{"tag": HOSTILE, "off": 3.1, "value": 91.2, "centre": 80.0, "scale": 3.6,
                   "trained": [72.1, 88.4], "unit": "degC"}],
        "left_out": [{"from_ns": now_ns - 9_000 * NS, "to_ns": 0, "of": "c-1", "subject": "tag/x",
                      "kind": "stuck", "cause": "sensor"}],
        "losses": {}, "decisions": [decided] if by else [],
        "text": "at least 2 of 3 inputs shifted by the process for 24 h",
        "hint": "find out whether the plant changed",
    }  # fmt: skip


def errors(output, *, now_ns, raised=False, **more):
    """What is known of one output's errors, as `agent.runtime.errors_told` tells it."""
    return {
        "output": output, "label": f"lab.{output}", "loss": "absolute", "labels": 1_143,
        "mean_loss": 0.61, "recent_loss": 0.82 if raised else 0.49, "recent_labels": 20,
        "expected_loss": 0.5, "allowed_loss": 0.66, "evidence": 0.31, "raised": raised,
        "assessed_ns": now_ns - 4_000 * NS, "heard_ns": now_ns - 900 * NS, "not_assessed": "",
        "left_out": 12, "late": 1, "unmatched": 2, "corrected": 3, "repeated": 4,
        "predictions": 86_400, "labelled_share": 0.013, "labelled_newer": 0.52,
        "versions": [{"version": "2026.4", "labels": 88, "mean_loss": 0.41,
                      "mean_loss_in_service": 0.55}],
        "remarks": [f"{HOSTILE} repeats one value: 9 labels are 80.4"] if raised else [],
        "estimated": {"loss": 0.52, "low": 0.4, "high": 0.6, "scans": 86_000,
                      "text": "estimated from inputs alone: 0.52 (0.4 to 0.6)"},
        **more,
    }  # fmt: skip


def outputs(name, state="good"):
    """One output that training knew, and one that it did not."""
    return [
        {"tag": name, "required": True, "state": state, "trained": [60.0, 95.0],
         "worst": {"detector": "residual", "score": 0.4 + 0.9 * (state != "good")}},
        {"tag": f"{name}.spare", "required": True, "state": "good", "trained": None, "worst": None},
    ]  # fmt: skip


def model(name, verdict, *, now_ns, reasons=(), since_s=60, **more):
    trained = {"reactor.temperature": [72.1, 88.4], "cooling.flow": [11.5, 14.9]}
    inputs = [
        {
            "tag": tag,
            "required": tag != "line.speed",
            "state": "good" if verdict == "trusted" or i else "stuck",
            "worst": {"detector": "level", "score": 0.3 + 0.9 * (verdict != "trusted" and not i)},
            "trained": trained.get(tag, [0.0, 100.0]),
            "extrapolation": {
                "scans": 86_400,
                "extrapolating": 10_454 * (verdict == "caution" and i == 1),
                "share": 0.121 * (verdict == "caution" and i == 1),
            },
        }
        for i, tag in enumerate(("reactor.temperature", "cooling.flow", "line.speed"))
    ]
    return {
        "name": name,
        "version": "2026.3",
        "owner": {"team": "process data", "contact": "process-data@plant.example"},
        "verdict": verdict,
        "since_ns": now_ns - since_s * NS,
        "valid_until_ns": now_ns + 15 * NS,
        "reasons": list(reasons),
        "scans": 86_400,
        "provisional": False,
        "provisional_text": "",
        "baseline": "3f9a1c20",
        "inputs": inputs,
        "outputs": [], "errors": [],
        "joint": {"t2": 0.41, "spe": 0.22},
        "extrapolation": {
            "now": verdict == "caution",
            "scans": 86_400,
            "extrapolating": 11_001 * (verdict == "caution"),
            "jointly": 547 * (verdict == "caution"),
            "share_jointly": 0.0063 * (verdict == "caution"),
        },
        **more,
    }


def models(now_ns):
    stuck = reason(
        "reactor.temperature has shown exactly 81.3 degC for 12 min while its neighbours move",
        "sensor",
        "reactor.temperature",
        "Check transmitter TT-101 and its wiring; the model must not be used meanwhile.",
    )
    outside = reason(
        "cooling.flow is 16.2 m3/h, above everything the model was trained on (11.5 to 14.9)",
        "process",
        "cooling.flow",
        "Ask operations whether this is intended; treat predictions with care.",
    )
    lost = reason(
        "source utilities does not answer (connection refused)",
        "integration",
        "",
        "Look at the Modbus gateway 10.0.3.7 and its network.",
    )
    return [
        model("yield", "untrusted", now_ns=now_ns, since_s=720, reasons=[stuck, outside],
              outputs=outputs("yield.predicted", "bias"),
              errors=[errors("yield.predicted", now_ns=now_ns, raised=True)]),
        model("energy", "trusted", now_ns=now_ns, since_s=90_000, outputs=outputs("kw"),
              errors=[errors("kw", now_ns=now_ns), errors(
                  "kw.spare", now_ns=now_ns, labels=0, recent_labels=0, recent_loss=None,
                  mean_loss=None, expected_loss=None, allowed_loss=None, evidence=None,
                  estimated=None, heard_ns=None, assessed_ns=None, versions=[],
                  not_assessed="kw.spare was never assessed: no label of lab came for it")]),
        model(
            "vibration forecast",
            "caution",
            now_ns=now_ns,
            since_s=95,
            reasons=[outside],
            provisional=True,
            provisional_text="Thresholds are provisional: the baseline holds 140 of the 500 "
            "correlation times that the false-alarm promise needs.",
        ),
        model("emissions", "unassessable", now_ns=now_ns, since_s=41, reasons=[lost]),
    ]


def sources(now_ns):
    def source(name, protocol, state, why, since_s, received, last_s):
        return {
            "name": name,
            "protocol": protocol,
            "state": state,
            "reason": why,
            "since_ns": now_ns - since_s * NS,
            "received": received,
            "last_arrival_ns": None if last_s is None else now_ns - int(last_s * NS),
        }

    per_s = now_ns // NS - T0 // NS
    refused = "connection refused by 10.0.3.7:502; trying again every 10 s"
    return [
        source("reactor", "opcua", "live", "", 90_000, 900_000 + 600 * per_s, 0.3),
        source("utilities", "modbus", "failed", refused, 41, 120_311, 41),
        source("line", "mqtt", "stale", "connected, nothing arrives for 75 s", 75, 9_800, 75),
        source("lab", "mqtt", "connecting", "", 3, 0, None),
    ]


def tag(i, now_ns, rng):
    names = ("reactor.temperature", "cooling.flow", "line.speed", HOSTILE)
    given = {5: "yield.predicted", 8: "yield.predicted.spare"} | dict(enumerate(names))
    name = given[i] if i in given else f"area{i % 17:02d}.unit{i % 5}.signal{i:04d}"
    source = ("reactor", "utilities", "line")[i % 3] if i < 3 else rng.choice(("reactor", "line"))
    bits = {1: 4, 2: 128, 7: 2, 11: 64}.get(i, 0)
    level, phase = rng.uniform(1, 400), rng.uniform(0, 6)
    wave = [level * (1 + 0.02 * math.sin(phase + k / 6) + rng.gauss(0, 0.003)) for k in range(60)]
    history = [None if i == 1 and k > 40 else round(v, 4) for k, v in enumerate(wave)]
    if i == 0:
        history = history[:30] + [history[30]] * 30
    arrival = (
        None if i == 12 else now_ns - rng.randrange(200_000_000, 2 * NS) - (41 * NS) * (i == 1)
    )
    names_of = {
        0: "good",
        2: "uncertain",
        4: "communication_lost",
        64: "out_of_physical",
        128: "stale",
    }
    return {
        "name": name,
        "source": source,
        "unit": UNITS[i % len(UNITS)],
        "role": "output" if i in {5, 8} else "label" if i == 6 else "none" if i == 7 else "input",
        "value": None if i in {1, 12} else history[-1],
        "arrival_ns": arrival,
        "source_ns": arrival,
        "quality": bits,
        "quality_names": [names_of[bits]],
        "history": [] if i == 12 else history,
    }


def conditions(now_ns):
    def condition(number, severity, state, kind, text, cause, since_s, **more):
        return {
            "id": f"c-{number}",
            "kind": kind,
            "tag": "",
            "model": "",
            "source": "",
            "cause": cause,
            "severity": severity,
            "text": text,
            "hint": "",
            "raised_ns": now_ns - since_s * NS,
            "cleared_ns": now_ns - 60 * NS if state == "cleared" else None,
            "state": state,
            "score": 1.4,
            "incident": f"c-{number}",
            "subject": f"tag/{more['tag']}" if more.get("tag") else f"source/{more.get('source')}",
            **more,
        }

    hint = "Check transmitter TT-101 and its wiring."
    return [
        condition(1, "low", "acknowledged", "drift", f"{HOSTILE} drifts by 0.4 % an hour",
                  "unknown", 9000, tag=HOSTILE),
        condition(2, "high", "active", "stuck", "reactor.temperature is stuck at 81.3 degC",
                  "sensor", 720, tag="reactor.temperature", hint=hint),
        condition(3, "medium", "active", "range", "cooling.flow is out of its trained range",
                  "process", 95, tag="cooling.flow", hint="Ask operations whether it is intended."),
        condition(4, "high", "active", "source", "source utilities is lost: connection refused",
                  "integration", 41, source="utilities", hint="Look at the Modbus gateway."),
        condition(5, "medium", "cleared", "spike", "line.speed spiked to 912 m/min", "sensor", 400,
                  tag="line.speed"),
        condition(6, "low", "active", "relations", "the inputs no longer relate as in training",
                  "unknown", 610, model="yield, energy", incident="c-2"),
        condition(7, "medium", "acknowledged", "level shift", "feed.flow is lower by 0.8 m3/h",
                  "unknown", 650, tag="feed.flow", incident="c-2", model="yield"),
        condition(8, "medium", "cleared", "spike", "feed.flow spiked to 91 m3/h", "sensor", 700,
                  tag="feed.flow", incident="c-2"),
    ]  # fmt: skip


def document(tags=30, *, now_ns=T0, seed=1):
    """A whole status document with `tags` tags at engine time `now_ns`."""
    from agent.status import view
    from tests.status.fake_changes import changes

    rng = random.Random(seed)
    made = {
        "schema": 1,
        "site": "north",
        "gateway": "gw-07",
        "version": "0.1.0",
        "boot": 4,
        "sequence": 1_234_567 + (now_ns - T0) // NS,
        "time_ns": now_ns,
        "started_ns": now_ns - 90_100 * NS,
        "models": models(now_ns),
        "sources": sources(now_ns),
        "tags": [tag(i, now_ns, rng) for i in range(tags)],
        "conditions": conditions(now_ns),
        "outbox": {
            "configured": True,
            "connected": False,
            "reason": "broker.example does not answer",
            "pending": 412,
            "bytes": 98_304,
            "oldest_ns": now_ns - 130 * NS,
            "delivered": 18_204,
            "dropped": {},
        },
        "budget": {
            "false_alarms": "1 per 30 days",
            "expected_per_30_days": 0.83,
            "raised_30_days": 6,
            "acknowledged_30_days": 5,
            "acknowledged_false": 4,
            "watched_days": 30.0,
            "promised": 1.0,
            "chance": 0.019,
            "exceeded": True,
            "text": "exceeded: 4 false in 30 days, 1 promised; 1 not judged by anybody",
        },
        "retraining": [
            request("yield@1772329000", "open", now_ns),
            request("energy@1771000000", "closed", now_ns, by="Mara Lind"),
        ],
        "contract": {"hash": "5e1f" * 16, "made": "2026-02-28T10:00:00Z", "path": "c.json"},
        "changes": changes(now_ns),
        "process": {"loop_lag_p99_ms": 4.2, "rss_mb": 143.0, "cpu_percent": 3.1},
        "incidents_since_start": 9,
    }
    return made | {"incidents": view.incidents(made)}


def history(now_ns):
    """Two days of a made-up model, with reasons that are hostile."""
    hours = [(48, "trusted", ""), (31, "caution", f"{HOSTILE} is outside"), (30, "trusted", ""),
             (9, "not watched", "the agent did not run"), (8, "untrusted", "errors grew"),
             (6, "unassessable", "source lost"), (5, "trusted", ""), (0.2, "untrusted", "stuck")]
    marks = [now_ns - int(h * 3_600 * NS) for h, _, _ in hours] + [now_ns]
    spans = [
        {"start_ns": marks[i], "end_ns": marks[i + 1], "verdict": verdict, "why": why}
        for i, (_, verdict, why) in enumerate(hours)
    ]
    rng = random.Random(3)
    windows = [
        {"start_ns": marks[0] + k * 2_880 * NS, "end_ns": marks[0] + (k + 1) * 2_880 * NS,
         "labels": 12, "mean_loss": 0.5 + rng.gauss(0, 0.05) + 0.3 * (k > 50)}
        for k in range(60)
    ]
    losses = [{"output": "yield.predicted", "loss": "absolute", "expected_loss": 0.5,
               "windows": windows}]
    return {"since_ns": marks[0], "until_ns": now_ns, "verdicts": spans, "losses": losses}


class FakeModels:
    """What a made-up document says of its models; `checked` are the vectors that were asked about.

    Args:
        current: gives the document.
    """

    def __init__(self, current):
        self._current = current
        self.checked = []

    def names(self):
        return [one["name"] for one in self._current().get("models", ())]

    def verdict(self, name):
        document = self._current()
        for one in document.get("models", ()):
            if one["name"] == name:
                stamp = {k: document[k] for k in ("site", "gateway", "boot", "sequence", "time_ns")}
                at = {"boot_id": "b", "boottime_ns": 7 * NS, "fresh_until_boottime_ns": 12 * NS}
                return {
                    "schema": 1, "model": name, "valid_until_boottime_ns": 22 * NS,
                    "baseline_hash": "3f9a1c20" * 8, **stamp, **at,
                    **{key: value for key, value in one.items() if key not in ("name", "inputs")},
                }
        return None

    def inputs(self, name):
        value = {
            "tag": "a", "value": 1.5, "unit": "bar", "kind": "measurement", "usable": True,
            "required": True, "quality": 0, "quality_names": ["good"], "age_s": 0.3,
            "latest": 1.5, "arrival_ns": T0, "source_ns": None, "trained": [0.0, 2.0],
            "in_trained_range": True,
        }
        return [value] if name in self.names() else None

    async def history(self, name):
        document = self._current()
        if name not in self.names():
            return None
        return {"model": name, **history(document["time_ns"])}

    async def lineage(self, tags):
        from tests.status.fake_changes import lineage

        return lineage(tags)

    def check(self, name, vectors, mode):
        if name not in self.names():
            return None
        self.checked.append((name, vectors, mode))
        results = [
            {"overall": "within", "reasons": [], "inputs": [],
             "joint": {"distance": None, "within": None}}
            for _ in vectors
        ]
        return {"model": name, "version": "1", "baseline_hash": "x", "mode": "", "results": results}


def events(limit, kind):
    """The newest `limit` made-up events of a kind."""
    rows = [
        {
            "kind": "verdict" if i % 2 else "condition",
            "time_ns": T0 - i * NS,
            "subject": "model/yield",
            "data": {"text": f"made-up event {i}"},
        }
        for i in range(200)
    ]
    return [row for row in rows if kind in {None, row["kind"]}][:limit]


async def _serve(port, tags, seconds, freeze_s):
    from agent import clock
    from agent.status.api import StatusServer

    state = {"document": document(tags, now_ns=clock.wall_ns())}
    def current():
        return state["document"]

    server = StatusServer(f"127.0.0.1:{port}", current, events, models=FakeModels(current))
    await server.start()
    print(server.url, flush=True)
    for second in range(seconds):
        await asyncio.sleep(1)
        if second < freeze_s:
            state["document"] = document(tags, now_ns=clock.wall_ns(), seed=1)
    await server.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8686)
    parser.add_argument("--tags", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--freeze-after", type=int, default=10**9, help="seconds; then stand still")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            _serve(arguments.port, arguments.tags, arguments.seconds, arguments.freeze_after)
        )
