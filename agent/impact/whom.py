"""Whom a change touches: the models that use its tags, and those that are given what these give."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from agent.configuration.schema import Configuration, Model
from agent.core.spec import EngineSpec


def tags_of(model: Model) -> set[str]:
    """All tags that a model has to do with, whatever they are to it."""
    labels = {label.tag for label in model.labels if label.tag}
    mode = {model.mode.tag} if model.mode else set()
    return {*model.inputs, *model.outputs} | labels | mode


def touched(configuration: Configuration, tags: Collection[str]) -> list[str]:
    """The models that have to do with any of these tags, by name."""
    named = set(tags)
    return sorted(
        name for name, model in configuration.models.items() if named & tags_of(model)
    )


def further(configuration: Configuration, tags: Collection[str]) -> dict[str, list[str]]:
    """Models that are given an output of those that are touched, and by way of which tags.

    What these outputs would have been nobody knows: a replay has them as they were.
    """
    direct = touched(configuration, tags)
    found: dict[str, set[str]] = {}
    reached, new = set(direct), set(direct)
    while new:
        outputs = {tag for name in new for tag in configuration.models[name].outputs}
        new = set()
        for name, model in configuration.models.items():
            by = outputs & (set(model.inputs) | ({model.mode.tag} if model.mode else set()))
            if by and name not in reached:
                found.setdefault(name, set()).update(by)
                new.add(name)
        reached |= new
    return {name: sorted(by) for name, by in sorted(found.items())}


def named(configuration: Configuration, spec: EngineSpec, name: str) -> dict[str, Any]:
    """Version in service and owner of a model."""
    version = next((one.version for one in spec.models if one.name == name), "")
    owner = configuration.models[name].owner
    return {"version": version, "owner": f"{owner.team} <{owner.contact}>"}
