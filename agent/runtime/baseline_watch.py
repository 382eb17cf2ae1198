"""Notices that the file of a model's baseline is another one than the model is judged by.

A new baseline in the place of the old one is what is meant to be in force from then on: until a
reload takes it up, verdicts by the old one are not to be trusted. What is found is journaled, so
that a replay says the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from agent.configuration.schema import Configuration
from agent.core.baseline_file import read_baseline
from agent.core.steward import Steward
from agent.errors import BaselineError
from agent.intake import Intake
from agent.mqtt.background import in_thread

logger = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
Identity = tuple[int, int, int, int]


class Watched(Protocol):
    """What is watched. A reload replaces it, so it is asked for each time."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied now."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    intake: Intake


class BaselineWatch:
    """Looks at the files once a second, and into one only when it has changed.

    A file that is gone, or can not be read just now, says nothing of what is to be in force.

    Args:
        agent: that runs.
    """

    def __init__(self, agent: Watched) -> None:
        self._agent = agent
        self._seen: dict[tuple[str, str], tuple[Identity, str | None]] = {}
        self._told: dict[str, bool] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            files = {
                name: Path(model.baseline)
                for name, model in self._agent.configuration.models.items()
            }
            look = partial(looked_at, files, self._seen)
            self._seen = await in_thread(look, "baselines")
            self._tell()
            await asyncio.sleep(_LOOK_S)

    def _tell(self) -> None:
        """Journal what is otherwise than the engine has it."""
        engine = self._agent.engine
        for model in engine.configured.models:  # what a trial put in their place is no file
            configured = self._agent.configuration.models.get(model.name)
            found = self._seen.get((model.name, configured.baseline)) if configured else None
            if found is None:
                continue
            replaced = found[1] != model.baseline.digest
            if replaced == (model.name in engine.judge.worth.replaced):
                self._told.pop(model.name, None)
            elif self._told.get(model.name) != replaced:
                data: Mapping[str, Any] = {
                    "model": model.name, "replaced": replaced, "digest": found[1] or "",
                }
                if self._agent.intake.command("baseline", data):
                    self._told[model.name] = replaced
                    said = "was replaced" if replaced else "is the one in service again"
                    logger.warning("model %s: the file of its baseline %s", model.name, said)


def looked_at(
    files: Mapping[str, Path], seen: Mapping[tuple[str, str], tuple[Identity, str | None]]
) -> dict[tuple[str, str], tuple[Identity, str | None]]:
    """(model, file) -> which file it is, and its digest: None where it is no baseline.

    Args:
        files: of the models.
        seen: the last look's result.
    """
    made = {}
    for name, path in files.items():
        key = (name, str(path))
        try:
            stat = path.stat()
        except OSError:
            continue
        identity = (stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if key in seen and seen[key][0] == identity:
            made[key] = seen[key]
            continue
        try:
            digest: str | None = read_baseline(path).digest
        except BaselineError:
            digest = None
        made[key] = (identity, digest)
    return made
