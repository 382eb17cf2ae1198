"""`fieldwarden check`: what can be known of a configuration before it runs.

The file itself was validated when it was loaded. Here the rest of the world is asked: baselines,
certificates, passwords, sources, the broker upstream. What is wrong is a fault; what only is not
there now (a source that does not answer, a baseline not made yet), or still is as `init` left it,
is a warning, because the agent copes with it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from agent import clock
from agent.checking.baselines import baselines
from agent.checking.item import Item, fault_of
from agent.checking.people import people
from agent.checking.uplink_size import bytes_per_day
from agent.configuration import credentials, placeholders
from agent.configuration.certificates import check_pair, read_certificate
from agent.configuration.schema import Configuration, Login, Source, Tls
from agent.errors import FieldwardenError, cause_of
from agent.sources import SOURCES, TagBinding

_SOON_DAYS = 30.0


async def check(configuration: Configuration, *, offline: bool, timeout_s: float) -> list[Item]:
    """The whole report; sources and broker are asked at the same time.

    Args:
        configuration: as loaded.
        offline: connect to nothing.
        timeout_s: for each source, and for the broker.
    """
    items = [_summary(configuration), *_state(configuration)]
    items += [Item("warning", *found) for found in placeholders.left(configuration)]
    for name, source in configuration.sources.items():
        items += _source_on_paper(configuration, name, source)
    items += baselines(configuration)
    items += _upstream_on_paper(configuration)
    items += people(configuration)
    if not offline:
        asked = [_ask(configuration, name, timeout_s) for name in configuration.sources]
        answers = await asyncio.gather(*asked, _ask_upstream(configuration, timeout_s))
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
    for certificate, private_key in source.certificates:
        yield from _certificate(subject, certificate, private_key)
    for remark in SOURCES[source.protocol].on_paper(name, source, tags):
        yield Item(remark.level, subject, remark.text, remark.hint)
    if isinstance(source, Login):
        yield from _login(subject, source)
    if isinstance(source, Tls):
        yield from _tls(subject, source)


def _bindings(configuration: Configuration, source: str) -> dict[str, TagBinding]:
    """The tags of a source, numbered as they come: nothing is stored under these numbers."""
    return {
        name: TagBinding(index, name, tag)
        for index, (name, tag) in enumerate(configuration.tags.items())
        if tag.source == source
    }


def _certificate(subject: str, certificate: str, private_key: str) -> Iterator[Item]:
    try:
        found = read_certificate(Path(certificate))
        if private_key:
            check_pair(Path(certificate), Path(private_key))
    except FieldwardenError as error:
        yield fault_of(subject, error)
        return
    now_ns = clock.wall_ns()
    days = found.days_left(now_ns)
    text = f"certificate {certificate} of {found.subject}"
    if days < 0:
        yield Item("fault", subject, f"{text} expired {-days:.0f} days ago", "renew it")
    elif found.from_ns > now_ns:
        yield Item("fault", subject, f"{text} is not valid yet", "check the clock of this machine")
    elif days < _SOON_DAYS:
        yield Item("warning", subject, f"{text} expires in {days:.0f} days", "renew it")
    else:
        yield Item("ok", subject, f"{text} is valid for {days:.0f} days")


def _login(subject: str, login: Login) -> Iterator[Item]:
    try:
        credentials.password(login)
    except FieldwardenError as error:
        # A systemd credential is there only inside the unit.
        level: Literal["warning", "fault"] = "warning" if login.password_credential else "fault"
        yield Item(level, subject, f"{error.operation} {error.subject}: {error.cause}", error.hint)


def _tls(subject: str, settings: Tls) -> Iterator[Item]:
    try:
        credentials.tls_context(settings)
    except FieldwardenError as error:
        yield fault_of(subject, error)
        return
    if settings.tls and settings.certificate:
        yield from _certificate(subject, settings.certificate, settings.private_key)


def _upstream_on_paper(configuration: Configuration) -> Iterator[Item]:
    upstream = configuration.upstream
    if upstream is None:
        text = "none: verdicts and events stay on this machine"
        yield Item("ok", "upstream", text)
        return
    yield from _login("upstream", upstream)
    yield from _tls("upstream", upstream)
    size = bytes_per_day(configuration)
    text = (
        f"about {size.total / 1e6:.2g} MB a day: {size.summaries / 1e6:.2g} summaries, "
        f"{size.verdicts / 1e6:.2g} verdicts, {size.events / 1e6:.2g} events"
    )
    yield Item("ok", "upstream", text)


# --- asking ---------------------------------------------------------------------------------


async def _ask(configuration: Configuration, name: str, timeout_s: float) -> list[Item]:
    source = configuration.sources[name]
    subject = f"source {name}"
    kind, tags = SOURCES[source.protocol], _bindings(configuration, name)
    host, port = source.place
    if cause := await _unreachable(host, port, timeout_s):
        hint = "the agent tries again for ever; check host, port and whether it is switched on"
        return [Item("warning", subject, f"{host}:{port} was not reached: {cause}", hint)]
    try:
        lines = await kind.probe(name, source, tags, timeout_s)
    except FieldwardenError as error:
        return [fault_of(subject, error)]
    if kind.plans:
        return [Item("ok", subject, f"{host}:{port} answered all requests")]  # they are above
    return [Item("ok", subject, line) for line in lines]


async def _unreachable(
    host: str, port: int, timeout_s: float, context: ssl.SSLContext | None = None
) -> str:
    """Why no connection is made; empty where one is."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return cause_of(error)
    writer.close()
    return ""


async def _ask_upstream(configuration: Configuration, timeout_s: float) -> list[Item]:
    upstream = configuration.upstream
    if upstream is None:
        return []
    where = f"{upstream.host}:{upstream.port_number}"
    try:
        context = credentials.tls_context(upstream)
    except FieldwardenError:
        return []  # said on paper
    if cause := await _unreachable(upstream.host, upstream.port_number, timeout_s, context):
        hint = "the agent buffers until it is there; check host, port and firewall"
        return [Item("warning", "upstream", f"{where} was not reached: {cause}", hint)]
    return [Item("ok", "upstream", f"{where} answers")]
