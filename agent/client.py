"""The command's way to a running agent: its Unix socket, where the kernel says who asks."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from agent.errors import FieldwardenError, cause_of
from agent.status.local_socket import connected

_PATIENCE_S: Final = 20.0  # a commit on a slow disk takes its time
_LONGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes


class NobodyError(FieldwardenError):
    """Nobody serves the socket, or it is not there."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path, self._timeout_s = path, timeout_s

    def connect(self) -> None:
        self.sock: socket.socket = connected(self._path, self._timeout_s)


def tell(path: Path, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Have the agent that listens on `path` carry out a command; the event that came of it.

    Raises:
        FieldwardenError: no agent runs, this user may not act, or it can not be carried out.
    """
    answer = request(path, "POST", f"/api/v1/commands/{kind}", data)
    event = answer.get("event")
    return event if isinstance(event, dict) else {}


def request(
    path: Path, method: str, target: str, body: Any = None, timeout_s: float = _PATIENCE_S
) -> dict[str, Any]:
    """One request to the agent that listens on `path`.

    Raises:
        NobodyError: no agent serves it.
        FieldwardenError: as the agent says it, or because there is no answer.
    """
    connection = _Connection(path, timeout_s)
    try:
        connection.request(method, target, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        status, text = answer.status, answer.read(_LONGEST_ANSWER)
        document = json.loads(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unanswered(path, error) from error
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise _unanswered(path, ValueError("what answers there is no agent"))
    if status != http.client.OK:
        detail, hint = (str(document.get(key, "")) for key in ("detail", "hint"))
        raise FieldwardenError("the agent", "refused", detail, hint)
    return document


def _unanswered(path: Path, error: Exception) -> FieldwardenError:
    kind = FieldwardenError
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            kind = NobodyError
            cause = "no agent runs with this state directory"
            hint = "start it (systemctl start fieldwarden), or give the configuration that it uses"
        case PermissionError():
            cause = "this user may not connect"
            hint = "use sudo, or be in the group that `socket_group` under [status] names"
        case TimeoutError():
            cause = "it does not answer"
            hint = "see its log: journalctl -u fieldwarden"
        case _:
            cause, hint = cause_of(error), ""
    return kind("asking the agent at", str(path), cause, hint)
