"""What truths are known by: an output's label, a prediction's id; and what its inputs are."""

from __future__ import annotations

import hashlib

from agent.core import delays, identity
from agent.core.identity import Subject
from agent.core.spec import EngineSpec, LabelSpec, ModelSpec


def label_key(model: ModelSpec, label: LabelSpec) -> str:
    """Names an output's truths; another where they would not mean the same any more."""
    facts = (
        model.name, model.version, model.baseline.digest, str(model.scan_ns), label.output,
        label.tag, label.loss, f"{label.within_ns}", f"{label.tolerance}", *label.classes,
    )  # fmt: skip
    return "\n".join(facts)


def key_of(name: str) -> int:
    """A prediction's id as a number, which is not 0; 0 for none."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True) or 1 if name else 0


def inputs_of(spec: EngineSpec, model: ModelSpec) -> frozenset[Subject]:
    """The inputs of a model and their sources."""
    sources = {identity.source(spec.tag_of[tag].source) for tag in model.inputs}
    return frozenset({identity.tag(tag) for tag in model.inputs} | sources)


def settling_ns(model: ModelSpec) -> int:
    """Within which all conditions of one fault begin; from the slowest input."""
    inputs = [item for mode in model.baseline.modes for item in mode.inputs]
    slowest = max((item.tau * item.interval_ns for item in inputs), default=0.0)
    return delays.settling_ns(slowest)
