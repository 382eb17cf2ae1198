"""Work on all cores, in processes: the result is that of one process, whatever their number.

Processes end with the one that has begun them, however it ends: one that is killed can not end its
own, and these would work on, or wait for ever.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from agent.errors import FieldwardenError

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # tasks of each worker that are sent, or wait to be

_given: tuple[Callable[..., Any], tuple[Any, ...]]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def pool(
    workers: int, begin: Callable[..., object] | None = None, given: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """Processes that end with this one.

    They begin afresh (`spawn`), because this one may have threads, with which a fork does not go
    well.

    Args:
        workers: at most.
        begin: of a module; called in each before its first task.
        given: its arguments.
    """
    return ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_begin, initargs=(begin, given)
    )


def give_back() -> None:
    """Return what memory is free in this process to the machine.

    Allocators keep what was freed, for more of the same: in a process that waits for its next task
    that is memory that others lack.
    """
    if pyarrow := sys.modules.get("pyarrow"):
        pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def each(
    function: Callable[..., R], given: tuple[Any, ...], tasks: Sequence[T], workers: int,
    doing: str,
) -> Iterator[R]:
    """`function(*given, task)` for each task, in their order.

    Processes find the kernels in the same cache. `given` is sent to each of them once.

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
    processes = pool(min(workers, len(tasks)), _take, (function, given))
    try:
        ahead: deque[Future[R]] = deque()  # few, for what is sent is held until it is done
        for task in tasks:
            ahead.append(processes.submit(_one, task))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except BrokenProcessPool as error:
        raise FieldwardenError(
            doing, f"in {workers} processes", "one of them ended: is there enough memory?",
            "try fewer: --workers 1",
        ) from error
    finally:
        processes.shutdown(cancel_futures=True)


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
        with pool(1, signal.signal, quiet) as process:
            return process.submit(function, *given).result()
    except BrokenProcessPool as error:
        cause = "its process ended unexpectedly: is there enough memory?"
        raise FieldwardenError("running", function.__name__, cause) from error


def _begin(begin: Callable[..., object] | None, given: tuple[Any, ...]) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*given)


def _end_with_parent() -> None:
    """Wait for the end of the process that has begun this one, and end."""
    if (parent := parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _take(function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    global _given  # noqa: PLW0603 - a process of a pool has no other place for it
    _given = function, given


def _one(task: Any) -> Any:
    function, given = _given
    return function(*given, task)
