"""Baselines of candidates: a whole copy of each in the state directory, named by its digest.

What happens to the file that a person named matters no more once its trial has begun. A copy is
what its digest says, so the same entries find the same baseline again, also after years.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.baseline_file import read_baseline
from agent.core.serving import Service
from agent.core.spec import EngineSpec
from agent.errors import BaselineError, FieldwardenError, cause_of
from agent.files import read_bounded, replacing
from agent.runtime.assemble import check_baseline

logger = logging.getLogger(__name__)

KEPT_MOST: Final = 16
"""Copies that nothing needs any more and that stay, for a journal that is folded anew."""

_LIMIT_BYTES: Final = 64 * 1024 * 1024
_FOLDER: Final = "candidates"
_RECORD: Final = "in_service.json"
_RECORD_LIMIT: Final = 1_000_000


class Candidates:
    """The copies of one agent.

    Args:
        state: the state directory.

    Attributes:
        known: the sound ones by digest. It grows, and nothing in it changes.
    """

    def __init__(self, state: Path) -> None:
        self._folder, self._record = state / _FOLDER, state / _RECORD
        self.known: dict[str, Baseline] = {}
        self._drafts = count()
        for left in self._folder.glob("*.draft*"):  # of a run that was killed
            left.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            try:
                baseline = read_baseline(path)
            except FieldwardenError as error:
                logger.error("the copy of a candidate's baseline can not be used: %s", error)
                continue
            if baseline.digest == path.stem:
                self.known[baseline.digest] = baseline

    def keep(self, path: Path, fits: Callable[[Baseline], None] = lambda _: None) -> Baseline:
        """Copy a baseline, whole and durably; what was copied.

        It takes as long as a slow disk does: to be called in a thread of its own.

        Args:
            path: of its file.
            fits: raises where it is not what is wanted; then nothing is kept.

        Raises:
            FieldwardenError: it is no sound baseline, or can not be copied.
        """
        data = read_bounded(path, _LIMIT_BYTES, "reading baseline")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FieldwardenError("keeping", str(path), cause_of(error)) from error
        draft = self._folder / f"{next(self._drafts)}.draft"
        with replacing(draft) as copy:
            _write_durably(copy, data)
        try:
            baseline = read_baseline(draft)
            fits(baseline)
            draft.replace(self._folder / f"{baseline.digest}.json")
            _sync(self._folder)
        except BaselineError as error:
            about = str(path) if error.subject == str(draft) else error.subject
            raise BaselineError(error.operation, about, error.cause, error.hint) from None
        except OSError as error:
            raise FieldwardenError("keeping", str(path), cause_of(error)) from error
        finally:
            draft.unlink(missing_ok=True)
        return baseline

    def forget(self, needed: Collection[str]) -> None:
        """Remove the oldest copies beyond `KEPT_MOST` that are not `needed`."""
        found = [path for path in self._folder.glob("*.json") if path.stem not in needed]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in found[: max(0, len(found) - KEPT_MOST)]:
            path.unlink(missing_ok=True)

    # --- what serves ------------------------------------------------------------------------------

    def note_service(self, service: Mapping[str, Any]) -> None:
        """Write what serves beside the store, for a start that finds no snapshot, and for `check`.

        Raises:
            FieldwardenError: it could not be written.
        """
        with replacing(self._record) as draft:
            _write_durably(draft, json.dumps(service, indent=1).encode())

    def noted_service(self) -> dict[str, Any] | None:
        """What `note_service` wrote last; None where nothing readable is there."""
        return read_service(self._record.parent)


def read_service(state: Path) -> dict[str, Any] | None:
    """What serves instead of what the configuration says, as the agent noted it last."""
    try:
        told = json.loads(read_bounded(state / _RECORD, _RECORD_LIMIT, "reading what serves"))
    except (FieldwardenError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def in_service(configuration: Configuration, name: str, at_ns: int) -> Baseline:
    """The baseline by which a model was judged at a time: what was accepted, else the configured.

    Raises:
        FieldwardenError: it can not be read.
    """
    model, state = configuration.models[name], configuration.store_path.parent
    configured = read_baseline(Path(model.baseline))
    found = Service.from_json(read_service(state) or {}).of.get(name)
    if found is None or (found.version, found.digest) != (model.version, configured.digest):
        return configured
    served = [one for one in found.served if one.since_ns <= at_ns]
    return read_baseline(state / _FOLDER / f"{served[-1].digest}.json") if served else configured


def with_candidates(
    spec: EngineSpec, configuration: Configuration, known: Mapping[str, Baseline]
) -> EngineSpec:
    """What the engine guards, with the baselines of candidates and which do not fit."""
    unfit = {}
    for digest, baseline in list(known.items()):
        model = configuration.models.get(baseline.model)
        if model is None:
            continue
        meant = model.model_copy(update={"version": baseline.model_version})
        try:
            check_baseline(baseline.model, meant, baseline, configuration.tags)
        except BaselineError as error:
            unfit[baseline.model, digest] = error.cause
    return replace(spec, kept=known, unfit=unfit)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
