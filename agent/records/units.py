"""Units in headings: which texts are one, and where in a name one stands."""

from __future__ import annotations

import re

_KNOWN = frozenset(
    """
    % %rh °c °f °k degc degf degk deg_c deg_f deg celsius fahrenheit c f k r bar bara barg
    mbar mbarg psi psia psig pa hpa kpa kpag mpa atm torr mmhg inh2o mmh2o mh2o m3/h m³/h m3/s
    m3/min m^3/h nm3/h nm³/h sm3/h l/min l/h l/s lpm gpm cfm scfm slpm ml/min kg/h kg/s kg/min
    t/h t/d lb/h lbs/h g/s g/min kg g t lb a ma ka v mv kv w kw mw gw kwh mwh gj mj kj kj/kg
    kvar kva hz khz rpm 1/min min-1 u/min m/s mm/s m/s2 m/s² g's mm cm m km in inch ft µm um µ
    s min h d ms ppm ppb mg/l g/l mg/m3 mg/nm3 kg/m3 kg/m³ g/cm3 mol/l mol% vol% wt% %vol %wt
    ph ntu us/cm µs/cm ms/cm s/m ohm kohm mohm n nm kn mpas mpa.s cp cst l ml m3 m³ nm3 w/m2
    w/m² lux j/kg mol/s kmol/h - [-] pct percent
    """.split()  # noqa: SIM905 - read as a text
)
_TYPES = frozenset(
    """
    float double real int integer long bool boolean string text number numeric float32 float64
    int16 int32 uint16 uint32 datetime timestamp analog digital avg mean min max raw
    """.split()  # noqa: SIM905 - read as a text
)
_BRACKETED = re.compile(r"[\[({]\s*([^\[\](){}]{1,14}?)\s*[\])}]")
_AFTER = re.compile(r"(?:\s+in\s+|\s*[,;|]\s*|\s+/\s*|__|\s+-\s+|\s+)([^\s,;|]{1,14})$")
_GLUED = re.compile(r"[_./-]([A-Za-z°%³²/0-9]{2,8})$")
_AHEAD = re.compile(r"^([^\s]{1,14})\s+\S")
_GLUED_UNITS = frozenset(
    """
    degc degf bar mbar barg psi psig kpa mpa kgh m3h rpm pct kw mw ppm lpm gpm °c m³/h m3/h
    """.split()  # noqa: SIM905 - read as a text
)
_OF_GLUED = {"kgh": "kg/h", "m3h": "m3/h", "pct": "%"}


def plain_unit(text: str) -> str:
    """A unit without signs that are hard to type: ``degC``, ``m3/h``."""
    text = text.replace("°", "deg").replace("³", "3").replace("²", "2").replace("µ", "u")
    return text.replace("μ", "u").replace("º", "deg")


def is_unit(text: str) -> bool:
    """Whether a text is a usual unit."""
    return text.strip("[](){} ").lower() in _KNOWN or text.strip() == "[-]"


def unit_row(cells: list[str]) -> float:
    """The share of the cells that are units; 0 where most are types of data."""
    filled = [cell for cell in cells if cell]
    if _letters(filled):
        return 0.0
    if sum(cell.lower() in _TYPES and not is_unit(cell) for cell in filled) * 2 > len(filled):
        return 0.0
    return sum(map(is_unit, filled)) / max(1, len(filled))


def is_type_row(cells: list[str]) -> bool:
    """Whether a row says types of data or of aggregation, not units."""
    filled = [cell for cell in cells[1:] if cell]
    return _letters(cells) or (bool(filled) and all(cell.lower() in _TYPES for cell in filled))


def _letters(cells: list[str]) -> bool:
    """``date, D, D, I``: types as Java abbreviates them, beside the one of times."""
    return "date" in cells[:1] and set(cells[1:]) <= set("DFILSBC")


def unit_in(name: str) -> str:
    """The unit that a heading says: in brackets anywhere, at its end, or in front; else empty."""
    bracketed = _BRACKETED.findall(name)
    known = [text for text in bracketed if is_unit(text)]
    if known or (bracketed and re.search(r"[\])}]\s*$", name)):
        return plain_unit((known or bracketed)[-1])
    if (match := _AFTER.search(name)) and is_unit(match[1]) and len(match[1]) > 1:
        return plain_unit(match[1])
    if (match := _AFTER.search(name)) and match[1] == "%":
        return match[1]
    if (match := _GLUED.search(name)) and match[1].lower() in _GLUED_UNITS:
        return plain_unit(_OF_GLUED.get(match[1].lower(), match[1]))
    if (match := _AHEAD.match(name)) and match[1].lower() in _KNOWN and len(match[1]) > 2:
        return plain_unit(match[1])
    return ""
