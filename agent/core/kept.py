"""Which part of a snapshot still counts in the present configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.charts import input_key
from agent.core.flag import TRUTH
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.core.truth_keys import label_key


def facts_of_tag(tag: TagSpec) -> list[Any]:
    """What must be the same for a tag's state to go on."""
    return [tag.source, tag.unit, tag.interval_ns, tag.by_exception]


def facts_of_model(model: ModelSpec) -> dict[str, Any]:
    """What must be the same for a model's state to go on."""
    return {
        "baseline": model.baseline.digest, "scan_ns": model.scan_ns, "mode_tag": model.mode_tag,
    }


def kept_of(spec: EngineSpec, facts: Mapping[str, Any]) -> dict[str, set[str]]:
    """Which keys of a snapshot still mean the same, by the name of a set (see `Lasting.kept`).

    `tag`: of the same source, unit and interval. `model`: the same baseline, scan and mode tag, and
    all its inputs such tags. `mode`: models whose mode tag is one. `input`: such a tag of a model
    with the same baseline. `held`: such a tag of whatever model, for values in the tag's unit.
    `scanned`: all inputs of a model that is kept, for what is of whole scans.
    """
    tags = {tag.name for tag in spec.tags if facts["tags"].get(tag.name) == facts_of_tag(tag)}
    same = {
        m.name for m in spec.models
        if facts["models"].get(m.name) == facts_of_model(m)
        and (m.mode_tag is None or m.mode_tag in tags)  # else its mode is not known any more
    }
    modes = {
        m.name for m in spec.models
        if m.mode_tag in tags and facts["models"].get(m.name, {}).get("mode_tag") == m.mode_tag
    }
    whole = {m.name for m in spec.models if m.name in same and tags.issuperset(m.inputs)}
    places = [(spec.models[place.model].name, spec.tags[place.tag].name) for place in spec.rows]
    return {
        "tag": tags, "mode": modes, "model": whole,
        "held": {input_key(model, tag) for model, tag in places if tag in tags},
        "input": {input_key(model, tag) for model, tag in places if tag in tags and model in same},
        TRUTH: {
            label_key(m, label) for m in spec.models for label in m.labels
            if all(tag in tags or tag not in spec.tag_of for tag in (label.output, label.tag))
        },
        "scanned": {input_key(model, tag) for model, tag in places if model in whole},
    }
