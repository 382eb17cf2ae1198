"""The utilities' Modbus TCP server (pymodbus, loopback).

Nothing is done per value as the plant runs: a request copies the latest row into the registers
that it asks for. A value that can not be had reads as NaN (float32) or -32768 (int16), as field
gateways do; Modbus itself has no quality and no time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.decode.modbus import parse_address
from agent.errors import FieldwardenError
from simulators.tags import PlantTag

logging.getLogger("pymodbus").setLevel(logging.ERROR)

INVALID_INT16 = -32768
_READ_HOLDING, _READ_INPUT = 3, 4
_BLOCK = 256  # registers served from offset 0 in each area, at least


_FUNCTIONS = {"holding": _READ_HOLDING, "input": _READ_INPUT}
_REVERSED = ("CDAB", "DCBA")
_SWAPPED = ("BADC", "DCBA")


@dataclass(frozen=True, slots=True)
class _Field:
    """Where a tag lives: function code, offset, and how it is packed."""

    function: int
    offset: int
    dtype: np.dtype[Any]
    order: str
    scale: float

    def registers(self, value: float) -> list[int]:
        """The registers of `value`; NaN is what the device shows for "no value"."""
        number = value / self.scale
        if self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            lowest = limits.min if self.dtype.kind == "i" else limits.max
            number = lowest if number != number else round(number)  # noqa: PLR0124 - NaN
            number = max(int(limits.min), min(int(limits.max), int(number)))
        words = np.array(number, self.dtype).tobytes()
        pairs = [words[at : at + 2] for at in range(0, len(words), 2)]
        pairs = pairs[::-1] if self.order in _REVERSED else pairs
        return [
            int.from_bytes(pair[::-1] if self.order in _SWAPPED else pair, "big") for pair in pairs
        ]


def parse_field(text: str) -> _Field:
    """``holding 100 float32 ABCD`` or ``holding 107 int16 scale 0.01``.

    Raises:
        FieldwardenError: the address is not understood, or of single bits.
    """
    address = parse_address(text)
    if address.area not in _FUNCTIONS:
        cause = "the simulator serves registers only"
        raise FieldwardenError("serving", text, cause, "use a holding or an input register")
    kind = "uint16" if address.type == "bool" else address.type
    dtype = np.dtype(kind).newbyteorder(">")
    return _Field(_FUNCTIONS[address.area], address.offset, dtype, address.order, address.scale)


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
        ends = [field.offset + field.dtype.itemsize // 2 for field in self._fields]
        self._block = max(_BLOCK, *ends) if ends else _BLOCK
        self._images = {code: [0] * self._block for code in (_READ_HOLDING, _READ_INPUT)}
        self._server: ModbusTcpServer | None = None

    async def start(self) -> None:
        """Listen; also after `lose`.

        Raises:
            FieldwardenError: the port is taken.
        """
        if self._server is not None:
            return
        kind = DataType.REGISTERS
        words = [SimData(0, count=self._block, values=0, datatype=kind, readonly=True)]
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
