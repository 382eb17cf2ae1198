"""Columns of training data, or inputs of a signature, as tags: what is known of where each is.

What is not known, or is only likely, begins with EDIT, and no configuration with it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from agent.configuration.rules import EDIT
from agent.decode.unit_names import spelt
from agent.records.units import plain_unit, unit_in
from agent.sources.found import Found, FoundTag
from agent.starting.names import Match, match


@dataclass(frozen=True, slots=True)
class Placed:
    """Columns as tags.

    Attributes:
        tags: column -> its tag, named as the column is.
        words: column -> what a person should know of how it was found.
        matches: column -> how it was found.
    """

    tags: Mapping[str, FoundTag]
    words: Mapping[str, str]
    matches: Mapping[str, Match]

    @property
    def notes(self) -> list[str]:
        """How many were found, and how."""
        ways = [one.how for one in self.matches.values()]
        words = {
            "exact": "by name", "normalised": "by name but for case, signs or unit",
            "nearest": "only nearly so: confirm each (EDIT)", "none": "not at all (EDIT)",
        }  # fmt: skip
        told = [f"{ways.count(how)} {text}" for how, text in words.items() if how in ways]
        return [f"of {len(ways)} columns were found: {', '.join(told)}"] if told else []


def placed(columns: Sequence[str], found: Found, units: Mapping[str, str]) -> Placed:
    """Find each column among the signals.

    Args:
        columns: names.
        found: what the source offers.
        units: column -> unit of the training data, where it says one.
    """
    matches = match(columns, found.tags)
    sources = list(found.sources)
    tags, words = {}, {}
    for column in columns:
        one = matches[column]
        words[column] = _words(one, found)
        tags[column] = _tag(column, one, found, sources[0] if sources else "")
        trained = units.get(column) or unit_in(column)
        tags[column] = _unit_compared(tags[column], trained)
    return Placed(tags, words, matches)


def _words(one: Match, found: Found) -> str:
    if one.at is None or one.how == "exact":
        return ""
    return f"{found.tags[one.at].name} there"


def _tag(column: str, one: Match, found: Found, source: str) -> FoundTag:
    if one.at is None:
        which = f"which of {', '.join(one.others)}" if one.others else "nothing has such a name"
        return FoundTag(column, f"{EDIT}: {which}", source)
    tag = replace(found.tags[one.at], name=column)
    if one.how != "nearest":
        return tag
    more = f" or {', '.join(one.others)}" if one.others else ""
    name = found.tags[one.at].name
    return replace(tag, description=f"{EDIT}: is it {name}{more}? {tag.description}".rstrip())


def _unit_compared(tag: FoundTag, trained: str) -> FoundTag:
    """A unit that is another one than in training must be looked at: the model would see it."""
    if not trained or not tag.unit or _same(trained, tag.unit):
        return tag
    if tag.description.startswith(EDIT):
        return replace(tag, description=f"{tag.description} ({trained} in the training data)")
    text = f"{EDIT}: {trained} in the training data, but {tag.unit} is served"
    return replace(tag, description=f"{text}. {tag.description}".rstrip(". "))


def _same(one: str, other: str) -> bool:
    return spelt(plain_unit(one)).casefold() == spelt(plain_unit(other)).casefold()
