"""What a running agent does for the processes of its models: answers, files, baselines in force."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from agent.client import FOLDER
from agent.runtime.baseline_watch import BaselineWatch, Watched
from agent.runtime.model_answers import Guarding, ModelAnswers
from agent.runtime.trial_watch import TrialWatch, Tried
from agent.runtime.verdict_files import VerdictFiles


class Serving(Guarding, Watched, Tried, Protocol):
    """The agent that guards them."""


class ForModels:
    """All of it for one run.

    Args:
        agent: that runs.
        boot: number of the run.
    """

    def __init__(self, agent: Serving, boot: int) -> None:
        self.answers = ModelAnswers(agent, boot)
        folder = agent.configuration.runtime_path / FOLDER
        self.files = VerdictFiles(folder, self._verdicts)
        self.parts: Mapping[str, Callable[[], Awaitable[None]]] = {
            "verdict files": self.files.run, "baselines": BaselineWatch(agent).run,
            "trials": TrialWatch(agent).run,
        }

    def _verdicts(self) -> dict[str, Mapping[str, Any]]:
        found = {name: self.answers.verdict(name) for name in self.answers.names()}
        return {name: told for name, told in found.items() if told is not None}
