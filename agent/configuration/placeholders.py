"""Placeholders: what `init` writes because it can not know it, and `check` asks a person to edit.

Names under `.example`, and `example.com`, `.net` and `.org`, belong to nobody (RFC 2606): an
address there was copied from an example.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.configuration.schema import Configuration

SITE, GATEWAY = "plant", "gateway-1"
SOURCE, HOST, TOPIC = "plant", "127.0.0.1", "plant/telemetry"
TEAM, CONTACT = "to be named", "to-be-named@plant.example"

_NOBODYS = ("example", "example.com", "example.net", "example.org")


def left(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """(subject, what is still as `init` or an example left it, hint) for each of them."""
    gateway = configuration.gateway
    if (gateway.site, gateway.name) == (SITE, GATEWAY):
        text = f'site "{SITE}" and name "{GATEWAY}" are placeholders'
        yield "gateway", text, "name both: they are part of the topics, and tell gateways apart"
    yield from _sources(configuration)
    for name, model in configuration.models.items():
        subject, owner = f"model {name}", model.owner
        if owner.team == TEAM:
            yield subject, f'owner.team "{TEAM}" is a placeholder', "name who must act"
        if owner.contact == CONTACT or is_nobodys(owner.contact.rpartition("@")[2]):
            text = f'owner.contact "{owner.contact}" is an example: it reaches nobody'
            yield subject, text, "give an address or a number that someone answers"
    upstream = configuration.upstream
    if upstream is not None and is_nobodys(upstream.host):
        yield "upstream", f'host "{upstream.host}" is an example', "give the broker's name"


def _sources(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    for name, source in configuration.sources.items():
        subject = f"source {name}"
        host, _ = source.place
        if is_nobodys(host):
            yield subject, f'"{host}" is an example', "give the device's name or address"
        own = [tag.address for tag in configuration.tags.values() if tag.source == name]
        made_up = sum(address.startswith(f"{TOPIC} /") for address in own)
        if name == SOURCE and host == HOST and made_up:
            text = f"its host and the addresses of {made_up} tags are placeholders"
            yield subject, text, "say where the tags are served: configs/ has one of each protocol"


def is_nobodys(host: str) -> bool:
    """Whether a host's name is an example's."""
    name = host.strip().lower().rstrip(".")
    return any(name == nobody or name.endswith(f".{nobody}") for nobody in _NOBODYS)
