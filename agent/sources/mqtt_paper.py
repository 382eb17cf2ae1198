"""MQTT on paper, without the MQTT library."""

from __future__ import annotations

from collections.abc import Mapping

from agent.configuration.schema import MqttSource
from agent.sources.base import Remark, TagBinding


def on_paper(
    name: str,  # noqa: ARG001 - the same for all sources
    config: MqttSource,  # noqa: ARG001
    tags: Mapping[str, TagBinding],  # noqa: ARG001
) -> list[Remark]:
    """Nothing that holds for MQTT alone; see `agent.sources.SourceKind.on_paper`."""
    return []
