"""Which baseline and version of a model serve where a trial was accepted.

The configuration names one; what was accepted replaces it for as long as the configuration says
what it said then. Whoever changes version or baseline there is right: the configuration wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

from agent.core.spec import EngineSpec, ModelSpec

KEPT: Final = 4
"""Accepted versions of a model that a roll-back can return to, beside that of the configuration."""


@dataclass(slots=True)
class Served:
    """One accepted candidate: what it is, of which trial, and who took it into service and why."""

    version: str
    digest: str
    trial: str
    request: str
    by: str
    note: str
    since_ns: int


@dataclass(slots=True)
class Succession:
    """What serves instead of what the configuration says (`version`, `digest`), newest last."""

    version: str
    digest: str
    served: list[Served] = field(default_factory=list)


class Dropped(NamedTuple):
    """A succession that does not hold any more, and why."""

    model: str
    served: Served
    text: str


class Service:
    """By model; those that nothing was accepted for are not in it."""

    def __init__(self, of: Mapping[str, Succession] | None = None) -> None:
        self.of: dict[str, Succession] = dict(of or {})

    def now(self, model: str) -> Served | None:
        """What serves instead of what is configured."""
        found = self.of.get(model)
        return found.served[-1] if found is not None else None

    def accepted(self, configured: ModelSpec, served: Served) -> Service:
        """As it is once this one serves."""
        found = self.of.get(configured.name)
        if found is None:
            found = Succession(configured.version, configured.baseline.digest)
        return self._with(configured.name, found, [*found.served, served][-KEPT:])

    def rolled_back(self, model: str) -> Service:
        """As it is once the newest serves no more, and what it had replaced does."""
        found = self.of[model]
        return self._with(model, found, found.served[:-1])

    def _with(self, model: str, found: Succession, served: list[Served]) -> Service:
        of = {name: one for name, one in self.of.items() if name != model}
        if served:
            of[model] = Succession(found.version, found.digest, served)
        return Service(of)

    def applied(self, configured: EngineSpec) -> tuple[EngineSpec, list[Dropped]]:
        """What the engine judges by, and what of this does not hold there, and is forgotten."""
        models, dropped = list(configured.models), list[Dropped]()
        places = {model.name: place for place, model in enumerate(models)}
        for name, found in list(self.of.items()):
            served = found.served[-1]
            model = models[places[name]] if name in places else None
            why = _why_not(model, found, served, configured)
            if model is None or why:
                dropped.append(Dropped(name, served, why))
                del self.of[name]
                continue
            models[places[name]] = replace(
                model, version=served.version, baseline=configured.kept[served.digest]
            )
        return replace(configured, models=tuple(models)), dropped

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        for found in self.of.values():
            for served in found.served:
                served.since_ns += shift_ns

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return {name: asdict(found) for name, found in sorted(self.of.items())}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Service:
        """What `to_json` gave."""
        return Service({
            name: Succession(found["version"], found["digest"],
                             [Served(**one) for one in found["served"]])
            for name, found in document.items()
        })  # fmt: skip


def _why_not(
    model: ModelSpec | None, found: Succession, served: Served, configured: EngineSpec
) -> str:
    if model is None:
        return "the configuration has no such model any more"
    says = (model.version, model.baseline.digest)
    if says == (served.version, served.digest):
        return f"the configuration itself says version {served.version} now"
    if says != (found.version, found.digest):
        return f"the configuration was changed to version {model.version}, which wins"
    return configured.why_unfit(model.name, served.digest)
