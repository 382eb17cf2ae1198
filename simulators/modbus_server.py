"""The utilities' Modbus TCP server (pymodbus, loopback).

Nothing is done per value as the plant runs: a request copies the latest row into the registers
that it asks for. A value that can not be had reads as NaN (float32) or -32768 (int16), as field
gateways do; Modbus itself has no quality and no time.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.errors import FieldwardenError
from simulators.tags import PlantTag

logging.getLogger("pymodbus").setLevel(logging.ERROR)

INVALID_INT16 = -32768
_READ_HOLDING, _READ_INPUT = 3, 4
_BLOCK = 256  # registers served from offset 0 in each area


@dataclass(frozen=True, slots=True)
class _Field:
    """Where a tag lives: function code, offset, and how it is packed."""

    function: int
    offset: int
    integer: bool
    word_swap: bool
    scale: float

    def registers(self, value: float) -> list[int]:
        """The registers of `value`; NaN is what the device shows for "no value"."""
        if self.integer:
            number = INVALID_INT16 if value != value else round(value / self.scale)  # noqa: PLR0124
            return [max(-32768, min(32767, number)) & 0xFFFF]
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        return [low, high] if self.word_swap else [high, low]


def parse_field(address: str) -> _Field:
    """``holding 100 float32 ABCD`` or ``holding 107 int16 scale 0.01``."""
    area, offset, kind, *rest = address.split()
    scale = float(rest[rest.index("scale") + 1]) if "scale" in rest else 1.0
    function = _READ_HOLDING if area == "holding" else _READ_INPUT
    return _Field(function, int(offset), kind == "int16", "CDAB" in rest, scale)


class ModbusServer:
    """Serves `tags` as unit 1.

    Args:
        host: to bind to.
        port: to bind to.
        tags: what to serve.
        unit: Modbus unit id.
    """

    def __init__(self, host: str, port: int, tags: Sequence[PlantTag], unit: int = 1) -> None:
        self._address = (host, port)
        self._fields = [parse_field(tag.address) for tag in tags]
        self._unit = unit
        self._images = {code: [0] * _BLOCK for code in (_READ_HOLDING, _READ_INPUT)}
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        """Listen; also after `lose`.

        Raises:
            FieldwardenError: the port is taken.
        """
        if self._server is not None:
            return
        words = [SimData(0, count=_BLOCK, values=0, datatype=DataType.REGISTERS, readonly=True)]
        bits = [SimData(0, count=1, values=0, datatype=DataType.BITS, readonly=True)]
        device = SimDevice(self._unit, (bits, bits, words, words), action=self._answer)
        server = ModbusTcpServer(device, address=self._address)
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            host, port = self._address
            raise FieldwardenError(
                "starting the Modbus server at",
                f"{host}:{port}",
                str(error),
                f"end the program that uses port {port} (ss -ltnp), or choose another port",
            ) from error
        self._server = server

    async def lose(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()

    restore = start
    stop = lose

    def publish(self, values: Sequence[float], bad: Sequence[bool]) -> None:
        """Take over one row; NaN and bad values read as "no value"."""
        for field, value, is_bad in zip(self._fields, values, bad, strict=True):
            words = field.registers(float("nan") if is_bad else value)
            self._images[field.function][field.offset : field.offset + len(words)] = words

    async def _answer(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        image = self._images.get(function)
        if image is None or values is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        first = address - start
        registers[first : first + count] = image[address : address + count]
        return None
