"""A source that changes itself under a running agent: held, decided on, converted, taken back.

The source, the agent and every command are processes of their own.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.core.baseline_file import write_baseline
from agent.store import Reader
from agent.types import Block, Quality
from simulators.upstream.definition import Definition, SourceTag
from tests.core.small import TAGS, baseline
from tests.end_to_end.test_acting import ME, PEOPLE, ROOT, Gateway
from tests.waiting import PATIENCE_S

URI = "urn:plant:line"
INTERVAL_S = 0.25
CONFIG = """\
schema = 1
[gateway]
site = "north"
name = "gw-07"
false_alarms = "1 per 1000 days"
[sources.line]
protocol = "opcua"
endpoint = "opc.tcp://127.0.0.1:{device}/plant"
publishing = "100ms"
contract_check = "1s"
hold = "{hold}"
{tags}
[models.m]
version = "1"
owner = {{ team = "process data", contact = "data@plant.example" }}
baseline = "m.json"
scan = "1s"
inputs = ["a", "b", "c"]
[status]
listen = "127.0.0.1:{page}"
"""


class Line(Gateway):
    """An agent, and the OPC UA server that it reads; a command makes the contract."""

    hold = "hold"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write_baseline(folder / "m.json", dataclasses.replace(baseline(), digest=""))
        rows = np.random.default_rng(7).standard_normal((4_000, 3))
        np.save(folder / "rows.npy", rows)
        tags = tuple(
            SourceTag(name, f"nsu={URI};s={name.upper()}", name, "degC", (-50.0, 50.0))
            for name in TAGS
        )
        told = Definition(
            "opcua", "127.0.0.1", self.device, INTERVAL_S, tags, {"namespaces": [URI]},
            rows=str(folder / "rows.npy"), columns=TAGS,
        )  # fmt: skip
        (folder / "line.json").write_text(json.dumps(told.to_json()), encoding="utf-8")
        self.source = subprocess.Popen(
            [sys.executable, "-m", "simulators", "upstream", str(folder / "line.json")], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._answer() == {"ready": True}

    def configure(self, people: str, host: str = "127.0.0.1") -> None:
        tags = "".join(
            f'[tags.{name}]\nsource = "line"\naddress = "nsu={URI};s={name.upper()}"\n'
            'unit = "degC"\ninterval = "1s"\n' for name in TAGS
        )
        text = CONFIG.format(device=self.device, page=self.page, tags=tags, hold=self.hold)
        self.config.write_text(text + people, encoding="utf-8")

    def _answer(self) -> dict[str, object]:
        assert self.source.stdout is not None
        return dict(json.loads(self.source.stdout.readline()))

    def order(self, *orders: dict[str, object]) -> int:
        """Have the source change itself; wall ns of the first row that is served so."""
        assert self.source.stdin is not None
        self.source.stdin.write(json.dumps(list(orders)) + "\n")
        self.source.stdin.flush()
        told = [self._answer() for _ in orders]
        assert all("error" not in one for one in told), told
        return int(str(told[0]["at_ns"]))

    def close(self) -> None:
        self.end()
        if self.source.stdin is not None:
            self.source.stdin.close()
        self.source.wait(PATIENCE_S)

    def verdict(self) -> tuple[str, list[str]]:
        """The model's, with the kinds of its reasons."""
        (model,) = self.status(live=True)["models"]
        return model["verdict"], [reason["kind"] for reason in model["reasons"]]

    def wait_for(self, verdict: str, *kinds: str) -> None:
        def reached() -> bool:
            found, reasons = self.verdict()
            return found == verdict and set(kinds) <= set(reasons)

        self.wait(f"verdict {verdict} {kinds}", reached)

    def tell(self, group: str, verb: str, *words: str, code: int = 0) -> str:
        """What a command of a group says, as people run it."""
        command = [sys.executable, "-m", "agent.cli", group, verb, str(self.config), *words]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    def state(self, name: str) -> object:
        """Of a change; None where there is none of this name."""
        return next((one["state"] for one in self.changes() if one["id"] == name), None)

    def changes(self) -> list[dict[str, object]]:
        return list(self.status(live=True)["changes"])

    def samples(self, tag: str, since_ns: int) -> list[tuple[int, float, int]]:
        """(source time, value, quality) of what was journaled, by the source's own time."""
        reader = Reader(self.folder / "state" / "fieldwarden.db")
        try:
            index = reader.tag_ids()[tag]
            return [
                (int(at), float(value), int(quality))
                for entry in reader.journal(1) if isinstance(entry, Block)
                for i, at, value, quality in zip(
                    entry.tag, entry.source_ns, entry.value, entry.quality, strict=True
                )
                if i == index and at >= since_ns
            ]
        finally:
            reader.close()


@pytest.fixture
def line(tmp_path):
    one = Line(tmp_path)
    yield one
    one.close()


def approved(line: Line) -> dict[str, object]:
    """The one change that is in force."""
    (one,) = [one for one in line.changes() if one["state"] == "approved"]
    return one


def held(samples: list[tuple[int, float, int]]) -> list[bool]:
    return [bool(quality & Quality.CONTRACT_BROKEN) for _, _, quality in samples]


FAHRENHEIT = (
    {"do": "rescale", "tag": "b", "factor": 1.8, "offset": 32.0},
    {"do": "terms", "tag": "b", "unit": "degF"},
)


def test_a_unit_that_changes_is_held_converted_and_taken_back(line):
    """From the first changed sample on, over a kill; approved with a map, the model is trusted."""
    assert "fieldwarden contract snapshot" in line.run("check", "--offline")
    line.tell("contract", "snapshot")
    line.start()
    line.wait_for("trusted")
    assert line.changes() == []

    since_ns = line.order(*FAHRENHEIT)
    line.wait_for("unassessable", "contract broken")
    (one,) = line.changes()
    assert (one["state"], one["hold"], one["tags"]) == ("detected", "held", ["b"])
    assert one["needs"] == ["owner", "integration"]
    assert "degF" in str(one["text"]) and one["models"] == [
        {"name": "m", "version": "1", "owner": "process data <data@plant.example>"}
    ]
    shown = line.tell("change", "show", "line-1")
    assert "engineering unit was degC, is degF" in shown and "process data" in shown

    line.end(signal.SIGKILL)
    line.start()
    line.wait_for("unassessable", "contract broken")
    changed = line.samples("b", since_ns)
    assert changed and all(held(changed))
    assert not any(held(line.samples("a", 0)))

    told = line.tell("change", "approve", "line-1", "--convert", "--reason", "new transmitter")
    assert f"approved, by {ME}: new transmitter" in told
    line.wait_for("trusted")
    one = approved(line)
    assert one["in_force_from"] and one["map"]["b"]["unit"] == "degF"
    back = [value for _, value, quality in line.samples("b", since_ns) if quality == 0]
    assert back and max(map(abs, back)) < 6.0  # as trained, not 32 and more

    line.order({"do": "as_before"})
    line.wait("end of the change", lambda: line.state("line-1") == "ended")
    line.wait_for("trusted")
    latest = [value for _, value, quality in line.samples("b", 0) if quality == 0]
    assert max(map(abs, latest)) < 6.0
    line.tell("audit", "verify")
    reader = Reader(line.folder / "state" / "fieldwarden.db")
    acts = [one for one in reader.account() if one["kind"] == "change"]
    reader.close()
    told = [(json.loads(one["data"])["change"], one["who"], one["why"]) for one in acts]
    assert ("approved", ME, "new transmitter") in told
    assert (told[0][0], told[-1][0]) == ("detected", "ended")
    assert all(len(one["evidence"]) == 64 for one in acts)


def test_what_is_told_only_and_what_is_announced(line):
    """In a source's first time nothing is held; in an announced window nothing counts."""
    line.hold = "report"
    line.configure(PEOPLE)
    line.tell("contract", "snapshot")
    line.start()
    line.wait_for("trusted")
    line.order({"do": "terms", "tag": "b", "unit": "degF"})
    line.wait("a change that is told", lambda: line.state("line-1") == "detected")
    (one,) = line.changes()
    assert one["hold"] == "would hold" and not any(held(line.samples("b", 0)))
    status, answer = line.post("reject_change", {"change": "line-1", "note": "put it back"})
    assert status == 200 and answer["event"]["data"]["by"] == "Control room"

    told = line.tell("change", "announce", "--source", "line", "--window", window(300),
                     "--reason", "valve of line 2")  # fmt: skip
    assert "announced" in told
    line.wait_for("unassessable", "planned maintenance")
    masked = [quality for _, _, quality in line.samples("a", 0) if quality & Quality.MASKED]
    assert masked
    line.tell("change", "revert", "line-2", "--reason", "done early")
    line.wait_for("trusted")
    listed = line.tell("change", "list")
    assert "line-1  rejected" in listed and "line-2  ended" in listed
    assert "no such change" in line.tell(
        "change", "approve", "line-9", "--reason", "x", code=1
    )


def window(seconds: int) -> str:
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"now..{end.isoformat()}"
