"""Modbus on paper: what is read together, and how often."""

from __future__ import annotations

from collections.abc import Mapping

from agent.configuration.schema import ModbusSource
from agent.sources.base import Remark, TagBinding
from agent.sources.modbus_plan import plan_polls


def on_paper(name: str, config: ModbusSource, tags: Mapping[str, TagBinding]) -> list[Remark]:
    """The requests of each interval; see `agent.sources.SourceKind.on_paper`."""
    return [Remark("ok", poll.summary()) for poll in plan_polls(name, config, tags)]
