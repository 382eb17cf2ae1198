"""What the status server is shown of a running agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.runtime.audit import Audit
from agent.runtime.document import Surroundings, status_document

if TYPE_CHECKING:
    from agent.runtime.app import Agent


class View:
    """The agent as its status server sees it; documents are made once per commit, on demand."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._made: tuple[tuple[int, str], dict[str, Any]] = ((-1, ""), {})
        self.audit = Audit(agent.reader)

    def document(self, *, history: bool = True) -> dict[str, Any]:
        """The status document as of the last fold; with each tag's latest values for the page."""
        if not history:
            return self._make(history=False)
        state = (self._agent.engine.sequence, self._agent.trouble.get("text", ""))
        if self._made[0] != state:
            self._made = (state, self._make(history=True))
        return self._made[1]

    def _make(self, *, history: bool) -> dict[str, Any]:
        agent = self._agent
        budget = self.audit.report(agent.configuration.gateway, agent.engine.time_ns)
        around = Surroundings(
            boot=agent.store.boot, started_ns=agent.started_ns, sources=agent.feeds.reports(),
            outbox=agent.uplink.report(), budget=budget, process=agent.load.report(),
            trouble=agent.trouble,
        )
        return status_document(agent.configuration, agent.engine, around, history=history)

    def events(self, limit: int, kind: str | None) -> list[Mapping[str, Any]]:
        """The newest events of a kind, newest first."""
        return list(self._agent.reader.events(limit, kind))
