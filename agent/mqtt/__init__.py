"""MQTT for sources, the forwarder, central and simulators; see `agent.mqtt.link`."""

from agent.mqtt.link import MqttLink, Protocol
from agent.mqtt.messages import HUNG_UP, LinkError, LostError, Message, RefusedError, Will

__all__ = [
    "HUNG_UP", "LinkError", "LostError", "Message", "MqttLink", "Protocol", "RefusedError", "Will",
]  # fmt: skip
