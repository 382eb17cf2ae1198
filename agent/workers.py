"""Work on all cores, in processes: the result is that of one process, whatever their number."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from agent.errors import FieldwardenError

T = TypeVar("T")
R = TypeVar("R")

_given: tuple[Callable[..., Any], tuple[Any, ...]]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def each(
    function: Callable[..., R], given: tuple[Any, ...], tasks: Sequence[T], workers: int,
    doing: str,
) -> Iterator[R]:
    """`function(*given, task)` for each task, in their order.

    Processes begin afresh (`spawn`), because this one may have threads, with which a fork does not
    go well; they find the kernels in the same cache. `given` is sent to each of them once.

    Args:
        function: of a module, and pure.
        given: what all tasks have in common.
        tasks: what is sent with each call.
        workers: processes at most; with 1 all is done here. Each costs about 2 s of a core to
            begin with: it reads the program and the kernels anew.
        doing: what, for the error.

    Raises:
        FieldwardenError: a process ended unexpectedly.
    """
    if workers <= 1:
        yield from (function(*given, task) for task in tasks)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), get_context("spawn"), initializer=_begin,
        initargs=(function, given),
    )  # fmt: skip
    try:
        yield from pool.map(_one, tasks)
    except BrokenProcessPool as error:
        raise FieldwardenError(
            doing, f"in {workers} processes", "one of them ended: is there enough memory?",
            "try fewer: --workers 1",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def elsewhere(function: Callable[..., R], *given: Any) -> R:
    """What a function gives, from a process that ends with it, and with it all that it loaded.

    Args:
        function: of a module.
        given: its arguments, which are sent there.

    Raises:
        FieldwardenError: the process ended unexpectedly.
        Exception: what the function raises.
    """
    quiet = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), signal.signal, quiet) as pool:
            return pool.submit(function, *given).result()
    except BrokenProcessPool as error:
        cause = "its process ended unexpectedly: is there enough memory?"
        raise FieldwardenError("running", function.__name__, cause) from error


def _begin(function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    global _given  # noqa: PLW0603 - a process of a pool has no other place for it
    _given = function, given


def _one(task: Any) -> Any:
    function, given = _given
    return function(*given, task)
