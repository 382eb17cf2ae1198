"""The way to central ops: payload forms, one row of `FORMS` for each, and their sender."""

from agent.forward import json_payload
from agent.forward.broker import Uplink
from agent.forward.form import Identity, PayloadForm
from agent.forward.sender import Sender

__all__ = ["FORMS", "Identity", "PayloadForm", "Sender", "Uplink"]

FORMS: dict[str, PayloadForm] = {"json": json_payload}
"""`format` of `[upstream]` -> the form."""
