"""Pictures of inputs, trained against now, as SVG: text that is the same each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from agent.status.view import number, utc

_WIDTH, _HEIGHT = 760, 280
_LEFT, _RIGHT = (60, 440), (500, 740)  # from, to
_TOP, _BOTTOM = 50, 230
_TRAINED, _NOW = "#8a93a3", "#c2410c"
_MOST_POINTS: Final = 1_000


def picture(moved: Mapping[str, Any], blocks: Sequence[Mapping[str, Any]]) -> str:
    """One input that moved: its block means over time beside its trained range, and in which of the
    bins that training filled alike its samples lie now.

    Args:
        moved: of the request.
        blocks: clean windows, as `Reader.block_means` gives them.
    """
    tag = str(moved["tag"])
    own = [(one, one["inputs"][tag]) for one in blocks if tag in one["inputs"]]
    unit = f" {moved['unit']}" if moved.get("unit") else ""
    title = f"{tag}: {moved['off']:+.2f} standard deviations of training"
    parts = [
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
         'font-family="sans-serif" font-size="12">'),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT[0], 20, title, size=15),
        _text(_LEFT[0], 38, f"grey: trained; orange: since the shift{unit and f'; in{unit}'}"),
        *_over_time(moved, own), *_in_bins(own), "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _over_time(moved: Mapping[str, Any], own: Sequence[tuple[Any, Any]]) -> list[str]:
    low, high = map(float, moved["trained"])
    means = [float(block["mean"]) for _, block in own]
    least, most = min([low, *means]), max([high, *means])
    room = 0.05 * (most - least) or 1.0
    least, most = least - room, most + room

    def y(value: float) -> float:
        return _BOTTOM - (value - least) / (most - least) * (_BOTTOM - _TOP)

    left, right = _LEFT
    parts = [
        (f'<rect x="{left}" y="{y(high):.1f}" width="{right - left}" '
         f'height="{y(low) - y(high):.1f}" fill="{_TRAINED}" fill-opacity="0.3"/>'),
        _line(left, y(float(moved["centre"])), right, y(float(moved["centre"])), _TRAINED),
        *(_text(left - 6, y(value) + 4, number(value), anchor="end") for value in (low, high)),
        _frame(left, right),
    ]
    if not own:
        return [*parts, _text(left + 10, _TOP + 20, "no clean window")]
    begin, end = int(own[0][0]["start_ns"]), int(own[-1][0]["end_ns"])
    step = -(-len(own) // _MOST_POINTS)
    points = " ".join(
        f"{left + (int(one['end_ns']) - begin) / (end - begin) * (right - left):.1f},"
        f"{y(float(block['mean'])):.1f}"
        for one, block in own[::step]
    )
    return [
        *parts, f'<polyline points="{points}" fill="none" stroke="{_NOW}" stroke-width="1.5"/>',
        _text(left, _BOTTOM + 18, utc(begin)), _text(right, _BOTTOM + 18, utc(end), anchor="end"),
    ]


def _in_bins(own: Sequence[tuple[Any, Any]]) -> list[str]:
    left, right = _RIGHT
    bins = [sum(column) for column in zip(*(block["bins"] for _, block in own), strict=False)]
    total = sum(bins)
    parts = [_frame(left, right), _text(left, _BOTTOM + 18, "low"),
             _text(right, _BOTTOM + 18, "high", anchor="end"),
             _text(left, _TOP - 6, "share of samples by bin of training")]  # fmt: skip
    if not total:
        return parts
    shares = [count / total for count in bins]
    tallest, width = max(*shares, 1.0 / len(bins)), (right - left) / len(bins)
    level = _BOTTOM - (1.0 / len(bins)) / tallest * (_BOTTOM - _TOP)
    bars = [
        f'<rect x="{left + place * width:.1f}" y="{_BOTTOM - share / tallest * 180:.1f}" '
        f'width="{width * 0.85:.1f}" height="{share / tallest * 180:.1f}" fill="{_NOW}" '
        'fill-opacity="0.8"/>'
        for place, share in enumerate(shares) if math.isfinite(share)
    ]
    return [*parts, *bars, _line(left, level, right, level, _TRAINED)]


def _frame(left: int, right: int) -> str:
    return (
        f'<rect x="{left}" y="{_TOP}" width="{right - left}" height="{_BOTTOM - _TOP}" '
        'fill="none" stroke="#333"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        'stroke-width="2" stroke-dasharray="5 3"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    plain = escape("".join(c if c.isprintable() else " " for c in text))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{plain}</text>'
