"""What central remembers over a restart: its marks, and what it was told last of each gateway.

A verdict from before the restart is worth nothing until the gateway, or the broker with what is
left of its expiry, says it again: a monotonic clock does not outlive its process.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.central.contracts import KnownContract
from agent.central.gateway import ACKNOWLEDGED, GatewayView, KnownVerdict, Presence
from agent.central.incidents import Condition
from agent.central.lives import Life, Place
from agent.central.requests import Request
from agent.central.subscriber import Central
from agent.store import ranges
from agent.store.received import Mark, MarkKey, ReceivedStore


class Memory:
    """Central's file.

    Attributes:
        trouble: what was wrong with the file that was found; empty where nothing was.

    Args:
        path: of the file.

    Raises:
        StoreError: see `ReceivedStore`.
    """

    def __init__(self, path: Path) -> None:
        self._store = ReceivedStore(path)
        self.trouble = self._store.trouble

    def restore(self, central: Central, now_ns: int) -> None:
        """Put into a new `central` what was stored; `now_ns` of the monotonic clock."""
        for site, gateway, text in self._store.take_gateways():
            view = central.gateways[site, gateway] = GatewayView(site, gateway)
            try:
                _restore(view, json.loads(text), now_ns)
            except (ValueError, TypeError, KeyError, AttributeError):
                central.gateways[site, gateway] = GatewayView(site, gateway)
        for mark in self._store.take_marks():
            key = mark.key
            name = (key.site, key.gateway)
            view = central.gateways.setdefault(name, GatewayView(*name))
            stream, _ = view.stream(Life(key.store, key.boot), key.stream)
            stream.received, stream.lost, stream.earlier = mark.received, mark.lost, mark.earlier
            stream.count, stream.duplicates = mark.count, mark.duplicates

    def save(self, central: Central) -> None:
        """Commit what has changed.

        Raises:
            StoreError: it could not be written; nothing is lost by trying again.
        """
        marks = [
            _mark(key, central.gateways[key[:2]])
            for key in central.changed
            if key.stream in ACKNOWLEDGED and key[2:] in central.gateways[key[:2]].streams
        ]
        gateways = [
            (*name, json.dumps(_document(central.gateways[name]))) for name in central.touched
        ]
        if marks or gateways or central.forgotten:
            self._store.save(marks, gateways, central.forgotten)
        central.settled()

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def _mark(key: MarkKey, view: GatewayView) -> Mark:
    stream = view.streams[key[2:]]
    return Mark(
        key, stream.received, stream.lost, stream.earlier, stream.count, stream.duplicates
    )  # fmt: skip


def _document(view: GatewayView) -> dict[str, Any]:
    return {
        "store": view.store,
        "stores": {
            store: [*one.place, one.online, one.reason, one.since]
            for store, one in view.stores.items()
        },
        "births": [[*life, number] for life, number in view.births.items()],
        "models": [
            [store, *told.place, told.data] for (store, _), told in view.models.items()
        ],
        "conditions": [
            [store, name, *told.to_json()]
            for (store, name), told in view.conditions.items()
        ],
        "requests": [
            [store, name, *told.to_json()] for (store, name), told in view.requests.items()
        ],
        "contracts": [[store, *told.to_json()] for store, told in view.contracts.items()],
        "dropped": [[*key, some] for key, some in view.dropped.items()],
        "past": view.past,
        "time_quality": view.time_quality,
    }  # fmt: skip


def _restore(view: GatewayView, document: Any, now_ns: int) -> None:
    view.store = str(document["store"])
    view.stores = {
        store: Presence(Place(boot, seq), online, reason, since)
        for store, (boot, seq, online, reason, since) in document["stores"].items()
    }
    view.births = {Life(store, boot): number for store, boot, number in document["births"]}
    view.models = {
        (store, str(data["model"])): KnownVerdict(data, Place(boot, seq), now_ns, now_ns)
        for store, boot, seq, data in document["models"]
    }
    view.conditions = {
        (store, name): Condition.from_json(name, rest)
        for store, name, *rest in document["conditions"]
    }
    view.requests = {  # an earlier version knew none
        (store, name): Request.from_json(rest)
        for store, name, *rest in document.get("requests", ())
    }
    view.contracts = {  # an earlier version knew none
        str(store): KnownContract.from_json(rest, now_ns)
        for store, *rest in document.get("contracts", ())
    }
    view.dropped = {
        (reason, store, boot): ranges.union((first, last) for first, last in some)
        for reason, store, boot, some in document["dropped"]
    }
    view.past = {str(name): int(number) for name, number in document["past"].items()}
    view.time_quality = str(document["time_quality"])
