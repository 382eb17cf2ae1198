"""The way to central ops: messages in JSON (`json_payload`), and their sender (`sender`)."""

from agent.forward.json_payload import Identity, event_message, summary_messages, verdict_message
from agent.forward.sender import Sender, Uplink

__all__ = [
    "Identity",
    "Sender",
    "Uplink",
    "event_message",
    "summary_messages",
    "verdict_message",
]
