"""A lineage as a tree of text: sources with their tags in groups, models with their outputs.

Every line that is on the path of a change begins with a mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from agent.contract.graph import Graph, Group, Lit, Use, groups_of, named

MARK: Final = "▶ "
_NAMES: Final = 5  # of a group


def lines_of(graph: Graph, lit: Lit, *, every: bool = False) -> Iterator[str]:
    """The tree, line by line.

    Args:
        graph: the lineage.
        lit: what a change reaches.
        every: name every tag, where else groups of many are folded.
    """
    groups = groups_of(graph, lit)
    for source, what in graph.sources.items():
        yield f"{_mark(source in lit.sources)}source {source} ({what})"
        own = [group for group in groups if group.source == source]
        for branch, group in zip(_branches(own), own, strict=True):
            yield f"{_mark(group.lit)}{branch}{_group(graph, group, every=every)}"
    for name, model in graph.models.items():
        yield f"{_mark(name in lit.models)}model {name} {model.version}, {model.owner}"
        for branch, tag in zip(_branches(model.outputs), model.outputs, strict=True):
            uses = graph.tags[tag].uses if tag in graph.tags else ()
            on = name in lit.models and tag in lit.tags
            yield f"{_mark(on)}{branch}{_tag(graph, tag)}{_to(uses)}"


def _branches(items: Sequence[object]) -> list[str]:
    return ["├─ "] * (len(items) - 1) + ["└─ "] * bool(items)


def _group(graph: Graph, group: Group, *, every: bool) -> str:
    most = len(group.tags) if every or group.lit else _NAMES
    told = ", ".join(_tag(graph, name) for name in named(group.tags, most))
    made = f" (output of {', '.join(group.made_by)})" if group.made_by else ""
    return f"{told}{made}{_to(group.uses)}" if group.uses or made else f"{told} → in no model"


def _to(uses: Sequence[Use]) -> str:
    """What tags are to whom: " → input of yield and energy, label of quality"."""
    by_role: dict[str, list[str]] = {}
    for use in uses:
        by_role.setdefault(use.role, []).append(use.model)
    told = [f"{role} of {' and '.join(models)}" for role, models in by_role.items()]
    return f" → {', '.join(told)}" if told else ""


def _tag(graph: Graph, name: str) -> str:
    tag = graph.tags.get(name)
    return f"{name} [{tag.unit}]" if tag is not None and tag.unit else name


def _mark(lit: bool) -> str:  # noqa: FBT001 - of one line
    return MARK if lit else "  "
