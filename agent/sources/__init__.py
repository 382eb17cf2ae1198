"""Connections to plant devices and brokers: one module and one row of `SOURCES` for each protocol.

Read-only: nothing here ever writes to a device, node or register.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.configuration.schema import Source
from agent.decode.columns import Dictionary
from agent.intake import Intake
from agent.sources.base import (
    Remark,
    Served,
    SourceLink,
    SourceReport,
    TagBinding,
    Telling,
)
from agent.sources.found import Found, Tell, Wish
from agent.sources.probed import Probe, TagProbe

__all__ = [
    "SOURCES",
    "Probe",
    "Served",
    "SourceKind",
    "SourceLink",
    "SourceReport",
    "TagBinding",
    "TagProbe",
]


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A protocol's source module, imported at first use, as its library is large.

    What the protocol's table of the configuration says is in `agent.configuration.schema`, how its
    addresses are read in `agent.decode.<protocol>`; `agent.sources.<protocol>` has `create`, beside
    it `<protocol>_probe` has `probe`, `<protocol>_browse` has `keys` and `browse`, and
    `<protocol>_paper` has `on_paper`, see below.

    Attributes:
        protocol: as in the configuration.
        plans: all requests are known beforehand: `on_paper` tells them, `probe` tries them.
    """

    protocol: str
    plans: bool = False

    @property
    def module(self) -> str:
        """Name of the source module."""
        return f"agent.sources.{self.protocol}"

    def create(
        self,
        name: str,
        config: Source,
        tags: Mapping[str, TagBinding],
        intake: Intake,
        *,
        dictionary: Dictionary,
        gateway: str = "",
        served: Telling | None = None,
    ) -> SourceLink:
        """A source that is not running yet.

        Args:
            name: of the source.
            config: its table of the configuration.
            tags: those that it serves.
            intake: gets samples, state changes and nothing else.
            dictionary: shared by all sources of the agent.
            gateway: names this agent where the other side needs to tell gateways apart.
            served: is told what the source serves, before the first samples that are served so;
                None: nobody asks, and nothing is asked of the other side for it.

        Raises:
            ConfigurationError: addresses that are not understood, all at once.
        """
        create: Callable[..., SourceLink] = importlib.import_module(self.module).create
        return create(
            name, config, tags, intake, dictionary=dictionary, gateway=gateway, served=served
        )

    async def probe(
        self, name: str, config: Source, tags: Mapping[str, TagBinding], timeout_s: float
    ) -> Probe:
        """Try the source once, for `check`: what was found, of each tag.

        Raises:
            FieldwardenError: it was not reached, or refused us.
        """
        probe = importlib.import_module(f"{self.module}_probe").probe
        found: Probe = await probe(name, config, tags, timeout_s)
        return found

    def keys(self, place: str) -> dict[str, Any]:
        """Keys of the source's table from a place as it is typed, for `init`."""
        told: dict[str, Any] = importlib.import_module(f"{self.module}_browse").keys(place)
        return told

    async def browse(self, name: str, config: Source, wish: Wish, tell: Tell) -> Found:
        """What the source offers, for `init`; writes nothing there.

        Args:
            name: of the source.
            config: its table of the configuration.
            wish: what is looked for.
            tell: called with the progress, in words.

        Raises:
            FieldwardenError: it was not reached, or can be meant two ways.
        """
        browse = importlib.import_module(f"{self.module}_browse").browse
        found: Found = await browse(name, config, wish, tell)
        return found

    def on_paper(
        self, name: str, config: Source, tags: Mapping[str, TagBinding]
    ) -> Sequence[Remark]:
        """What can be said of a source without connecting to it, for `check`."""
        on_paper = importlib.import_module(f"{self.module}_paper").on_paper
        remarks: Sequence[Remark] = on_paper(name, config, tags)
        return remarks


SOURCES: dict[str, SourceKind] = {
    kind.protocol: kind
    for kind in (SourceKind("opcua"), SourceKind("modbus", plans=True), SourceKind("mqtt"))
}
