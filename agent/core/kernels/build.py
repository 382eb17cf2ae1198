"""Build: every kernel -> one extension module for the platform's baseline CPU.

    python -m agent.core.kernels.build

This is the only module that knows numba.pycc, which numba means to replace one day. It needs numba
and a C compiler, at build time only.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["FIELDWARDEN_KERNELS"] = "jit"
os.environ.pop("NUMBA_DISABLE_JIT", None)

import numba
from numba import types

from agent.core.kernels import (
    DETECTORS,
    OUTPUT_CHARTS,
    TAG_DETECTORS,
    admission,
    arrange,
    extrapolating,
    given,
    joint,
    scan,
    tally,
    trace,
)
from agent.core.kernels.base import TRANSITION
from agent.core.kernels.compiler import EXTENSION, export_name, sources_digest

_I8, _F8 = types.int64, types.float64


def _a(kind: Any, ndim: int = 1) -> Any:
    """The type of a C-contiguous array of a numpy dtype or numba scalar."""
    scalar = kind if isinstance(kind, types.Type) else numba.from_dtype(kind)
    return types.Array(scalar, ndim, "C")


_LONG, _REAL, _REAL2, _SHORT = _a(_I8), _a(_F8), _a(_F8, 2), _a(types.uint16)
_BYTE, _BYTE2, _OUT = _a(types.uint8), _a(types.uint8, 2), _a(TRANSITION)


def exports() -> dict[str, tuple[Any, Callable[..., Any]]]:
    """Name in the extension -> (signature, plain Python function)."""
    found: dict[str, tuple[Any, Callable[..., Any]]] = {}

    def add(function: Any, result: Any, *arguments: Any) -> None:
        found[export_name(function.py_func)] = (result(*arguments), function.py_func)

    folds = {one.fold: one for one in (*DETECTORS, *TAG_DETECTORS, *OUTPUT_CHARTS)}
    for detector in folds.values():  # two charts may share one
        add(detector.fold, _I8, _a(detector.params), _a(detector.state), _LONG, _I8, _LONG, _LONG,
            _REAL, _SHORT, _OUT)
    add(arrange.arrange, _I8, _LONG, _REAL, _REAL, _a(types.int32), _LONG, _LONG, _REAL, _SHORT,
        _LONG, _LONG, _LONG, _REAL, _SHORT)
    params, state = _a(admission.PARAMS), _a(admission.STATE)
    add(admission.capacity, _I8, params, state, _LONG, _LONG, _I8)
    add(admission.admit, _I8, params, state, _LONG, _I8, _LONG, _LONG, _REAL, _SHORT,
        _LONG, _LONG, _LONG, _LONG, _LONG, _REAL, _SHORT)
    add(scan.scan, types.none, _a(scan.PARAMS), _a(scan.STATE), _LONG, _LONG, _REAL, _SHORT, _I8,
        _I8, _REAL2, _BYTE2, _BYTE)
    add(scan.follow, types.none, _a(scan.PARAMS), _a(scan.STATE), _LONG, _LONG, _LONG, _LONG, _REAL,
        _I8, _I8, _REAL2, _BYTE2, _BYTE)
    add(given.residuals, types.none, _a(given.PARAMS), _REAL2, _a(given.STATE), _LONG, _LONG, _REAL,
        _SHORT, _I8, _I8, _REAL2, _BYTE, _LONG, _LONG, _REAL)
    add(extrapolating.fold, _I8, _a(extrapolating.PARAMS), _a(extrapolating.STATE),
        _a(extrapolating.COUNTS), _LONG, _REAL2, _BYTE2, _OUT)
    add(tally.tally, types.none, _a(tally.COUNTS), _a(_I8, 2), _REAL2, _LONG, _REAL)
    add(trace.remember, types.none, _a(trace.STATE), _REAL2, _REAL2, _REAL2, _LONG, _I8, _LONG,
        _REAL)
    add(joint.project, types.none, _REAL2, _REAL, _REAL, _REAL)
    add(joint.statistics, types.none, _REAL2, _REAL, _I8, _REAL2, _REAL2)
    add(joint.smooth, types.none, _REAL, _F8, _F8, _F8, _REAL)
    joint_params, joint_state = _a(joint.PARAMS), _a(joint.STATE)
    add(joint.changes, types.none, _REAL2, _REAL, _REAL2, joint_state, _REAL2, _REAL2)
    add(joint.fold_joint, _I8, joint_params, _REAL2, _REAL, _REAL2, _REAL, _REAL2, _REAL,
        joint_state, _REAL2, _REAL2, _REAL2, _LONG, _REAL2, _BYTE, _OUT, _REAL2, _REAL2)
    return found


def build(directory: Path) -> Path:
    """Compile into `directory`; the extension's path. Its digest goes beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba.pycc announces its successor at import
        from numba.pycc import CC  # type: ignore[attr-defined]  # noqa: PLC0415
    compiler = CC(EXTENSION)
    compiler.output_dir = str(directory)
    compiler.target_cpu = ""  # the platform's baseline, not the machine that builds
    for name, (signature, function) in exports().items():
        compiler.export(name, signature)(function)
    compiler.compile()
    (directory / f"{EXTENSION}.sha256").write_text(sources_digest() + "\n", encoding="ascii")
    return next(directory.glob(f"{EXTENSION}.*.so"))


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(__file__).parent)}\n")
