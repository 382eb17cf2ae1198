"""Work on a cluster of dask.distributed: what `workers` does in processes, on whatever it has.

The result is that of one process, whatever the number of workers: tasks are pure, and their results
come in the order of the tasks. A task whose worker dies is done anew by another one.

What is sent is packed, and only workers unpack it: a scheduler reads each task that it is given,
and would load all that the functions need (numba, scipy, pyarrow: 200 MB) to pass it on.
"""

from __future__ import annotations

import itertools
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from agent import __version__
from agent.errors import FieldwardenError, cause_of
from agent.workers import give_back

T = TypeVar("T")
R = TypeVar("R")

_ANSWERS_S = 10
_WITHOUT_S = 60.0  # without any worker, after which there will be none
_LOOKS_S = 2.0
_AHEAD = 2  # tasks that wait beside those that are worked on


class Cluster:
    """A scheduler, and what can be asked of it; a context."""

    def __init__(self, address: str) -> None:
        """Connect.

        Raises:
            FieldwardenError: distributed is not installed, no scheduler answers, it has no workers,
                or these are not of this version.
        """
        try:
            import distributed  # noqa: PLC0415 an extra
        except ModuleNotFoundError as error:
            cause, hint = f"this needs {error.name}", "pip install 'fieldwarden[dask]'"
            raise FieldwardenError("connecting to", address, cause, hint) from error
        self._address = address
        try:
            self._client = _any(distributed).Client(
                address, timeout=_ANSWERS_S, set_as_default=False
            )
        except (OSError, ValueError, TypeError) as error:
            text = cause_of(error).splitlines()[0][:160]
            cause = f"no scheduler of dask answers there within {_ANSWERS_S} s ({text})"
            hint = "start one with `dask scheduler`, and say its address: tcp://HOST:8786"
            raise FieldwardenError("connecting to", address, cause, hint) from error
        try:
            self._check()
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def workers(self) -> int:
        """How many there are now."""
        return len(self._client.ncores())

    def _check(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_ANSWERS_S)
        except TimeoutError as error:
            raise self._without() from error
        for worker, said in self._client.run(_asks(), on_error="return").items():
            if said == __version__:
                continue
            cause = (
                f"worker {worker} has fieldwarden {said}, not {__version__}"
                if isinstance(said, str) and said else f"worker {worker} has no fieldwarden"
            )
            hint = f"pip install 'fieldwarden[fit,parquet,dask]=={__version__}' there"
            raise FieldwardenError("using workers of", self._address, cause, hint)

    def _without(self) -> FieldwardenError:
        hint = f"start some: dask worker {self._address} --nthreads 1"
        return FieldwardenError(
            "using workers of", self._address, "the scheduler has no worker", hint
        )

    def each(
        self, function: Callable[..., R], given: tuple[Any, ...], tasks: Sequence[T], doing: str
    ) -> Iterator[R]:
        """`function(*given, task)` for each task, in their order.

        Args:
            function: of a module, and pure.
            given: what all tasks have in common.
            tasks: what is sent with each call.
            doing: what, for errors.

        Raises:
            FieldwardenError: all workers are gone, or some died of a task; or what it raises.
        """
        waiting: deque[Any] = deque()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            shared = self._client.submit(_unpacked, pickle.dumps((function, given)), pure=False)
            left = iter(tasks)
            try:
                while True:
                    room = max(sum(self._client.ncores().values()), 1) + _AHEAD - len(waiting)
                    waiting.extend(
                        self._client.submit(_one, shared, pickle.dumps(task), pure=False)
                        for task in itertools.islice(left, max(room, 0))
                    )
                    if not waiting:
                        return
                    yield self._result(waiting.popleft(), doing)
            finally:
                self._client.cancel([shared, *waiting])

    def _result(self, future: Any, doing: str) -> Any:
        """The result of a task, for which is waited as long as there is a worker."""
        from distributed import CancelledError, KilledWorker  # noqa: PLC0415 an extra

        without = 0.0
        while True:
            try:
                return future.result(timeout=_LOOKS_S)
            except TimeoutError:
                without = 0.0 if self._client.ncores() else without + _LOOKS_S
                if without >= _WITHOUT_S:
                    raise self._without() from None
            except KilledWorker as error:
                cause = "workers ended again and again at one task: is there enough memory?"
                hint = "give each more (--memory-limit), and --nthreads 1"
                raise FieldwardenError(doing, f"on {self._address}", cause, hint) from error
            except (CancelledError, OSError) as error:
                cause = f"the scheduler is gone: {cause_of(error)[:160]}"
                hint = "see its log, start it again, and fit again"
                raise FieldwardenError(doing, f"on {self._address}", cause, hint) from error


def _any(module: Any) -> Any:
    """A library whose functions have no types."""
    return module


def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)  # noqa: S301 - of whoever may have anything done here


def _one(shared: tuple[Callable[..., R], tuple[Any, ...]], task: bytes) -> R:
    function, given = shared
    try:
        return function(*given, _unpacked(task))
    finally:
        give_back()


def _asks() -> Callable[[], str]:
    """A function that is sent as it is, for where there may be no such module."""

    def version() -> str:
        try:
            from agent import __version__ as own  # noqa: PLC0415
            from agent.records.lake import blocks  # noqa: PLC0415
        except ImportError:
            return ""
        return own if blocks.TOGETHER else ""

    version.__module__ = "__main__"
    return version
