"""From a proposed change, or from differences, to what it does to samples (`effect`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from agent.configuration import units
from agent.configuration.schema import Configuration
from agent.configuration.values import duration_ns
from agent.contract.differences import Difference
from agent.contract.effect import Effect, Gone, Registers, TagEffect
from agent.contract.proposal import Proposal, renamed
from agent.contract.proposal_keys import type_of
from agent.decode import Reread, reread

_NO_NUMBER: Final = frozenset({"object", "array", "bool"})
"""Types in which no number comes: true is not 1 of anything."""


class Effects:
    """Gathers what becomes of each tag.

    Args:
        configuration: as loaded.

    Attributes:
        notes: what could not be known, in words.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._tags: dict[str, TagEffect] = {}
        self._maps: dict[str, tuple[int, dict[str, dict[str, str]]]] = {}  # source -> its registers
        self.notes: list[str] = []

    def of(self, tag: str) -> TagEffect:
        """What becomes of a tag so far."""
        source = self.configuration.sources[self.configuration.tags[tag].source]
        plain = TagEffect(held=source.interval_ns is not None, unasked=source.by_exception)
        return self._tags.get(tag, plain)

    def add(self, tag: str, **parts: Any) -> None:
        """Something more becomes of a tag."""
        self._tags[tag] = replace(self.of(tag), **parts)

    def lose(self, tag: str, gone: Gone = "refused") -> None:
        """Nothing usable comes of a tag: it is refused, or of whoever sends unasked, not sent."""
        source = self.configuration.sources[self.configuration.tags[tag].source]
        refuses = source.interval_ns is not None or source.by_exception
        self.add(tag, gone=gone if refuses or gone != "refused" else "silent")

    def registers(
        self, source: str, shift: int = 0, changed: Mapping[str, dict[str, str]] | None = None
    ) -> None:
        """The register map of a source is another: all moved, or tags are of another type."""
        by, types = self._maps.get(source, (0, {}))
        self._maps[source] = by + shift, types | dict(changed or {})

    def tags_of(self, source: str) -> list[str]:
        """Those that a source serves."""
        tags = self.configuration.tags.items()
        return [name for name, tag in tags if tag.source == source]

    def made(self, ids: Mapping[str, int]) -> Effect:
        """All of it, for tags by their index.

        Raises:
            SourceError: an address is not understood.
        """
        found: dict[str, Reread] = {}
        for source, (shift, changed) in self._maps.items():
            addresses = {tag: self.configuration.tags[tag].address for tag in self.tags_of(source)}
            protocol = self.configuration.sources[source].protocol
            for tag, one in reread(protocol, addresses, shift=shift, changed=changed).items():
                if one is None:
                    self.lose(tag)
                    told = "no tag of the configuration tells what will stand at its registers"
                    self.notes.append(f"{tag}: {told}; taken as refused")
                else:
                    found[tag] = one
        wanted = {tag: Registers(*one) for tag, one in found.items() if tag in ids}
        return Effect(dict(self._tags), ids, wanted)


# --- of a proposal --------------------------------------------------------------------------------


def effect_of(
    proposal: Proposal, configuration: Configuration, ids: Mapping[str, int]
) -> tuple[Effect, list[str]]:
    """(what it does to samples, what could not be known).

    Args:
        proposal: checked.
        configuration: that it was checked with.
        ids: index of the tags, as blocks have it.
    """
    found = Effects(configuration)
    for source, keys in sorted(proposal.sources.items()):
        for key, value in keys.items():
            _SOURCES[key](found, source, value)
    for tag, keys in sorted(proposal.tags.items()):
        for key, value in keys.items():
            _TAGS[key](found, tag, value)
    return found.made(ids), found.notes


def _unit(found: Effects, tag: str, value: str) -> None:
    converted = units.conversion(found.configuration.tags[tag].unit, value)
    if converted is not None:
        found.add(tag, factor=converted[0], offset=converted[1])


def _swap(found: Effects, tag: str, other: str) -> None:
    found.add(tag, shows=other)
    found.add(other, shows=tag)


def _data_type(found: Effects, tag: str, value: str) -> None:
    """Numbers in another type; where values are registers, the agent reads on in the old one."""
    item = found.configuration.tags[tag]
    if found.configuration.sources[item.source].has_registers:
        found.registers(item.source, changed={tag: {"data_type": value}})
    elif value in _NO_NUMBER:
        found.lose(tag, "wrong type")
    elif value != "string":  # numbers as text are read as numbers
        found.add(tag, **held_by(value))


def held_by(data_type: str) -> dict[str, Any]:
    """What a number loses that is served in a type."""
    if data_type.startswith("float"):
        return {"single": data_type == "float32"}
    limits = np.iinfo(data_type)
    return {"decimals": 0, "span": (float(limits.min), float(limits.max))}


def _renamed(found: Effects, source: str, keys: Mapping[str, str]) -> None:
    for tag in found.tags_of(source):
        if renamed(found.configuration.tags[tag], found.configuration, keys):
            found.lose(tag)


def _removed(found: Effects, source: str, _: Any) -> None:
    for tag in found.tags_of(source):
        found.lose(tag)


def _says_nothing(found: Effects, source: str, _: Any) -> None:
    """It is another device or server: what it serves is taken to be as before."""
    told = "nothing says that its values are others; they are taken as they are now"
    if (note := f"source {source}: {told}") not in found.notes:
        found.notes.append(note)


def _namespaces(found: Effects, source: str, _: int) -> None:
    found.notes.append(
        f"source {source}: tags are bound to the URI of their namespace, and follow it"
    )


_TAGS: Final[Mapping[str, Callable[[Effects, str, Any], None]]] = {
    "unit": _unit,
    "factor": lambda found, tag, value: found.add(tag, factor=value),
    "offset": lambda found, tag, value: found.add(tag, offset=value),
    "decimals": lambda found, tag, value: found.add(tag, decimals=value),
    "whole_numbers": lambda found, tag, _: found.add(tag, decimals=0),
    "interval": lambda found, tag, value: found.add(tag, interval_ns=duration_ns(value)),
    "removed": lambda found, tag, _: found.lose(tag),
    "swap_with": _swap,
    "data_type": _data_type,
    "address": lambda found, tag, _: found.lose(tag),
    "range": lambda found, tag, value: found.add(tag, span=tuple(value)),
}
"""Key of `proposal_keys.TAG_KEYS` -> what it does."""

_SOURCES: Final[Mapping[str, Callable[[Effects, str, Any], None]]] = {
    "replaced": _says_nothing, "identity": _says_nothing, "namespace_shift": _namespaces,
    "register_shift": lambda found, source, value: found.registers(source, value),
    "renamed": _renamed, "removed": _removed,
}  # fmt: skip
"""The same of `SOURCE_KEYS`."""


# --- of differences -------------------------------------------------------------------------------


def effect_of_differences(
    differences: Iterable[Difference], configuration: Configuration, ids: Mapping[str, int]
) -> tuple[Effect, list[str]]:
    """(what they say of samples, what they do not say)."""
    found = Effects(configuration)
    for one in differences:
        place, _, name = one.subject.partition("/")
        if place == "tag" and name in configuration.tags:
            if not _of_tag(found, name, one):
                found.notes.append(f"{one.text}: this says nothing of values")
        elif place == "source" and not one.term and one.now is None:
            _removed(found, name, None)
        elif place == "source" and one.grade == "breaking":
            _says_nothing(found, name, None)
    return found.made(ids), found.notes


def _of_tag(found: Effects, tag: str, one: Difference) -> bool:
    """Whether a difference says what becomes of values."""
    if not one.term:
        if one.now is None:
            found.lose(tag)
        return one.now is None
    rule = _TERMS.get(one.term)
    return rule is not None and rule(found, tag, one.was, one.now)


def _served_unit(found: Effects, tag: str, was: Any, now: Any) -> bool:
    converted = units.conversion(str(was or ""), str(now or ""))
    if converted is None:
        return now in (None, "")
    found.add(tag, factor=converted[0], offset=converted[1])
    return True


def _served_type(found: Effects, tag: str, was: Any, now: Any) -> bool:
    kind = type_of(str(now or ""))
    if kind is None:
        return False
    if type_of(str(was or "")) != kind:
        _data_type(found, tag, kind)
    return True


def _refused(found: Effects, tag: str, _: Any, now: Any) -> bool:
    if now:
        found.lose(tag)
    return True


def _json_type(found: Effects, tag: str, was: Any, now: Any) -> bool:
    if now in (None, ""):
        found.lose(tag)
        return True
    return _served_type(found, tag, was, now)


def _unreadable(found: Effects, tag: str, _: Any, now: Any) -> bool:
    if now is False:
        found.lose(tag)
    return now is False


def _wrong_shape(found: Effects, tag: str, *_: Any) -> bool:
    found.lose(tag, "wrong type")
    return True


_TERMS: Final[Mapping[str, Callable[[Effects, str, Any, Any], bool]]] = {
    "served unit": _served_unit, "served data_type": _served_type, "served refused": _refused,
    "served json_type": _json_type, "served readable": _unreadable,
    "served node_class": _wrong_shape, "served value_rank": _wrong_shape,
    "address": lambda found, tag, *_: found.lose(tag) is None,
}  # fmt: skip
"""Term of a difference -> what it does; whether that is known."""


def effect_of_map(
    undo: Mapping[str, Mapping[str, Any]], configuration: Configuration, ids: Mapping[str, int]
) -> Effect:
    """What was done to values that a map undoes: agreed = served * factor + offset."""
    found = Effects(configuration)
    for tag, part in undo.items():
        factor, offset = float(part.get("factor", 1.0)), float(part.get("offset", 0.0))
        if tag not in configuration.tags or not factor:
            continue
        if other := part.get("swap_with"):
            found.add(tag, shows=str(other))
            found.add(str(other), shows=tag)
        found.add(tag, factor=1.0 / factor, offset=-offset / factor)
    return found.made(ids)


# --- the way back ---------------------------------------------------------------------------------


def suggested_map(effect: Effect) -> dict[str, dict[str, Any]]:
    """By tag what the edge would have to do so that models see what they were trained on.

    Only where that undoes the change: what was rounded, cut or left out is lost.
    """
    made: dict[str, dict[str, Any]] = {}
    for name, one in effect.tags.items():
        told: dict[str, Any] = {}
        if (one.factor, one.offset) != (1.0, 0.0) and not one.gone:
            told = {"factor": 1.0 / one.factor, "offset": -one.offset / one.factor}
        if one.shows:
            told["swap_with"] = one.shows
        if told:
            made[name] = told
    return made


