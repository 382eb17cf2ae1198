"""MQTT for sources, the forwarder, central and simulators; see `agent.mqtt.link`."""

from agent.mqtt.link import MqttLink, Protocol
from agent.mqtt.messages import LinkError, Message, RefusedError, Will

__all__ = ["LinkError", "Message", "MqttLink", "Protocol", "RefusedError", "Will"]
