"""What the status server is shown of a running agent, and the commands that it may carry out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.document import Surroundings, status_document

if TYPE_CHECKING:
    from agent.app import Agent

_COMMIT_LIMIT_S = 10.0
_BUDGET_NS = 60_000_000_000


class View:
    """The agent as its status server sees it; documents are made once per commit, on demand."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._made: tuple[int, dict[str, Any]] = (-1, {})
        self._budget: tuple[int, dict[str, Any]] = (-_BUDGET_NS, {})

    def document(self, *, history: bool = True) -> dict[str, Any]:
        """The status document as of the last fold; with each tag's latest values for the page."""
        sequence = self._agent.engine.sequence
        if not history:
            return self._make(history=False)
        if self._made[0] != sequence:
            self._made = (sequence, self._make(history=True))
        return self._made[1]

    def _make(self, *, history: bool) -> dict[str, Any]:
        agent = self._agent
        around = Surroundings(
            boot=agent.store.boot, started_ns=agent.started_ns, sources=agent.feeds.reports(),
            outbox=agent.uplink.report(), budget=self._budget_now(), process=agent.load.report(),
        )
        return status_document(agent.configuration, agent.engine, around, history=history)

    def _budget_now(self) -> dict[str, Any]:
        """Promise against what happened; the store is asked once a minute."""
        now = self._agent.engine.time_ns
        if now - self._budget[0] >= _BUDGET_NS or not self._budget[1]:
            self._budget = (now, budget(self._agent, now))
        return self._budget[1]

    def events(self, limit: int, kind: str | None) -> list[Mapping[str, Any]]:
        """The newest events of a kind, newest first."""
        return list(self._agent.reader.events(limit, kind))

    async def command(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Journal a person's command; returns once it is committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._agent.intake.command(
            kind, data, on_commit=lambda: None if done.done() else done.set_result(None)
        )
        async with asyncio.timeout(_COMMIT_LIMIT_S):
            await done
        return {"accepted": kind, "sequence": self._agent.engine.sequence}


def budget(agent: Agent, now_ns: int) -> dict[str, Any]:
    """False alarms promised, alarms raised and those acknowledged as false, over 30 days."""
    month_ns = 30 * 86_400 * 1_000_000_000
    raised = acknowledged = 0
    for event in agent.reader.events(2000, kind="condition"):
        if event["time_ns"] < now_ns - month_ns:
            break
        change = event["data"].get("change")
        raised += change == "raised"
        acknowledged += change == "acknowledged" and bool(event["data"].get("false"))
    gateway = agent.configuration.gateway
    return {
        "false_alarms": gateway.false_alarms,
        "expected_per_30_days": gateway.false_alarms_per_ns * month_ns,
        "raised_30_days": raised, "acknowledged_false": acknowledged,
    }
