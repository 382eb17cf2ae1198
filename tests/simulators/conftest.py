"""Free loopback ports, a real broker and a subscriber for the simulators' tests."""

from __future__ import annotations

import json

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators.broker import BrokerProcess
from simulators.ports import free_port
from simulators.service import Addresses
from tests.waiting import until


class Inbox:
    """Every message that a broker passes on, as (topic, document), from a subscriber of its own."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, dict]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#")
        self.client.on_message = self._take
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _take(self, _client, _data, message) -> None:
        self.messages.append((message.topic, json.loads(message.payload)))

    def of(self, topic: str) -> list[dict]:
        return [document for name, document in list(self.messages) if name == topic]

    async def wait(self, topic: str, count: int = 1) -> list[dict]:
        await until(lambda: len(self.of(topic)) >= count)
        return self.of(topic)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def broker():
    process = BrokerProcess(free_port())
    process.start()
    yield process
    process.stop()


@pytest.fixture
def open_inbox():
    """Opens subscribers by port; closes them at the end."""
    boxes = []

    def open_one(port: int) -> Inbox:
        boxes.append(Inbox(port))
        return boxes[-1]

    yield open_one
    for box in boxes:
        box.close()


@pytest.fixture
def inbox(broker, open_inbox):
    return open_inbox(broker.port)


@pytest.fixture
def addresses(broker):
    return Addresses(
        opcua=f"opc.tcp://127.0.0.1:{free_port()}/plant",
        modbus_port=free_port(),
        broker_port=broker.port,
    )
