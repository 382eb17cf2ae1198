"""What a model was trained on: a versioned, hashed document, bound to a model and its version.

This module is pure: it turns a JSON document into a `Baseline` and back. `fit` makes them,
`baseline_file` reads and writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.core.baseline_form import fault_of
from agent.core.expected_loss import LossReference
from agent.core.label_watch import LabelReference
from agent.errors import BaselineError

SCHEMA = 2

PLACES = frozenset({"record", "labels"})
"""The facts of a baseline that say where its record was."""

_T = TypeVar("_T")


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
class OutputBaseline:
    """One output: what there is of an input, its own charts (`OUTPUT_CHARTS`), and its relation.

    `relation` is what the inputs say of it, both standardised: `intercept`, `slopes` by input,
    `middle` and `spread` of what they leave, and cross-validated `r2`; empty where they say little.
    """

    item: InputBaseline
    charts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    relation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModeBaseline:
    """The baseline of one operating mode; `code` is the mode tag's value, None for the only one.

    `outputs` are those that the record had.
    """

    name: str
    code: float | None
    inputs: tuple[InputBaseline, ...]
    joint: Mapping[str, Any]
    outputs: tuple[OutputBaseline, ...] = ()

    @property
    def items(self) -> tuple[InputBaseline, ...]:
        """Inputs, then outputs."""
        return (*self.inputs, *(output.item for output in self.outputs))

    def of(self, tag: str) -> InputBaseline | None:
        """What was learnt of an input or output."""
        return next((item for item in self.items if item.tag == tag), None)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a tag that is no input came in the record: ns from one value to the next as usual, and
    the longest time in which values were missing.
    """

    interval_ns: int
    gap_ns: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """A model's baseline over all its modes.

    `mask_ns` is how long after a mode change samples are not judged; `digest` is the SHA-256 of
    the canonical document and is what summaries carry, so that different baselines never merge.
    `paces` are of its outputs, labels and mode tag, as far as the record has them.
    `losses` is what labels of the record said of each output's losses, `labels` what they were.
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
    paces: Mapping[str, Pace] = field(default_factory=dict)
    losses: Mapping[str, LossReference] = field(default_factory=dict)
    labels: Mapping[str, LabelReference] = field(default_factory=dict)


def digest_of(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the document without its own `digest`, in canonical JSON.

    Where its record was (`PLACES` of its facts) makes no baseline another one.
    """
    facts = document.get("facts")
    if isinstance(facts, Mapping):
        facts = {key: "" if key in PLACES else value for key, value in facts.items()}
        document = {**document, "facts": facts}
    return _digest(document)


def _digest(document: Mapping[str, Any]) -> str:
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
                **({"outputs": [_output_document(one) for one in mode.outputs]}
                   if mode.outputs else {}),
            }
            for mode in baseline.modes
        ],
    }
    if baseline.paces:
        document["paces"] = {
            tag: {"interval_ns": pace.interval_ns, "gap_ns": pace.gap_ns}
            for tag, pace in sorted(baseline.paces.items())
        }
    if baseline.losses:  # else the document is as it was before there were any
        document["losses"] = {tag: item.to_json() for tag, item in baseline.losses.items()}
        document["labels"] = {tag: item.to_json() for tag, item in baseline.labels.items()}
    document["digest"] = digest_of(document)
    return document


def _input_document(item: InputBaseline) -> dict[str, Any]:
    document = {name: getattr(item, name) for name in InputBaseline.__slots__}
    document["trained"] = list(item.trained)
    document["edges"] = list(item.edges)
    document["detectors"] = {name: dict(values) for name, values in item.detectors.items()}
    return document


def _output_document(output: OutputBaseline) -> dict[str, Any]:
    charts = {name: dict(values) for name, values in output.charts.items()}
    return _input_document(output.item) | {"charts": charts, "relation": dict(output.relation)}


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
        # Files from before places were left out of it have the digest of all there is.
        digests = digest_of(document), _digest(document)
    except (ValueError, TypeError, RecursionError) as error:
        cause = f"damaged: {error or type(error).__name__}"
        raise BaselineError("reading baseline", subject, cause, "fit it again") from None
    digest = document.get("digest")
    if digest not in digests:
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
            outputs=tuple(
                OutputBaseline(_input_from(item), item["charts"], item["relation"])
                for item in mode.get("outputs", ())
            ),
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
        digest=str(digest),
        paces={
            tag: Pace(pace["interval_ns"], pace["gap_ns"])
            for tag, pace in document.get("paces", {}).items()
        },
        losses=_parts_from(document.get("losses", {}), LossReference.from_json, subject),
        labels=_parts_from(document.get("labels", {}), LabelReference.from_json, subject),
    )


def _parts_from(
    found: Any, read: Callable[[Mapping[str, Any]], _T], subject: str
) -> dict[str, _T]:
    try:
        return {str(tag): read(item) for tag, item in dict(found).items()}
    except (TypeError, ValueError) as error:
        cause = f"damaged: {error}"
        raise BaselineError("reading baseline", subject, cause, "fit it again") from None


def _input_from(item: Mapping[str, Any]) -> InputBaseline:
    values = {name: item[name] for name in InputBaseline.__slots__ if name in item}
    values["trained"] = tuple(item["trained"])
    values["edges"] = tuple(item["edges"])
    return InputBaseline(**values)
