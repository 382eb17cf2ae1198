"""An assessment in a process of its own: `python -m agent.impact.worker`.

It yields to everything else: lowest priority but the idle one, idle I/O, the first to go where
memory is short, and no more of it than its limit. A request is a JSON object on stdin
(`configuration`, as it dumps itself, and `task`); on stdout come JSON lines: `done` and `left_s` as
it goes, then `assessment`, or `cause` and `hint`. Whoever stops reading ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any, Final

from agent.clock import monotonic_ns
from agent.errors import FieldwardenError, explained

NICE: Final = 15
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "riscv64": 30}
_IDLE: Final = 3 << 13
_FIRST_TO_GO: Final = "800"
MB: Final = 1_000_000


def yield_to_others() -> None:
    """Lower this process's priority in all that there is; what can not be done is left."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, _IDLE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def bound_memory(limit_mb: int) -> None:
    """No more than so much from here on; what is read already counts."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit_mb * MB, limit_mb * MB))


def seconds() -> float:
    """A clock that only goes on."""
    return monotonic_ns() / 1e9


def main() -> None:
    """Do what stdin asks for; say on stdout how far it is, and what came of it."""
    asked = json.load(sys.stdin)
    yield_to_others()
    try:
        _say({"assessment": _assessed(asked)})
    except MemoryError:
        cause = f"it needs more than {asked['task']['limit_mb']} MB of memory"
        hint = "assess fewer days: fieldwarden change assess CONFIG CHANGE --days 1"
        _say({"cause": cause, "hint": hint})
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        told = explained(error, "assessing", "a change")
        _say({"cause": str(FieldwardenError(told.operation, told.subject, told.cause)),
              "hint": told.hint})  # fmt: skip


def _assessed(asked: dict[str, Any]) -> dict[str, Any]:
    # Behind the lower priority: reading the program is the first work that there is.
    from agent.configuration.schema import Configuration  # noqa: PLC0415
    from agent.impact.assess import assessed  # noqa: PLC0415
    from agent.impact.replay import Progress  # noqa: PLC0415
    from agent.impact.task import Task  # noqa: PLC0415

    def told(progress: Progress) -> None:
        _say({"done": progress.done, "left_s": progress.left_s})

    bound_memory(int(asked["task"]["limit_mb"]))  # what fails in the midst of reading says little
    configuration = Configuration.model_validate(asked["configuration"])
    return assessed(configuration, Task.from_json(asked["task"]), seconds, told)


def _say(told: dict[str, Any]) -> None:
    print(json.dumps(told, allow_nan=False), flush=True)  # noqa: T201 - that is the answer


if __name__ == "__main__":
    main()
