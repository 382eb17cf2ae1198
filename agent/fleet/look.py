"""Retained messages, asked for once: a shared subscription is given none.

They come by a connection of its own whose session ends with it, so that no plain subscription stays
behind at the broker, and are settled like all others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from agent.central.receipt import Receipt
from agent.clock import monotonic_ns
from agent.fleet.intake import Intake, Taken
from agent.forward.json_payload import PREFIX, SCHEMA
from agent.mqtt import Message, MqttLink

logger = logging.getLogger(__name__)

QUIET_S: Final = 3.0  # without a retained message: that was all
ALL: Final = 65_535
"""Messages on their way at once: of what it keeps mosquitto drops what goes beyond these and its
`max_queued_messages` (1,000)."""
STREAMS: Final = ("state", "verdict/+")


class Look:
    """Asks a broker for what it keeps of every gateway.

    Args:
        client_id: of this connection.
        intake: gets the messages.
        arguments: of `MqttLink`: where the broker is.
    """

    def __init__(self, client_id: str, intake: Intake, arguments: Mapping[str, Any]) -> None:
        self._client_id = client_id
        self._intake = intake
        self._arguments = arguments

        self._count = 0
        self._unsettled = 0
        self._heard_s = 0.0
        self._link: MqttLink | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands."""
        return self._link is not None and self._link.connected

    def ack(self, message: Message) -> None:
        """It is settled."""
        self._unsettled -= 1
        if self._link is not None:
            self._link.ack(message)

    def _take(self, message: Message) -> None:
        if not message.retain:  # the workers get it too
            if self._link is not None:
                self._link.ack(message)
            return
        self._count += 1
        self._unsettled += 1
        self._heard_s = asyncio.get_running_loop().time()
        receipt = Receipt(monotonic_ns(), message.topic, retained=True, expiry_s=message.expiry_s)
        self._intake.put(Taken(message, receipt, self))

    def _on_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        if not connected:
            self._intake.drop(self)
            told = "%s: what the broker keeps is asked for again: %s"
            logger.warning(told, self._client_id, reason)
        self._unsettled = 0
        self._heard_s = asyncio.get_running_loop().time()

    def _over(self) -> bool:
        quiet_s = asyncio.get_running_loop().time() - self._heard_s
        return self.connected and self._unsettled <= 0 and quiet_s >= QUIET_S

    async def run(self) -> None:
        """Until no more comes, and all that came is settled."""
        self._count = 0
        link = self._link = MqttLink(
            client_id=self._client_id, clean_start=True, manual_ack=True, on_message=self._take,
            on_state=self._on_state, **{**self._arguments, "receive_maximum": ALL},
        )  # fmt: skip
        link.subscribe([(f"{PREFIX}/{SCHEMA}/+/+/{stream}", 1) for stream in STREAMS])
        task = asyncio.create_task(link.run())
        try:
            while not self._over():  # noqa: ASYNC110 - silence has no event
                await asyncio.sleep(0.2)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._intake.drop(self)
        logger.info("the broker had kept %d messages of gateways", self._count)
