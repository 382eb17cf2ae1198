"""Modbus TCP on the wire: questions and answers as frames; the only module that imports pymodbus.

Invariant: only functions 1 to 4 (reads) are ever sent.

pymodbus makes the frames and reads them. Its conversion of registers costs 750 ns a value: here
its answers keep the bytes, and `agent.decode.modbus` views them.
"""

from __future__ import annotations

import logging
from functools import lru_cache

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from agent.decode.modbus import Request

# What it has to say reaches people as the source's state; each retry in the log is a flood.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

_REQUESTS: dict[str, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_BUFFER_BYTES = 4 * 260  # the longest frame has 260 bytes; a device that babbles fills no memory


class NotUnderstoodError(Exception):
    """What the device sent is no answer to the question."""


class _RawAnswer(ModbusPDU):
    """An answer that keeps its data as bytes."""

    data: bytes = b""

    def decode(self, data: bytes) -> None:
        """Take the data without the leading count; what is too short stays empty."""
        if data and len(data) > data[0]:
            self.data = data[1 : 1 + data[0]]

    def __str__(self) -> str:
        return type(self).__name__  # pymodbus formats every answer, whether it is logged or not


_ANSWERS = [
    type(f"RawAnswer{code}", (_RawAnswer,), {"function_code": code}) for code in (1, 2, 3, 4)
]


@lru_cache(maxsize=4096)
def _question(area: str, start: int, count: int, unit: int) -> ModbusPDU:
    """Kept from poll to poll; only its transaction number changes, each time it is sent."""
    return _REQUESTS[area](address=start, count=count, dev_id=unit)


class Framing:
    """The frames of one connection: one question at a time, and the bytes that answer it."""

    def __init__(self) -> None:
        decoder = DecodePDU(is_server=False)
        for answer in _ANSWERS:
            decoder.register(answer)
        self._framer = FramerSocket(decoder)
        self._question: ModbusPDU | None = None
        self._buffer = b""
        self._number = 0

    def question(self, request: Request, unit: int) -> bytes:
        """The next question's frame; what is left of earlier answers is forgotten."""
        question = _question(request.area, request.start, request.count, unit)
        self._number = question.transaction_id = self._number % 0xFFFF + 1
        self._question, self._buffer = question, b""
        return self._framer.buildFrame(question)

    def answer(self, data: bytes) -> bytes | int | None:
        """What more bytes make of the answer: its data, the exception code, None: not whole yet.

        Raises:
            NotUnderstoodError: they are no answer to the last question.
        """
        question = self._question
        if question is None:
            return None
        self._buffer = (self._buffer + data)[-_BUFFER_BYTES:]
        try:
            used, answer = self._framer.handleFrame(self._buffer, question.dev_id, self._number)
        except Exception as error:  # a strange device can make pymodbus raise all
            raise NotUnderstoodError(f"not understood: {error}") from error
        self._buffer = self._buffer[used:]
        return None if answer is None else _content(question, answer)


def _content(question: ModbusPDU, answer: ModbusPDU) -> bytes | int:
    if answer.isError():
        return int(answer.exception_code)
    if not isinstance(answer, _RawAnswer) or answer.function_code != question.function_code:
        raise NotUnderstoodError(f"answered with function {answer.function_code}")
    return answer.data
