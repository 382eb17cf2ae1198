"""Modbus: addresses, planning many tags into few reads, registers to columns by numpy views.

Source of the limits: MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4
(2000 bits or 125 registers in one read) and 7 (exception codes).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from agent.decode.columns import settle
from agent.errors import SourceError
from agent.types import Float64, Quality, UInt16

MAX_REGISTERS = 125
MAX_BITS = 2000
_SPACE = 65536  # addresses in each area

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
_REGISTER_AREAS = ("holding", "input")
_BIT_AREAS = ("coil", "discrete")
_TYPES = {
    "bool": ">u2",
    "int16": ">i2",
    "uint16": ">u2",
    "int32": ">i4",
    "uint32": ">u4",
    "int64": ">i8",
    "uint64": ">u8",
    "float32": ">f4",
    "float64": ">f8",
}
_GRAMMAR = re.compile(
    r"\s*(?P<area>\w+)\s+(?P<offset>\d{1,5})(?:\s+(?P<type>(?!scale\b)[a-z]\w*))?"
    r"(?:\s+(?P<order>[A-Z]{4}))?(?:\s+scale\s+(?P<scale>[-+.\deE]+))?\s*"
)
_HINT = (
    "write it like 'holding 100 float32 ABCD', 'input 7 int16 scale 0.1' or 'coil 3': "
    "area holding|input|coil|discrete, offset from 0, type "
    f"{'|'.join(_TYPES)}, word order {'|'.join(ORDERS)}"
)

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3
_EXCEPTIONS = {
    1: "illegal function",
    ILLEGAL_ADDRESS: "illegal data address",
    ILLEGAL_VALUE: "illegal data value",
    4: "server device failure",
    5: "acknowledge (still working)",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
NOT_REACHED = frozenset({10, 11})
REFUSED = frozenset({1, ILLEGAL_ADDRESS, ILLEGAL_VALUE})
_EXACT = 2**53  # whole numbers beyond it are rounded by float64

Area = Literal["holding", "input", "coil", "discrete"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a tag is and how it is encoded; `width` is in registers, or bits in bit areas."""

    area: Area
    offset: int
    type: str
    order: str
    scale: float
    width: int

    @property
    def end(self) -> int:
        """The offset after the last register or bit."""
        return self.offset + self.width

    @property
    def place(self) -> str:
        """Area and offset, for people."""
        return f"{self.area} {self.offset}"


@dataclass(frozen=True, slots=True)
class Request:
    """One read: `count` registers or bits from `start`; `columns` are positions of its tags."""

    area: Area
    start: int
    count: int
    columns: tuple[int, ...]

    @property
    def is_bits(self) -> bool:
        """Whether it reads bits, not registers."""
        return self.area in _BIT_AREAS

    @property
    def size(self) -> int:
        """Bytes of data that the answer must hold."""
        return (self.count + 7) // 8 if self.area in _BIT_AREAS else 2 * self.count

    @property
    def place(self) -> str:
        """Area and offsets, for people."""
        last = self.start + self.count - 1
        return f"{self.area} {self.start}" + f"..{last}" * (last > self.start)

    def __str__(self) -> str:
        unit = "bits" if self.area in _BIT_AREAS else "registers"
        return f"{self.area} {self.start}..{self.start + self.count - 1} ({self.count} {unit})"


@dataclass(frozen=True, slots=True)
class Identification:
    """The question who the device is: its basic objects, from number `first` on."""

    first: int = 0

    def __str__(self) -> str:
        return "the device identification"


def parse_address(text: str) -> Address:
    """``"holding 100 float32 CDAB scale 0.1"`` -> `Address`.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise SourceError("reading Modbus address", repr(text), "it is not understood", _HINT)
    area, offset = match["area"], int(match["offset"])
    is_bit = area in _BIT_AREAS
    kind, order = match["type"] or ("bool" if is_bit else "uint16"), match["order"] or "ABCD"
    try:
        scale = float(match["scale"] or 1)
    except ValueError:
        scale = np.nan
    width = 1 if is_bit else np.dtype(_TYPES.get(kind, ">u2")).itemsize // 2
    faults = [
        (area not in _REGISTER_AREAS + _BIT_AREAS, f"there is no area {area!r}"),
        (kind not in _TYPES, f"there is no type {kind!r}"),
        (is_bit and kind != "bool", f"{area} holds only bool, not {kind}"),
        (order not in ORDERS, f"there is no word order {order!r}"),
        (not np.isfinite(scale) or scale == 0, "the scale must be a number other than 0"),
        (offset + width > _SPACE, f"{area} ends at {_SPACE - 1}"),
    ]
    for is_fault, cause in faults:
        if is_fault:
            raise SourceError("reading Modbus address", repr(text), cause, _HINT)
    return Address(area, offset, kind, order, scale, width)  # type: ignore[arg-type]


def types_of(width: int) -> list[str]:
    """The types of numbers that take so many registers."""
    return [
        name
        for name, dtype in _TYPES.items()
        if name != "bool" and np.dtype(dtype).itemsize == 2 * width
    ]


def plan(
    addresses: Sequence[Address], max_gap: int, columns: Sequence[int] | None = None
) -> list[Request]:
    """Few reads that cover all addresses; see `Request`.

    Args:
        addresses: of all tags; `columns` are positions in it.
        max_gap: registers (or 16 times as many bits) read needlessly to join two reads.
        columns: those to cover; default: all.
    """
    wanted = range(len(addresses)) if columns is None else columns
    ordered = sorted(wanted, key=lambda c: (addresses[c].area, addresses[c].offset, c))
    requests: list[Request] = []
    group: list[int] = []
    end = 0
    for column in ordered:
        address = addresses[column]
        if group:
            first = addresses[group[0]]
            is_bit = first.area in _BIT_AREAS
            limit, gap = (MAX_BITS, 16 * max_gap) if is_bit else (MAX_REGISTERS, max_gap)
            joined = max(end, address.end) - first.offset <= limit
            if address.area == first.area and joined and address.offset - end <= gap:
                group.append(column)
                end = max(end, address.end)
                continue
            requests.append(Request(first.area, first.offset, end - first.offset, tuple(group)))
        group, end = [column], address.end
    if group:
        first = addresses[group[0]]
        requests.append(Request(first.area, first.offset, end - first.offset, tuple(group)))
    return requests


def register_of(text: str) -> tuple[str, int, int, str, float]:
    """(area, offset, width, numpy's name of the type, scale) of an address.

    Raises:
        SourceError: the address is not understood.
    """
    address = parse_address(text)
    return address.area, address.offset, address.width, _TYPES[address.type], address.scale


def split(request: Request, addresses: Sequence[Address]) -> list[Request]:
    """The same tags in smaller reads, to find out which of them a device refuses.

    First without the gaps that were read needlessly, then in halves; a single tag stays.
    """
    parts = plan(addresses, 0, request.columns)
    if len(parts) > 1 or len(request.columns) == 1:
        return parts
    middle = len(request.columns) // 2
    halves = (request.columns[:middle], request.columns[middle:])
    return [part for half in halves for part in plan(addresses, 0, half)]


def raw_code(code: int | str, address: Address) -> int | None:
    """A code that stands for "not available" as the bits of a tag's registers; None: it can not be.

    Args:
        code: ``"0x8000"`` is the registers' bits, a number the value before it is scaled.
        address: of the tag.
    """
    dtype = np.dtype(_TYPES[address.type])
    if isinstance(code, str):
        bits = int(code, 16)
        return bits if bits < 1 << 8 * dtype.itemsize else None
    if dtype.kind == "f":
        return int.from_bytes(np.array(code, dtype).tobytes())
    limits = np.iinfo(dtype)
    if not limits.min <= code <= limits.max:
        return None
    return int.from_bytes(np.array(code, dtype).tobytes())


def exception_text(code: int) -> str:
    """``"illegal data address (exception 2)"``."""
    return f"{_EXCEPTIONS.get(code, 'refused')} (exception {code})"


_KINDS = {
    1: Quality.ADDRESS_REFUSED,
    ILLEGAL_ADDRESS: Quality.ADDRESS_REFUSED,
    ILLEGAL_VALUE: Quality.ADDRESS_REFUSED,
    5: Quality.NOT_AVAILABLE,
    6: Quality.NOT_AVAILABLE,
} | dict.fromkeys(NOT_REACHED, Quality.COMMUNICATION_LOST)
"""What an exception says of why there is no value; all others are the device's own fault."""


def exception_quality(code: int) -> int:
    """Quality bits for a Modbus exception code."""
    return int(Quality.BAD | _KINDS.get(code, Quality.GOOD))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tags of one encoding: where their bytes are, most significant first."""

    dtype: np.dtype[np.generic]
    is_bool: bool
    columns: np.ndarray[tuple[int], np.dtype[np.intp]]
    gather: np.ndarray[tuple[int, int], np.dtype[np.intp]]
    codes: tuple[tuple[int, tuple[int, ...]], ...]  # (position, codes for "not available")


class Decoder:
    """Turns the answers to a plan into columns, one gather and one view for each encoding.

    Args:
        addresses: of all tags, in the order of the columns.
        requests: that cover all of them.
        not_available: for each tag the raw values that stand for "not available"; see `raw_code`.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        requests: Sequence[Request],
        not_available: Sequence[tuple[int, ...]] = (),
    ) -> None:
        self._requests = tuple(requests)
        self._columns = [np.array(request.columns, np.intp) for request in requests]
        self._scale = np.array([address.scale for address in addresses], np.float64)
        self._slots: list[slice] = []
        self.rounded: list[int] = []  # columns whose last value float64 could not hold exactly
        places: dict[tuple[str, bool], list[tuple[int, list[int]]]] = {}
        size = 0
        for request in requests:
            is_bit = request.area in _BIT_AREAS
            width = request.count if is_bit else 2 * request.count
            for column in request.columns:
                address = addresses[column]
                at = size + (address.offset - request.start) * (1 if is_bit else 2)
                dtype = "u1" if is_bit else _TYPES[address.type]
                place = [at] if is_bit else _byte_places(at, address)
                places.setdefault((dtype, address.type == "bool"), []).append((column, place))
            self._slots.append(slice(size, size + width))
            size += width
        self._bytes = np.zeros(size, np.uint8)
        self._groups = [
            _Group(
                np.dtype(dtype),
                is_bool,
                np.array([column for column, _ in found], np.intp),
                np.array([place for _, place in found], np.intp),
                tuple(
                    (position, not_available[column])
                    for position, (column, _) in enumerate(found)
                    if not_available and not_available[column]
                ),
            )
            for (dtype, is_bool), found in places.items()
        ]

    def decode(self, answers: Sequence[bytes | int | None]) -> tuple[Float64, UInt16]:
        """Values and qualities of all columns, new arrays.

        Args:
            answers: one for each request: its data bytes, or the exception code; None where there
                is none, whose columns mean nothing. Data of a wrong length counts as bad, as
                nobody knows what it is.
        """
        value = np.empty(len(self._scale), np.float64)
        quality = np.zeros(len(self._scale), np.uint16)
        self.rounded = []
        for i, answer in enumerate(answers):
            request, slot = self._requests[i], self._slots[i]
            if answer is None:
                quality[self._columns[i]] = int(Quality.BAD)
            elif isinstance(answer, int):
                quality[self._columns[i]] = exception_quality(answer)
            elif len(answer) != request.size:
                quality[self._columns[i]] = int(Quality.BAD)
            elif request.area in _BIT_AREAS:
                bits = np.unpackbits(np.frombuffer(answer, np.uint8), bitorder="little")
                self._bytes[slot] = bits[: request.count]
            else:
                self._bytes[slot] = np.frombuffer(answer, np.uint8)
        # Signalling NaNs are what some instruments send; they become bad below, not a warning.
        with np.errstate(invalid="ignore", over="ignore"):
            for group in self._groups:
                raw = self._bytes[group.gather].view(group.dtype)[:, 0]
                value[group.columns] = raw != 0 if group.is_bool else raw
                self.rounded += _mark(group, raw, quality)
            value *= self._scale
        settle(value, quality)
        return value, quality


def _mark(group: _Group, raw: np.ndarray[Any, Any], quality: UInt16) -> list[int]:
    """Give codes for "not available" their quality; the columns of integers that float64 rounds.

    Such a value is good: it is off by less than one part in 10^15. That it is rounded is told.
    """
    for position, codes in group.codes:
        column = group.columns[position]
        if not quality[column] and int.from_bytes(raw[position : position + 1].tobytes()) in codes:
            quality[column] = int(Quality.BAD | Quality.NOT_AVAILABLE)
    if group.dtype.kind in "iu" and group.dtype.itemsize == 8:
        beyond = (raw > _EXACT) | (raw < -_EXACT) if group.dtype.kind == "i" else raw > _EXACT
        columns = group.columns[beyond]
        return [int(column) for column in columns[quality[columns] == 0]]
    return []


def bytes_of(address: Address) -> tuple[np.dtype[Any], list[int]]:
    """(type of the number, where each of its bytes stands from the address on), the most
    significant first; a bit of a bit area is one byte.

    Raises:
        SourceError: there is no such type.
    """
    if address.type not in _TYPES:
        raise SourceError("reading Modbus type", repr(address.type), "there is none such", _HINT)
    if address.area in _BIT_AREAS:
        return np.dtype("u1"), [0]
    dtype = np.dtype(_TYPES[address.type])
    return dtype, _byte_places(0, address)[: dtype.itemsize]


def _byte_places(at: int, address: Address) -> list[int]:
    """Where the bytes of a value at byte `at` are, the most significant first."""
    words = [[at + 2 * i, at + 2 * i + 1] for i in range(address.width)]
    if address.order in ("CDAB", "DCBA"):
        words.reverse()
    if address.order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [place for word in words for place in word]
