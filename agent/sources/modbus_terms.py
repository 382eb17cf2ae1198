"""How vendors write register maps: headings, types, areas, word orders, numbers. Tables only.

What stands in `AMBIGUOUS` means one thing with one vendor and another with the next: it is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final


def plain(text: str) -> str:
    """Letters and digits alone, lower case, without accents."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(sign for sign in folded if sign.isalnum())


def _table(rows: Mapping[str, str]) -> dict[str, str]:
    return {plain(word): role for role, words in rows.items() for word in words.split("|")}


HEADINGS: Final = _table({
    "name": "name|tag|tag name|signal|signal name|parameter|parameter name|variable|point|"
    "point name|register name|measurement|measured value|value name|item|label|symbol|"
    "bezeichnung|messwert|nom|nombre|data point|object|object name",
    "address": "address|addr|adr|register|reg|register address|reg address|register addr|"
    "modbus address|modbus register|register number|register no|reg no|start address|"
    "start register|starting address|adresse|direccion|address dec|dec address|address hex|"
    "hex address|register dec|register hex|pdu address|protocol address|data address|"
    "modicon address|plc address|address decimal|decimal address|address 0 based|"
    "address zero based|zero based address|address 1 based|one based address|modbus addr|"
    "register index|modbus offset|register offset|address offset|0x address",
    "offset": "offset",
    "area": "area|function|function code|fc|func|func code|modbus function|read function|"
    "register type|reg type|object type|modbus type|table|memory area|read fc|function codes|"
    "modbus table|primary table|fcode|fct",
    "type": "type|data type|datatype|format|data format|datentyp|value type|encoding|"
    "representation|variable type|number format|typ|tipo",
    "count": "count|length|len|size|words|word count|number of registers|no of registers|"
    "registers|quantity of registers|num registers|reg count|register count|size words|"
    "length words|nr of registers|of registers",
    "order": "word order|byte order|endian|endianness|endianess|byte order word order|"
    "register order|swap|word swap",
    "scale": "scale|scaling|scale factor|scaling factor|sf",
    "factor": "factor|multiplier|gain|coefficient|coeff|multiply by|multiplying factor|faktor|"
    "multiply|slope",
    "resolution": "resolution|res|auflosung",
    "divisor": "divisor|divide by|divider|div|division",
    "decimals": "decimals|decimal places|dp|decimal digits|"
    "no of decimals|nachkommastellen",
    "unit": "unit|units|engineering unit|engineering units|uom|eu|einheit|unite|unidad|eng unit|"
    "measurement unit|unit of measure",
    "description": "description|desc|comment|comments|remark|remarks|note|notes|meaning|"
    "beschreibung|bemerkung|explanation|details|kommentar",
    "access": "access|r w|rw|read write|read/write|access type|permission|zugriff",
    "device": "slave|slave id|slave address|unit id|device id|device address|modbus id|node id|"
    "unit identifier|station|station address",
    "bit": "bit|bit number|bit no|bit position|bit index",
})  # fmt: skip
"""Heading of a column, plain -> what it holds."""

ZERO_BASED: Final = frozenset(map(plain, (
    "PDU address", "protocol address", "address 0 based", "address zero based",
    "zero based address", "0 based address", "modbus offset", "register offset", "address offset",
    "offset",
)))  # fmt: skip
ONE_BASED: Final = frozenset(map(plain, (
    "register number", "register no", "reg no", "address 1 based", "one based address",
    "1 based address",
)))  # fmt: skip
MODICON: Final = frozenset(map(plain, ("modicon address", "plc address")))

TYPES: Final = _table({
    "int16": "int16|s16|i16|sint16|short|signed 16|signed 16 bit|16 bit signed|int 16|"
    "16 bit signed integer|signed short|int16 t|signed int16|signed int 16|16 bit int|s 16|"
    "signed16|i 16|signed 16 bit integer|16 bit integer signed|s word|signed word",
    "uint16": "uint16|u16|ushort|unsigned 16|unsigned 16 bit|16 bit unsigned|uint 16|word|"
    "unsigned short|uint16 t|unsigned int16|unsigned int 16|16 bit unsigned integer|unsigned16|"
    "u 16|16 bit uint|unsigned 16 bit integer|unsigned word|enum16|16 bit integer unsigned|u word",
    "int32": "int32|s32|i32|sint32|dint|signed 32|signed 32 bit|32 bit signed|int 32|"
    "32 bit signed integer|int32 t|signed int32|signed int 32|signed long int|32 bit int|s 32|"
    "signed32|signed 32 bit integer|32 bit integer signed|s dword|signed dword",
    "uint32": "uint32|u32|udint|dword|unsigned 32|unsigned 32 bit|32 bit unsigned|uint 32|"
    "32 bit unsigned integer|uint32 t|unsigned int32|unsigned int 32|32 bit uint|u 32|unsigned32|"
    "double word|acc32|enum32|unsigned 32 bit integer|unsigned dword|32 bit integer unsigned|"
    "u dword",
    "int64": "int64|s64|i64|sint64|lint|signed 64|signed 64 bit|64 bit signed|int 64|"
    "64 bit signed integer|int64 t|signed int64|long long|signed64|64 bit int|s qword",
    "uint64": "uint64|u64|ulint|qword|lword|unsigned 64|unsigned 64 bit|64 bit unsigned|uint 64|"
    "64 bit unsigned integer|uint64 t|unsigned int64|unsigned long long|unsigned64|acc64|u qword",
    "float32": "float32|float|real|f32|single|ieee754|ieee 754|float 32|32 bit float|real32|"
    "32 bit ieee 754|ieee float|float ieee754|ieee 754 float|single precision|32 bit real|"
    "floating point|float single|float 32 bit|32 bit floating point|ieee754 float|fp32|"
    "ieee 754 single|floating|flt|real4|float4",
    "float64": "float64|double|lreal|f64|float 64|64 bit float|real64|double precision|"
    "64 bit real|64 bit ieee 754|ieee 754 double|double float|fp64|float 64 bit|real8",
    "bool": "bool|boolean|bit|binary|digital|1 bit|discrete",
})  # fmt: skip
"""Spelling of a type, plain -> the type of an address."""

AMBIGUOUS: Final[Mapping[str, tuple[str, ...]]] = {
    "int": ("int16", "int32"), "integer": ("int16", "int32"),
    "uint": ("uint16", "uint32"), "unsigned": ("uint16", "uint32"), "signed": ("int16", "int32"),
    "unsignedint": ("uint16", "uint32"), "unsignedinteger": ("uint16", "uint32"),
    "signedint": ("int16", "int32"), "signedinteger": ("int16", "int32"),
    "long": ("int32", "int64"), "ulong": ("uint32", "uint64"),
    "unsignedlong": ("uint32", "uint64"), "signedlong": ("int32", "int64"),
    "longint": ("int32", "int64"), "number": ("int16", "uint16"), "numeric": ("int16", "uint16"),
    "16bit": ("uint16", "int16"), "32bit": ("uint32", "int32", "float32"),
    "64bit": ("uint64", "int64", "float64"), "": ("uint16", "int16"),
}  # fmt: skip
"""Spelling -> what it may be; the number of registers decides where the map has it."""

NO_NUMBERS: Final = re.compile(
    r"string|char|ascii|text|utf|date|time|bcd|bitfield|bitmap|bits|flags|mac|ip|raw|bytes|struct"
)
"""Types whose values are no numbers that an address can say."""

AREAS: Final = _table({
    "holding": "3|03|fc3|fc03|0x03|holding|holding register|holding registers|hr|4x|4xxxx|"
    "holdingregister|h|read holding register|read holding registers|03 read holding registers|"
    "03 06|03 16|03 06 16|"
    "3 6 16|3 16|3 6|output register|analog output holding register|03h|fc 03|03 0x03|fc03 06|"
    "fc3 6|fc3 16|fc03 16|03 10|03 06 10|0x03 0x06 0x10|0x03 0x10|0x03 0x06",
    "input": "4|04|fc4|fc04|0x04|input|input register|input registers|ir|3x|3xxxx|inputregister|"
    "read input register|read input registers|04 read input registers|analog input|04h|fc 04",
    "coil": "1|01|fc1|fc01|0x01|coil|coils|c|0x|0xxxx|read coils|01 05|01 05 15|1 5 15|1 5|"
    "coil status|discrete output|01h|fc 01|digital output",
    "discrete": "2|02|fc2|fc02|0x02|discrete|discrete input|discrete inputs|di|1x|1xxxx|"
    "input status|contact|read discrete inputs|02h|fc 02|digital input|input bit",
})  # fmt: skip
"""Spelling of an area or of a function, plain -> the area."""

PREFIXES: Final[Mapping[str, tuple[str, str]]] = {
    "4x": ("holding", "1-based"), "3x": ("input", "1-based"), "1x": ("discrete", "1-based"),
    "hr": ("holding", ""), "ir": ("input", ""), "di": ("discrete", ""), "co": ("coil", ""),
    "%mw": ("holding", "0-based"), "%m": ("coil", "0-based"),
}  # fmt: skip
"""What stands before a number: (area, where it counts from, or empty)."""

MODICON_AREAS: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}

ORDERS: Final = _table({
    "ABCD": "abcd|big endian|big|be|msw first|high word first|msb first|high first|"
    "most significant word first|hi lo|high low|msw lsw|big endian big endian|no|none|off|no swap|"
    "normal|false|network|motorola|hw first|big endian msw first",
    "CDAB": "cdab|word swap|word swapped|lsw first|low word first|little endian word swap|"
    "swapped words|lo hi|low high|lsw msw|least significant word first|low first|swap words|"
    "big endian word swap|big endian swap|lw first|swap word|mid little endian",
    "BADC": "badc|byte swap|byte swapped|swap bytes|big endian byte swap|mid big endian|"
    "swapped bytes|swap byte",
    "DCBA": "dcba|little endian byte swap|full swap|little endian little endian|"
    "byte and word swap|swap bytes and words|swap all|lsb first|intel",
})  # fmt: skip
"""Spelling of a word order, plain -> the order. "Little endian" alone is `DCBA` or `CDAB`."""

WIDTHS: Final = {
    "bool": 1, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "float32": 2, "int64": 4,
    "uint64": 4, "float64": 4,
}  # fmt: skip
"""Type -> registers."""

NO_TAG: Final = re.compile(
    r"reserved?|spare|unused|not used|n/?a|-+|dummy|reserviert|tbd", re.IGNORECASE
)
"""Names of registers that hold nothing."""
