"""A picture of a lineage as one SVG file, for light and dark screens and for paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

_STYLE: Final = """
text { font: 13px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: #161b22; }
.ground { fill: #f3f5f7; }
.heading { font-weight: 650; }
.box { fill: #fff; stroke: #b4bec8; }
.model .box { fill: #e7eef6; }
.output .box { fill: #eef3ea; }
.edge { fill: none; stroke: #8a97a4; stroke-width: 1.3; }
.label { stroke-dasharray: 7 4; }
.mode { stroke-dasharray: 2 4; }
.optional-input { stroke-dasharray: 12 3; }
.lit .box { stroke: #c23b00; stroke-width: 3; }
.edge.lit { stroke: #c23b00; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ecf0; }
  .ground { fill: #101418; }
  .box { fill: #1a2026; stroke: #55606c; }
  .model .box { fill: #1c2a3a; }
  .output .box { fill: #1d2b22; }
  .edge { stroke: #7b8794; }
  .lit .box, .edge.lit { stroke: #ff8a5c; }
}
"""


def svg_of(picture: Mapping[str, Any], title: str) -> str:
    """The file's text.

    Args:
        picture: as `agent.contract.graph_layout.picture` makes it.
        title: what it shows, for people who do not see it.
    """
    width, height = picture["width"], picture["height"]
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_text(title)}</title>", f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{width:.0f}" height="{height:.0f}"/>',
    ]  # fmt: skip
    parts += [_edge(edge) for edge in picture["edges"]]
    parts += [_box(box) for box in picture["boxes"]]
    return "\n".join([*parts, "</svg>", ""])


def _edge(edge: Mapping[str, Any]) -> str:
    return f'<path class="{_classes("edge", edge["role"], edge["lit"])}" d="{edge["path"]}"/>'


def _box(box: Mapping[str, Any]) -> str:
    place = " ".join(f'{key}="{box[key]:.1f}"' for key in ("x", "y", "width", "height"))
    lines = "".join(
        f'<text x="{box["x"] + 8:.1f}" y="{line["y"]:.1f}" '
        f'class="{"heading" if line["heading"] else "line"}">{_text(line["text"])}</text>'
        for line in box["lines"]
    )
    title = f"<title>{_text(box['title'])}</title>"
    classes = _classes(box["kind"], "", box["lit"])
    return f'<g class="{classes}">{title}<rect class="box" rx="6" {place}/>{lines}</g>'


def _classes(first: str, role: str, lit: bool) -> str:  # noqa: FBT001 - a flag of the picture
    return " ".join([first, *([role.replace(" ", "-")] if role else []), *(["lit"] if lit else [])])


def _text(text: str) -> str:
    """As XML may hold it: no control characters, whatever the plant calls its tags."""
    return escape("".join(c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}"
                          for c in text))  # fmt: skip
