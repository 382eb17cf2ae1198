"""Long format: a row for each report of one tag, with its time, its name and its value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.records.clocks import TimeAt
from agent.records.quality import AmbiguousQualityError, bad_of
from agent.records.times import NUMBER, Reading

_TAG_WORDS = re.compile(
    r"_*(tag|point|field|signal|variable|var|sensor|channel|metric|item|parameter|node|series|measurement"
    r"|messstelle|kanal|kks|instrument|loop|attribute)[\s_]*(name|id|nr|no|number|key)?"
    r"|name|tagname|pointname|webid|nodeid|id",
    re.IGNORECASE,
)
_VALUE_WORDS = re.compile(
    r"_*(num(eric)?|avg|tag|point|item|raw|real|float|var|v|f|d)?[\s_.]*(value|val|wert|messwert|reading|valeur"
    r"|valor|mean|average|avg|mittelwert|data)([\s_]*(num|float|numeric))?(\s*[\[(].*)?",
    re.IGNORECASE,
)
_QUALITY_WORDS = re.compile(
    r"(opc|data|tag|value|sample)?[\s_]*(quality|qual|status|state|q|flag|flags|good|bad|valid|isgood"
    r"|validity|confidence|questionable|qualität|güte|dataintegrity|qc|integrity)"
    r"([\s_]*(code|detail))?",
    re.IGNORECASE,
)
_UNIT_WORDS = re.compile(r"(eng)?[\s_]*(unit|units|uom|einheit|eu|unité|unidad)", re.IGNORECASE)
_MOST_COLUMNS = 10


@dataclass(frozen=True, slots=True)
class LongShape:
    """Positions of the columns of a table in long format."""

    tag: int
    value: int
    quality: int | None
    unit: int | None


def long_shape(
    names: Sequence[str], body: Sequence[Sequence[str]], time: TimeAt, how: Reading
) -> LongShape | None:
    """Where tag and value are; None for a wide table.

    A table is long if its columns are called so, or if rows share their time and differ in a text.
    """
    if how.tag_column == "none" or not time.places:
        return None
    others = [at for at in range(len(names)) if at not in time.taken]
    columns = {at: [row[at] for row in body if at < len(row)] for at in others}
    tags = [at for at in others if _is_tag(columns[at])]
    if how.tag_column:
        tags = [at for at in others if names[at] == how.tag_column]
    values = [at for at in others if at not in tags and _is_value(columns[at])]
    named = [at for at in values if _VALUE_WORDS.fullmatch(names[at].strip())]
    called = [at for at in tags if _TAG_WORDS.fullmatch(names[at].strip())] or (
        tags if how.tag_column else []
    )
    if not called or not (named or len(values) == 1):
        called = [at for at in tags if len(values) == 1 and _repeated(body, time, at)]
        if not called:
            return None
    if len(names) > _MOST_COLUMNS and not how.tag_column:
        return None
    tag, value = _telling(called, body, time), (named or values)[0]
    rest = [at for at in others if at not in {tag, value}]
    quality = [at for at in rest if _QUALITY_WORDS.fullmatch(names[at].strip())]
    unit = [at for at in rest if _UNIT_WORDS.fullmatch(names[at].strip())]
    return LongShape(tag, value, _told(quality, names, columns), next(iter(unit), None))


def _telling(
    tags: Sequence[int], body: Sequence[Sequence[str]], time: TimeAt
) -> int:
    """Of several columns of texts the first by which rows of one time are told apart."""

    def apart(at: int) -> int:
        return len({(*(row[place] for place in time.places), row[at]) for row in body})

    return max(tags, key=apart)


def _told(
    quality: Sequence[int], names: Sequence[str], columns: Mapping[int, Sequence[str]]
) -> int | None:
    """Of several columns of quality the one whose codes are known: OPC's beside a system's own."""

    def known(at: int) -> tuple[bool, bool]:
        cells = set(columns[at])
        try:
            return True, any(bad_of(names[at], cells).values())
        except AmbiguousQualityError:
            return False, False

    return max(quality, key=known, default=None)


def _is_tag(cells: Sequence[str]) -> bool:
    """Texts of which few are different."""
    filled = [cell for cell in cells if cell]
    texts = [cell for cell in filled if not NUMBER.fullmatch(cell)]
    return len(texts) == len(filled) > 0 and 2 * len(set(texts)) <= max(4, len(texts))


def _is_value(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return 2 * sum(NUMBER.fullmatch(cell) is not None for cell in filled) > len(filled)


def _repeated(body: Sequence[Sequence[str]], time: TimeAt, tag: int) -> bool:
    """Whether at least half of the rows share their time, and no two of them their text."""
    stamps = [tuple(row[at] for at in time.places) for row in body]
    pairs = {(stamp, row[tag]) for stamp, row in zip(stamps, body, strict=True)}
    return 2 * len(set(stamps)) <= len(stamps) and len(pairs) == len(stamps)
