"""`fieldwarden fit --data 'lake/**/*.parquet'`: where the work is done, and how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from agent.boottime import boottime_ns
from agent.errors import FieldwardenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.configuration.schema import Configuration
    from agent.records.lake.stream import Streamed
    from agent.records.times import Reading

_EVERY_S = 10.0  # a line where stderr is no terminal


@contextmanager
def worked_by(scheduler: str, workers: int) -> Iterator[Any]:
    """What does the work of a fit: a cluster, or so many processes of this machine."""
    if not scheduler:
        from agent.workers import each

        yield partial(each, workers=workers)
        return
    from agent.cluster import Cluster

    with Cluster(scheduler) as cluster:
        yield cluster.each


def read_lake(
    configuration: Configuration, name: str, data: str, how: Reading, each: Any
) -> Streamed | None:
    """A model's record from a lake; None where it is small enough to be read whole.

    Raises:
        FieldwardenError: it can not be read, or what reads it is not installed.
    """
    from agent.records.beside import beside
    from agent.records.table import tags_of_texts
    from agent.workers import give_back

    try:
        from agent.records.lake.stream import Columns, stream
    except ModuleNotFoundError as error:
        cause, hint = f"this needs {error.name}", "pip install 'fieldwarden[fit,parquet]'"
        raise FieldwardenError("reading lake", data, cause, hint) from error
    model, texts = configuration.models[name], tags_of_texts(configuration)
    mode = model.mode.tag if model.mode else ""
    columns = Columns(
        tuple(dict.fromkeys([*model.inputs, *([mode] if mode else [])])),
        tuple(tag for tag in beside(model) if tag not in texts), texts, mode,
    )
    with told("reading the lake") as tell:
        found = stream(data, columns, how, each, tell)
    give_back()  # what reading took, before the fit takes more
    return found


@contextmanager
def told(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """Progress on stderr: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("rows"), TaskProgressColumn(show_speed=True), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(f"{title}: {what}", total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield tell


class _Lines:
    """Progress in lines: rows, share, rate, time left."""

    def __init__(self) -> None:
        self._what = ""
        self._since = self._next = 0.0

    def __call__(self, what: str, done: int, of: int) -> None:
        now = boottime_ns() / 1e9
        if what != self._what:
            self._what, self._since, self._next = what, now, now + _EVERY_S
        if now < self._next:
            return
        self._next = now + _EVERY_S
        click.echo(line(what, done, of, now - self._since), err=True)


def line(what: str, done: int, of: int, seconds: float) -> str:
    """``statistics: 12,000,000 of 100,000,000 rows (12 %), 400,000 rows/s, 4 min left``."""
    from agent.status.view import duration

    text = f"{what}: {done:,} of {of:,} rows ({done / max(of, 1):.0%})"
    rate = done / seconds if seconds > 0.0 else 0.0
    return f"{text}, {rate:,.0f} rows/s, {duration((of - done) / rate)} left" if rate else text
