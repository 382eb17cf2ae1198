"""Units by the names that people and servers give them: which are one, which contradict. Pure."""

from __future__ import annotations

import re

FAMILIES: tuple[tuple[tuple[str, str], ...], ...] = (
    (("degC", "degree_Celsius"), ("degF", "degree_Fahrenheit"), ("K", "kelvin")),
    (("bar", "bar"), ("psi", "psi"), ("kPa", "kilopascal"), ("MPa", "megapascal"),
     ("mbar", "millibar"), ("Pa", "pascal")),
    (("m3/h", "meter**3/hour"), ("l/min", "liter/minute"), ("l/s", "liter/second"),
     ("gpm", "gallon/minute")),
    (("kg/h", "kilogram/hour"), ("t/h", "metric_ton/hour")),
    (("fraction", "dimensionless"), ("%", "percent")),
    (("rpm", "revolution/minute"), ("Hz", "revolution/second")),
    (("m", "meter"), ("mm", "millimeter"), ("ft", "foot")),
)  # fmt: skip
"""Units that are taken for one another, by the quantity they measure: (as plants write it, pint's).
"""

_SPELLINGS = {
    "degC": ("°c", "c", "celsius", "deg c", "grad c", "°celsius"),
    "degF": ("°f", "f", "fahrenheit", "deg f", "°fahrenheit"),
    "K": ("kelvin", "°k"),
    "bar": ("barg", "bara", "bar(g)", "bar(a)", "bar g", "bar a"),
    "psi": ("psig", "psia", "lbf/in2"),
    "m3/h": ("m³/h", "m^3/h", "cbm/h", "m3/hr", "m³/hr", "cmh"),
    "l/min": ("lpm", "l/m", "ltr/min", "liter/min"),
    "l/s": ("lps", "ltr/s", "liter/s"),
    "gpm": ("gal/min", "usgpm"),
    "kg/h": ("kg/hr",),
    "t/h": ("t/hr", "tph", "to/h"),
    "%": ("pct", "percent", "prozent"),
    "rpm": ("1/min", "min-1", "u/min", "r/min"),
    "Hz": ("1/s",),
}
_KNOWN = {
    spelling.casefold(): name
    for family in FAMILIES for name, _ in family
    for spelling in (name, *_SPELLINGS.get(name, ()))
}  # fmt: skip
_PRESSURE = re.compile(r"(?:bar|psi) ?\(?([ag])\)?")


def spelt(unit: str) -> str:
    """The unit as `FAMILIES` write it; as it is where it is none of them."""
    return _KNOWN.get(unit.strip().casefold(), unit)


def same(one: str, other: str) -> bool:
    """Whether two texts are one unit: by its spellings; not by case alone (mW, MW), and of
    pressures not where one is above the atmosphere and the other above nothing.
    """
    one, other = one.strip(), other.strip()
    if one == other:
        return True
    references = {found for found in map(_reference, (one, other)) if found}
    spelt_alike = one.casefold() != other.casefold() and spelt(one) == spelt(other)
    return spelt_alike and len(references) < 2


def contradict(one: str, other: str) -> bool:
    """Whether two texts are known to be different units; of what is not known nobody can say so."""
    known = {text.strip().casefold() for text in (one, other)} <= _KNOWN.keys()
    return known and one.strip().casefold() != other.strip().casefold() and not same(one, other)


def _reference(unit: str) -> str:
    """``g`` of a pressure above the atmosphere, ``a`` of an absolute one; empty where not told."""
    found = _PRESSURE.fullmatch(unit.casefold())
    return found.group(1) if found else ""
