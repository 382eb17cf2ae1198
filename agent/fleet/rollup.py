"""The fleet from its lines: each site, all of it, who is silent, which promises are kept. Pure.

Sums are numpy's, so that 10,000 gateways cost some milliseconds a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.central.worst import VERDICTS
from agent.fleet.columns import moment_of
from agent.fleet.documents import iso
from agent.fleet.questions import OPEN, Line, Snapshot
from agent.runtime.audit import SIGNIFICANCE, at_least

SILENT_S: Final = 300.0
"""A gateway that says it is there is heard of every few seconds; after so long it is silent."""

COUNTS: Final = ("models", *VERDICTS, *OPEN)
STATES: Final = ("online", "offline", "unknown", "silent", "trouble")
_US: Final = 1e6
Promises = Mapping[int, Mapping[str, Any]]
Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class Fleet:
    """What pages are made of.

    Attributes:
        at: the database's clock when it was asked.
        lines: one a gateway, worst first.
        promises: by number of the gateway.
        states: for each of `STATES` which lines are in it.
        heard_s: seconds since each was heard of; infinite where it never was.
        counts: of each line, by `COUNTS`.
        sites: one a site, worst first, JSON-ready.
        totals: over all of it, JSON-ready.
    """

    at: datetime
    lines: Sequence[Line]
    promises: Promises
    states: Mapping[str, Chosen]
    heard_s: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]
    sites: Sequence[Mapping[str, Any]]
    totals: Mapping[str, Any]

    @cached_property
    def places(self) -> Mapping[tuple[str, str], int]:
        """Number of the line of (site, gateway)."""
        return {(line.site, line.gateway): at for at, line in enumerate(self.lines)}

    @cached_property
    def names(self) -> list[str]:
        """``site/gateway`` of each line, in small letters."""
        return [f"{line.site}/{line.gateway}".lower() for line in self.lines]

    @cached_property
    def silent(self) -> list[int]:
        """Who is not there, or was not heard of for a while, the longest first."""
        found = np.flatnonzero(self.states["silent"])
        return [int(one) for one in found[np.argsort(-self.heard_s[found], kind="stable")]]

    @cached_property
    def exceeded(self) -> list[int]:
        """Those whose promise of false alarms is not kept."""
        broken = {one for one, told in self.promises.items() if told["exceeded"]}
        return [at for at, line in enumerate(self.lines) if line.gateway_id in broken]

    def chosen(
        self, *, site: str = "", only: frozenset[str] = frozenset(), state: str = "",
        search: str = "", ids: frozenset[int] = frozenset(),
    ) -> list[int]:  # fmt: skip
        """Numbers of lines of one site, with a model of one of these verdicts, in a state.

        Args:
            site: its name; empty: all.
            only: verdicts; empty: any.
            state: of `STATES`; empty: any.
            search: in small letters; what contains it, or is one of `ids`, is found.
            ids: gateways that are found anyway.
        """
        wanted = np.ones(len(self.lines), np.bool_)
        if only:
            wanted &= np.any([self.counts[verdict] > 0 for verdict in only], axis=0)
        if state:
            wanted &= self.states[state]
        found = [int(one) for one in np.flatnonzero(wanted)]
        if site:
            found = [one for one in found if self.lines[one].site == site]
        if search:
            found = [
                one for one in found
                if search in self.names[one] or self.lines[one].gateway_id in ids
            ]  # fmt: skip
        return found

    def trouble(self, chosen: Sequence[int]) -> int:
        """How many of these are not there, or have a model that is not trusted."""
        return int(self.states["trouble"][np.asarray(chosen, np.int64)].sum())

    def line(self, number: int) -> dict[str, Any]:
        """JSON of a line."""
        line, heard_s = self.lines[number], float(self.heard_s[number])
        never = line.heard is None
        return {
            "site": line.site, "gateway": line.gateway,
            "online": None if line.online is None else bool(line.online),
            "heard_at": "" if never else iso(moment_of(round(line.heard * _US))),
            "heard_s": None if never else round(heard_s, 3),
            **{key: int(self.counts[key][number]) for key in COUNTS if key != "models"},
            "of_models": int(self.counts["models"][number]),
            "promise": self.promises.get(line.gateway_id),
        }  # fmt: skip


def fleet_of(snapshot: Snapshot, promises: Promises) -> Fleet:
    """Everything that follows from the lines."""
    lines, counts = _ordered(snapshot)
    heard_s = np.array(
        [np.inf if line.heard is None else snapshot.at.timestamp() - line.heard for line in lines],
        np.float64,
    )
    states = _states(lines, counts, heard_s)
    numbered = {name: at for at, name in enumerate(dict.fromkeys(line.site for line in lines))}
    site = np.array([numbered[line.site] for line in lines], np.int64)
    summed = {
        key: np.bincount(site, column, len(numbered)).astype(np.int64)
        for key, column in [("gateways", np.ones(len(lines))), *states.items(), *counts.items()]
    }
    sites = [
        {"site": name, **{key: int(column[at]) for key, column in summed.items()}}
        for name, at in numbered.items()
    ]
    totals = {"sites": len(sites), **{key: int(column.sum()) for key, column in summed.items()}}
    return Fleet(
        snapshot.at, lines, promises, states, np.maximum(heard_s, 0.0), counts,
        sorted(sites, key=_worst), {**totals, "promise": promise(promises, len(lines))},
    )  # fmt: skip


def _ordered(snapshot: Snapshot) -> tuple[list[Line], dict[str, NDArray[np.int64]]]:
    """The lines, worst first as `agent.central.worst.order` has them, and what each counts."""
    named = sorted(snapshot.lines, key=lambda line: (line.site, line.gateway))
    place = {line.gateway_id: at for at, line in enumerate(named)}
    models = np.zeros((len(named), len(VERDICTS)), np.int64)
    for gateway, verdict, count in snapshot.models:
        if gateway in place:  # else it came between the two questions
            models[place[gateway], verdict] += count
    opened = np.array([line[-len(OPEN):] for line in named], np.int64).reshape(-1, len(OPEN))
    counts = {
        "models": models.sum(axis=1),
        **{key: models[:, at] for at, key in enumerate(VERDICTS)},
        **{key: opened[:, at] for at, key in enumerate(OPEN)},
    }
    there = np.array([line.online is not None and bool(line.online) for line in named], np.bool_)
    worst = [-counts[verdict] for verdict in VERDICTS[:-1]]
    by = np.lexsort((-counts["open_incidents"], there, *reversed(worst)))  # names stay in order
    return [named[at] for at in by], {key: column[by] for key, column in counts.items()}


def _states(
    lines: Sequence[Line], counts: Mapping[str, NDArray[np.int64]], heard_s: NDArray[np.float64]
) -> dict[str, Chosen]:
    online = np.array([line.online is not None and bool(line.online) for line in lines], np.bool_)
    unknown = np.array([line.online is None for line in lines], np.bool_)
    return {
        "online": online, "offline": ~online & ~unknown, "unknown": unknown,
        "silent": ~online | (np.abs(heard_s) > SILENT_S),  # below 0: the clock was set back
        "trouble": ~online | (counts["trusted"] < counts["models"]),
    }  # fmt: skip


def _worst(site: Mapping[str, Any]) -> tuple[Any, ...]:
    poor = (-site[verdict] for verdict in VERDICTS[:-1])
    return (*poor, -site["silent"], -site["open_incidents"], site["site"])


def promise(promises: Promises, gateways: int) -> dict[str, Any]:
    """Whether the promises of false alarms are kept: by how many, and all of them together.

    Together: as many or more false alarms as were found have a chance below 5 % where as many are
    expected as were promised (Poisson), as each gateway judges its own.
    """
    told = list(promises.values())
    false = sum(one["false"] for one in told)
    expected = sum(one["expected_per_30_days"] * one["watched_days"] / 30.0 for one in told)
    chance = at_least(false, max(expected, 1.0))
    exceeded = sum(one["exceeded"] is True for one in told)
    return {
        "told": len(told), "not_told": gateways - len(told), "kept": len(told) - exceeded,
        "exceeded": exceeded, "raised": sum(one["raised"] for one in told),
        "acknowledged": sum(one["acknowledged"] for one in told), "false": false,
        "promised": round(expected, 1), "chance": chance,
        "together_exceeded": chance < SIGNIFICANCE,
    }  # fmt: skip
