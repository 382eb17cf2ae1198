"""Trying a broker: whether it takes a connection, and what it says where it does not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from agent.checking.item import Item
from agent.configuration import credentials
from agent.configuration.connection import Broker
from agent.mqtt import Message, MqttLink

Version = Literal["5", "3.1.1"]
_LOGIN = ("authori", "user name", "username", "password", "banned")
_TLS = ("ssl", "tls", "certificate")


def refused(subject: str, where: str, reason: str) -> Item:
    """A broker that answers, but takes no connection."""
    said = reason.lower()
    if any(word in said for word in _LOGIN):
        hint = "check `username` and the password, and that this client may connect"
        return Item("fault", subject, f"{where} refuses the login: {reason}", hint)
    if any(word in said for word in _TLS):
        hint = "check `tls`, `ca` and `certificate`, the broker's name in its certificate, the port"
        return Item("fault", subject, f"{where} could not be reached securely: {reason}", hint)
    hint = "is it an MQTT broker, and is `tls` as on its side?"
    return Item("fault", subject, f"{where} answers, but takes no connection: {reason}", hint)


@dataclass(slots=True)
class Trial:
    """One connection; `link` is None where the broker refused it, for `reason`."""

    version: Version
    link: MqttLink | None = None
    reason: str = ""
    refusals: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def connected(
    broker: Broker,
    client_id: str,
    version: Version,
    timeout_s: float,
    on_message: Callable[[Message], None] | None = None,
) -> AsyncIterator[Trial]:
    """A connection to a broker, for as long as it is tried; `on_message` gets what comes by it.

    Raises:
        FieldwardenError: a password or certificate can not be had.
    """
    trial = Trial(version, reason=f"no answer within {timeout_s:g} s")
    states: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()

    def on_state(connected: bool, reason: str) -> None:  # noqa: FBT001 - MqttLink's signature
        if connected and reason != "connected":
            trial.refusals.append(reason)
        states.put_nowait((connected, reason))

    link = MqttLink(
        host=broker.host,
        port=broker.port_number,
        client_id=client_id,
        tls=credentials.tls_context(broker),
        username=broker.username or None,
        password=credentials.password(broker),
        on_message=on_message,
        on_state=on_state,
        protocol=version,
    )
    task = asyncio.create_task(link.run())
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                connected, trial.reason = await states.get()
                trial.link = link if connected else None
        yield trial
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
