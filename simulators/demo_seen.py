"""What is seen of a running demonstration, and said of it: truth log, agent, central, uplink.

Everything is read from outside, as anybody could: the simulator's log of what it did, the agent's
store and status document, and what central received.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.client import request
from agent.errors import FieldwardenError, StoreError
from agent.store import Reader
from simulators.demo_central import CentralView
from simulators.demo_log import DemoLog
from simulators.demo_report import Outage, Reported

_STYLE = {
    "trusted": "green",
    "caution": "yellow",
    "untrusted": "red",
    "unassessable": "magenta",
}


class Seen:
    """What was done, and what was told of it, up to now.

    Attributes:
        truth: records of the simulator's log.
        told: the agent's stored events, in order.
        outages: one for each `uplink_lost`.
        start_ns: wall ns of the script's begin; 0 before.

    Args:
        folder: of the demonstration.
        truth_log: written by the simulator.
        socket: of the agent.
        log: what is said goes there.
    """

    def __init__(self, folder: Path, truth_log: Path, socket: Path, log: DemoLog) -> None:
        self._folder, self._truth_log, self._socket, self._log = folder, truth_log, socket, log
        self.truth: list[Mapping[str, Any]] = []
        self.told: list[Reported] = []
        self.outages: list[Outage] = []
        self.start_ns = 0
        self._truth_read = 0
        self._reader: Reader | None = None
        self._after = (0, -1)
        self._reasons: set[tuple[str, ...]] = set()

    def close(self) -> None:
        """Let go of the store."""
        if self._reader is not None:
            self._reader.close()

    @property
    def verdict(self) -> str:
        """The model's last one; empty before the first."""
        verdicts = (told.data["verdict"] for told in reversed(self.told) if told.kind == "verdict")
        return str(next(verdicts, ""))

    # --- what the simulator did -------------------------------------------------------------------

    def read_truth(self, on_uplink: Callable[[bool], None]) -> None:
        """Take what the simulator did since; `on_uplink` is told whether the uplink is lost."""
        try:
            with self._truth_log.open(encoding="utf-8") as log:
                log.seek(self._truth_read)
                text = log.read()
        except OSError:
            return
        whole, _, _ = text.rpartition("\n")
        if not whole:
            return
        self._truth_read += len(whole.encode()) + 1
        for line in whole.splitlines():
            self._take_truth(json.loads(line), on_uplink)

    def _take_truth(self, record: Mapping[str, Any], on_uplink: Callable[[bool], None]) -> None:
        self.truth.append(record)
        if not self.start_ns:
            self.start_ns = record["start_ns"] - round(record["start_s"] * 1e9)
            self._log.began_ns = self.start_ns
        starts = record["phase"] == "start"
        what = "the plant itself" if record["kind"] == "process" else "fault"
        done = ("changed" if what != "fault" else "injected") if starts else "taken back"
        text = f"{what} {done}: {record['title']} ({record['subject']})"
        self._log.say(record["at_ns"], "plant", text, "bold")
        if record["kind"] == "uplink_lost":
            on_uplink(starts)

    # --- what the agent says ----------------------------------------------------------------------

    def read_agent(self) -> None:
        """Take the agent's new events from its store."""
        if self._reader is None:
            stores = list((self._folder / "state").glob("*.db"))
            if not stores:
                return
            try:
                self._reader = Reader(stores[0])
            except StoreError:  # the agent is still making it
                return
        for row in self._reader.events(limit=1000, after=self._after):
            self._after = (row["sequence"], row["position"])
            told = Reported(row["kind"], row["time_ns"], row["subject"], row["data"])
            self.told.append(told)
            self._tell(told)

    def _tell(self, told: Reported) -> None:
        name = told.subject.partition("/")[2]
        if told.kind == "verdict":
            self._tell_verdict(name, told)
        elif told.kind == "condition" and told.data.get("change") == "cleared":
            text = f"cleared: {told.data.get('kind')} {name}"
            self._log.say(told.time_ns, "agent", text, "dim")
        elif told.kind == "retraining":
            self._log.say(told.time_ns, "agent", retraining_line(name, told.data), "bold cyan")

    def _tell_verdict(self, name: str, told: Reported) -> None:
        data = told.data
        verdict, was = str(data["verdict"]), str(data.get("was") or "nothing")
        reasons = {_identity(one): str(one["text"]) for one in data.get("reasons", ())}
        told_before = self._reasons if verdict == was else set()
        new = [text for one, text in reasons.items() if one not in told_before]
        self._reasons = told_before | reasons.keys()
        if verdict != was or new:
            change = f"still {verdict}" if verdict == was else f"{was} -> {verdict}"
            text = f"model {name}: {change}" + (f": {'; '.join(new)}" if new else "")
            self._log.say(told.time_ns, "agent", text, _STYLE.get(verdict, ""))

    # --- what central has, and the way to it ------------------------------------------------------

    def read_central(
        self, central: CentralView, due: set[tuple[str, str, int, str]] | None = None
    ) -> None:
        """Say what central received; of `due` alone, where that is given."""
        central.require()
        for told, historical in central.fresh():
            if due is not None and told.key not in due:
                continue
            late = " (historical)" if historical else ""
            change, text = told.data.get("change"), told.data.get("text")
            if told.kind == "condition" and change in {"raised", "updated"}:
                said = f"received{late}: {text}"
            elif told.kind == "retraining" and change == "requested":
                said = f"received{late}: request {told.data.get('id')}: {text}"
            else:
                continue
            self._log.say(central.arrived[told.key], "central", said, "cyan")

    def read_uplink(self, *, down: bool) -> None:
        """Follow an outage by the agent's own status document; `down`: the broker is."""
        if not self.outages or self.outages[-1].back_ns:
            return
        try:
            document = request(self._socket, "GET", "/api/v1/status?history=false", timeout_s=2.0)
        except FieldwardenError:  # it ends, or is busy: looked at again
            return
        outbox, outage, now_ns = document["outbox"], self.outages[-1], document["served_ns"]
        connected = bool(outbox.get("connected"))
        if outage.lost_ns is None and not connected:
            outage = replace(outage, lost_ns=now_ns, reason=str(outbox.get("reason") or "lost"))
            text = f"uplink lost: {outage.reason}; messages wait in the outbox"
            self._log.say(now_ns, "agent", text)
        elif outage.lost_ns is not None and connected and not down:
            outage = replace(outage, back_ns=now_ns)
            text = f"uplink back; {outage.waiting} messages had waited"
            self._log.say(now_ns, "agent", text)
        elif outage.lost_ns is not None:
            outage = replace(outage, waiting=max(outage.waiting, int(outbox.get("pending", 0))))
        self.outages[-1] = outage


def _identity(reason: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reason is of, whatever its figures are by now: each is told once of a verdict."""
    named = tuple(str(reason.get(key, "")) for key in ("kind", "condition", "tag", "source"))
    return named if any(named) else (str(reason["text"]),)


def retraining_line(model: str, data: Mapping[str, Any]) -> str:
    """An event of the kind `retraining` as a person reads it."""
    text = str(data.get("text", ""))
    if data.get("change") == "requested":
        return f"model {model} asks for retraining ({data.get('id')}): {text}"
    by = f" by {data['by']}" if data.get("by") else ""
    why = f": {data['note']}" if data.get("note") else f": {text}" if text else ""
    return f"{data.get('id')} is {data.get('change')}{by}{why}"
