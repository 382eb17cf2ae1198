"""What each key of a proposed change may be: one row a key, one check a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, NamedTuple

from agent.configuration import units
from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Source, Tag
from agent.configuration.values import duration_ns
from agent.decode import parse_address
from agent.decode.unit_names import FAMILIES
from agent.errors import SourceError

MOST_TEXT: Final = 2_000
_MOST_DECIMALS: Final = 12
_MOST_REGISTERS: Final = 65_535
DATA_TYPES: Final = (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32",
    "float64", "string", "object", "array",
)  # fmt: skip
_ALSO: Final = {
    "boolean": "bool", "sbyte": "int8", "byte": "uint8", "float": "float32", "double": "float64",
    "number": "float64", "integer": "int64", "text": "string", "localizedtext": "string",
    "null": "object",
}  # fmt: skip
"""What protocols call these: OPC UA's and JSON's names, lower case."""


class About(NamedTuple):
    """What a key is about.

    Attributes:
        configuration: as loaded.
        section: which table of it.
        name: of the tag or source.
    """

    configuration: Configuration
    section: Literal["tags", "sources"]
    name: str

    @property
    def tag(self) -> Tag:
        """Where it is about one."""
        return self.configuration.tags[self.name]

    @property
    def source(self) -> Source:
        """The source, or that of the tag."""
        name = self.tag.source if self.section == "tags" else self.name
        return self.configuration.sources[name]


class UnfitError(ValueError):
    """A value that can not be: the cause, and a hint."""

    def __init__(self, cause: str, hint: str = "") -> None:
        self.cause, self.hint = cause, hint
        super().__init__(cause)


Check = Callable[[Any, About], Any]


def _true(value: Any, _: About) -> bool:
    if value is not True:
        raise UnfitError(f"{value!r} is not true", "write true, or leave the key out")
    return True


def _number(value: Any, _: About) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise UnfitError(f"{value!r} is no number", "write a number, such as 0.1")
    return float(value)


def _factor(value: Any, about: About) -> float:
    if (number := _number(value, about)) == 0.0:
        hint = "if nothing comes any more: removed = true"
        raise UnfitError("it makes every value the same", hint)
    return number


def _whole(least: int, most: int) -> Check:
    def check(value: Any, _: About) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise UnfitError(f"{value!r} is no whole number from {least} to {most}")
        return value

    return check


def _shift(value: Any, about: About) -> int:
    number: int = _whole(-_MOST_REGISTERS, _MOST_REGISTERS)(value, about)
    if number == 0:
        raise UnfitError("nothing moves", "leave the key out")
    return number


def _registers(value: Any, about: About) -> int:
    if not about.source.has_registers:
        raise UnfitError(f"{about.source.protocol} has no registers", "name a source that has")
    return _shift(value, about)


def _namespaces(value: Any, about: About) -> int:
    tags = about.configuration.tags.values()
    addresses = (
        parse_address(about.source.protocol, tag.address) for tag in tags
        if about.configuration.sources[tag.source] is about.source
    )  # fmt: skip
    if not any(hasattr(address, "namespace") for address in addresses):
        raise UnfitError(f"{about.source.protocol} has no namespaces", "name a source that has")
    return _shift(value, about)


def _interval(value: Any, _: About) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no duration; write 250ms, 1s, 10min, 12h or 7d")  # noqa: TRY004
        duration_ns(value)
    except ValueError as error:
        raise UnfitError(str(error)) from None
    return value


def _text(value: Any, _: About) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MOST_TEXT:
        raise UnfitError(f"{str(value)[:40]!r} is no text of 1 to {MOST_TEXT} characters")
    return value


def _unit(value: Any, about: About) -> str:
    unit, of = _text(value, about), about.tag.unit
    if not of:
        cause = "the tag has no unit in the configuration, so nobody knows the conversion"
        hint = f'write unit = "..." at tag {about.name} there, or say it by factor and offset here'
        raise UnfitError(cause, hint)
    if units.conversion(of, unit) is None:
        known = [name for family in FAMILIES for name, _ in family]
        hint = f"{nearest(unit, known)} Or say it by factor and offset".lstrip()
        raise UnfitError(f"{of} can not be told in {unit}", hint)
    return unit


def _range(value: Any, about: About) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise UnfitError(f"{value!r} is no range", "write [low, high]")
    low, high = (_number(one, about) for one in value)
    if not low < high:
        raise UnfitError(f"the low end {low:g} must be below the high end {high:g}")
    return [low, high]


def _other_tag(value: Any, about: About) -> str:
    tags = about.configuration.tags
    if not isinstance(value, str) or value not in tags:
        raise UnfitError(f"there is no tag {value!r}", nearest(str(value), tags))
    if value == about.name:
        raise UnfitError("a tag can not trade places with itself", "name the other tag")
    return value


def type_of(text: str) -> str | None:
    """One of `DATA_TYPES`, however a protocol calls it; None: it is none of them."""
    name = text.strip().lower()
    name = _ALSO.get(name, name)
    return name if name in DATA_TYPES else None


def _data_type(value: Any, about: About) -> str:
    if (found := type_of(_text(value, about))) is None:
        raise UnfitError(f"there is no type {value!r}", nearest(value, (*DATA_TYPES, *_ALSO)))
    return found


def _address(value: Any, about: About) -> str:
    text = _text(value, about)
    try:
        parse_address(about.source.protocol, text)
    except SourceError as error:
        raise UnfitError(error.cause, error.hint) from None
    if text == about.tag.address:
        raise UnfitError("that is where the tag is now", "leave the key out")
    return text


def _table_of_texts(value: Any, about: About) -> dict[str, str]:
    if not isinstance(value, Mapping) or not value:
        raise UnfitError(f"{value!r} is no table of texts", 'write { "old" = "new" }')
    return {_text(key, about): _text(one, about) for key, one in value.items()}


def _renamed(value: Any, about: About) -> dict[str, str]:
    found = _table_of_texts(value, about)
    mine = [tag for tag in about.configuration.tags.values()
            if about.configuration.sources[tag.source] is about.source]  # fmt: skip
    parsed = (parse_address(about.source.protocol, tag.address) for tag in mine)
    known = {token for address in parsed for token in getattr(address, "pointer", ())}
    for key in found:
        if key not in known:
            cause = f"no tag of the source is read from a key {key!r}"
            raise UnfitError(cause, nearest(key, known))
    return found


TAG_KEYS: Final[Mapping[str, Check]] = {
    "unit": _unit, "factor": _factor, "offset": _number, "decimals": _whole(0, _MOST_DECIMALS),
    "whole_numbers": _true, "interval": _interval, "removed": _true, "swap_with": _other_tag,
    "data_type": _data_type, "address": _address, "range": _range,
}  # fmt: skip
"""Key of a tag -> the check of its value, which returns it as it is kept."""

SOURCE_KEYS: Final[Mapping[str, Check]] = {
    "replaced": _true, "identity": _table_of_texts, "register_shift": _registers,
    "namespace_shift": _namespaces, "renamed": _renamed, "removed": _true,
}  # fmt: skip
"""The same of a source."""

NOT_WITH: Final[Mapping[str, Collection[str]]] = {
    "removed": {*TAG_KEYS, *SOURCE_KEYS} - {"removed"}, "unit": {"factor", "offset"},
    "whole_numbers": {"decimals"}, "address": {*TAG_KEYS} - {"address"},
}  # fmt: skip
"""Keys that say something of their own, and can not stand beside these."""
