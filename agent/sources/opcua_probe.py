"""OPC UA, for `check`: each node's value as the server gives it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.configuration.schema import OpcUaSource
from agent.decode import opcua as decode
from agent.decode.columns import Dictionary
from agent.decode.opcua import Address, Decoder
from agent.errors import SourceError
from agent.sources.base import Remark, TagBinding, parse_all, tag_ids
from agent.sources.opcua_identity import identity_of, served_of
from agent.sources.opcua_nodes import node_ids
from agent.sources.opcua_reading import limits_of, read_in_parts, values_of
from agent.sources.opcua_session import explained, session
from agent.sources.probed import Probe, TagProbe, shortened
from agent.types import Quality


async def probe(
    name: str, config: OpcUaSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> Probe:
    """Connect and read every node once; see `agent.sources.SourceKind.probe`."""
    addresses = parse_all(name, tags, decode.parse_address)
    try:
        async with session(name, config, timeout_s) as client:
            limits, namespaces = await limits_of(client), await client.get_namespace_array()
            nodes = node_ids(addresses, namespaces)
            known = [node for node in nodes if node is not None]
            values = iter(await read_in_parts(client, values_of(known), limits.read))
            read = [None if node is None else next(values) for node in nodes]
            identity = await identity_of(client)
            served = await served_of(client, nodes, namespaces, limits)
    except Exception as error:  # a strange server can make asyncua raise all
        subject = f"source {name!r} at {config.endpoint}"
        cause, hint = await explained(config, error, timeout_s)
        raise SourceError("connecting to", subject, cause, hint) from error
    told = f"{len(read)} nodes asked for, published every {config.publishing / 1e9:g} s"
    return Probe(
        [Remark("ok", told)],
        [
            replace(_tag(binding, address, value), served=told)
            for binding, address, value, told in zip(
                tags.values(), addresses, read, served, strict=True
            )
        ],
        identity,
    )


def _tag(binding: TagBinding, address: Address, data: Any) -> TagProbe:
    if data is None:
        return TagProbe(
            binding.name,
            quality=int(Quality.BAD | Quality.ADDRESS_REFUSED),
            said=f"the server refuses {binding.tag.address}: no such namespace",
        )
    decoder = Decoder(tag_ids({"": binding}), [binding.is_text], Dictionary())
    samples = decoder.decode([_Item(data)])
    status, quality = data.StatusCode, int(samples.quality[0])
    said = "" if status is None or not status.value else status.name
    if quality & Quality.ADDRESS_REFUSED:
        said = f"the server refuses {address.text() if not address.uri else address}: {said}"
    variant = data.Value
    value = None if variant is None else variant.Value
    if variant is not None and value is not None:
        raw = f"{variant.VariantType.name} {shortened(str(value))}"
    else:
        raw = ""
    text = str(getattr(value, "Text", value)) if binding.is_text and value is not None else None
    number = float(samples.value[0])
    stamp = int(samples.source_ns[0])
    return TagProbe(
        binding.name,
        text if binding.is_text else (None if math.isnan(number) else number),
        quality,
        raw,
        said,
        stamp,
    )


class _Item:
    """A value as the decoder takes those of notifications."""

    ClientHandle = 0

    def __init__(self, value: Any) -> None:
        self.Value = value
