"""One agent that reads devices, without the chain."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from common import FIRST_S, command, environment, fit, free_port, page, wait

from agent.store import Reader
from agent.types import Block
from simulators.children import Children

_CONFIG = """
schema = 1
[gateway]
site = "faults"
name = "device"
state_directory = "{folder}/state"
[status]
listen = "127.0.0.1:{status}"
"""


@dataclass(frozen=True)
class Device:
    """One source, with a model of its own that judges its tags.

    Args:
        name: of the source and of its model.
        source: the other lines of the source's table.
        tags: name -> address; the first three are the model's inputs.
    """

    name: str
    source: str
    tags: dict[str, str]

    @property
    def inputs(self) -> list[str]:
        """Of the model."""
        return list(self.tags)[:3]

    def tables(self, folder: Path, interval_s: float) -> str:
        """Of the configuration."""
        every = f"{round(interval_s * 1e3)}ms"
        text = f"[sources.{self.name}]\n{self.source}\n"
        for name, address in self.tags.items():
            text += f'[tags.{name}]\nsource = "{self.name}"\naddress = "{address}"\n'
            text += f'interval = "{every}"\n'
        return text + (
            f'[models.{self.name}]\nversion = "1"\nscan = "{every}"\n'
            'owner = { team = "faults", contact = "faults@plant.example" }\n'
            f'baseline = "{folder}/{self.name}.json"\ninputs = {json.dumps(self.inputs)}\n'
        )


class DeviceAgent:
    """An agent that reads devices, as a context.

    Args:
        folder: for all that it writes.
        devices: what it reads, all at once.
        record: float64[n, inputs], what each model was trained on.
        interval_s: of the record, the tags and the scans.
    """

    def __init__(
        self, folder: Path, devices: list[Device], record: np.ndarray, interval_s: float
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._status = folder, free_port()
        self._children = Children(folder / "log")
        self._config = folder / "config.toml"
        text = _CONFIG.format(folder=folder, status=self._status)
        text += "".join(one.tables(folder, interval_s) for one in devices)
        self._config.write_text(text)
        for one in devices:
            baseline = folder / f"{one.name}.json"
            fit(self._config, one.name, one.inputs, record.tolist(), interval_s, baseline)

    def __enter__(self) -> Self:
        self._children.start("agent", command("run", str(self._config)), environment())
        try:
            wait("the agent's page", lambda: page(self._status), FIRST_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._children.stop("agent", patience_s=30)

    def good(self) -> set[str]:
        """The tags whose latest value is good."""
        tags = page(self._status).get("tags", [])
        return {one["name"] for one in tags if one["quality"] == 0}

    def journaled(self) -> Iterator[Block]:
        """All blocks."""
        with contextlib.closing(self._reader()) as reader:
            yield from (entry for entry in reader.journal(1) if isinstance(entry, Block))

    def ids(self) -> dict[str, int]:
        """Tag -> its number in blocks."""
        with contextlib.closing(self._reader()) as reader:
            return reader.tag_ids()

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The stored events of a kind."""
        with contextlib.closing(self._reader()) as reader:
            return reader.events(limit=100_000, kind=kind, after=(0, -1))

    def _reader(self) -> Reader:
        return Reader(self._folder / "state" / "fieldwarden.db")
