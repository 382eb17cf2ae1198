"""Changes of unit are plain numbers made from pint's definitions."""

from __future__ import annotations

import pytest

from agent.configuration import units
from agent.decode import unit_names

KNOWN = {
    ("degC", "degF"): (1.8, 32.0), ("degC", "K"): (1.0, 273.15), ("K", "degF"): (1.8, -459.67),
    ("bar", "psi"): (14.503773773, 0.0), ("bar", "kPa"): (100.0, 0.0), ("MPa", "bar"): (10.0, 0.0),
    ("mbar", "kPa"): (0.1, 0.0), ("m3/h", "l/min"): (16.6666666667, 0.0),
    ("l/s", "gpm"): (15.8503231, 0.0), ("kg/h", "t/h"): (0.001, 0.0),
    ("%", "fraction"): (0.01, 0.0), ("", "-1"): (-1.0, 0.0), ("", "1000"): (1000.0, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("pair", "numbers"), KNOWN.items(), ids=str)
def test_a_change_has_the_numbers_of_the_standards(pair, numbers):
    """Gain and offset, as in tables of units."""
    (found,) = [one for one in units.changes() if (one.old, one.new) == pair]
    assert (found.gain, found.offset) == pytest.approx(numbers, rel=1e-8)


def test_there_and_back_changes_nothing():
    """Each change has its opposite."""
    of = {(one.old, one.new): one for one in units.changes() if one.old}
    for (old, new), there in of.items():
        back = of[new, old]
        assert back.gain * (there.gain * 7.0 + there.offset) + back.offset == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("text", "unit"), [("°C", "degC"), ("Bar(g)", "bar"), ("m³/h", "m3/h"), (" psig ", "psi"),
                       ("furlong", "furlong"), ("", "")],
)  # fmt: skip
def test_a_unit_is_known_however_it_is_spelt(text, unit):
    """As data sheets and historians spell it; what is none of them stays as it is."""
    assert unit_names.spelt(text) == unit


@pytest.mark.parametrize(("one", "other", "same", "contradict"), [
    ("degC", "°C", True, False), (" degC", "degC", True, False), ("degC", "degF", False, True),
    ("bar", "barg", True, False), ("bara", "barg", False, True), ("bar(a)", "bar g", False, True),
    ("psia", "psig", False, True), ("mW", "MW", False, False), ("degC", "Wms", False, False),
    ("m3/h", "m³/h", True, False), ("%", "fraction", False, True), ("c", "C", False, False),
])  # fmt: skip
def test_units_are_the_same_or_contradict_each_other_or_nobody_knows(one, other, same, contradict):
    """Either way round."""
    for pair in ((one, other), (other, one)):
        assert unit_names.same(*pair) is same
        assert unit_names.contradict(*pair) is contradict
