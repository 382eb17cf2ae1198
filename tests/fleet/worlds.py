"""What a whole database holds, and what a central in memory does, in the same words."""

from __future__ import annotations

import json
from collections import defaultdict

from sqlalchemy import text

from agent.fleet.views import SELECTED


def rows(database, query, **parameters):
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(text(query), parameters).mappings()]


def selected(database, view, site):
    found = SELECTED[view]
    with database.reading() as connection:
        return [
            dict(row)
            for row in connection.execute(found.select().where(found.c.site == site)).mappings()
        ]


def ranges(told):
    return [tuple(one) for one in json.loads(told)]


def marks(database, site):
    """By (gateway, store, boot, stream)."""
    return {
        (one["gateway"], one["store"], one["boot"], one["stream"]): (
            ranges(one["received"]), ranges(one["lost"]), ranges(one["earlier"]),
            ranges(one["told"]), ranges(one["announced"]), one["count"], one["duplicates"],
        )
        for one in rows(
            database, "SELECT g.gateway, m.* FROM mark m JOIN gateway g ON g.id = m.gateway_id"
            " WHERE g.site = :site", site=site,
        )
    }  # fmt: skip


def marks_of(central):
    return {
        (view.gateway, *key): (
            stream.received, stream.lost, stream.earlier, stream.told, stream.announced,
            stream.count, stream.duplicates,
        )
        for view in central.gateways.values()
        for key, stream in view.streams.items()
    }  # fmt: skip


def totals(database, site):
    """Sums over all days by (model, tag)."""
    found = defaultdict(lambda: [0, 0, 0, 0, 0, None, None])
    for one in rows(
        database, "SELECT s.model, s.tag, t.* FROM total t JOIN series s ON s.id = t.series_id"
        " JOIN gateway g ON g.id = s.gateway_id WHERE g.site = :site", site=site,
    ):  # fmt: skip
        into = found[one["model"], one["tag"]]
        for place, name in enumerate(("windows", "count", "good", "sum", "sum_sq")):
            into[place] += int(one[name])
        for place, name, choose in ((5, "min", min), (6, "max", max)):
            told = [value for value in (into[place], one[name]) if value is not None]
            into[place] = choose(told) if told else None
    return {key: tuple(into) for key, into in found.items()}


def summed(database, site):
    """The same from the rows themselves."""
    found = defaultdict(lambda: [0, 0, 0, 0, 0, None, None])
    for one in rows(
        database, "SELECT s.model, s.tag, t.* FROM summary t JOIN series s ON s.id = t.series_id"
        " JOIN gateway g ON g.id = s.gateway_id WHERE g.site = :site", site=site,
    ):  # fmt: skip
        into = found[one["model"], one["tag"]]
        into[0] += 1
        for place, name in enumerate(("count", "good", "sum", "sum_sq"), 1):
            into[place] += int(one[name])
        for place, name, choose in ((5, "min", min), (6, "max", max)):
            told = [value for value in (into[place], one[name]) if value is not None]
            into[place] = choose(told) if told else None
    return {key: tuple(into) for key, into in found.items()}


def events(database, site):
    """(gateway, store, boot, seq) of each row, sorted: one that is there twice is there twice."""
    return sorted(
        (one["gateway"], one["store"], one["boot"], one["seq"])
        for one in rows(
            database, "SELECT g.gateway, e.store, e.boot, e.seq FROM event e"
            " JOIN gateway g ON g.id = e.gateway_id WHERE g.site = :site", site=site,
        )
    )  # fmt: skip


