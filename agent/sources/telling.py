"""What a source has told of what it serves, so that a change is told once, and its since is right.

Invariant: whoever hands on samples tells first what they are served as.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Literal

from agent.decode.unit_names import same
from agent.intake import Intake
from agent.sources.base import Served, Telling

How = Literal["connected", "interval", "announced", "in band"]
Terms = Mapping[str, Any]
Told = dict[int, dict[str, Any]]
"""Some terms of each of some tags, by whatever tells those of a source apart."""


def plain(terms: Any) -> Any:
    """Terms as JSON and UTF-8 can say them, whatever the other side tells: no infinite number but
    as text, no half of a surrogate pair.
    """
    if isinstance(terms, Mapping):
        return {plain(key): plain(value) for key, value in terms.items()}
    if isinstance(terms, list | tuple):
        return [plain(one) for one in terms]
    if isinstance(terms, float) and not isfinite(terms):
        return str(terms)
    return terms.encode("utf-8", "replace").decode() if isinstance(terms, str) else terms


class Teller:
    """Tells what is another than it was told last.

    Args:
        source: its name.
        telling: is told; None: nobody listens.
        intake: says what time it is.
    """

    def __init__(self, source: str, telling: Telling | None, intake: Intake) -> None:
        self._source = source
        self._telling = telling
        self._intake = intake
        self._identity: dict[str, Any] | None = None
        self._told: dict[str, dict[str, Any]] = {}
        self._agreed_ns: int | None = None  # steady time

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens: else nothing is worth asking the other side."""
        return self._telling is not None

    def told(self, tag: str) -> Terms:
        """The terms of a tag as they were told last."""
        return self._told.get(tag, {})

    def agreed(self, steady_ns: int | None = None) -> None:
        """All was found as it was told last: now, or at a steady time of `now_ns`."""
        self._agreed_ns = self.now_ns() if steady_ns is None else steady_ns

    def now_ns(self) -> int:
        """Steady time in ns, for `agreed`."""
        return self._intake.now_ns() - self._intake.shifted_ns

    def whole(
        self, how: How, identity: Terms | None, tags: Mapping[str, Terms], *, again: bool = False
    ) -> None:
        """Tell the whole terms of these tags.

        Args:
            how: see `Served`.
            identity: of who serves; None: not known this time.
            tags: tag -> all of its terms.
            again: also what is as it was told last.
        """
        known = {name: plain(terms) for name, terms in tags.items()}
        news = {name: one for name, one in known.items() if again or one != self._told.get(name)}
        self._told |= known
        who = None if identity is None else plain(identity)
        if who is not None and not again and who == self._identity:
            who = None
        self._identity = self._identity if who is None else who
        if news or who is not None:
            self._tell(how, who, news)

    def part(self, tags: Mapping[str, Terms], how: How = "in band") -> None:
        """Tell some terms of these tags; None takes one away."""
        news: dict[str, dict[str, Any]] = {}
        for name, terms in tags.items():
            told = self._told.setdefault(name, {})
            known = {key: plain(value) for key, value in terms.items()}
            fresh = {key: value for key, value in known.items() if told.get(key) != value}
            if fresh:
                news[name] = fresh
                self._told[name] = {
                    key: value for key, value in (told | fresh).items() if value is not None
                }
        if news:
            self._tell(how, None, news, partial=True)

    def _tell(
        self, how: How, identity: Terms | None, tags: Mapping[str, Terms], *, partial: bool = False
    ) -> None:
        if self._telling is None:
            return
        # What comes with a sample or an announcement is so from now on.
        known = self.now_ns() if partial else self._agreed_ns
        since_ns = 0 if known is None else known + self._intake.shifted_ns
        self._telling(Served(self._source, how, identity, tags, since_ns, partial))


def in_turns(found: Sequence[tuple[int, Told]], keys: Sequence[int]) -> list[tuple[int, Told]]:
    """What samples say of themselves, told together where no sample between is of the same.

    Args:
        found: (row before which it must be told, what), in order.
        keys: of each row.
    """
    turns: list[tuple[int, Told]] = []
    seen: set[int] = set()  # keys with samples since the turn's row
    at = 0
    for row, told in found:
        seen.update(keys[at:row])
        at = row
        if turns and seen.isdisjoint(told):
            for key, terms in told.items():
                turns[-1][1].setdefault(key, {}).update(terms)
        else:
            turns.append((row, {key: dict(terms) for key, terms in told.items()}))
            seen.clear()
    return turns


def worse(key: str, was: Any, now: Any) -> Any:
    """A term such that neither of two is worse: what both ranges cover, both texts.

    Whoever compares it with what was agreed finds it broken where one of both is.
    """
    if was is None or now is None:
        return now if was is None else was
    if key in {"data_type", "variant"}:  # each value says of which type it is
        return now
    if key == "readable":
        return was and now
    if key == "unit" and same(str(was), str(now)):
        return now
    if key in {"states", "state_values"} and (less := _less(was, now)) is not None:
        return less
    if key == "range":
        return [pick(float(a), float(b)) for pick, a, b in zip((max, min), was, now, strict=True)]
    return f"{was}, then {now}"


def _less(was: Any, now: Any) -> Any:
    """The one of two that the other has all of, and perhaps more; None where neither is."""
    def parts(one: Any) -> set[tuple[Any, Any]]:
        return set(one.items() if isinstance(one, Mapping) else enumerate(one))

    for less, more in ((was, now), (now, was)):
        if parts(less) <= parts(more):
            return less
    return None
