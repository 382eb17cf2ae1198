"""Has a change assessed in a process of its own (`worker`), ended where nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from agent.configuration.schema import Configuration
from agent.errors import FieldwardenError
from agent.impact.replay import Progress
from agent.impact.task import Task

_LONGEST_LINE: Final = 16_000_000
_GRACE_S: Final = 120.0
"""Beyond the limit of the replay: for reading the program while others have the cores."""


async def assess(
    configuration: Configuration, task: Task, told: Callable[[Progress], None]
) -> dict[str, Any]:
    """The assessment; cancelled, the process is ended.

    Args:
        configuration: of the running agent.
        task: the change, and its bounds.
        told: gets the progress.

    Raises:
        FieldwardenError: there is none, and why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.impact.worker", stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=_LONGEST_LINE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(task.limit_s + _GRACE_S):
            return await _answer(process, configuration, task, told)
    except TimeoutError:
        raise _error(task, "it takes too long", "assess fewer days") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _answer(
    process: asyncio.subprocess.Process, configuration: Configuration, task: Task,
    told: Callable[[Progress], None],
) -> dict[str, Any]:  # fmt: skip
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise _error(task, "its process has no pipes")
    asked = {
        "configuration": configuration.model_dump(mode="json", by_alias=True),
        "task": task.to_json(),
    }
    with contextlib.suppress(ConnectionError):  # then it has ended, as is seen below
        stdin.write(json.dumps(asked).encode())
        await stdin.drain()
        stdin.close()
    while line := await stdout.readline():
        said = json.loads(line)
        if "assessment" in said:
            found: dict[str, Any] = said["assessment"]
            return found
        if "cause" in said:
            raise _error(task, said["cause"], said["hint"])
        told(Progress(float(said["done"]), said["left_s"]))
    cause = "the process that replays it ended without an answer: is there enough memory?"
    raise _error(task, cause, "assess fewer days: fieldwarden change assess CONFIG CHANGE --days 1")


def _error(task: Task, cause: str, hint: str = "") -> FieldwardenError:
    return FieldwardenError("assessing change", task.change or "of a file", cause, hint)
