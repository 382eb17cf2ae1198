"""A contract from the configuration, the baselines, and what live sources tell of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.clock import wall_ns
from agent.configuration.schema import Configuration, Model, Source, Tag
from agent.contract.document import Contract, ModelTerms, SourceTerms, TagTerms
from agent.core.baseline import Baseline, InputBaseline
from agent.core.baseline_file import read_baseline
from agent.core.figures import clock
from agent.errors import FieldwardenError
from agent.sources import SOURCES, Probe, TagBinding
from agent.sources.telling import plain

_NS = 1e9
_LEFT_OUT = {"source", "interval", "max_silence"}
_AGREED = {"unit", "security", "mode"}
"""Keys of a source's table that say what answers there, besides its place and interval."""


async def live(
    configuration: Configuration, timeout_s: float
) -> tuple[Contract, dict[str, FieldwardenError]]:
    """(the contract as of now, why a source could not be asked), all sources at the same time.

    Args:
        configuration: as loaded.
        timeout_s: for each source, and to listen for what is sent unasked.
    """
    names = list(configuration.sources)
    asked = await asyncio.gather(*(_ask(configuration, name, timeout_s) for name in names))
    told = dict(zip(names, asked, strict=True))
    probes = {name: found for name, found in told.items() if isinstance(found, Probe)}
    failed = {name: found for name, found in told.items() if isinstance(found, FieldwardenError)}
    return made(configuration, baselines(configuration), probes, clock(wall_ns())), failed


async def _ask(
    configuration: Configuration, name: str, timeout_s: float
) -> Probe | FieldwardenError:
    source = configuration.sources[name]
    try:
        kind = SOURCES[source.protocol]
        return await kind.probe(name, source, _bindings(configuration, name), timeout_s)
    except FieldwardenError as error:
        return error


def _bindings(configuration: Configuration, source: str) -> dict[str, TagBinding]:
    return {
        name: TagBinding(index, name, tag)
        for index, (name, tag) in enumerate(configuration.tags.items())
        if tag.source == source
    }


def baselines(configuration: Configuration) -> dict[str, Baseline]:
    """Those that can be read; a model without one was not trained yet."""
    found = {}
    for name, model in configuration.models.items():
        try:
            found[name] = read_baseline(Path(model.baseline))
        except FieldwardenError:
            continue
    return found


def made(
    configuration: Configuration, trained: Mapping[str, Baseline], probes: Mapping[str, Probe],
    at: str,
) -> Contract:  # fmt: skip
    """The contract of a configuration; a source that was not asked has nothing in `served`.

    Args:
        configuration: as loaded.
        trained: baseline of each model that has one.
        probes: what each source told.
        at: when, for people.
    """
    return Contract(
        configuration.gateway.site, configuration.gateway.name,
        {
            name: _source(configuration, name, source, probes.get(name))
            for name, source in configuration.sources.items()
        },
        {
            name: _model(model, trained.get(name))
            for name, model in configuration.models.items()
        },
        at,
    )  # fmt: skip


def _source(
    configuration: Configuration, name: str, source: Source, probe: Probe | None
) -> SourceTerms:
    host, port = source.place
    told: dict[str, Any] = {"protocol": source.protocol, "place": f"{host}:{port}"}
    if source.interval_ns is not None:
        told["interval_s"] = source.interval_ns / _NS
    told |= source.model_dump(mode="json", include=_AGREED)
    served = {one.name: plain(one.served) for one in probe.tags} if probe else {}
    tags = {
        tag: TagTerms(plain(_tag(item, source)), served.get(tag, {}))
        for tag, item in configuration.tags.items() if item.source == name
    }
    return SourceTerms(plain(told), plain(probe.identity) if probe else {}, tags)


def _tag(tag: Tag, source: Source) -> dict[str, Any]:
    told: dict[str, Any] = {
        key: value for key, value in tag.model_dump(mode="json", exclude=_LEFT_OUT).items()
        if value not in ("", None, [], ())
    }
    interval_ns = tag.interval or source.interval_ns
    told |= {"interval_s": interval_ns / _NS} if interval_ns else {}
    told |= {"max_silence_s": tag.max_silence / _NS} if tag.max_silence else {}
    return told


def _model(model: Model, baseline: Baseline | None) -> ModelTerms:
    fitted = {item.tag: item for item in baseline.modes[0].items} if baseline else {}
    roles: dict[str, str] = {}
    for names, role in (
        ([model.mode.tag] if model.mode else [], "mode"),
        ([label.tag for label in model.labels if label.tag], "label"),
        (model.outputs, "output"), (model.optional, "optional input"),
        ([name for name in model.inputs if name not in model.optional], "input"),
    ):  # fmt: skip
        roles |= dict.fromkeys(names, role)
    return ModelTerms(
        model.version, f"{model.owner.team} <{model.owner.contact}>",
        baseline.digest if baseline else "",
        plain({
            tag: {"role": role, **_fitted(baseline, fitted.get(tag))}
            for tag, role in roles.items()
        }),
    )  # fmt: skip


def _fitted(baseline: Baseline | None, item: InputBaseline | None) -> dict[str, Any]:
    if baseline is None or item is None:
        return {}
    spans = [own.trained for mode in baseline.modes for own in mode.items if own.tag == item.tag]
    told: dict[str, Any] = {
        "trained": [min(low for low, _ in spans), max(high for _, high in spans)],
        "interval_s": item.interval_ns / _NS,
    }
    extra = {"unit": item.unit, "kind": item.kind, "resolution": item.resolution}
    return told | {key: value for key, value in extra.items() if value}
