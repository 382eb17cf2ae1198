"""A device that changes its registers: shifted, swapped words or bytes, other types, refused,
or another device altogether.

A request is answered from one image of all registers, so that it never sees half a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.device import ModbusControlBlock, ModbusDeviceIdentification
from pymodbus.pdu.mei_message import ReadDeviceInformationResponse
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.clock import wall_ns
from agent.errors import FieldwardenError
from simulators.modbus_server import parse_field
from simulators.upstream.definition import Definition

_AREAS = {3: "holding", 4: "input"}
_BLOCK = 512  # registers of each area
_WORDS = {"ABCD": "CDAB", "CDAB": "ABCD", "BADC": "DCBA", "DCBA": "BADC"}
_BYTES = {"ABCD": "BADC", "BADC": "ABCD", "CDAB": "DCBA", "DCBA": "CDAB"}
_IDENTITY = ("vendor", "product_code", "revision")


class ModbusUpstream:
    """Serves unit 1; without any `identity` it does not have function 43.

    Args:
        definition: of the source.

    Attributes:
        answered_ns: wall ns of the first answer after the latest order; 0: none yet.
        answered: set with it.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._identity = dict(definition.identity)
        self._server: ModbusTcpServer | None = None
        self._unit = 1
        self._values: Mapping[str, float] = {}
        self.answered_ns = 0
        self.answered = asyncio.Event()
        self._reset()

    def _reset(self) -> None:
        self._fields = {tag.name: parse_field(tag.address) for tag in self._definition.tags}
        self._shift: dict[int, int] = {}
        self._inserted: list[tuple[int, int]] = []
        self._refused: list[tuple[int, int, ExcCodes]] = []
        self._draw()

    async def start(self) -> None:
        """Listen.

        Raises:
            FieldwardenError: the port is taken.
        """
        words = [SimData(0, count=_BLOCK, values=0, datatype=DataType.REGISTERS, readonly=True)]
        bits = [SimData(0, count=1, values=0, datatype=DataType.BITS, readonly=True)]
        device = SimDevice(self._unit, (bits, bits, words, words), action=self._answer)
        told = {at: str(self._identity.get(name, "")) for at, name in enumerate(_IDENTITY)}
        ModbusControlBlock().Identity.update(ModbusDeviceIdentification(told))
        address = (self._definition.host, self._definition.port)
        server = ModbusTcpServer(device, address=address, trace_pdu=self._trace)
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            place = f"{address[0]}:{address[1]}"
            raise FieldwardenError("starting the Modbus server at", place, str(error)) from error
        self._server = server

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.shutdown()

    def _trace(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:  # noqa: FBT001 - a callback
        """Without an identity, function 43 is one that the device does not know."""
        if sending and isinstance(pdu, ReadDeviceInformationResponse) and not self._identity:
            refusal = ExceptionResponse(pdu.function_code, ExcCodes.ILLEGAL_FUNCTION)
            refusal.transaction_id, refusal.dev_id = pdu.transaction_id, pdu.dev_id
            return refusal
        return pdu

    async def order(self, what: str, told: Mapping[str, Any]) -> bool:
        """Change; False where it is no order for registers."""
        self.answered_ns = 0
        self.answered.clear()
        if what == "as_before":
            self._reset()
        elif what == "shift":  # all registers of an area stand `by` higher
            for code in _codes(told):
                self._shift[code] = int(told["by"])
        elif what == "insert":  # what stands at `first` and behind it stands `by` higher
            self._inserted.append((int(told["first"]), int(told["by"])))
        elif what == "area":  # served as registers of the other area
            name = str(told["tag"])
            code = next(code for code, area in _AREAS.items() if area == told["to"])
            self._fields[name] = replace(self._fields[name], function=code)
        elif what in ("words", "bytes"):
            name, orders = str(told["tag"]), _WORDS if what == "words" else _BYTES
            field = self._fields[name]
            self._fields[name] = replace(field, order=orders[field.order])
        elif what == "retype":
            name, dtype = str(told["tag"]), np.dtype(str(told["to"])).newbyteorder(">")
            scale = float(told.get("scale", self._fields[name].scale))
            self._fields[name] = replace(self._fields[name], dtype=dtype, scale=scale)
        elif what == "refuse":
            code = ExcCodes(int(told.get("exception", ExcCodes.ILLEGAL_ADDRESS)))
            self._refused.append((int(told["first"]), int(told["count"]), code))
        elif what in ("replace", "restart"):
            await self.stop()
            if what == "replace":
                self._identity = dict(told.get("identity", self._identity))
                self._unit = int(told.get("unit", self._unit))
            await asyncio.sleep(float(told.get("away_s", 0.3)))
            await self.start()
        else:
            return False
        self._draw()
        return True

    async def publish(self, values: Mapping[str, float], _now_ns: int) -> None:
        """Take over one row."""
        self._values = {**self._values, **values}
        self._draw()

    def _draw(self) -> None:
        """The image of all registers, as of now."""
        images = {code: [0] * _BLOCK for code in _AREAS}
        for name, value in self._values.items():
            field = self._fields[name]
            words = field.registers(value)
            at = field.offset + self._shift.get(field.function, 0)
            at += sum(by for first, by in self._inserted if field.offset >= first)
            images[field.function][at : at + len(words)] = words
        self._images = images

    async def _answer(
        self, function: int, start: int, address: int, count: int, registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:  # fmt: skip
        image = self._images.get(function)
        if image is None or values is not None:
            return ExcCodes.ILLEGAL_FUNCTION
        self.answered_ns = self.answered_ns or wall_ns()
        self.answered.set()
        for first, size, code in self._refused:
            if address < first + size and first < address + count:
                return code
        registers[address - start : address - start + count] = image[address : address + count]
        return None


def _codes(told: Mapping[str, Any]) -> list[int]:
    area = told.get("area")
    return [code for code, name in _AREAS.items() if area in (None, name)]
