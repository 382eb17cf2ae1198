"""`kind = "mlflow"`: tags and aliases of a registered model follow requests and trials.

| told | what is done |
|---|---|
| any | tags `fieldwarden.state`, `.id`, `.text`, `.by`, `.note` of the registered model |
| in trial | alias `candidate` is the version that is tried |
| rejected | alias `candidate` goes |
| accepted, rolled back, superseded | `champion` is the version that serves, `candidate` goes |

All of it can be done twice. It is done in a process of its own, see `registry`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from agent.configuration.hooks import MlflowHook
from agent.errors import FieldwardenError
from agent.hooks.form import Refused, Sender, Told

_LONGEST: Final = 4_000  # characters of a tag's value
_SERVES: Final = frozenset({"accepted", "rolled back", "superseded"})
_PROBE_S: Final = 45.0  # the library alone takes seconds to begin


def changes_of(told: Told, hook: MlflowHook) -> dict[str, Any]:
    """What an event of the kind ``retraining`` changes: tags, aliases, aliases that go.

    An alias stays as it is where the event does not say which version is meant.
    """
    data = told.data
    tags = {
        f"fieldwarden.{key}": str(data.get(key) or "")[:_LONGEST]
        for key in ("state", "id", "text", "by", "note")
    }
    change, aliases, gone = data.get("change"), dict[str, str](), list[str]()
    if change == "in trial":
        aliases = _alias(hook.candidate, data)
    elif change in _SERVES and data.get("in_service"):
        aliases, gone = _alias(hook.champion, data["in_service"]), [hook.candidate]
    elif change == "rejected":
        gone = [hook.candidate]
    return {"tags": tags, "aliases": aliases, "gone": gone}


def _alias(name: str, told: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(told["version"])} if told.get("version") else {}


def create(hook: MlflowHook, sender: Sender) -> MlflowTarget:
    """The target of a hook."""
    del sender
    return MlflowTarget(hook)


class MlflowTarget:
    """One registered model.

    Args:
        hook: its table.
    """

    def __init__(self, hook: MlflowHook) -> None:
        self._hook = hook

    async def deliver(self, told: Told) -> None:
        """See `form.Target`."""
        await _asked(self._hook, changes_of(told, self._hook))

    async def close(self) -> None:
        """See `form.Target`."""


async def probe(hook: MlflowHook, timeout_s: float) -> str:
    """Whether the library is there, the registry answers, and it has the model.

    Raises:
        FieldwardenError: it is not so.
    """
    try:
        async with asyncio.timeout(max(timeout_s, _PROBE_S)):
            return await _asked(hook, {})
    except TimeoutError:
        cause = f"no answer within {max(timeout_s, _PROBE_S):g} s"
        raise FieldwardenError("asking", hook.tracking_uri, cause, "check tracking_uri") from None


async def _asked(hook: MlflowHook, changes: Mapping[str, Any]) -> str:
    """What the process says; it is ended where nobody waits for it any more."""
    asked = {
        "tracking_uri": hook.tracking_uri, "registered_model": hook.registered_model,
        "version_tag": hook.version_tag, **changes,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.hooks.registry",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        said, _ = await process.communicate(json.dumps(asked).encode())
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _answer(hook, said)


def _answer(hook: MlflowHook, said: bytes) -> str:
    try:
        answer = json.loads(said.splitlines()[-1])
    except (ValueError, IndexError):
        answer = {"cause": "the process that speaks to it ended without an answer", "hint": ""}
    if "refused" in answer:
        raise Refused(answer["refused"])
    if "cause" in answer:
        hint = answer["hint"] or "check tracking_uri, the login and registered_model"
        raise FieldwardenError("telling", hook.tracking_uri, answer["cause"], hint)
    return str(answer["said"])
