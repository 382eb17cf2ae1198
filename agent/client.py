"""The way to a running agent: for the command over its Unix socket, and for models.

A model asks for its own verdict with one call, from the agent's files, its socket or its page:

    from agent.client import verdict

    if verdict("yield", "/run/fieldwarden").trusted: ...

Nothing but the standard library is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import math
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from agent.boottime import boot_id, boottime_ns
from agent.errors import FieldwardenError, cause_of
from agent.files import read_bounded
from agent.status.local_socket import connected

RUNTIME: Final = "/run/fieldwarden"
FOLDER: Final = "verdicts"
"""Of the verdict files, below the runtime directory; `LOCK` is in it."""

LOCK: Final = ".lock"
SCHEMA: Final = 1
TRUSTED: Final = "trusted"
UNASSESSABLE: Final = "unassessable"
VERDICTS: Final = frozenset({TRUSTED, "caution", "untrusted", UNASSESSABLE})
FRESH_NS: Final = 5_000_000_000
"""A verdict of a fold longer ago means that the agent stands still: it folds each second."""

_PATIENCE_S: Final = 20.0  # a commit on a slow disk takes its time
_HURRY_S: Final = 1.0  # a model waits for its prediction
_LONGEST_ANSWER: Final = 64 * 1024 * 1024  # bytes
_LONGEST_FILE: Final = 4 * 1024 * 1024
_LONGEST_NAME: Final = 200  # bytes of a file's name, without its ending
_LEAST_DIGITS: Final = 12
_SLEWED_NS: Final = 2_000_000_000  # by which the agent may misjudge CLOCK_BOOTTIME of its last fold
_GONE: Final = frozenset("ZXx")  # states of a process: proc(5)
_STOPPED: Final = frozenset("Tt")


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
        return _exchange(connection, method, target, body)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unanswered(path, error) from error


def _exchange(
    connection: http.client.HTTPConnection, method: str, target: str, body: Any
) -> dict[str, Any]:
    """The document that a server answers; the connection is closed.

    Raises:
        OSError, ValueError, HTTPException: no agent answers.
        FieldwardenError: it answers that it refuses.
    """
    try:
        connection.request(method, target, json.dumps(body) if body is not None else None)
        answer = connection.getresponse()
        status, text = answer.status, answer.read(_LONGEST_ANSWER)
    finally:
        connection.close()
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("what answers there is no agent")  # noqa: TRY004 - of an answer
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


# --- the verdict, for models ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model is worth, as far as can be known; `trusted` is true for good reason only.

    Attributes:
        model: that was asked for.
        verdict: ``trusted``, ``caution``, ``untrusted`` or ``unassessable``.
        reason: why it is not trusted, in one sentence; empty where it is.
        reasons: all of the agent's reasons: dicts with text, cause, kind, tag, hint.
        causes: what they name: sensor, integration, process, model, unknown.
        owner: team and contact, who must act.
        version: of the model, as it is configured.
        baseline: SHA-256 of the baseline that it was judged by.
        sequence: of the agent's last entry that it rests on.
        expires_boottime_ns: CLOCK_BOOTTIME after which this says nothing any more.
        boot_id: of the kernel whose clock that is.
    """

    model: str
    verdict: str = UNASSESSABLE
    reason: str = ""
    reasons: tuple[Mapping[str, Any], ...] = ()
    causes: tuple[str, ...] = ()
    owner: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    baseline: str = ""
    sequence: int = 0
    expires_boottime_ns: int = 0
    boot_id: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the model may be relied on at this very moment; never longer than it is valid."""
        if self.verdict != TRUSTED or self.reason or not self.boot_id:
            return False
        return self.boot_id == boot_id() and boottime_ns() <= self.expires_boottime_ns


def verdict(
    model: str, path_or_url: str | os.PathLike[str] = RUNTIME, *, version: str | None = None,
    baseline: str | None = None, timeout_s: float = _HURRY_S,
    tls: ssl.SSLContext | None = None,
) -> Verdict:  # fmt: skip
    """What `model` is worth now; never raises, and whatever goes wrong reads as not trusted.

    Ask before each prediction, and look at `trusted` when the prediction is used.

    Args:
        model: its name in the agent's configuration.
        path_or_url: the runtime directory of the agent, a verdict file in it, the agent's Unix
            socket, or ``http://host:port`` of its page (``https://`` too).
        version: of the model that asks: another one configured is not trusted.
        baseline: SHA-256 (or its beginning, at least 12 digits) that it must be judged by.
        timeout_s: for each step of asking over a socket.
        tls: for ``https://``; default: the system's certificate authorities.
    """
    try:
        told, expires = _asked(model, os.fspath(path_or_url), timeout_s, tls)
        found = _believed(model, told, expires)
    except _Doubt as doubt:
        return Verdict(model, reason=str(doubt))
    except FieldwardenError as error:
        why = f"{error.operation} {error.subject}: {error.cause}"
        return Verdict(model, reason=why)
    except Exception as error:  # noqa: BLE001 - a model must not fail because its guard does
        return Verdict(model, reason=f"the verdict can not be read: {cause_of(error)}")
    if version is not None and found.version != version:
        why = f"the agent guards version {found.version}, and not {version}"
    elif baseline is not None and not (
        len(baseline) >= _LEAST_DIGITS and found.baseline.startswith(baseline.lower())
    ):
        why = "it was judged by another baseline than was asked for"
    else:
        return found
    return replace(found, verdict=UNASSESSABLE, reason=why)


class _Doubt(Exception):  # noqa: N818 - a reason, not a fault
    """Why nothing is to be believed."""


def _asked(
    model: str, place: str, timeout_s: float, tls: ssl.SSLContext | None
) -> tuple[Mapping[str, Any], int]:
    """What an agent says of a model, and the CLOCK_BOOTTIME up to which that may hold at most."""
    began = boottime_ns()
    nonce = secrets.token_hex(8)
    target = f"/api/v1/models/{quote(model, safe='')}/verdict?nonce={nonce}"
    url = urlsplit(place)
    if url.scheme in {"http", "https"}:
        told = _from_url(url, target, timeout_s, tls)
    elif stat.S_ISSOCK(_kind_of(place)):
        told = request(Path(place), "GET", target, timeout_s=timeout_s)
    else:
        return _from_file(model, Path(place)), began + FRESH_NS
    if told.get("nonce") != nonce:
        raise _Doubt("what answers is no agent, or gives an old answer again")
    age_s, valid_s = float(told["age_s"]), float(told["valid_for_s"])
    left = min(FRESH_NS - age_s * 1e9, valid_s * 1e9)
    if not (0 <= age_s < math.inf and 0 < valid_s < math.inf and left > 0):
        raise _Doubt("the agent stands still: what it told last does not hold any more")
    return told, began + int(left)


def _kind_of(place: str) -> int:
    try:
        return Path(place).stat().st_mode
    except OSError as error:
        raise _Doubt(f"no agent wrote {place}: {cause_of(error)}") from error


def _from_url(
    url: SplitResult, target: str, timeout_s: float, tls: ssl.SSLContext | None
) -> dict[str, Any]:
    host, port = url.hostname or "", url.port
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=tls or ssl.create_default_context()
        )
        if url.scheme == "https" else http.client.HTTPConnection(host, port, timeout=timeout_s)
    )  # fmt: skip
    try:
        return _exchange(connection, "GET", url.path.rstrip("/") + target, None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _Doubt(f"the agent at {url.netloc} does not answer: {cause_of(error)}") from error


def _from_file(model: str, place: Path) -> Mapping[str, Any]:
    """The document of a verdict file whose writer lives and runs."""
    path = place
    if place.is_dir():
        inner = place / FOLDER
        path = verdict_file(inner if inner.is_dir() else place, model)
    told = json.loads(read_bounded(path, _LONGEST_FILE, "reading the verdict"))
    if not isinstance(told, dict):
        raise _Doubt("the file holds no verdict")
    if not _held(path.with_name(LOCK)):
        raise _Doubt("the agent that wrote the verdict does not run any more")
    _runs(told.get("process") or {})
    return told


def _held(lock: Path) -> bool:
    """Whether somebody holds the writer's lock; taken for a moment where nobody does."""
    handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _runs(process: Mapping[str, Any]) -> None:
    """Doubt a writer that can be seen from here to be gone, or to be stopped."""
    try:
        seen = str(Path("/proc/self/ns/pid").readlink()) == process.get("namespace")
        place = Path(f"/proc/{int(process['pid'])}")
        # Where even process 1 is hidden (hidepid), what is not there may be hidden, too.
        gone = seen and not place.exists() and Path("/proc/1").exists()
        words = "" if gone else (place / "stat").read_text("ascii", "replace")
    except (OSError, LookupError, ValueError):
        return  # it is not to be seen from here: its lock, and the age of what it wrote, tell
    if not seen:
        return
    facts = words.rpartition(")")[2].split()
    if gone or int(facts[19]) != process.get("started") or facts[0] in _GONE:
        raise _Doubt("the agent that wrote the verdict does not run any more")
    if facts[0] in _STOPPED:
        raise _Doubt("the agent that wrote the verdict is stopped")


def _believed(model: str, told: Mapping[str, Any], expires: int) -> Verdict:
    """The verdict of a document, if it is of this model and of now."""
    if told.get("schema") != SCHEMA:
        raise _Doubt("the verdict is of another version of the agent")
    if told["model"] != model:
        raise _Doubt(f"the verdict is of model {told['model']}")
    here, reasons = boot_id(), tuple(told["reasons"])
    if told["boot_id"] == here and here:
        now, at = boottime_ns(), int(told["boottime_ns"])
        if now + _SLEWED_NS < at:
            raise _Doubt("the verdict is of a time that has not come yet")
        expires = min(
            expires, at + FRESH_NS, int(told["valid_until_boottime_ns"]),
            int(told["fresh_until_boottime_ns"]),
        )  # fmt: skip
        if now > expires:
            raise _Doubt("the verdict was not renewed: the agent stands still, or is gone")
    elif "nonce" not in told:
        raise _Doubt("the verdict was given before this machine was started, or on another one")
    word = str(told["verdict"])
    if word not in VERDICTS:
        raise _Doubt(f"the verdict is {word[:40]!r}, which means nothing here")
    why = str(reasons[0]["text"]) if reasons else f"its verdict is {word}"
    return Verdict(
        model, word, "" if word == TRUSTED else why, reasons, tuple(told["causes"]), told["owner"],
        str(told["version"]), str(told["baseline_hash"]), int(told["sequence"]), expires, here,
    )  # fmt: skip


def verdict_file(folder: Path, model: str) -> Path:
    """Where in a folder the verdict of a model stands."""
    name = quote(model, safe=" ")
    if len(name) > _LONGEST_NAME:
        name = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()
    return folder / f"{name}.json"
