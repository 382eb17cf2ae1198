"""`fieldwarden check`: what can be known of a configuration before it runs.

The file itself was validated when it was loaded. Here the rest of the world is asked: baselines,
certificates, passwords, sources, the broker upstream. What is wrong is a fault; what only is not
there now (a source that does not answer, a baseline not made yet), or still is as `init` left it,
is a warning, because the agent copes with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent import clock
from agent.checking.baselines import baselines
from agent.checking.contract import contract
from agent.checking.hooks import ask_hooks
from agent.checking.item import Item, fault_of
from agent.checking.people import people
from agent.checking.reach import unreachable
from agent.checking.retraining import retraining
from agent.checking.security import login, own_security, tls
from agent.checking.tags import Span, tag_items, trained_ranges
from agent.checking.uplink import ask_upstream, upstream_on_paper
from agent.configuration import placeholders
from agent.configuration.connection import Login, Tls
from agent.configuration.schema import Configuration, Source
from agent.core.baseline import Baseline
from agent.errors import FieldwardenError, explained
from agent.sources import SOURCES, TagBinding


async def check(
    configuration: Configuration, *, offline: bool, timeout_s: float, strict: bool = False
) -> list[Item]:
    """The whole report; sources and broker are asked at the same time.

    Args:
        configuration: as loaded.
        offline: connect to nothing.
        timeout_s: for each source, and for the broker.
        strict: before going live: what never arrived is a fault.
    """
    usable: dict[str, Baseline] = {}
    items = [_summary(configuration), *_state(configuration)]
    items += [Item("warning", *found) for found in placeholders.left(configuration)]
    for name, source in configuration.sources.items():
        items += _source_on_paper(configuration, name, source)
    items += baselines(configuration, usable)
    for name in configuration.models:
        items += retraining(configuration, name, usable.get(name))
    items += upstream_on_paper(configuration)
    items += people(configuration)
    items += contract(configuration)
    if not offline:
        trained = trained_ranges(usable)
        asked = [
            _ask(configuration, name, timeout_s, trained, strict=strict)
            for name in configuration.sources
        ]
        answers = await asyncio.gather(
            *asked, ask_upstream(configuration, timeout_s), ask_hooks(configuration, timeout_s)
        )
        items += [item for answer in answers for item in answer]
    return items


def _summary(configuration: Configuration) -> Item:
    counts = [
        f"{len(table)} {word}{'' if len(table) == 1 else 's'}"
        for word, table in (
            ("source", configuration.sources),
            ("tag", configuration.tags),
            ("model", configuration.models),
        )
    ]
    text = f"{', '.join(counts)}; false alarms promised: {configuration.gateway.false_alarms}"
    return Item("ok", str(configuration.file or "configuration"), text)


def _state(configuration: Configuration) -> Iterator[Item]:
    folder = Path(configuration.gateway.state_directory)
    present = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if not present.is_dir() or not os.access(present, os.W_OK):
        hint = "make it writable for the agent's user, or set gateway.state_directory"
        yield Item("warning", "state directory", f"{present} is not writable from here", hint)
    used = {
        tag
        for model in configuration.models.values()
        for tag in (*model.inputs, *model.outputs, *(label.tag for label in model.labels))
    } | {model.mode.tag for model in configuration.models.values() if model.mode}
    if idle := [name for name in configuration.tags if name not in used]:
        shown = ", ".join(idle[:5]) + (" ..." if len(idle) > 5 else "")
        yield Item("ok", "tags", f"{len(idle)} in no model, watched for what arrives only: {shown}")


# --- on paper -------------------------------------------------------------------------------


def _source_on_paper(configuration: Configuration, name: str, source: Source) -> Iterator[Item]:
    subject = f"source {name}"
    tags = _bindings(configuration, name)
    if not tags:
        yield Item("warning", subject, "no tag is read from it", "add tags, or remove the source")
    yield from own_security(subject, source.certificates)
    for remark in SOURCES[source.protocol].on_paper(name, source, tags):
        yield Item(remark.level, subject, remark.text, remark.hint)
    if isinstance(source, Login):
        # what has security of its own says itself what it lacks
        encrypted = source.has_own_security or (isinstance(source, Tls) and source.tls)
        yield from login(subject, source, encrypted=encrypted)
    if isinstance(source, Tls):
        yield from tls(subject, source)


def _bindings(configuration: Configuration, source: str) -> dict[str, TagBinding]:
    """The tags of a source, numbered as they come: nothing is stored under these numbers."""
    return {
        name: TagBinding(index, name, tag)
        for index, (name, tag) in enumerate(configuration.tags.items())
        if tag.source == source
    }


# --- asking ---------------------------------------------------------------------------------


async def _ask(
    configuration: Configuration,
    name: str,
    timeout_s: float,
    trained: Mapping[str, Span],
    *,
    strict: bool,
) -> list[Item]:
    source = configuration.sources[name]
    subject = f"source {name}"
    kind, tags = SOURCES[source.protocol], _bindings(configuration, name)
    host, port = source.place
    if not tags:
        return []  # said on paper
    if cause := await unreachable(host, port, timeout_s):
        hint = "the agent tries again for ever; check host, port and whether it is switched on"
        return [Item("warning", subject, f"{host}:{port} was not reached: {cause}", hint)]
    try:
        found = await kind.probe(name, source, tags, timeout_s)
    except FieldwardenError as error:
        return [fault_of(subject, error)]
    except Exception as error:  # noqa: BLE001 - whatever it was: a line of the report, no traceback
        return [fault_of(subject, explained(error, "trying", f"source {name!r}"))]
    items = [Item(remark.level, subject, remark.text, remark.hint) for remark in found.remarks]
    now_ns = clock.wall_ns()
    return items + list(tag_items(found.tags, configuration.tags, trained, now_ns, strict=strict))
