"""What the processes of models are told: verdict, checked inputs, and any vector beside training.

All of it is taken from the engine as of the last fold, without the whole status document: a model
asks before each prediction, and pays for its own answer only. Nothing here changes the engine.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from agent import clock
from agent.client import FRESH_NS, SCHEMA
from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration
from agent.core import kinds
from agent.core.extrapolation import limits
from agent.core.steward import Steward
from agent.core.vectors import Training
from agent.core.verdict import OUT_OF_SERVICE
from agent.errors import FieldwardenError
from agent.runtime.lineage import Lineage
from agent.runtime.model_history import ModelHistory
from agent.runtime.vector_words import answer_of
from agent.runtime.worth import boottime_at, causes_of, told_of
from agent.types import NOT_USABLE, Float64, Quality, quality_names

_TRAININGS_KEPT: Final = 64  # modes of models that were asked about
_CELLS_MOST: Final = 2_000  # inputs of all vectors of one question: some ms of the loop
_NS: Final = 1e9


class Guarding(Protocol):
    """What answers are about. A reload replaces it, so it is asked for each time."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied now."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def trouble(self) -> Mapping[str, str]:
        """What keeps it from storing anything; empty where nothing does."""


class ModelAnswers:
    """Answers of one run of the agent.

    Args:
        agent: that runs.
        boot: number of the run.
    """

    def __init__(self, agent: Guarding, boot: int) -> None:
        self._agent, self._boot = agent, boot
        self._process = _own_process()
        self._verdicts: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self._trainings: dict[tuple[str, str, int], Training] = {}
        self._history = ModelHistory()
        self._lineage = Lineage()

    def names(self) -> list[str]:
        """The guarded models."""
        return [model.name for model in self._agent.engine.spec.models]

    def verdict(self, name: str) -> Mapping[str, Any] | None:
        """What a model is worth as of the last fold; None where there is no such model.

        It is what the files for models hold, and what the API answers beside its own time.
        """
        engine, trouble = self._agent.engine, self._agent.trouble
        state = (id(engine), engine.sequence, trouble.get("text"))
        kept = self._verdicts.get(name)
        if kept is not None and kept[0] == state:
            return kept[1]
        index = self._index(name)
        if index is None:
            self._verdicts.pop(name, None)
            return None
        told = told_of(self._agent.configuration, engine, index, trouble)
        made = self._made(told)
        self._verdicts[name] = (state, made)
        return made

    def _made(self, told: dict[str, Any]) -> dict[str, Any]:
        engine, gateway = self._agent.engine, self._agent.configuration.gateway
        at = boottime_at(engine, engine.time_ns)
        return {
            "schema": SCHEMA, "site": gateway.site, "gateway": gateway.name, "boot": self._boot,
            "sequence": engine.sequence, "model": told.pop("name"), **told,
            "causes": causes_of(told["reasons"]), "time_ns": engine.time_ns,
            "time_quality": str(engine.time_quality), "boot_id": engine.timeline.boot_id,
            "boottime_ns": at, "fresh_until_boottime_ns": at + FRESH_NS, "process": self._process,
        }

    def _index(self, name: str) -> int | None:
        models = self._agent.engine.spec.models
        return next((i for i, model in enumerate(models) if model.name == name), None)

    async def history(self, name: str) -> dict[str, Any] | None:
        """Its verdicts and losses over time; None: there is no such model.

        Raises:
            StoreError: the store can not be read.
        """
        index = self._index(name)
        if index is None:
            return None
        path = self._agent.configuration.store_path
        return await self._history.of(path, self._agent.engine, index)

    # --- inputs ---------------------------------------------------------------------------------

    def inputs(self, name: str) -> list[dict[str, Any]] | None:
        """The vector that the model would see, in its own order; None: there is no such model.

        `value` is converted as configured, and null where it must not be used; `latest` is what
        came last, whatever it is worth.
        """
        index = self._index(name)
        if index is None:
            return None
        engine = self._agent.engine
        spec, now = engine.spec.models[index], self._now_ns(engine)
        verdict = engine.judge.verdicts.get(name)
        reasons = verdict.reasons if verdict is not None else ()
        out = {why.subject.name for why in reasons if why.kind == OUT_OF_SERVICE}
        made = []
        held = engine.charts.scans[index].held()
        for row, (value, known, last_ns) in zip(engine.spec.rows_of(index), held, strict=True):
            tag = engine.spec.tags[engine.spec.rows[row].tag]
            fresh = now - last_ns <= max(tag.max_silence_ns, 2 * spec.scan_ns)
            usable = known and fresh and tag.name not in out
            item = engine.charts.parameters.baseline(row)
            made.append(
                {"tag": tag.name, "value": value if usable else None, "unit": tag.unit,
                 "kind": item.kind or "measurement", "usable": usable,
                 "required": tag.name in spec.required, "trained": list(item.trained),
                 "in_trained_range": _in_range(value, item, usable=usable)}
                | self._latest(engine, engine.spec.rows[row].tag, now, usable=usable)
            )  # fmt: skip
        return made

    def _latest(self, engine: Steward, tag: int, now: int, *, usable: bool) -> dict[str, Any]:
        """What came last of a tag, its quality and its age."""
        value, arrival, source, bits = engine.latest()[tag].tolist()
        if not arrival:
            return {"latest": None, "quality": 0, "quality_names": ["waiting"], "age_s": None,
                    "arrival_ns": None, "source_ns": None}  # fmt: skip
        if not usable and not bits & int(NOT_USABLE):
            bits |= int(Quality.STALE)
        return {
            "latest": value, "quality": bits, "quality_names": quality_names(bits),
            "age_s": max(0.0, (now - arrival) / _NS), "arrival_ns": arrival,
            "source_ns": source or None,
        }

    def _now_ns(self, engine: Steward) -> int:
        """Engine time now: that of the last fold and the real time since."""
        passed = clock.boottime_ns() - boottime_at(engine, engine.time_ns)
        same = engine.timeline.boot_id == clock.boot_id()
        return engine.time_ns + (max(passed, 0) if same else 0)

    # --- any vector -----------------------------------------------------------------------------

    def check(
        self, name: str, vectors: Sequence[Mapping[str, float | None]], mode: str | None
    ) -> dict[str, Any] | None:
        """Vectors (input -> value in the tag's unit) beside training; None: no such model.

        Args:
            name: of the model.
            vectors: what is not named in one, or is None, is not known.
            mode: by name; the present one where None.

        Raises:
            FieldwardenError: a vector names no input, or there is no such mode.
        """
        index = self._index(name)
        if index is None:
            return None
        engine = self._agent.engine
        spec = engine.spec.models[index]
        place = self._mode(index, mode)
        most = max(1, _CELLS_MOST // len(spec.inputs))
        if len(vectors) > most:
            raise FieldwardenError(
                "checking vectors of model", name, f"{len(vectors)} of {len(spec.inputs)} inputs "
                "are too many at once", f"send at most {most}",
            )
        values = _matrix(name, spec.inputs, vectors)
        key = (name, spec.baseline.digest, place)
        if key not in self._trainings:
            while len(self._trainings) >= _TRAININGS_KEPT:
                self._trainings.pop(next(iter(self._trainings)))
            self._trainings[key] = Training(spec, place)
        training = self._trainings[key]
        tags = [engine.spec.tag_of[tag] for tag in spec.inputs]
        return {
            "model": name, "version": spec.version, "baseline_hash": spec.baseline.digest,
            "mode": spec.baseline.modes[place].name,
            "results": answer_of(training, values, training.compare(values), tags, spec.required),
        }

    async def lineage(self, tags: Collection[str]) -> Mapping[str, Any]:
        """Lineage as a picture, with what a change of these tags reaches."""
        versions = {model.name: model.version for model in self._agent.engine.spec.models}
        return await self._lineage.of(self._agent.configuration, versions, tags)

    def _mode(self, index: int, mode: str | None) -> int:
        engine = self._agent.engine
        if mode is None:
            return engine.charts.modes.index(index)
        names = [one.name for one in engine.spec.models[index].baseline.modes]
        if mode not in names:
            hint = nearest(mode, names) or f"modes: {', '.join(names[:10])}"
            raise FieldwardenError("checking a vector of mode", mode, "there is no such mode", hint)
        return names.index(mode)


def _in_range(value: float, item: Any, *, usable: bool) -> bool | None:
    """Whether a usable value is in its trained range; None where it alone does not tell."""
    if not usable or kinds.transforms(item.kind):
        return None
    low, high = limits(item)
    return bool(low <= value <= high)


def _matrix(
    name: str, inputs: Sequence[str], vectors: Sequence[Mapping[str, float | None]]
) -> Float64:
    """float64[m, d], NaN where a vector has no value."""
    columns = {tag: column for column, tag in enumerate(inputs)}
    values = np.full((len(vectors), len(inputs)), np.nan)
    for row, vector in enumerate(vectors):
        for tag, value in vector.items():
            if tag not in columns:
                hint = nearest(tag, columns) or f"its inputs: {', '.join(inputs[:10])}"
                raise FieldwardenError(
                    f"checking a vector of model {name}:", tag[:80], "it is none of its inputs",
                    hint,
                )
            if value is not None:
                values[row, columns[tag]] = value
    return values


def _own_process() -> dict[str, Any]:
    """By which a reader on this machine sees that this very process was ended or stopped."""
    try:
        stat = Path("/proc/self/stat").read_text("ascii", "replace")
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return {}
    # The name in parentheses may hold anything; the start time is the 22nd field.
    return {
        "pid": os.getpid(), "started": int(stat.rpartition(")")[2].split()[19]),
        "namespace": namespace,
    }
