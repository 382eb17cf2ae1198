"""How a kernel becomes fast: ahead of time, else just in time, else not at all; the same bits.

1. `NUMBA_DISABLE_JIT=1`: plain Python, for tests and debuggers.
2. An extension module built from exactly these sources (`make kernels`, or the wheel's build):
   numpy and 1 MB of machine code, neither numba nor LLVM (29 MB against 159 MB of memory,
   measured), and nothing that systemd's MemoryDenyWriteExecute forbids.
3. numba's JIT with its cache. `FIELDWARDEN_KERNELS=jit` asks for it where there is an extension.

Without extension and without numba an agent can not start, and says so.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from agent.errors import FieldwardenError

F = TypeVar("F", bound=Callable[..., Any])

EXTENSION = "_compiled"
_HERE = Path(__file__).parent
_NO_SOURCES = frozenset({"build.py", "compiler.py"})


def sources_digest() -> str:
    """SHA-256 of every kernel source, by which an extension knows what it was built from."""
    digest = hashlib.sha256()
    for path in sorted(_HERE.glob("*.py")):
        if path.name not in _NO_SOURCES:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _extension() -> ModuleType | None:
    note = _HERE / f"{EXTENSION}.sha256"
    try:
        if note.read_text(encoding="ascii").strip() != sources_digest():
            return None
        return importlib.import_module(f"{__package__}.{EXTENSION}")
    except (OSError, ImportError):
        return None


def _just_in_time() -> Callable[..., Any]:
    try:
        numba = importlib.import_module("numba")
    except ImportError:
        raise FieldwardenError(
            "loading", "the kernels", "neither compiled ahead of time nor is numba installed",
            "pip install 'fieldwarden[jit]', or build with a C compiler: make kernels",
        ) from None
    compiler: Callable[..., Any] = numba.njit(cache=True, error_model="numpy", nogil=True)
    return compiler


def _choose() -> tuple[str, Any]:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return "python", None
    extension = None
    if os.environ.get("FIELDWARDEN_KERNELS") != "jit":
        extension = _extension()
    return ("jit", _just_in_time()) if extension is None else ("compiled", extension)


MODE, _MEANS = _choose()
"""``python``, ``jit`` or ``compiled``: how the kernels of this process run."""


def export_name(function: Callable[..., Any]) -> str:
    """The name of a kernel in the extension: module and function."""
    return f"{function.__module__.rpartition('.')[2]}_{function.__name__}"


def kernel(function: F) -> F:
    """Mark a function as a kernel: arrays and numbers in, arrays changed in place, no objects."""
    if MODE == "python":
        return function
    if MODE == "jit":
        return _MEANS(function)  # type: ignore[no-any-return]
    # What only other kernels call was compiled into them, and is not exported.
    return getattr(_MEANS, export_name(function), function)
