"""`fieldwarden central CONFIG --check`: what can be known before the service begins.

The file itself was validated when it was loaded. Here database, broker, page and relays are asked.
Nothing is changed: no table is made, and no message of a gateway is taken from a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from agent.checking.item import Item, fault_of
from agent.checking.security import certificate, login, open_to_others, tls
from agent.configuration import credentials
from agent.configuration.people import Person
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError, cause_of
from agent.fleet.check_broker import broker
from agent.fleet.check_database import database
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.relay_check import asked
from agent.mqtt.background import in_thread

TIMEOUT_S = 5.0
_DAY_NS = 86_400_000_000_000


async def check(configuration: FleetConfiguration, timeout_s: float = TIMEOUT_S) -> list[Item]:
    """The whole report; database, broker and relays are asked at the same time.

    Args:
        configuration: as loaded.
        timeout_s: for each of them.
    """
    items = [_summary(configuration)]
    items += login("broker", configuration.broker, encrypted=configuration.broker.tls)
    items += tls("broker", configuration.broker)
    items += _page(configuration)
    items += _people(configuration.people)
    answers = await asyncio.gather(
        in_thread(partial(_database, configuration), "check"),
        broker(configuration, timeout_s),
        _port(configuration),
        asked(configuration.relay, timeout_s),
    )
    items += [item for answer in answers for item in answer]
    return list(dict.fromkeys(items))  # of a secret that can not be had two parts may tell


def _summary(configuration: FleetConfiguration) -> Item:
    central = configuration.central
    first, *more = configuration.client_ids
    names = f"{first} to {more[-1]}" if more else first
    kept = ", ".join(
        f"{what} {span / _DAY_NS:g} d"
        for what, span in (
            ("events", central.keep_events), ("summaries", central.keep_summaries),
            ("totals", central.keep_totals),
        )
    )  # fmt: skip
    workers = f"{central.workers} worker{'s' if more else ''} ({names}) of group {central.group}"
    return Item("ok", str(configuration.file or "configuration"), f"{workers}; kept: {kept}")


def _database(configuration: FleetConfiguration) -> list[Item]:
    return list(database(configuration))


# --- page and people --------------------------------------------------------------------------


def _page(configuration: FleetConfiguration) -> Iterator[Item]:
    http = configuration.http
    host, _ = http.address
    if http.certificate:
        try:
            credentials.server_context(http)
        except FieldwardenError as error:
            yield fault_of("page", error)
        else:
            yield from certificate("page", http.certificate, http.private_key)
    elif not is_loopback(host):
        text = f"{http.listen} can be reached from elsewhere, without encryption"
        hint = "give certificate and private_key, or listen on 127.0.0.1 behind a proxy"
        yield Item("warning", "page", text, hint)


async def _port(configuration: FleetConfiguration) -> list[Item]:
    host, port = configuration.http.address
    try:
        server = await asyncio.start_server(lambda *_: None, host, port)
    except OSError as error:
        hint = "is the service running already? else choose another port under [http] listen"
        text = f"{configuration.http.listen} can not be listened on: {cause_of(error)}"
        return [Item("warning", "page", text, hint)]
    server.close()
    await server.wait_closed()
    return [Item("ok", "page", f"{configuration.http.listen} is free")]


def _people(people: dict[str, Person]) -> Iterator[Item]:
    for name, person in people.items():
        subject = f"person {name}"
        yield from open_to_others(subject, person.token_file, f"act as {name}")
        try:
            digest = credentials.token_digest(person)
        except FieldwardenError as error:
            yield fault_of(subject, error)
            continue
        if digest is None:
            text = "has no token, and the page knows nobody by a Unix user"
            yield Item("warning", subject, text, "make one: fieldwarden token")
        else:
            yield Item("ok", subject, "is known by a token")
