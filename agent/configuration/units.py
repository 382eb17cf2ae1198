"""Changes of unit that a tag may undergo, as plain numbers: made from pint's definitions.

An engineering station that exports in another unit than before gives values that are a gain and an
offset away from the old ones. The core is given these numbers and knows nothing of units.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations
from typing import Any

from agent.core.conversions import Change
from agent.decode.unit_names import FAMILIES, spelt

_PINT = {name: of for family in FAMILIES for name, of in family}

_POWERS = (-6, -3, -2, -1, 1, 2, 3, 6)


@cache
def conversion(old: str, new: str) -> tuple[float, float] | None:
    """(gain, offset) of a value in `old` that is told in `new`; None where there is none.

    Args:
        old: as a plant writes it, or pint.
        new: the same.
    """
    registry = _registry()
    of, to = (_PINT.get(spelt(unit), unit.strip()) for unit in (old, new))
    if not of or not to:
        return None
    try:
        zero, one = (float(registry.Quantity(x, of).to(to).magnitude) for x in (0.0, 1.0))
    except Exception:  # noqa: BLE001 - pint has no base class for what it thinks of a text
        return None
    return _plain(one - zero), _plain(zero)


@cache
def _registry() -> Any:
    import pint  # noqa: PLC0415 - only what guards a plant needs it, and reading it takes time

    return pint.UnitRegistry(cache_folder=None)


@cache
def changes() -> tuple[Change, ...]:
    """Every change of unit within a family, every power of ten, and the sign."""
    registry = _registry()
    found = []
    for family in FAMILIES:
        for (old, of), (new, to) in permutations(family, 2):
            zero, one = (registry.Quantity(x, of).to(to).magnitude for x in (0.0, 1.0))
            found.append(Change(old, new, _plain(one - zero), _plain(zero)))
    found += [Change("", f"{10.0**power:g}", 10.0**power, 0.0) for power in _POWERS]
    return (*found, Change("", "-1", -1.0, 0.0))


def _plain(value: float) -> float:
    """Without the last digits, which are rounding errors."""
    return float(f"{value:.12g}")
