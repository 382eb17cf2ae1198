"""`fieldwarden central CONFIG --check`: what can be known before the service begins.

The file itself was validated when it was loaded. Here database, broker, page and relays are asked.
Nothing is changed: no table is made, and no message of a gateway is taken from a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from agent.checking.broker import Trial, connected, refused
from agent.checking.item import Item, fault_of
from agent.checking.reach import unreachable
from agent.checking.security import certificate, login, open_to_others, tls
from agent.configuration import credentials
from agent.configuration.people import Person
from agent.configuration.placeholders import is_nobodys
from agent.configuration.values import is_loopback
from agent.errors import FieldwardenError, cause_of
from agent.fleet.check_database import database
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.relay_check import asked
from agent.fleet.worker import filters
from agent.forward import FORMS
from agent.forward.json_payload import PREFIX, SCHEMA
from agent.mqtt import LinkError, MqttLink, RefusedError
from agent.mqtt.background import in_thread

TIMEOUT_S = 5.0
_EXPIRY_S = 1  # nobody is to find it later
_SETTLE_S = 0.3  # for a refusal of the subscription that is on its way
_PERHAPS_OLD = ("protocol version", "connack", "no answer")  # of a broker that knows no MQTT 5
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
        _broker(configuration, timeout_s),
        _port(configuration),
        asked(configuration.relay, timeout_s),
    )
    return items + [item for answer in answers for item in answer]


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


# --- broker -----------------------------------------------------------------------------------


async def _broker(configuration: FleetConfiguration, timeout_s: float) -> list[Item]:
    broker = configuration.broker
    where = f"{broker.host}:{broker.port_number}"
    if is_nobodys(broker.host):
        text = f'host "{broker.host}" is an example'
        return [Item("fault", "broker", text, "give the broker's name")]
    if cause := await unreachable(broker.host, broker.port_number, timeout_s):
        hint = "gateways buffer until it is there; check host, port and firewall"
        return [Item("fault", "broker", f"{where} was not reached: {cause}", hint)]
    name = f"{configuration.central.name}-check"  # not a worker's, which may be connected now
    try:
        async with connected(broker, name, "5", timeout_s) as trial:
            if trial.link is not None:
                return await _rights(configuration, trial, trial.link, where, timeout_s)
            said = trial.reason.lower()
            if not any(word in said for word in _PERHAPS_OLD):
                return [refused("broker", where, trial.reason)]
    except FieldwardenError as error:
        return [fault_of("broker", error)]
    text = f"{where} does not speak MQTT 5, or no MQTT: {trial.reason}"
    hint = "workers share a subscription, which is of MQTT 5: mosquitto 1.6 or later, EMQX, HiveMQ"
    return [Item("fault", "broker", text, hint)]


async def _rights(
    configuration: FleetConfiguration, trial: Trial, link: MqttLink, where: str, timeout_s: float
) -> list[Item]:
    """May it subscribe as the workers do, and publish what gateways are told?

    In a group of its own: in that of the workers it would take messages from them.
    """
    items = [Item("ok", "broker", f"{where} answers, and takes the login (MQTT 5)")]
    wanted = filters(f"{configuration.central.group}-check")
    link.subscribe([(one, 1) for one in wanted])
    topic = f"{PREFIX}/{SCHEMA}/check/check/central"
    sent = link.publish(topic, FORMS["json"].trial(), expiry_s=_EXPIRY_S)
    done, _ = await asyncio.wait({sent}, timeout=timeout_s)
    hint = f"give this user the right to publish on {PREFIX}/{SCHEMA}/+/+/central, with QoS 1"
    error = sent.exception() if done else None
    if not done:
        sent.cancel()
        text = f"{where} did not acknowledge a message in {timeout_s:g} s"
        items.append(Item("warning", "broker", text, "is it overloaded, or does it drop it?"))
    elif isinstance(error, RefusedError):
        items.append(Item("fault", "broker", f"{where} refuses {topic}: {error.reason}", hint))
    elif isinstance(error, LinkError):
        items.append(Item("fault", "broker", f"{where}: {topic}: {error}", hint))
    else:
        items.append(Item("ok", "broker", "may publish what gateways are told"))
    await asyncio.sleep(_SETTLE_S)
    for reason in trial.refusals:
        hint = f"give this user the right to read {PREFIX}/{SCHEMA}/#, and shared subscriptions"
        items.append(Item("fault", "broker", f"{where}: {reason}", hint))
    if not trial.refusals:
        text = f"may subscribe to {len(wanted)} filters, {wanted[0]} and so on"
        items.append(Item("ok", "broker", text))
    return items

