"""CLOCK_BOOTTIME and the kernel's boot id: with nothing but the standard library, for any process.

Together they name a moment that no setting of the wall clock changes.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_ns() -> int:
    """Nanoseconds since the kernel started, sleep included; with `boot_id` it names a moment."""
    return time.clock_gettime_ns(_BOOTTIME)


def boot_id() -> str:
    """The kernel's name for its present run; empty where it has none."""
    with suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""
