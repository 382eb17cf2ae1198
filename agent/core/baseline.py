"""What a model was trained on: a versioned, hashed document, bound to a model and its version.

This module is pure: it turns a JSON document into a `Baseline` and back. `fit` makes them,
`baseline_file` reads and writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.baseline_form import fault_of
from agent.errors import BaselineError

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class InputBaseline:
    """One input: standardisation, dynamics, trained range, and each detector's parameters.

    `centre` and `scale` are in the tag's unit; `tau` in samples; `trained` is the range of the
    record; `edges` are the inner edges of its histogram bins; `noise` is the standard deviation of
    first differences / sqrt 2; `resolution` the smallest step of the instrument in the tag's unit,
    0 where none shows; `r2` says how well the other inputs predict this one (cross-validated, 0
    where unknown). `detectors` maps a detector's name to its parameters. `kind` says what the tag
    is (see `kinds`): of a counter all other figures are of its rate per hour, `turn` is what it
    rolls over at (0: unknown) and `fastest` its fastest trained rate; of an angle `turn` is the
    full circle and `cut` where it begins.
    """

    tag: str
    unit: str
    centre: float
    scale: float
    noise: float
    interval_ns: int
    tau: float
    n_eff: float
    trained: tuple[float, float]
    edges: tuple[float, ...]
    longest_gap: int
    r2: float
    provisional: bool
    detectors: Mapping[str, Mapping[str, Any]]
    resolution: float = 0.0
    kind: str = ""
    turn: float = 0.0
    cut: float = 0.0
    fastest: float = 0.0


@dataclass(frozen=True, slots=True)
class ModeBaseline:
    """The baseline of one operating mode; `code` is the mode tag's value, None for the only one."""

    name: str
    code: float | None
    inputs: tuple[InputBaseline, ...]
    joint: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A model's baseline over all its modes.

    `mask_ns` is how long after a mode change samples are not judged; `digest` is the SHA-256 of
    the canonical document and is what summaries carry, so that different baselines never merge.
    """

    model: str
    model_version: str
    interval_ns: int
    modes: tuple[ModeBaseline, ...]
    provisional: bool
    provisional_text: str
    mask_ns: int
    facts: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the document without its own `digest`, in canonical JSON."""
    body = {key: value for key, value in document.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def to_document(baseline: Baseline) -> dict[str, Any]:
    """The JSON document of a baseline, with its digest."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": baseline.model,
        "model_version": baseline.model_version,
        "interval_ns": baseline.interval_ns,
        "provisional": baseline.provisional,
        "provisional_text": baseline.provisional_text,
        "mask_ns": baseline.mask_ns,
        "facts": dict(baseline.facts),
        "modes": [
            {
                "name": mode.name,
                "code": mode.code,
                "inputs": [_input_document(item) for item in mode.inputs],
                "joint": dict(mode.joint),
            }
            for mode in baseline.modes
        ],
    }
    document["digest"] = digest_of(document)
    return document


def _input_document(item: InputBaseline) -> dict[str, Any]:
    document = {name: getattr(item, name) for name in InputBaseline.__slots__}
    document["trained"] = list(item.trained)
    document["edges"] = list(item.edges)
    document["detectors"] = {name: dict(values) for name, values in item.detectors.items()}
    return document


def from_document(document: Mapping[str, Any], subject: str) -> Baseline:
    """A baseline from its document; `subject` names the file in errors.

    Raises:
        BaselineError: another schema, a digest that does not match, or a value that nothing can be
            judged by (see `baseline_form`).
    """
    if document.get("schema") != SCHEMA:
        raise BaselineError(
            "reading baseline", subject, f"schema {document.get('schema')!r}, expected {SCHEMA}",
            "fit it again with this version: fieldwarden fit CONFIG --model NAME --data FILE",
        )
    try:
        digest = digest_of(document)
    except (ValueError, TypeError, RecursionError) as error:
        cause = f"damaged: {error or type(error).__name__}"
        raise BaselineError("reading baseline", subject, cause, "fit it again") from None
    if document.get("digest") != digest:
        raise BaselineError(
            "reading baseline", subject, "its digest does not match: the file was changed",
            "restore the file, or fit it again",
        )
    if fault := fault_of(document):
        cause = f"damaged: {fault.lstrip('.: ')}"
        raise BaselineError("reading baseline", subject, cause, "fit it again")
    modes = tuple(
        ModeBaseline(
            name=mode["name"],
            code=mode["code"],
            inputs=tuple(_input_from(item) for item in mode["inputs"]),
            joint=mode["joint"],
        )
        for mode in document["modes"]
    )
    return Baseline(
        model=document["model"],
        model_version=document["model_version"],
        interval_ns=document["interval_ns"],
        modes=modes,
        provisional=document["provisional"],
        provisional_text=document["provisional_text"],
        mask_ns=document["mask_ns"],
        facts=document["facts"],
        digest=digest,
    )


def _input_from(item: Mapping[str, Any]) -> InputBaseline:
    values = {name: item[name] for name in InputBaseline.__slots__ if name in item}
    values["trained"] = tuple(item["trained"])
    values["edges"] = tuple(item["edges"])
    return InputBaseline(**values)
