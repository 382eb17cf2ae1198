"""Modbus, for `init`: a register map as vendors publish it, as tags.

What can be meant two ways is asked, all at once, by the option that answers it; a row that can not
be read is left out, and said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from agent.configuration.schema import ModbusSource
from agent.decode.modbus import ORDERS, parse_address
from agent.errors import FieldwardenError, SourceError
from agent.sources import modbus_terms as terms
from agent.sources.found import Found, FoundTag, Tell, Wish, counted_out, unique
from agent.sources.modbus_numbers import Number, base_of, number_of
from agent.sources.modbus_rows import OPERATION, Row, Sheet, read
from agent.sources.modbus_scales import scale_of

_MOST_SHOWN = 4
_BITS = ("coil", "discrete")
_WRITE_ONLY = re.compile(r"w|wo|write|write ?-?only", re.IGNORECASE)
_LETTERED = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{2,4}([,-] *[0-9a-f]{2,4})?")
_WRITING = frozenset({"5", "05", "6", "06", "15", "16", "0f", "10", "fc5", "fc6", "fc15", "fc16"})


class _Left(Exception):  # noqa: N818 - no fault: why a row is no tag
    """Why a row is left out."""


class _Part(NamedTuple):
    """One row, as far as it is read without a question."""

    row: Row
    number: Number
    area: str
    kind: str


@dataclass(slots=True)
class _Questions:
    """What can be meant two ways: option -> (what, answers)."""

    asked: dict[str, tuple[str, str]] = field(default_factory=dict)

    def ask(self, option: str, what: str, answers: str) -> None:
        self.asked.setdefault(option, (what, answers))

    def settle(self, path: str) -> None:
        """Raise what was asked, all at once."""
        if self.asked:
            cause = "; ".join(what for what, _ in self.asked.values())
            hint = "say which: " + "; ".join(answers for _, answers in self.asked.values())
            raise FieldwardenError(OPERATION, path, cause, hint)


def keys(place: str) -> dict[str, Any]:  # noqa: ARG001 - the map does not say where the device is
    """Keys of the source's table; where the device is must be said: --set host=..."""
    return {"host": "EDIT"}


async def browse(name: str, config: ModbusSource, wish: Wish, tell: Tell) -> Found:  # noqa: ARG001
    """Read the map; see `agent.sources.SourceKind.browse`. Nothing is connected to."""
    if wish.file is None:
        raise FieldwardenError(OPERATION, name, "no file was named", "--modbus-map FILE.csv")
    return found_in(read(wish.file, wish.answers.get("column", ())), wish, str(wish.file))


def found_in(sheet: Sheet, wish: Wish, path: str) -> Found:
    """The tags of a map.

    Raises:
        FieldwardenError: what can be meant two ways, each with the option that says which.
    """
    ask = _Questions()
    left_out: Counter[str] = Counter()
    parts = []
    is_hex = _is_hex(sheet, _one(wish, "digits"), ask)
    types = _answered_types(wish.answers.get("type", ()), path)
    for row in sheet.rows:
        try:
            parts.append(_part(row, types, ask, is_hex=is_hex))
        except _Left as why:
            left_out[str(why)] += 1
    if not parts:
        ask.settle(path)
        hint = "is it a register map? name its columns: --column ROLE=HEADING"
        raise FieldwardenError(OPERATION, path, "no row of it is a number to be read", hint)
    base = base_of(
        [(part.number, part.area) for part in parts], sheet.headings["address"],
        _one(wish, "addresses"), ask.ask,
    )  # fmt: skip
    scale = scale_of(sheet, [part.row for part in parts], _one(wish, "scale"), ask.ask)
    area, order = _one(wish, "area"), _one(wish, "word-order")
    placed = [(part, _area(part, base, area, ask), _order(part, order, ask)) for part in parts]
    ask.settle(path)
    tags = []
    for part, in_area, ordered in placed:
        try:
            tags.append(_tag(part, in_area, part.number.offset(base), ordered, scale(part.row)))
        except _Left as why:
            left_out[str(why)] += 1
    notes = [*counted_out(left_out, "rows"), *_overlaps(tags)]
    return _found(tags, [part.row for part, _, _ in placed], notes)


def _one(wish: Wish, option: str) -> str:
    return (wish.answers.get(option) or ("",))[-1]


def _answered_types(pairs: Sequence[str], path: str) -> dict[str, str]:
    found = {}
    for pair in pairs:
        spelling, _, kind = pair.rpartition("=")
        if kind not in terms.WIDTHS:
            cause = f"--type {pair} names no type"
            hint = f"write --type SPELLING=TYPE, TYPE one of {', '.join(terms.WIDTHS)}"
            raise FieldwardenError(OPERATION, path, cause, hint)
        found["" if spelling == "none" else terms.plain(spelling)] = kind
    return found


def _is_hex(sheet: Sheet, answer: str, ask: _Questions) -> bool:
    """Whether bare digits are hexadecimal: by the heading, by the answer where one looks so."""
    heading = sheet.headings["address"]
    if answer or "hex" in heading.casefold():
        return answer != "decimal"
    cells = (row.get("address").casefold() for row in sheet.rows)
    lettered = next((cell for cell in cells if _LETTERED.fullmatch(cell)), "")
    if lettered:
        ask.ask("digits", f"{heading} {lettered!r} looks hexadecimal, so all of them may be",
                "--digits hex or --digits decimal")  # fmt: skip
    return False


def _part(
    row: Row, types: Mapping[str, str], ask: _Questions, *, is_hex: bool
) -> _Part:
    name = row.get("name") or row.get("description")
    if not name:
        raise _Left("without a name")
    if terms.NO_TAG.fullmatch(name):
        raise _Left("that are reserved")
    if _WRITE_ONLY.fullmatch(row.get("access")):
        raise _Left("that can only be written")
    if not row.get("address"):
        raise _Left("without an address")
    number = number_of(row.get("address"), is_hex=is_hex)
    if number is None:
        raise _Left("whose address is no number")
    if number.bit or row.get("bit"):
        raise _Left("that are single bits of a register")
    told = terms.plain(row.get("area"))
    if told in _WRITING:
        raise _Left("that can only be written")
    area = terms.AREAS.get(told, "") or number.area
    return _Part(row, number, area, _type(row, number, area, types, ask))


def _type(
    row: Row, number: Number, area: str, types: Mapping[str, str], ask: _Questions
) -> str:
    """The type of a number; empty where it is asked."""
    told = row.get("type")
    spelling = terms.plain(told)
    if spelling in types:
        return types[spelling]
    if (area or number.modicon_area) in _BITS:
        return "bool"
    count = _count(row, number)
    kind = terms.TYPES.get(spelling, "")
    if kind == "bool":
        raise _Left("that are single bits of a register")
    if kind:
        width = terms.WIDTHS[kind]
        if count and count not in (width, 2 * width, 16 * width):
            raise _Left(f"whose type {told} does not take {count} registers: --type says otherwise")
        return kind
    if terms.NO_NUMBERS.search(told.casefold()):
        raise _Left(f"of type {told}, which is no number")
    may_be = terms.AMBIGUOUS.get(spelling, ())
    widths = {one: terms.WIDTHS[one] for one in may_be}
    fit = [one for one, width in widths.items() if not count or count in (width, 16 * width)]
    if len(fit) == 1:
        return fit[0]
    answers = " or ".join(f"--type {_word(told)}={one}" for one in fit or ("TYPE",))
    what = f"type {told!r} may be {' or '.join(fit) or 'anything'}"
    ask.ask(f"type {spelling}", f"{what} (line {row.line})" if told else
            f"line {row.line} and others have no type", answers)  # fmt: skip
    return ""


def _word(told: str) -> str:
    return repr(told) if " " in told else told or "none"


def _count(row: Row, number: Number) -> int:
    digits = re.match(r"\s*(\d+)", row.get("count"))
    return int(digits[1]) if digits else number.count


def _area(part: _Part, base: str, answer: str, ask: _Questions) -> str:
    area = part.area or (part.number.modicon_area if base.startswith("modicon") else "") or answer
    if not area:
        what = "it does not say in which area its registers are"
        ask.ask("area", what, "--area holding or --area input")
    return area


def _order(part: _Part, answer: str, ask: _Questions) -> str:
    if terms.WIDTHS.get(part.kind, 1) == 1:
        return ""
    told = part.row.get("order")
    order = terms.ORDERS.get(terms.plain(told), "") if told else ""
    order = order or answer
    if not order:
        what = f"{told!r} is not one word order" if told else "it does not say the word order"
        ask.ask("word-order", f"{what} of numbers of several registers",
                " or ".join(f"--word-order {one}" for one in ORDERS))  # fmt: skip
    return order


def _tag(part: _Part, area: str, offset: int, order: str, scale: float | None) -> FoundTag:
    row = part.row
    if scale is None:
        raise _Left("whose scale is no number, or adds something")
    text = f"{area} {offset}"
    if area not in _BITS:
        if part.kind == "bool":
            raise _Left("whose type is not told")
        text += f" {part.kind}" + (f" {order}" if order else "")
    if scale != 1:
        text += f" scale {scale:.12g}"
    try:
        parse_address(text)
    except SourceError as error:
        raise _Left(f"that can not be read: {error.cause}") from None
    description = row.get("description")
    name = _line(row.get("name") or description) or text  # where it is all signs unseen
    return FoundTag(
        name[:190], text, unit=_unit(row.get("unit")), also=(text,),
        description="" if description == row.get("name") or not row.get("name") else
        _line(description),
    )  # fmt: skip


def _unit(text: str) -> str:
    return "" if text.strip("-–— ").casefold() in ("", "none", "n/a", "na") else _line(text)


def _line(text: str) -> str:
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def _overlaps(tags: Sequence[FoundTag]) -> list[str]:
    """Numbers that share registers show a wrong type, or a count that is one of something else."""
    places = sorted(
        ((address := parse_address(tag.address)).area, address.offset, address.end, tag.name)
        for tag in tags
    )
    shared = [
        f"{before[3]} and {after[3]}"
        for before, after in pairwise(places)
        if before[0] == after[0] and after[1] < before[2]
    ]
    if not shared:
        return []
    more = f" and {len(shared) - _MOST_SHOWN} more" if len(shared) > _MOST_SHOWN else ""
    pairs = "; ".join(shared[:_MOST_SHOWN])
    return [f"these share registers, so a type or address may be another: {pairs}{more}"]


def _found(tags: Sequence[FoundTag], rows: Sequence[Row], notes: list[str]) -> Found:
    units = {row.get("name"): row.get("device") for row in rows}
    told = sorted({text for text in units.values() if text.isdigit()}, key=int)
    several = len(told) > 1
    named = unique([tag.name for tag in tags])
    made = []
    for tag, name, in zip(tags, named, strict=True):
        device = units.get(tag.name, "")
        part = f"unit-{device}" if several and device.isdigit() else ""
        made.append(replace(tag, name=name, source=part))
    if several:
        return Found(made, notes, {f"unit-{text}": {"unit": int(text)} for text in told})
    return Found(made, notes, {"": {"unit": int(told[0])} if told else {}})
