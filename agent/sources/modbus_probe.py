"""Modbus, for `check`: each tag's registers as the device gives them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.modbus import Address, Decoder, Request
from agent.errors import SourceError
from agent.sources.base import Remark, TagBinding
from agent.sources.modbus_connection import Connection
from agent.sources.modbus_identity import identity_of
from agent.sources.modbus_plan import narrowed, plan_polls, served_of
from agent.sources.probed import Probe, TagProbe
from agent.types import Quality

_LOST = int(Quality.BAD | Quality.COMMUNICATION_LOST)
_MOST_SILENT = 2  # reads without an answer until the others are not tried any more


async def probe(
    name: str, config: ModbusSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> Probe:
    """Read every planned request once; see `agent.sources.SourceKind.probe`."""
    found: dict[str, TagProbe] = {}
    answered = 0
    with Connection(config.host, config.port) as connection:
        reader = _Reader(connection, config.unit, timeout_s)
        for poll in plan_polls(name, config, tags):
            names = list(poll.names)
            for request, answer in await narrowed(reader.read, poll.requests, poll.addresses):
                for column in request.columns:
                    address = poll.addresses[column]
                    found[names[column]] = (
                        _unanswered(names[column], reader.cause)
                        if answer == _Reader.SILENT
                        else _probe(names[column], address, request, answer)
                    )
                answered += answer != _Reader.SILENT
        identity = await identity_of(connection, config.unit, timeout_s) if answered else None
    if found and not answered:
        hint = "is it the right host, port and unit, and does the device take one more connection?"
        place = f"source {name!r} at {config.host}:{config.port}, unit {config.unit}"
        raise SourceError("reading", place, reader.cause, hint)
    remarks = [Remark("ok", f"{config.host}:{config.port} answered all requests")]
    if reader.silent:
        text = f"{config.host}:{config.port}: {reader.silent} reads had no answer: {reader.cause}"
        remarks = [Remark("warning", text, "see the tags below; other addresses are answered")]
    return Probe(remarks, [found[tag] for tag in tags], identity or {})


class _Reader:
    """Reads one request at a time, so that one without an answer costs its own tags only."""

    SILENT = -1

    def __init__(self, connection: Connection, unit: int, timeout_s: float) -> None:
        self._connection, self._unit, self._timeout_s = connection, unit, timeout_s
        self.silent = 0
        self.cause = ""

    async def read(self, requests: Sequence[Request]) -> list[bytes | int]:
        return [await self._one(request) for request in requests]

    async def _one(self, request: Request) -> bytes | int:
        for _ in range(2):  # a device may close after each answer
            if self.silent >= _MOST_SILENT:
                break
            try:
                (answer,) = await self._connection.read([request], self._unit, self._timeout_s)
            except SourceError as error:
                self.cause = error.cause
            else:
                return answer
        self.silent += 1
        return self.SILENT


def _unanswered(name: str, cause: str) -> TagProbe:
    return TagProbe(name, quality=_LOST, said=cause)


def _probe(name: str, address: Address, request: Request, answer: bytes | int) -> TagProbe:
    if isinstance(answer, int):
        quality = decode.exception_quality(answer)
        said = f"the device refuses {address.place}: {decode.exception_text(answer)}"
        served = served_of(answer)
        return TagProbe(name, quality=quality, said=said, served=served)
    if len(answer) != request.size:
        said = f"{len(answer)} bytes came where {request.size} were asked for"
        return TagProbe(name, quality=int(Quality.BAD), said=said)
    value, quality = _decoded(address, request, answer)
    return TagProbe(
        name,
        value if math.isfinite(value) else None,
        quality,
        _raw(address, request, answer),
        others=tuple(_others(address, request, answer)),
    )


def _decoded(address: Address, request: Request, answer: bytes) -> tuple[float, int]:
    alone = Request(request.area, request.start, request.count, (0,))
    value, quality = Decoder([address], [alone]).decode([answer])
    return float(value[0]), int(quality[0])


def _raw(address: Address, request: Request, answer: bytes) -> str:
    at = address.offset - request.start
    if request.is_bits:
        return str(answer[at // 8] >> at % 8 & 1)
    words = [answer[2 * (at + i) : 2 * (at + i + 1)].hex() for i in range(address.width)]
    return "0x" + " ".join(words)


def _others(address: Address, request: Request, answer: bytes) -> Iterator[tuple[str, float]]:
    """The same registers in every other word order and type of that width; same scale."""
    if request.is_bits or address.type == "bool":
        return
    for kind in (address.type, *decode.types_of(address.width)):
        for order in decode.ORDERS:
            if (kind, order) == (address.type, address.order):
                continue
            if kind != address.type and order not in (address.order, "ABCD", "CDAB"):
                continue
            value, quality = _decoded(replace(address, type=kind, order=order), request, answer)
            if not quality:
                label = order if kind == address.type else f"{kind} {order}"
                yield (kind if address.width == 1 and order == "ABCD" else label), value
