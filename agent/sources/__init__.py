"""Connections to plant devices and brokers: one module and one row of `SOURCES` for each protocol.

Read-only: nothing here ever writes to a device, node or register.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.configuration.schema import Source
from agent.decode.columns import Dictionary
from agent.intake import Intake
from agent.sources.base import SourceLink, SourceReport, TagBinding

__all__ = ["SOURCES", "SourceKind", "SourceLink", "SourceReport", "TagBinding", "parse_address"]


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A protocol. Its modules are imported at first use, as their libraries are large.

    `decoder` has `parse_address(text)`; `module` has `create` and `probe`, see below.
    """

    protocol: str
    module: str
    decoder: str

    def create(
        self,
        name: str,
        config: Source,
        tags: Mapping[str, TagBinding],
        intake: Intake,
        *,
        dictionary: Dictionary,
        gateway: str = "",
    ) -> SourceLink:
        """A source that is not running yet.

        Args:
            name: of the source.
            config: its table of the configuration.
            tags: those that it serves.
            intake: gets samples, state changes and nothing else.
            dictionary: shared by all sources of the agent.
            gateway: names this agent where the other side needs to tell gateways apart.

        Raises:
            ConfigurationError: addresses that are not understood, all at once.
        """
        create: Callable[..., SourceLink] = importlib.import_module(self.module).create
        return create(name, config, tags, intake, dictionary=dictionary, gateway=gateway)

    async def probe(
        self, name: str, config: Source, tags: Mapping[str, TagBinding], timeout_s: float
    ) -> list[str]:
        """Try the source once, for `check`: what was found, one line each.

        Raises:
            FieldwardenError: it was not reached, or tags of it do not exist.
        """
        lines: list[str] = await importlib.import_module(self.module).probe(
            name, config, tags, timeout_s
        )
        return lines

    def parse_address(self, text: str) -> Any:
        """The address of a tag.

        Raises:
            SourceError: what is wrong with it, and how it is written.
        """
        return importlib.import_module(self.decoder).parse_address(text)


SOURCES: dict[str, SourceKind] = {
    protocol: SourceKind(protocol, f"agent.sources.{protocol}", f"agent.decode.{protocol}")
    for protocol in ("opcua", "modbus", "mqtt")
}


def parse_address(protocol: str, text: str) -> Any:
    """The address of a tag of a protocol; raises `SourceError` where it is not understood."""
    return SOURCES[protocol].parse_address(text)
