"""Lineage: source -> tag -> model -> output, and what a change of some tags reaches.

One model's output may be another's input, so a path goes on from model to model; outputs, labels
and mode tags are tags like others, with a source of their own that they are heard through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from agent.configuration.schema import Configuration, Model, Source

ROLES: Final = ("input", "optional input", "label", "mode")
"""What a tag is to a model that uses it, the strongest first."""


class Use(NamedTuple):
    """A model uses a tag."""

    model: str
    role: str


@dataclass(frozen=True, slots=True)
class TagNode:
    """A tag: where it comes from, whose output it is, who uses it."""

    name: str
    source: str
    unit: str
    made_by: tuple[str, ...]
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class ModelNode:
    """A model: its version, whose it is, and the tags of its outputs."""

    name: str
    version: str
    owner: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The lineage of one gateway; `sources` are by name what they are, for people."""

    site: str
    gateway: str
    sources: Mapping[str, str]
    tags: Mapping[str, TagNode]
    models: Mapping[str, ModelNode]

    def to_json(self, lit: Lit | None = None) -> dict[str, Any]:
        """Nodes, and edges from node to node; with `lit`, whether each is on its path."""
        touched = lit or Lit(frozenset(), frozenset(), frozenset())
        nodes: list[dict[str, Any]] = [
            {"id": f"source/{name}", "kind": "source", "name": name, "what": what,
             "lit": name in touched.sources}
            for name, what in self.sources.items()
        ]  # fmt: skip
        nodes += [
            {"id": f"tag/{tag.name}", "kind": "output" if tag.made_by else "tag", "name": tag.name,
             "source": tag.source, "unit": tag.unit, "lit": tag.name in touched.tags}
            for tag in self.tags.values()
        ]  # fmt: skip
        nodes += [
            {"id": f"model/{model.name}", "kind": "model", "name": model.name,
             "version": model.version, "owner": model.owner, "lit": model.name in touched.models}
            for model in self.models.values()
        ]  # fmt: skip
        known = {node["id"]: node["lit"] for node in nodes}
        edges = [
            {"from": start, "to": end, "role": role, "lit": known[start] and known[end]}
            for start, end, role in self._edges()
        ]
        return {"site": self.site, "gateway": self.gateway, "nodes": nodes, "edges": edges}

    def _edges(self) -> list[tuple[str, str, str]]:
        found = []
        for tag in self.tags.values():
            node = f"tag/{tag.name}"
            found.append((f"source/{tag.source}", node, "serves"))
            found += [(f"model/{name}", node, "output") for name in tag.made_by]
            found += [(node, f"model/{use.model}", use.role) for use in tag.uses]
        return found


@dataclass(frozen=True, slots=True)
class Lit:
    """What a change reaches: names of sources, tags and models."""

    sources: frozenset[str]
    tags: frozenset[str]
    models: frozenset[str]


def graph_of(configuration: Configuration, versions: Mapping[str, str] | None = None) -> Graph:
    """The lineage of a configuration.

    Args:
        configuration: as loaded.
        versions: model -> the version in service, where it is another than the configured one.
    """
    models = configuration.models
    uses: dict[str, list[Use]] = {}
    makers: dict[str, list[str]] = {}
    for name, model in models.items():
        for tag, role in roles_of(model).items():
            uses.setdefault(tag, []).append(Use(name, role))
        for tag in model.outputs:
            makers.setdefault(tag, []).append(name)
    return Graph(
        configuration.gateway.site, configuration.gateway.name,
        {name: _what(source) for name, source in configuration.sources.items()},
        {
            name: TagNode(
                name, tag.source, tag.unit, tuple(makers.get(name, ())), tuple(uses.get(name, ()))
            )
            for name, tag in configuration.tags.items()
        },
        {
            name: ModelNode(
                name, (versions or {}).get(name, model.version),
                f"{model.owner.team} <{model.owner.contact}>", tuple(model.outputs),
            )
            for name, model in models.items()
        },
    )  # fmt: skip


def roles_of(model: Model) -> dict[str, str]:
    """Tag that a model uses -> as what; its outputs are not used by it."""
    optional = set(model.optional)
    told = [("mode", [model.mode.tag] if model.mode else [])]
    told.append(("label", [label.tag for label in model.labels if label.tag]))
    told.append(("optional input", [tag for tag in model.inputs if tag in optional]))
    told.append(("input", [tag for tag in model.inputs if tag not in optional]))
    return {tag: role for role, tags in told for tag in tags}


def _what(source: Source) -> str:
    host, port = source.place
    return f"{source.protocol}, {host}:{port}"


def reached(graph: Graph, tags: Collection[str]) -> Lit:
    """What a change of these tags reaches: their sources, and all that follows from them.

    A model whose label changed is reached, as what is known of its errors; its outputs are not.
    """
    start = [tag for tag in tags if tag in graph.tags]
    lit, models = set(start), set[str]()
    waiting = deque(start)
    while waiting:
        for use in graph.tags[waiting.popleft()].uses:
            models.add(use.model)
            if use.role == "label":
                continue
            fresh = [tag for tag in graph.models[use.model].outputs if tag not in lit]
            lit.update(fresh)
            waiting.extend(tag for tag in fresh if tag in graph.tags)
    sources = {graph.tags[tag].source for tag in start}
    return Lit(frozenset(sources), frozenset(lit), frozenset(models))


class Group(NamedTuple):
    """Tags of one source that the same models make and use alike; all lit, or none of them."""

    source: str
    made_by: tuple[str, ...]
    uses: tuple[Use, ...]
    lit: bool
    tags: tuple[str, ...]


def groups_of(graph: Graph, lit: Lit) -> list[Group]:
    """All tags in groups: by source, those of one model beside each other, the unused last."""
    found: dict[tuple[str, tuple[str, ...], tuple[Use, ...], bool], list[str]] = {}
    for tag in graph.tags.values():
        key = (tag.source, tag.made_by, tag.uses, tag.name in lit.tags)
        found.setdefault(key, []).append(tag.name)
    order = {name: place for place, name in enumerate(graph.sources)}
    made = [Group(*key, tuple(names)) for key, names in found.items()]
    return sorted(made, key=lambda one: (
        order.get(one.source, len(order)), not one.uses, [use.model for use in one.uses], one.tags,
    ))  # fmt: skip


def levels_of(graph: Graph) -> dict[str, int]:
    """Model -> how many models stand before it at most, by outputs that are inputs.

    In a circle of models the one that comes first by name does not wait for the others.
    """
    before: dict[str, set[str]] = {name: set() for name in graph.models}
    for tag in graph.tags.values():
        for use in tag.uses:
            before[use.model].update(one for one in tag.made_by if one != use.model)
    found: dict[str, int] = {}
    left = sorted(before)
    while left:
        ready = [name for name in left if before[name] <= found.keys()] or left[:1]
        level = {
            name: max((found[one] + 1 for one in before[name] if one in found), default=0)
            for name in ready
        }
        found |= level
        left = [name for name in left if name not in level]
    return found


def named(tags: Sequence[str], most: int) -> list[str]:
    """At most so many of these names, a line each, and how many more there are."""
    if len(tags) <= most + 1:  # a line "and 1 more" takes the place of a name
        return list(tags)
    return [*tags[:most], f"and {len(tags) - most:,} more"]
