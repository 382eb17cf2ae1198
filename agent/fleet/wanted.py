"""What of the database a batch of messages needs to be applied. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from agent.central.reading import READ_ERRORS, Reading, by_boot, number_of
from agent.fleet.words import key_of

Named = tuple[str, str]
"""(site, gateway)."""

_KINDS: Final = {"condition": "conditions", "retraining": "requests"}


@dataclass(slots=True)
class Wanted:
    """Keys by table; each begins with (site, gateway).

    Attributes:
        marks: (.., store, boot): all streams of that run.
        born: (.., store): all streams of all its runs.
        models, conditions, requests: (.., store, name or id).
        states: gateways of which a state came.
        gaps: gateways that told of lost numbers.
    """

    marks: set[tuple[str, str, str, int]] = field(default_factory=set)
    born: set[tuple[str, str, str]] = field(default_factory=set)
    models: set[tuple[str, str, str, str]] = field(default_factory=set)
    conditions: set[tuple[str, str, str, str]] = field(default_factory=set)
    requests: set[tuple[str, str, str, str]] = field(default_factory=set)
    states: set[Named] = field(default_factory=set)
    gaps: set[Named] = field(default_factory=set)

    def note(self, said: Reading) -> bool:
        """Note what a message needs; False where its names can not be kept."""
        name = (said.site, said.gateway)
        boots = {said.boot, *said.covers}
        fits = True
        if said.stream == "state":
            self.states.add(name)
            self.born.add((*name, said.store))
        elif said.stream == "gap":
            self.gaps.add(name)
            boots |= _gap_boots(said)
        else:
            fits = self._named(said, name)
        self.marks |= {(*name, said.store, boot) for boot in boots}
        return fits

    def _named(self, said: Reading, name: Named) -> bool:
        """Note the row that a verdict or an event is of."""
        try:
            if said.stream == "verdict":
                self.models.add((*name, said.store, key_of(said.data["model"])))
            elif said.stream == "event" and said.kind in _KINDS:
                keys = getattr(self, _KINDS[said.kind])
                keys.add((*name, said.store, key_of(said.data["id"])))
        except READ_ERRORS:
            return False
        return True


def _gap_boots(said: Reading) -> set[int]:
    """Runs whose numbers a gap record names; none where it can not be read."""
    data: Any = said.data
    try:
        return set(by_boot(data["ranges"], number_of(data.get("boot", said.boot))))
    except READ_ERRORS:
        return set()


def gateways_of(readings: Iterable[Reading]) -> set[Named]:
    """Who says them."""
    return {(one.site, one.gateway) for one in readings}
