"""Which signal a column means: taken where it is sure, offered where it is likely, else left."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import cli
from agent.sources.found import Found, FoundTag, unique
from agent.starting.names import match
from agent.starting.placed import placed

PLANT = [
    FoundTag("Plant.Line1.Temperature", "a1", unit="degC", also=("L1.TI-101",)),
    FoundTag("Plant.Line2.Temperature", "a2", unit="degC", also=("L2.TI-201",)),
    FoundTag("Plant.Line1.Flow", "a3", unit="m³/h", also=("L1.FI-102",)),
    FoundTag("Plant.Utilities.CoolingWaterPressure", "a4", unit="bar", also=("CWP",)),
]


@pytest.mark.parametrize(
    ("column", "at", "how"),
    [
        ("Plant.Line1.Temperature", 0, "exact"), ("L1.TI-101", 0, "exact"), ("Flow", 2, "exact"),
        ("Line2.Temperature", 1, "exact"), ("plant/line2/temperature", 1, "normalised"),
        ("ti_101 [degC]", 0, "normalised"), ("FLOW", 2, "normalised"),
        ("cooling_water_press", 3, "nearest"), ("Temperature", None, "none"),
        ("vibration", None, "none"), ("", None, "none"),
    ],
)  # fmt: skip
def test_a_name_is_found_as_surely_as_it_is_the_same(column, at, how):
    """The same, the same but for signs, like it; of two that are as like, none."""
    found = match([column], PLANT)[column]
    assert (found.at, found.how) == (at, how)


def test_what_may_be_several_names_them():
    """So that a person can choose."""
    found = match(["Temperature"], PLANT)["Temperature"]
    assert set(found.others) == {"Plant.Line1.Temperature", "Plant.Line2.Temperature"}


def test_what_is_sure_is_taken_first():
    """Then one Temperature is left, and it is that."""
    found = match(["Temperature", "Plant.Line1.Temperature"], PLANT)
    assert found["Plant.Line1.Temperature"].at == 0
    assert found["Temperature"].at == 1


@given(
    st.lists(st.text(min_size=1, max_size=12), max_size=8, unique=True),
    st.lists(st.text(min_size=1, max_size=12), max_size=8, unique=True),
)  # fmt: skip
def test_no_signal_is_two_columns_and_the_same_name_is_always_found(columns, names):
    """But where two columns are like it, and the nearer one took it."""
    found = match(columns, [FoundTag(name, "x") for name in names])
    taken = [one.at for one in found.values() if one.at is not None]
    assert list(found) == columns
    assert len(set(taken)) == len(taken)
    for column in {*columns} & {*names}:
        assert found[column].how == "exact"


def test_what_is_not_sure_must_be_edited():
    """A likely one has its address and a question; a unit that is another one is asked about."""
    columns = ["Plant.Line1.Temperature", "cooling_water_press", "vibration", "Flow"]
    made = placed(columns, Found(PLANT), {"Plant.Line1.Temperature": "degF", "Flow": "m3/h"})
    tags = made.tags
    assert tags["cooling_water_press"].address == "a4"
    assert tags["cooling_water_press"].description.startswith("EDIT: is it Plant.Utilities")
    assert tags["vibration"].address.startswith("EDIT: nothing has such a name")
    told = tags["Plant.Line1.Temperature"].description
    assert told == "EDIT: degF in the training data, but degC is served"
    assert tags["Flow"].description == ""


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "b"]), max_size=8))
def test_names_become_unique_and_the_first_keeps_its_own(names):
    """Also where one is called as another would be."""
    found = unique(names)
    assert len(set(found)) == len(found) == len(names)
    for name in set(names):
        assert name in found


@pytest.mark.parametrize(
    ("columns", "first"),
    [
        ("flow,level", "edit the values that begin with EDIT (2), then fieldwarden fit "),
        ("flow,b", "edit the values that begin with EDIT (1), then fieldwarden fit "),
        ("a,b", "fieldwarden fit "),
    ],
)
def test_what_comes_next_is_no_command_that_is_refused(tmp_path, columns, first):
    """A value that begins with EDIT is refused by every command until somebody wrote another."""
    rows = "".join(f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z,{n},{n * n}\n" for n in range(300))
    (tmp_path / "train.csv").write_text(f"time,{columns}\n{rows}", encoding="utf-8")
    register_map = tmp_path / "map.csv"
    register_map.write_text("name,address,type\na,100,uint16\nb,101,uint16\n", encoding="utf-8")
    done = CliRunner().invoke(cli, [
        "init", "--from-csv", str(tmp_path / "train.csv"), "--model", "m",
        "--modbus-map", str(register_map), "--addresses", "0-based", "--area", "holding",
        "--set", "host=10.0.0.7", "--out", str(tmp_path / "config.toml"),
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"next: {first}" in done.output
