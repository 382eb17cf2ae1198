"""The order in which gateways are shown, worst first, and which of them are. Pure.

The terminals of `fieldwarden central` and `fieldwarden fleet`, and the fleet's page, show it so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

VERDICTS: Final = ("untrusted", "unassessable", "caution", "trusted")
"""The worst first."""


def verdicts_of(gateway: Json) -> Counter[str]:
    """How many models have each verdict, as it may be believed now."""
    return Counter(str(model["verdict"]) for model in gateway["models"])


def order(gateway: Json) -> tuple[Any, ...]:
    """Sorts gateways: by the worst verdict and how often, then those that are offline or of which
    nothing was said, then by open incidents; the rest by name.
    """
    found = verdicts_of(gateway)
    return (
        *(-found[verdict] for verdict in VERDICTS[:-1]),
        gateway["online"] is True,
        -gateway["open_incidents"],
        gateway["site"],
        gateway["gateway"],
    )


def in_trouble(gateway: Json) -> bool:
    """Whether somebody has to look: it is not there, or a model of it is not trusted."""
    return gateway["online"] is not True or any(
        model["verdict"] != VERDICTS[-1] for model in gateway["models"]
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """Which gateways are shown.

    Attributes:
        only: verdicts of which a gateway needs one; then only such models of it are shown.
        sites: names; empty: all.
    """

    only: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()

    def at(self, site: str) -> bool:
        """Whether what a site says is shown."""
        return not self.sites or site in self.sites

    def of(self, gateways: Iterable[Json]) -> list[Json]:
        """Those that are shown, worst first."""
        found = [one for one in gateways if self.at(one["site"])]
        if self.only:
            found = [self._narrowed(one) for one in found if self._wanted(one)]
        return sorted(found, key=order)

    def _wanted(self, gateway: Json) -> bool:
        return any(model["verdict"] in self.only for model in gateway["models"])

    def _narrowed(self, gateway: Json) -> Json:
        models = [one for one in gateway["models"] if one["verdict"] in self.only]
        return {**gateway, "models": models}


EVERYTHING: Final = Choice()


def counted(gateways: Iterable[Json]) -> str:
    """``12 gateways, 1 offline; models: 2 untrusted, 1 caution, 30 trusted``."""
    models: Counter[str] = Counter()
    number = offline = silent = 0
    for one in gateways:
        number += 1
        offline += one["online"] is False
        silent += one["online"] is None
        models += verdicts_of(one)
    told = [f"{number:,} gateway{'' if number == 1 else 's'}"]
    told += [f"{offline:,} offline"] if offline else []
    told += [f"{silent:,} of which nothing is known"] if silent else []
    some = [f"{models[verdict]:,} {verdict}" for verdict in VERDICTS if models[verdict]]
    return ", ".join(told) + (f"; models: {', '.join(some)}" if some else "")
