"""Which of the signals that were found is meant by a column of training data. Pure.

A name that is the same is taken; one that is the same but for case, blanks, signs and unit is taken
and said; one that is only like it is offered, for a person to confirm. Nothing is taken that two
signals could be.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

How = Literal["exact", "normalised", "nearest", "none"]

_LEAST_LIKE = 0.5  # of trigrams that both have (Dice); below, a name is another one
_CLEARER = 0.05  # by so much the nearest must be nearer than the second
_MOST_OTHERS = 4
_UNIT_AT_END = re.compile(r"\s*[\[({][^\[\](){}]{1,14}[\])}]\s*$")


class Named(Protocol):
    """What can be found by a name."""

    @property
    def name(self) -> str:
        """In full; parts of a path are parted by '.' or '/'."""

    @property
    def also(self) -> tuple[str, ...]:
        """Other names."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which of the candidates a name means: its position; None where nobody can tell.

    `others`: names of those that it might mean as well.
    """

    at: int | None
    how: How
    others: tuple[str, ...] = ()


@dataclass(slots=True)
class _Index:
    """Candidates by what they are called, from the surest to the least sure."""

    levels: list[dict[str, list[int]]] = field(
        default_factory=lambda: [defaultdict(list) for _ in range(4)]
    )
    grams: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[int] = field(default_factory=list)


def match(wanted: Sequence[str], found: Sequence[Named]) -> dict[str, Match]:
    """Of each wanted name what it means; no candidate is meant by two of them.

    Args:
        wanted: names of columns.
        found: the candidates.
    """
    index = _indexed(found)
    matches: dict[str, Match] = {}
    taken: set[int] = set()
    doubts: dict[str, tuple[int, ...]] = {}
    hows: tuple[How, ...] = ("exact", "exact", "normalised", "normalised")
    for level, how in enumerate(hows):
        for name in wanted:
            key = name if level < 2 else normal(name)
            if name in matches or not key:
                continue
            own = [at for at in index.levels[level].get(key, ()) if at not in taken]
            if len(own) == 1:
                matches[name] = Match(own[0], how)
                taken.add(own[0])
            elif own:
                doubts.setdefault(name, tuple(own[:_MOST_OTHERS]))
    for name in wanted:
        if name in doubts and name not in matches:
            matches[name] = Match(None, "none", tuple(found[at].name for at in doubts[name]))
    likes = sorted(
        ((score, name, at) for name in wanted if name not in matches
         for at, score in _like(name, index, taken)),
        key=lambda one: (-one[0], one[1], one[2]),
    )  # fmt: skip
    matches |= _nearest(likes, found)
    return {name: matches.get(name, Match(None, "none")) for name in wanted}


def _nearest(likes: list[tuple[float, str, int]], found: Sequence[Named]) -> dict[str, Match]:
    by_name: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for score, name, at in likes:
        by_name[name].append((score, at))
    matches: dict[str, Match] = {}
    taken: set[int] = set()
    for _, name, _ in likes:
        own = [(score, at) for score, at in by_name[name] if at not in taken]
        if name in matches or not own:
            continue
        (best, at), rest = own[0], own[1:]
        others = tuple(found[other].name for _, other in rest[: _MOST_OTHERS - 1])
        if rest and best - rest[0][0] < _CLEARER:
            matches[name] = Match(None, "none", (found[at].name, *others))
        else:
            matches[name] = Match(at, "nearest", others)
            taken.add(at)
    return matches


def normal(name: str) -> str:
    """A name without case, accents, blanks, signs, and the unit in brackets at its end."""
    plain = unicodedata.normalize("NFKD", _UNIT_AT_END.sub("", name) or name).casefold()
    return "".join(sign for sign in plain if sign.isalnum())


def _indexed(found: Sequence[Named]) -> _Index:
    index = _Index()
    for at, one in enumerate(found):
        own = dict.fromkeys((one.name, *one.also))
        ends = dict.fromkeys(end for name in own for end in _ends(name))
        for level, keys in enumerate((own, ends, map(normal, own), map(normal, ends))):
            for key in dict.fromkeys(keys):
                if key:
                    index.levels[level][key].append(at)
        for gram in (grams := _grams(one.name)):
            index.grams[gram].append(at)
        index.sizes.append(len(grams))
    return index


def _ends(name: str) -> Iterator[str]:
    """What a path is called from one of its parts on: ``T1`` and ``Line1.T1`` of ``A.Line1.T1``."""
    for place in re.finditer(r"[./|\\:]", name):
        yield name[place.end() :]


def _grams(name: str) -> set[str]:
    text = f"  {normal(name)} "
    return {text[at : at + 3] for at in range(len(text) - 2)}


def _like(name: str, index: _Index, taken: set[int]) -> list[tuple[int, float]]:
    """Candidates that are like a name, the nearest first: (position, share of trigrams)."""
    own = _grams(name)
    shared = Counter(at for gram in own for at in index.grams.get(gram, ()))
    scores = [
        (at, 2 * count / (len(own) + index.sizes[at])) for at, count in shared.items()
        if at not in taken
    ]
    near = [one for one in scores if one[1] >= _LEAST_LIKE]
    return sorted(near, key=lambda one: (-one[1], one[0]))[: _MOST_OTHERS + 1]


def unmatched(matches: Mapping[str, Match]) -> list[str]:
    """Names that a person must look at."""
    return [name for name, one in matches.items() if one.how in ("nearest", "none")]
