"""What a reading would be, were its registers read otherwise: words or bytes exchanged, a map that
shifted by one.

Such a change is claimed where it makes all the latest values those of training again, and nearly
none of them is as they arrive: what a plant or an instrument does is not undone by exchanging
bytes. Pure functions of values; `RegisterReader` looks at the traces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from agent.core import shape
from agent.core.spec import EngineSpec, Register
from agent.core.traces import Traces
from agent.types import Float64

_LEAST = 5  # values since a change that it must explain
_DISTINCT = 4  # different ones among them
_LEAST_SHIFTED = 3  # tags in a row that must read their neighbours; less one behind a gap
_WINDOW = 8  # tags on either side in the order of addresses that are compared
_FITS, _STRAYS = 0.8, 0.6  # shares of tags that fit when shifted, and that do not as they are
_MARGIN = 0.15  # of the trained range's width, on either side
_FAR = 0.25  # of the trained range's width that what is back may be from where it was before
_DECIMALS = (1.0, 0.1, 0.01, 0.001)
"""Scales that whole numbers may have where no register is known."""
_PAST = 16  # samples before a change by which a tag is known that no model was trained on
_NOTHING = 1e-30  # of a float: the halves of an empty register and of a number
_NOISE = (0.2, 6.0)  # times its usual noise that the median step of what is back may be
_EXCHANGES: Mapping[int, tuple[tuple[str, tuple[int, ...]], ...]] = {
    2: (("its bytes exchanged", (1, 0)),),
    4: (("its words exchanged", (2, 3, 0, 1)), ("the bytes of each word exchanged", (1, 0, 3, 2)),
        ("its bytes in reverse", (3, 2, 1, 0))),
    8: (("its words in reverse", (6, 7, 4, 5, 2, 3, 0, 1)),
        ("the bytes of each word exchanged", (1, 0, 3, 2, 5, 4, 7, 6)),
        ("its bytes in reverse", (7, 6, 5, 4, 3, 2, 1, 0))),
}  # fmt: skip
"""Bytes of a number -> (how they may come, which of them stands at each place)."""

Range = tuple[float, float]
_Reading = Callable[["Neighbour", "Neighbour", Float64, Float64], Float64]


UNKNOWN = (Register("", 0, 2, ">f4"),)
"""What a number may have been where no register is known."""


def exchanged(
    raw: Float64, register: Register | None, trained: Range, noise: float
) -> str:
    """How the bytes come since a change, in words; empty where no exchange explains it.

    Args:
        raw: the latest values, oldest first, in the tag's unit; NaN where none is a number.
        register: how it is served, where that is known.
        trained: lowest and highest value of training.
        noise: standard deviation of sample-to-sample noise; what is back has some.
    """
    known = (register,) if register else (
        *UNKNOWN, *(Register("", 0, 1, ">u2", scale) for scale in _DECIMALS),
    )  # fmt: skip
    strays = ~within(raw, trained)
    count = ending(strays | ~np.isfinite(raw))
    if count < _LEAST:
        return ""
    latest = raw[len(raw) - count :]
    for one in known:
        for how, order in _EXCHANGES.get(np.dtype(one.dtype).itemsize, ()):
            back = _reordered(latest, one, order)
            usable = np.isfinite(back)
            if 2 * usable.sum() < count or len(np.unique(back[usable])) < _DISTINCT:
                continue
            if _is_back(back[usable], raw[: len(raw) - count], trained, noise):
                return how
    return ""


def _is_back(back: Float64, before: Float64, trained: Range, noise: float) -> bool:
    """Whether all are where the tag was trained, with its noise, and near where it was before."""
    step = float(np.median(np.abs(np.diff(back))))
    low, high = _NOISE
    if not within(back, trained).all() or not low * noise <= step <= high * noise:
        return False
    return is_near(back, before, trained, noise)


def is_near(back: Float64, before: Float64, trained: Range, noise: float) -> bool:
    """Whether what is back is near what was before, where anything was."""
    near = before[np.isfinite(before)][-8:]
    far = max(_FAR * (trained[1] - trained[0]), 4.0 * noise)
    return not len(near) or abs(float(np.median(back) - np.median(near))) <= far


def _reordered(values: Float64, register: Register, order: tuple[int, ...]) -> Float64:
    """The values, were their bytes in this order; NaN of what the register can not hold."""
    dtype = np.dtype(register.dtype)
    with np.errstate(all="ignore"):
        plain = values / register.scale
        whole = plain if dtype.kind == "f" else np.round(plain)
        held = np.nan_to_num(whole, nan=0.0, posinf=0.0, neginf=0.0)
        if dtype.kind != "f":
            info = np.iinfo(dtype)
            held = np.clip(held, float(info.min), float(info.max))
        number = held.astype(dtype)
        least = 1e-9 if dtype.kind == "f" else 1e-6  # what came as a float has all its digits
        exact = np.abs(number.astype(np.float64) - plain) <= least * np.abs(plain)
        back = number.view(np.uint8).reshape(len(values), -1)[:, list(order)].copy().view(dtype)
        return np.where(exact, back[:, 0].astype(np.float64) * register.scale, np.nan)


def within(values: Float64, trained: Range) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[n]: which values are where a tag was trained, or near it."""
    low, high = trained
    margin = _MARGIN * (high - low)
    with np.errstate(invalid="ignore"):
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
            (values >= low - margin) & (values <= high + margin)
        )
    return found


def ending(hits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Hits in a row at the end, but for a value or two that look right by accident."""
    miss = np.flatnonzero(~hits)
    if not len(miss):
        return len(hits)
    return len(hits) - 1 - int(miss[-1])


# --- a map that shifted ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A tag in the order of its source's addresses, and where it was trained; None, where no model
    was trained on it.
    """

    tag: str
    row: int
    register: Register
    trained: Range | None
    spread: float


@dataclass(frozen=True, slots=True)
class Shift:
    """A map that shifted: `step` 1 where each tag reads the one behind it, the tags that do, and
    for how many samples.
    """

    step: int
    tags: tuple[str, ...]
    since: int


class RegisterReader:
    """Whether the tags of a source read their neighbours, from the traces."""

    def __init__(self, spec: EngineSpec, traces: Traces) -> None:
        self._traces = traces
        self._order: dict[str, tuple[tuple[Neighbour, ...], int]] = {}
        for known in _by_source(spec).values():
            for part in _parts(known):
                for place, one in enumerate(part):
                    self._order[one.tag] = part, place

    def shift(self, tag: str, now: int) -> Shift | None:
        """The shift of a tag's map, seen in it and the tags near it, as of an instant."""
        part, place = self._order.get(tag, ((), 0))
        near = part[max(0, place - _WINDOW) : place + _WINDOW + 1]
        if len(near) < _LEAST_SHIFTED - 1:
            return None
        if not _left(part[place], self._traces.of_tag(part[place].row, now)):
            return None
        raw = {one.tag: self._traces.of_tag(one.row, now) for one in near}
        for count in _since(near, raw):
            known = [seen for one in near if (seen := _known(one, raw[one.tag], count))]
            for some in dict.fromkeys((tuple(_moved(known, raw, count)), tuple(known))):
                for step, read in _READINGS:
                    found = _shifted(some, raw, step, count, read)
                    if tag in found:
                        return Shift(step, found, count)
        return None


def _left(one: Neighbour, values: Float64) -> bool:
    """Whether a tag jumped, or strayed, but for a value or two that look right by accident: of all
    others no order need be tried.
    """
    strays = () if one.trained is None else ~within(values[-_LEAST:], one.trained)
    return max(_ages(one, values)) >= _LEAST or sum(strays) >= _STRAYS * _LEAST


def _known(one: Neighbour, values: Float64, count: int) -> Neighbour | None:
    """A tag with where it was trained, or as no model was, with where it was before a change."""
    if one.trained is not None:
        return one
    before = values[:-count][-_PAST:]
    if len(before) < _PAST or not np.isfinite(before).all():
        return None
    low, high = float(before.min()), float(before.max())
    width = high - low
    return replace(one, trained=(low - width, high + width), spread=width)


def _moved(
    near: Sequence[Neighbour], raw: Mapping[str, Float64], count: int
) -> Sequence[Neighbour]:
    """Without those at either end that are as they were: a register that was inserted shifts what
    is behind it.
    """
    places = [
        place for place, one in enumerate(near)
        if not _is_like(raw[one.tag][-count:], raw[one.tag], count, one)
    ]
    return near[places[0] : places[-1] + 1] if places else ()


def _shifted(
    near: Sequence[Neighbour], raw: Mapping[str, Float64], step: int, count: int, read: _Reading
) -> tuple[str, ...]:
    """The tags that read their neighbours, where nearly all do and most are not themselves."""
    pairs = [
        (one, other, read(one, other, raw[one.tag][-count:], raw[other.tag][-count:]))
        for one, other in _pairs(near, step)
    ]
    compared = [(one, other, back) for one, other, back in pairs if len(back)]
    alone = {one.tag for one in near} - {one.tag for one, _, _ in compared}
    gap = any(_is_empty(raw[tag][-count:]) for tag in alone)
    if len(compared) + gap < _LEAST_SHIFTED - 1 or not compared:
        return ()
    good = [one.tag for one, other, back in compared if _is_like(back, raw[other.tag], count,
                                                                 other)]
    same = [one for one, _, _ in compared
            if _is_like(raw[one.tag][-count:], raw[one.tag], count, one)]
    enough = len(good) >= _FITS * len(compared)
    moved = len(compared) - len(same) >= max(_STRAYS * len(compared), min(2, len(compared)))
    if not (enough and moved):
        return ()
    return (*good, *(
        one.tag for one in near if one.tag in alone
        and not _is_like(raw[one.tag][-count:], raw[one.tag], count, one)
    ))


def _is_empty(values: Float64) -> bool:
    """Whether a tag holds what an empty register, or half a number behind one, reads as."""
    return bool((values == values[-1]).all() or (np.abs(values) < _NOTHING).all())


def _since(near: Sequence[Neighbour], raw: Mapping[str, Float64]) -> list[int]:
    """For how many samples the tags may read their neighbours: since several of them jumped, or
    strayed from where they were trained, together; what more of them say first.
    """
    counts: Counter[int] = Counter()
    for one in near:
        counts.update(set(_ages(one, raw[one.tag])))
    likely = [count for count in counts if count >= _LEAST and counts[count] >= _LEAST_SHIFTED - 1]
    return sorted(likely, key=lambda count: (-counts[count], count))[:3]


def _ages(one: Neighbour, values: Float64) -> tuple[int, int]:
    """For how many samples: since the largest step of a tag, and since it strayed; 0: not."""
    jump = shape.jump(values)
    strayed = 0 if one.trained is None else ending(~within(values, one.trained))
    return (jump.age if jump else 0), strayed


def _is_like(values: Float64, raw: Float64, count: int, of: Neighbour) -> bool:
    """Whether values are where a tag was before, or where it was trained."""
    usable = values[np.isfinite(values)]
    if of.trained is None or len(usable) < 0.8 * len(values) or not len(usable):
        return False
    if not bool(within(usable, of.trained).mean() >= 0.8):
        return False
    before = raw[:-count][-8:]
    before = before[np.isfinite(before)]
    return not len(before) or abs(float(np.median(usable) - np.median(before))) <= 2.0 * of.spread


def _whole_number(
    one: Neighbour, other: Neighbour, mine: Float64, _: Float64
) -> Float64:
    """What the other is, where this one reads its number by the scale of its own."""
    if (one.register.dtype, one.register.width) != (other.register.dtype, other.register.width):
        return np.zeros(0)
    return mine / one.register.scale * other.register.scale


def _half_words(one: Neighbour, other: Neighbour, mine: Float64, theirs: Float64) -> Float64:
    """What the other of two float32 is, where each reads the last word of one and the first of the
    next: this one has its first word, itself the last. Of two that have one register, its number.
    """
    if one.register.width == other.register.width == 1 and one.register.dtype:
        return _whole_number(one, other, mine, theirs)
    floats = one.register.dtype == other.register.dtype == ">f4"
    if not floats or len(mine) != len(theirs):
        return np.zeros(0)
    with np.errstate(all="ignore"):
        a, b = (
            (values / of.register.scale).astype(">f4").view(">u2").reshape(-1, 2)
            for values, of in ((mine, one), (theirs, other))
        )
        words = np.column_stack([a[:, 1], b[:, 0]]).astype(">u2")
        found: Float64 = words.view(">f4")[:, 0].astype(np.float64) * other.register.scale
    return found


def _half_words_turned(
    one: Neighbour, other: Neighbour, mine: Float64, theirs: Float64
) -> Float64:
    """The same where words come the last one first."""
    if one.register.width == other.register.width == 1:
        return _half_words(one, other, mine, theirs)
    return _half_words(other, one, theirs, mine) / one.register.scale * other.register.scale


_READINGS: tuple[tuple[int, _Reading], ...] = (
    (1, _whole_number), (-1, _whole_number), (1, _half_words), (-1, _half_words_turned),
    (1, _half_words_turned), (-1, _half_words),
)  # fmt: skip
"""Which neighbour is read, and how. The first word of a float says nearly all of it, so that a map
whose words come in order looks, shifted up, as a turned one does that was shifted down: this last.
"""


def _pairs(near: Sequence[Neighbour], step: int) -> Iterator[tuple[Neighbour, Neighbour]]:
    """Each tag with the one whose number it would read."""
    for place, one in enumerate(near):
        at = place + step
        if 0 <= at < len(near):
            yield one, near[at]


def _parts(known: Sequence[Neighbour]) -> list[tuple[Neighbour, ...]]:
    """The tags of each area of a source in the order of their addresses."""
    order = sorted(known, key=lambda one: (one.register.area, one.register.place))
    areas = groupby(order, key=lambda one: one.register.area)
    return [tuple(part) for _, part in areas]


def _by_source(spec: EngineSpec) -> dict[str, list[Neighbour]]:
    """What each source serves, with what the first model was trained on that has it as an input.

    Where no registers are known, addresses stand in the order in which people read them, or as
    they are configured where they have no numbers.
    """
    trained: dict[str, tuple[Range, float]] = {}
    for model in spec.models:
        for item in model.baseline.modes[0].inputs:
            trained.setdefault(item.tag, (item.trained, item.scale))
    sources: dict[str, list[Neighbour]] = {}
    for source in dict.fromkeys(tag.source for tag in spec.tags):
        tags = [tag for tag in spec.tags if tag.source == source]
        if all(re.search(r"\d", tag.address) for tag in tags):
            tags.sort(key=lambda tag: natural(tag.address))
        sources[source] = [
            Neighbour(tag.name, spec.row_of_tag[tag.name],
                      tag.register or Register("", place, 1, ""),
                      *trained.get(tag.name, (None, 0.0)))
            for place, tag in enumerate(tags)
        ]
    return sources


def natural(address: str) -> tuple[tuple[int, int, str], ...]:
    """A key by which addresses stand in the order in which people read them: 9 before 10."""
    return tuple(
        (1, int(part), "") if part.isdigit() else (0, 0, part)
        for part in re.split(r"(\d+)", address) if part
    )
