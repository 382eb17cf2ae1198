"""What `fieldwarden central CONFIG --check` finds at the broker; no message is taken from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from agent.checking.broker import Trial, connected, refused
from agent.checking.item import Item, fault_of
from agent.checking.reach import unreachable
from agent.configuration.placeholders import is_nobodys
from agent.errors import FieldwardenError
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.worker import filters
from agent.forward import FORMS
from agent.forward.json_payload import PREFIX, SCHEMA
from agent.mqtt import LinkError, Message, MqttLink, RefusedError

SUBJECT: Final = "broker"
TOPIC: Final = f"{PREFIX}/{SCHEMA}/check/check/central"  # of a gateway that nobody has
LARGE: Final = 16_384  # bytes; as a long answer to a gateway, or a verdict with many reasons
_EXPIRY_S: Final = 1  # nobody is to find it later
_SETTLE_S: Final = 0.3  # for a refusal of the subscription that is on its way
_ECHO_S: Final = 1.5  # in which a message comes back from a broker that has acknowledged it
_PERHAPS_OLD: Final = ("protocol version", "connack", "no answer")  # of one that knows no MQTT 5
_RIGHT: Final = f"give this user the right to publish on {PREFIX}/{SCHEMA}/+/+/central, with QoS 1"
_READ: Final = f"the right to read {PREFIX}/{SCHEMA}/#, and shared subscriptions"
_HINTS: Final = (  # what is in the reason
    ("retain", "let it keep messages (mosquitto: retain_available true): births and verdicts are"),
    ("qos", "let it take messages with QoS 1 (mosquitto: max_qos 1): all are sent with it"),
    ("large", f"let it take {LARGE} bytes (mosquitto: max_packet_size, message_size_limit)"),
)  # fmt: skip


async def broker(configuration: FleetConfiguration, timeout_s: float) -> list[Item]:
    """Whether it is there, takes the login, and lets this user do what workers do."""
    settings = configuration.broker
    where = f"{settings.host}:{settings.port_number}"
    if is_nobodys(settings.host):
        text = f'host "{settings.host}" is an example'
        return [Item("fault", SUBJECT, text, "give the broker's name")]
    if cause := await unreachable(settings.host, settings.port_number, timeout_s):
        hint = "gateways buffer until it is there; check host, port and firewall"
        return [Item("fault", SUBJECT, f"{where} was not reached: {cause}", hint)]
    name = f"{configuration.central.name}-check"  # not a worker's, which may be connected now
    came: asyncio.Queue[Message] = asyncio.Queue()
    try:
        async with connected(settings, name, "5", timeout_s, came.put_nowait) as trial:
            if trial.link is not None:
                group = f"{configuration.central.group}-check"
                return await _rights(group, trial, trial.link, came, where, timeout_s)
            said = trial.reason.lower()
            if not any(word in said for word in _PERHAPS_OLD):
                return [refused(SUBJECT, where, trial.reason)]
    except FieldwardenError as error:
        return [fault_of(SUBJECT, error)]
    text = f"{where} does not speak MQTT 5, or no MQTT: {trial.reason}"
    hint = "workers share a subscription, which is of MQTT 5: mosquitto 1.6 or later, EMQX, HiveMQ"
    return [Item("fault", SUBJECT, text, hint)]


async def _rights(
    group: str, trial: Trial, link: MqttLink, came: asyncio.Queue[Message], where: str,
    timeout_s: float,
) -> list[Item]:  # fmt: skip
    """May it subscribe as the workers do, and publish what gateways are told?

    In a group of its own: in that of the workers it would take messages from them.
    """
    items = [Item("ok", SUBJECT, f"{where} answers, and takes the login (MQTT 5)")]
    wanted = filters(group)
    link.subscribe([(one, 1) for one in (*wanted, f"$share/{group}/{TOPIC}")])
    # Kept and large, as messages of gateways may be; what JSON does not read makes it so.
    payload = FORMS["json"].trial().ljust(LARGE)
    sent = link.publish(TOPIC, payload, retain=True, expiry_s=_EXPIRY_S)
    done, _ = await asyncio.wait({sent}, timeout=timeout_s)
    items += _published(sent, where, timeout_s)
    if not done or sent.exception() is not None:
        await asyncio.sleep(_SETTLE_S)
        return [*items, *_subscribed(trial, wanted, where)]
    link.publish(TOPIC, b"", retain=True)  # nothing is kept any more
    comes_back = await _comes_back(came)
    items += _subscribed(trial, wanted, where)
    if not trial.refusals and not comes_back:
        text = f"{where} grants the subscription, but what is published on {TOPIC} does not come"
        hint = f"has this user {_READ}? a broker need not say that it holds messages back"
        items.append(Item("warning", SUBJECT, text, hint))
    return items


async def _comes_back(came: asyncio.Queue[Message]) -> bool:
    """Whether the message comes by the shared subscription."""
    try:
        async with asyncio.timeout(_ECHO_S):
            while (await came.get()).topic != TOPIC:
                pass
    except TimeoutError:
        return False
    return True


def _published(sent: asyncio.Future[bool], where: str, timeout_s: float) -> Iterator[Item]:
    """What became of the message."""
    if not sent.done():
        sent.cancel()
        text = f"{where} did not acknowledge a message in {timeout_s:g} s"
        yield Item("warning", SUBJECT, text, "is it overloaded, or does it drop it?")
        return
    error = sent.exception()
    if error is None:
        yield Item("ok", SUBJECT, "may publish what gateways are told")
        return
    reason = error.reason if isinstance(error, RefusedError) else str(error)
    assert isinstance(error, LinkError)  # noqa: S101 - a link has no others
    said = reason.lower()
    hint = next((hint for word, hint in _HINTS if word in said), _RIGHT)
    yield Item("fault", SUBJECT, f"{where} refuses {TOPIC}: {reason}", hint)


def _subscribed(trial: Trial, wanted: list[str], where: str) -> Iterator[Item]:
    """What became of the subscriptions."""
    for reason in dict.fromkeys(trial.refusals):
        yield Item("fault", SUBJECT, f"{where}: {reason}", f"give this user {_READ}")
    if not trial.refusals:
        text = f"may subscribe to {len(wanted)} filters, {wanted[0]} and so on"
        yield Item("ok", SUBJECT, text)
