"""Who may sign a report on a model: its people, and only of time that has passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration
from agent.errors import FieldwardenError


def meant(
    kind: str, data: Mapping[str, Any], configuration: Configuration, now_ns: int
) -> dict[str, Any]:
    """The data of a review, of a model that there is.

    Raises:
        FieldwardenError: there is no such model, somebody else reviews it, or it is not over yet.
    """
    models = configuration.models
    name = data["model"].removeprefix("model/") if data["model"] not in models else data["model"]
    operation = f"carrying out {kind} on"
    if name not in models:
        hint = nearest(name, list(models))
        raise FieldwardenError(operation, name, "there is no such model", hint)
    reviewers = models[name].reviewers
    if reviewers and data["by"] not in reviewers:
        raise FieldwardenError(
            operation, name, f"{data['by']} is none of its reviewers",
            f"ask one of: {', '.join(sorted(reviewers))}",
        )
    if data["until_ns"] > now_ns:
        raise FieldwardenError(
            operation, name, "the report tells of time that has not passed yet",
            f"make it anew: fieldwarden report CONFIG --model {name} --out FILE",
        )
    return {**data, "model": name}
