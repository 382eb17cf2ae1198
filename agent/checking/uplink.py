"""What `fieldwarden check` finds at the broker upstream: login, and the right to every topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Literal

from agent.checking.broker import Trial, connected, refused
from agent.checking.item import Item, fault_of
from agent.checking.reach import unreachable
from agent.checking.security import login, tls
from agent.checking.uplink_size import bytes_per_day
from agent.configuration.schema import Configuration, Upstream
from agent.errors import FieldwardenError
from agent.forward import FORMS, Identity
from agent.forward.form import Presence
from agent.mqtt import MqttLink
from agent.mqtt.messages import LinkError, RefusedError

SUBJECT = "upstream"
_MODELS_TRIED = 20
_EXPIRY_S = 1  # nobody is to find it later
_SETTLE_S = 0.2  # for a refusal of the subscription that is on its way
_VERSIONS: tuple[Literal["5", "3.1.1"], ...] = ("5", "3.1.1")
_VERSION = ("protocol version", "no connack", "closed", "reset", "lost")


def upstream_on_paper(configuration: Configuration) -> Iterator[Item]:
    """Secrets, certificates, and how much is sent."""
    upstream = configuration.upstream
    if upstream is None:
        yield Item("ok", SUBJECT, "none: verdicts and events stay on this machine")
        return
    yield from login(SUBJECT, upstream, encrypted=upstream.tls)
    yield from tls(SUBJECT, upstream)
    size = bytes_per_day(configuration)
    text = (
        f"about {size.total / 1e6:.2g} MB a day: {size.summaries / 1e6:.2g} summaries, "
        f"{size.verdicts / 1e6:.2g} verdicts, {size.events / 1e6:.2g} events"
    )
    yield Item("ok", SUBJECT, text)


async def ask_upstream(configuration: Configuration, timeout_s: float) -> list[Item]:
    """Log in, and try every topic: by MQTT 5, else by 3.1.1, which does not tell refusals."""
    upstream = configuration.upstream
    if upstream is None:
        return []
    where = f"{upstream.host}:{upstream.port_number}"
    if cause := await unreachable(upstream.host, upstream.port_number, timeout_s):
        hint = "the agent buffers until it is there; check host, port and firewall"
        return [Item("warning", SUBJECT, f"{where} was not reached: {cause}", hint)]
    reason = ""
    try:
        for version in _VERSIONS:
            async with connected(upstream, _name(configuration), version, timeout_s) as trial:
                if trial.link is not None:
                    topics = _topics(configuration, upstream)
                    payload = FORMS[upstream.format].trial()
                    rights = _rights(trial, trial.link, topics, payload, where, timeout_s)
                    return [item async for item in rights]
                reason = trial.reason
            if not any(word in reason.lower() for word in _VERSION):
                break
    except FieldwardenError as error:
        return [fault_of(SUBJECT, error)]
    return [refused(SUBJECT, where, reason)]


def _name(configuration: Configuration) -> str:
    """Not the agent's own, which may be connected right now."""
    gateway = configuration.gateway
    return f"fieldwarden-{gateway.site}-{gateway.name}-check"


async def _rights(
    trial: Trial, link: MqttLink, topics: list[str], payload: bytes, where: str, timeout_s: float
) -> AsyncIterator[Item]:
    """What the broker says to a message on each topic, and to the subscription for answers."""
    yield Item("ok", SUBJECT, f"{where} answers, and takes the login (MQTT {trial.version})")
    answers = f"{topics[0].rpartition('/')[0]}/central"
    link.subscribe([(answers, 1)])
    told: dict[str, str] = {}
    sent = {topic: link.publish(topic, payload, expiry_s=_EXPIRY_S) for topic in topics}
    done, waiting = await asyncio.wait(sent.values(), timeout=timeout_s)
    for topic, future in sent.items():
        error = future.exception() if future in done else None
        if isinstance(error, RefusedError):
            told[topic] = error.reason
        elif isinstance(error, LinkError):
            told[topic] = str(error)
    for future in waiting:
        future.cancel()
    if waiting:
        text = f"{where} did not acknowledge {len(waiting)} of {len(topics)} messages in "
        hint = "is the broker overloaded, or does it drop what it does not allow?"
        yield Item("warning", SUBJECT, f"{text}{timeout_s:g} s", hint)
    for topic, reason in told.items():
        hint = "give this user the right to publish there, with QoS 1"
        yield Item("fault", SUBJECT, f"{where} refuses {topic}: {reason}", hint)
    if trial.version != "5":
        text = f"{where} speaks MQTT 3.1.1, which does not tell whether a message is allowed: "
        yield Item("ok", SUBJECT, f"{text}the right to publish can not be tested")
    elif not told and not waiting:
        yield Item("ok", SUBJECT, f"may publish on {len(topics)} topics, {topics[0]} and so on")
    await asyncio.sleep(_SETTLE_S)
    for reason in trial.refusals:
        hint = f"give this user the right to read {answers}: central acknowledges there"
        yield Item("fault", SUBJECT, f"{where}: {reason}", hint)


def _topics(configuration: Configuration, upstream: Upstream) -> list[str]:
    """What this gateway publishes on; of many models the first."""
    gateway = configuration.gateway
    form = FORMS[upstream.format]
    birth = form.birth(Identity(gateway.site, gateway.name, "check"), Presence(0, "", 1, 0))
    prefix = birth.topic.rpartition("/")[0]
    verdicts = [
        form.verdict_message(
            model, "unassessable", [], time_ns=0, since_ns=0, valid_until_ns=1
        ).topic
        for model in list(configuration.models)[:_MODELS_TRIED]
    ]
    return [birth.topic, *(f"{prefix}/{below}" for below in ("event", "summary", "gap", *verdicts))]
