"""Where each node of a lineage stands in a picture: layers from left to right, edges as curves.

Tags of a source that the same models use alike are one box, folded where they are many. An edge
that passes over a layer has a lane of its own there, one for each model that it leads to. Lengths
are in pixels; nothing here draws.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

from agent.contract.graph import Graph, Group, Lit, groups_of, levels_of, named

Kind = Literal["source", "tags", "model", "output"]

WIDTHS: Final[dict[Kind, int]] = {"source": 180, "tags": 250, "model": 210, "output": 230}
LINE: Final = 18
_PADDING: Final = 5  # above and below the lines of a box
_GAP: Final = 10  # between boxes of a layer
_APART: Final = 90  # between layers, at least: room for curves
_STEEPEST: Final = 7  # a curve may be so many times as high as it is wide
_MARGIN: Final = 12
_LANE: Final = 14  # height of a lane
_CHARACTER: Final = 7.3  # mean width, generous: nothing may run out of its box
_SPREAD: Final = 0.6  # of the height of all, over which models are spread
_LINES: Final = 70  # of one layer; above it, groups are folded
_NAMES: Final = (12, 6, 4, 3, 2, 1)  # of a group, as many as fit


@dataclass(slots=True)
class Box:
    """A box: its place, its lines of text, and the whole of what it stands for.

    Attributes:
        id: as in `Graph.to_json`; of several tags, that of the first.
        lines: (text, whether it is the heading).
        names: of all tags, or the one node, that it stands for.
        after: boxes of earlier layers with a curve to it, and what each is to it.
    """

    id: str
    kind: Kind
    layer: int
    lit: bool
    lines: list[tuple[str, bool]]
    names: tuple[str, ...]
    title: str
    after: list[tuple[Box, str]] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    lane: bool = False

    @property
    def width(self) -> float:
        """Of the box; a lane is as wide as the widest of its layer."""
        return float(WIDTHS[self.kind])

    @property
    def height(self) -> float:
        """By its lines."""
        return float(_LANE if self.lane else len(self.lines) * LINE + 2 * _PADDING)

    @property
    def middle(self) -> float:
        """Of its height."""
        return self.y + self.height / 2


def picture(graph: Graph, lit: Lit) -> dict[str, Any]:
    """The whole picture, JSON-ready: `width`, `height`, `boxes` and `edges`, lit ones last.

    Args:
        graph: the lineage.
        lit: what a change reaches; its tags are never folded among others.
    """
    layers = _layers(graph, lit)
    routes = _routes(layers)
    _place(layers)
    boxes = [box for layer in layers for box in layer if not box.lane]
    edges = [_curve(route, role) for route, role in routes]
    height = max((box.y + box.height for layer in layers for box in layer), default=0.0)
    width = max((box.x + box.width for box in boxes), default=0.0)
    return {
        "width": width + _MARGIN, "height": height + _MARGIN,
        "boxes": [_told(box) for box in boxes],
        "edges": sorted(edges, key=lambda edge: bool(edge["lit"])),
    }  # fmt: skip


# --- layers -------------------------------------------------------------------------------------


def _layers(graph: Graph, lit: Lit) -> list[list[Box]]:
    """Sources, tags, then for each level models and their outputs."""
    groups, levels = groups_of(graph, lit), levels_of(graph)
    most = _names_that_fit(groups)
    layers: list[list[Box]] = [[] for _ in range(2 + 2 * (max(levels.values(), default=-1) + 1))]
    sources = {name: _source(name, what, lit) for name, what in graph.sources.items()}
    layers[0] = list(sources.values())
    models = {}
    for name, level in levels.items():
        model = graph.models[name]
        lines = [(_cut(name, "model"), True), (_cut(f"version {model.version}", "model"), False),
                 (_cut(model.owner, "model"), False)]  # fmt: skip
        title = f"model {name}, version {model.version}, {model.owner}"
        models[name] = Box(f"model/{name}", "model", 2 + 2 * level, name in lit.models, lines,
                           (name,), title)  # fmt: skip
        layers[2 + 2 * level].append(models[name])
    for group in groups:
        box = _group(group, most, levels)
        layers[box.layer].append(box)
        box.after = [(models[name], "output") for name in group.made_by]
        if not box.after and group.source in sources:
            box.after = [(sources[group.source], "serves")]
        for use in group.uses:
            models[use.model].after.append((box, use.role))
    return layers


def _names_that_fit(groups: Sequence[Group]) -> int:
    def lines(most: int) -> int:
        return sum(len(named(one.tags, most)) for one in groups if not one.made_by)

    return next((most for most in _NAMES if lines(most) <= _LINES), _NAMES[-1])


def _source(name: str, what: str, lit: Lit) -> Box:
    lines = [(_cut(name, "source"), True), (_cut(what, "source"), False)]
    title = f"source {name}: {what}"
    return Box(f"source/{name}", "source", 0, name in lit.sources, lines, (name,), title)


def _group(group: Group, most: int, levels: dict[str, int]) -> Box:
    kind: Kind = "output" if group.made_by else "tags"
    layer = 3 + 2 * max(levels[name] for name in group.made_by) if group.made_by else 1
    names = named(group.tags, most * 4 if group.lit else most)
    lines = [(_cut(name, kind), False) for name in names]
    via = f" of source {group.source}"
    users = ", ".join(f"{use.role} of {use.model}" for use in group.uses) or "in no model"
    title = f"{len(group.tags):,} tag{'s' if len(group.tags) > 1 else ''}{via}: {users}"
    return Box(f"tag/{group.tags[0]}", kind, layer, group.lit, lines, group.tags, title)


def _cut(text: str, kind: Kind) -> str:
    """A text that fits a box: of a long one its begin and its end, where names differ."""
    room = int((WIDTHS[kind] - 16) / _CHARACTER)
    printed = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if _cells(printed) <= room:
        return printed
    end = ""
    for character in reversed(printed):
        if _cells(end + character) > room // 2:
            break
        end = character + end
    begin = ""
    for character in printed:
        if _cells(begin + character) + _cells(end) + 1 > room:
            break
        begin += character
    return f"{begin}…{end}"


def _cells(text: str) -> int:
    """How wide a text is, in characters of the mean width."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


# --- edges over several layers ------------------------------------------------------------------


def _routes(layers: list[list[Box]]) -> list[tuple[list[Box], str]]:
    """(boxes and lanes from begin to end, role) of each edge; lanes are put into the layers."""
    place = {id(box): index for index, layer in enumerate(layers) for box in layer}
    found = []
    for layer in list(layers):
        for box in list(layer):
            lanes: dict[int, Box] = {}
            for start, role in box.after:
                between = range(place[id(start)] + 1, place[id(box)])
                route = [start, *(_lane(lanes, layers, index, box) for index in between), box]
                found.append((route, role))
    for route, _ in found:
        for one, following in pairwise(route):
            if following.lane:
                following.after.append((one, ""))
    return found


def _lane(lanes: dict[int, Box], layers: list[list[Box]], index: int, end: Box) -> Box:
    if index not in lanes:
        kind = layers[index][0].kind if layers[index] else "tags"
        lanes[index] = Box("", kind, end.layer, lit=False, lines=[], names=(), title="", lane=True)
        layers[index].append(lanes[index])
    return lanes[index]


# --- places -------------------------------------------------------------------------------------


def _place(layers: list[list[Box]]) -> None:
    """Tags below each other, everything else beside the middle of what it hangs on."""
    sources, tags, *others = layers
    _stack(tags, [0.0] * len(tags), _GAP)
    height = max((box.y + box.height for box in tags), default=0.0)
    for layer in others:
        wanted = {id(box): _mean(start.middle for start, _ in box.after) for box in layer}
        layer.sort(key=lambda box: wanted[id(box)])
        room = _SPREAD * height - sum(box.height for box in layer)
        gap = max(float(_GAP), room / len(layer)) if layer else 0.0
        _stack(layer, [wanted[id(box)] for box in layer], gap)
    served: dict[int, list[float]] = {id(box): [] for box in sources}
    for box in tags:
        for start, _ in box.after:
            served[id(start)].append(box.middle)
    _stack(sources, [_mean(served[id(box)]) for box in sources], _GAP)
    x = float(_MARGIN)
    for layer in layers:
        apart = [abs(start.middle - box.middle) for box in layer for start, _ in box.after]
        x += max([float(_APART), *(span / _STEEPEST for span in apart)]) if x > _MARGIN else 0.0
        for box in layer:
            box.x = x
        x += max((box.width for box in layer), default=0.0)


def _stack(layer: list[Box], wanted: list[float], gap: float) -> None:
    """Put boxes below each other, the middle of each where it is wanted as far as there is room.

    Neighbours that would lie over each other are moved apart together, so that their wishes are met
    in the mean.
    """
    blocks: list[tuple[float, float, list[Box]]] = []  # (top, height, boxes)
    for box, middle in zip(layer, wanted, strict=True):
        top, height, boxes = middle - box.height / 2, box.height + gap, [box]
        while blocks and blocks[-1][0] + blocks[-1][1] > top:
            before_top, before_height, before = blocks.pop()
            shares = len(before), len(boxes)
            top = (before_top * shares[0] + (top - before_height) * shares[1]) / sum(shares)
            height, boxes = before_height + height, before + boxes
        blocks.append((max(top, float(_MARGIN)), height, boxes))
    y = 0.0
    for top, _, boxes in blocks:
        y = max(y, top)
        for box in boxes:
            box.y = y
            y += box.height + gap


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _curve(route: list[Box], role: str) -> dict[str, Any]:
    """An edge as a path of SVG, through the lanes that it has."""
    start, end = route[0], route[-1]
    x, y = start.x + start.width, start.middle
    path = f"M{x:.0f} {y:.1f}"
    for box in route[1:]:
        bend = max((box.x - x) / 2, _APART / 2)  # one that leads back goes round
        path += f"C{x + bend:.0f} {y:.1f} {box.x - bend:.0f} {box.middle:.1f} "
        path += f"{box.x:.0f} {box.middle:.1f}"
        x, y = box.x + box.width, box.middle
        path += f"H{x:.0f}" if box.lane else ""
    return {"from": start.id, "to": end.id, "role": role, "lit": start.lit and end.lit,
            "path": path}  # fmt: skip


def _told(box: Box) -> dict[str, Any]:
    return {
        "id": box.id, "kind": box.kind, "lit": box.lit, "x": box.x, "y": box.y,
        "width": box.width, "height": box.height, "title": box.title,
        "names": list(box.names[:1]) if len(box.names) == 1 else [],
        "lines": [
            {"text": text, "heading": heading, "y": box.y + _PADDING + LINE * (place + 0.75)}
            for place, (text, heading) in enumerate(box.lines)
        ],
    }  # fmt: skip
