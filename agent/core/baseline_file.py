"""Baselines on disk: one JSON file per model version, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agent.core.baseline import Baseline, from_document, to_document
from agent.errors import BaselineError, FieldwardenError
from agent.files import read_bounded

_LIMIT_BYTES = 64 * 1024 * 1024  # 50 inputs in a group take one


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of a baseline")


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        BaselineError: no such file, too large, not JSON, another schema, or changed since it
            was written.
    """
    if not path.exists():
        raise BaselineError(
            "reading baseline", str(path), "there is no such file",
            "make it: fieldwarden fit CONFIG --model NAME --data TRAIN.csv",
        )
    try:
        data = read_bounded(path, _LIMIT_BYTES, "reading baseline")
        document = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except FieldwardenError as error:
        raise BaselineError(error.operation, error.subject, error.cause, error.hint) from None
    except RecursionError:
        cause = "it is nested too deeply"
        raise BaselineError("reading baseline", str(path), cause, "fit it again") from None
    except ValueError as error:
        raise BaselineError("reading baseline", str(path), str(error), "fit it again") from error
    if not isinstance(document, dict):
        raise BaselineError("reading baseline", str(path), "not a JSON object", "fit it again")
    return from_document(document, str(path))


def write_baseline(path: Path, baseline: Baseline) -> str:
    """Write a baseline beside its place and move it there; the digest."""
    document = to_document(baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(path.suffix + ".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, sort_keys=True, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return str(document["digest"])
