"""What became of a model: its verdicts and its losses over time, from what the store keeps.

It is read in a thread, one model at a time and each at most once in `KEPT_NS`: a page that many
people look at costs the agent no more than one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.core import identity
from agent.core.engine import Engine
from agent.core.loss import LossSums
from agent.core.verdict import reasons_of
from agent.mqtt.background import in_thread
from agent.report.history import verdicts
from agent.store import Reader

KEPT_NS: Final = 10_000_000_000
CHANGES_MOST: Final = 200  # of a verdict
SPANS_MOST: Final = 300  # these, and the times in which nobody watched
OUTPUTS_MOST: Final = 8  # of which losses are told
WINDOWS_MOST: Final = 1_000  # of an output, put together to
POINTS_MOST: Final = 60
_MODELS_KEPT: Final = 64
_LONGEST: Final = 300  # characters of a reason


class _Asked(NamedTuple):
    """What is read for, taken from the engine before the thread begins."""

    path: Path
    name: str
    now_ns: int
    since_ns: int
    current: Mapping[str, Any]
    labels: Sequence[tuple[str, str, str, float | None]]


class ModelHistory:
    """Histories of the models of one run."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._made: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}

    async def of(self, path: Path, engine: Engine, index: int) -> dict[str, Any]:
        """Verdicts and losses of the model at `index`, JSON-ready.

        Args:
            path: of the store.
            engine: as of the last fold.
            index: of the model.

        Raises:
            StoreError: the store can not be read.
        """
        async with self._one:
            asked = _asked(path, engine, index)
            kept = self._made.get(asked.name)
            state = (asked.since_ns, asked.now_ns // KEPT_NS)
            if kept is not None and kept[0] == state:
                return kept[1]
            made = await in_thread(partial(_read, asked), "history")
            self._made.pop(asked.name, None)
            self._made[asked.name] = (state, made)
            while len(self._made) > _MODELS_KEPT:
                del self._made[next(iter(self._made))]
            return made


def _asked(path: Path, engine: Engine, index: int) -> _Asked:
    model = engine.spec.models[index]
    found = engine.judge.verdicts.get(model.name)
    current = {} if found is None else {
        "verdict": found.verdict, "reasons": reasons_of(found),
    }
    labels = [
        (pair.label.output, pair.label.name, pair.label.loss,
         pair.reference.risk if pair.reference is not None else None)
        for pair in engine.truth.pairs[index][:OUTPUTS_MOST]
    ]
    since_ns = engine.judge.since.get(model.name, engine.time_ns)
    return _Asked(path, model.name, engine.time_ns, since_ns, current, labels)


def _read(asked: _Asked) -> dict[str, Any]:
    reader = Reader(asked.path)
    try:
        told = _verdicts(reader, asked)
        losses = [_losses(reader, asked.name, *label) for label in asked.labels]
    finally:
        reader.close()
    since_ns = told[0]["start_ns"] if told else asked.now_ns
    return {
        "model": asked.name, "since_ns": since_ns, "until_ns": asked.now_ns, "verdicts": told,
        "losses": losses,
    }


def _verdicts(reader: Reader, asked: _Asked) -> list[dict[str, Any]]:
    """Stretches of one verdict each, and those in which nobody watched, in order."""
    subject = str(identity.model(asked.name))
    marks = reader.verdict_marks(subject, CHANGES_MOST)
    if asked.current and (not marks or marks[-1]["time_ns"] < asked.since_ns):
        marks.append({"time_ns": asked.since_ns, "subject": subject, "data": asked.current})
    if not marks:
        return []
    since_ns = marks[0]["time_ns"]
    away = [gap for gap in reader.away()[1] if gap[1] > since_ns][-SPANS_MOST:]
    spans = verdicts(marks, asked.name, since_ns, asked.now_ns, away)
    return [
        {"start_ns": one.start_ns, "end_ns": one.end_ns, "verdict": one.verdict,
         "why": one.why[:_LONGEST]}
        for one in spans[-SPANS_MOST:]
    ]  # fmt: skip


def _losses(
    reader: Reader, model: str, output: str, tag: str, loss: str, expected: float | None
) -> dict[str, Any]:
    """One output's mean loss over time, neighbouring windows put together."""
    windows = reader.loss_windows(model, tag, WINDOWS_MOST)
    each = -(-len(windows) // POINTS_MOST) or 1
    points = [_point(windows[at : at + each]) for at in range(0, len(windows), each)]
    return {
        "output": output, "loss": loss, "expected_loss": expected,
        "windows": [one for one in points if one["labels"]],
    }


def _point(windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sums = [LossSums.from_json(one["losses"]) for one in windows]
    count = sum(one.count for one in sums)
    total = sum(one.mean * one.count for one in sums if one.count)
    return {
        "start_ns": windows[0]["start_ns"], "end_ns": windows[-1]["end_ns"], "labels": count,
        "mean_loss": total / count if count else None,
    }
