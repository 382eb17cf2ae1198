"""Modbus TCP on the wire: questions as frames, and whether bytes are the answer to a question.

Source of the frame: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.

Invariants:
- only functions 1 to 4 (reads) and 43 (device identification) are ever sent;
- an answer is of the question's unit, function and length, whatever its transaction id; all else
  is no answer, and ends the connection, as nobody knows what comes after it;
- an answer with another id than the question's (devices that always say 0) is taken only as the
  first one of a connection, where it can be no other question's;
- ids are random, so that a device that counts its answers can not meet the next question's.
"""

from __future__ import annotations

import random
import struct
from collections import deque

from agent.decode.modbus import Identification, Request

_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_HEADER = struct.Struct(">HHHB")
_QUESTION = struct.Struct(">BHH")
IDENTIFICATION = b"\x2b\x0e"
"""Function 43, MEI type 14."""
_BASIC = 1  # the category of objects that is asked for
_EXCEPTION = 0x80
_LENGTHS = range(3, 255)  # of what follows the length: unit, function and at least one byte
_REMEMBERED = 32  # ids of earlier questions, whose answers may still come


class NotUnderstoodError(Exception):
    """What the device sent is no answer to the question."""


class OtherFormError(NotUnderstoodError):
    """It is one, but of another function or length."""


class Framing:
    """The frames of one connection: one question at a time, and the bytes that answer it.

    Args:
        echoes: the device is known to answer with the question's id.

    Attributes:
        echoed: whether the latest answer had the question's id; None before the first.
    """

    def __init__(self, *, echoes: bool = False) -> None:
        self._must_echo = echoes
        self._asked: deque[int] = deque(maxlen=_REMEMBERED)
        self._request: Request | Identification | None = None
        self._unit = 0
        self._buffer = b""
        self.echoed: bool | None = None

    @property
    def is_clean(self) -> bool:
        """Whether another question may follow: ids are echoed, and nothing is left over."""
        return self.echoed is not False and not self._buffer

    def question(self, request: Request | Identification, unit: int) -> bytes:
        """The next question's frame."""
        number = random.randrange(1, 0x10000)
        while number in self._asked:
            number = random.randrange(1, 0x10000)
        self._asked.append(number)
        self._request, self._unit = request, unit
        if isinstance(request, Identification):
            pdu = IDENTIFICATION + bytes([_BASIC, request.first])
        else:
            pdu = _QUESTION.pack(_FUNCTIONS[request.area], request.start, request.count)
        return _HEADER.pack(number, 0, 1 + len(pdu), unit) + pdu

    def answer(self, data: bytes) -> bytes | int | None:
        """What more bytes make of the answer: its data, the exception code, None: not whole yet.

        Raises:
            NotUnderstoodError: they are no answer to the last question.
        """
        self._buffer += data
        while self._request is not None and len(self._buffer) >= _HEADER.size:
            number, protocol, length, unit = _HEADER.unpack_from(self._buffer)
            if protocol or length not in _LENGTHS:
                raise NotUnderstoodError("it sent what is no Modbus frame")
            end = _HEADER.size - 1 + length
            if len(self._buffer) < end:
                return None
            pdu, self._buffer = self._buffer[_HEADER.size : end], self._buffer[end:]
            if self._is_late(number):
                continue
            content = self._content(self._request, unit, pdu)
            self.echoed = number == self._asked[-1]
            self._request = None
            return content
        return None

    def _is_late(self, number: int) -> bool:
        """Whether a frame answers an earlier question, doubled or too late.

        Raises:
            NotUnderstoodError: nobody can tell what it answers.
        """
        if number == self._asked[-1]:
            return False
        if self.echoed and number in self._asked:
            return True
        if self.echoed or self._must_echo:
            raise NotUnderstoodError(f"it answered with the foreign transaction id {number}")
        return False

    def _content(
        self, request: Request | Identification, unit: int, pdu: bytes
    ) -> bytes | int:
        if isinstance(request, Identification):
            function = IDENTIFICATION[0]
        else:
            function = _FUNCTIONS[request.area]
        if unit != self._unit:
            raise NotUnderstoodError(f"unit {unit} answered where unit {self._unit} was asked")
        if pdu[0] == function | _EXCEPTION and len(pdu) == 2:
            return pdu[1]
        if pdu[0] != function:
            raise OtherFormError(f"it answered with function {pdu[0]}, not {function}")
        if isinstance(request, Identification):
            return pdu
        data = pdu[2:]
        if pdu[1] != len(data) or len(data) != request.size:
            cause = f"it answered with {len(data)} bytes where {request.size} were asked for"
            raise OtherFormError(cause)
        return data
