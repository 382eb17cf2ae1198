"""What every part of the chain needs: waiting, the page, and `fieldwarden` as a process."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _load import history, process, wait_for  # noqa: E402

from simulators.children import Children  # noqa: E402
from simulators.ports import free_port  # noqa: E402

__all__ = [
    "FIRST_S", "PATIENCE_S", "command", "environment", "fit", "free_port", "history", "page",
    "process", "wait", "wait_for",
]  # fmt: skip

T = TypeVar("T")

PATIENCE_S = 60.0
FIRST_S = 240.0  # a first start may have to compile the kernels
_POLL_S = 0.1
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait(what: str, ready: Callable[[], T], timeout_s: float = PATIENCE_S) -> T:
    """The first true answer of `ready`.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + timeout_s
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {timeout_s:g} s")
        time.sleep(_POLL_S)
    return answer


def page(port: int) -> dict[str, Any]:
    """The status document of a running agent; empty while it does not answer."""
    try:
        with _OPENER.open(f"http://127.0.0.1:{port}/api/v1/status", timeout=5) as answer:
            document: dict[str, Any] = json.load(answer)
            return document
    except (OSError, ValueError):
        return {}


def command(*words: str) -> list[str]:
    """`fieldwarden`, as a command of this interpreter."""
    return [sys.executable, "-m", "agent.cli", *words]


def environment(**more: str) -> dict[str, str]:
    """Of every process of ours."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}


def fit(
    config: Path, model: str, columns: Sequence[str], rows: Iterable[Sequence[float]],
    interval_s: float, baseline: Path,
) -> None:  # fmt: skip
    """Fit a model from a record of our own.

    Args:
        config: the configuration.
        model: its name there.
        columns: of the record.
        rows: one value for each column.
        interval_s: between rows.
        baseline: the file that the configuration names.
    """
    record = baseline.with_suffix(".csv")
    with record.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *columns])
        for number, row in enumerate(rows):
            moment = datetime.fromtimestamp(1_700_000_000 + number * interval_s, UTC)
            writer.writerow([moment.isoformat(), *row])
    children, name = Children(baseline.parent / "log"), f"fit-{model}"
    words = command("fit", str(config), "--model", model, "--data", str(record))
    children.start(name, words, environment())
    try:
        wait(f"baseline of {model}", baseline.is_file, FIRST_S)
    finally:
        children.stop(name)
