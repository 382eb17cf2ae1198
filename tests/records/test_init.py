"""`init` writes a configuration that can be used unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.cli import cli
from agent.configuration.load import load
from agent.configuration.values import duration_ns
from agent.errors import FieldwardenError
from agent.records.init import draft, duration_text, guess_unit, write
from agent.records.table import Table


def table(columns, interval_ns=1_000_000_000):
    """A table of columns by name."""
    count = len(next(iter(columns.values())))
    return Table(
        np.arange(count, dtype=np.int64) * interval_ns,
        tuple(columns),
        np.asfortranarray(np.column_stack([np.asarray(v, float) for v in columns.values()])),
        interval_ns,
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
            str.strip
        ),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_whatever_the_columns_are_called_the_configuration_loads(tmp_path, names):
    """Quotes, blanks, slashes, plus signs and other alphabets in names are all carried over."""
    result = draft(table({name: [1.0, 2.0, 3.0] for name in names}), "yield")
    path = tmp_path / "config.toml"
    write(result, path, overwrite=True)
    configuration = load(path)
    assert list(configuration.tags) == names
    assert configuration.models["yield"].inputs == names
    assert configuration.models["yield"].baseline == str(tmp_path / "baselines" / "yield.json")


@pytest.mark.parametrize("name", [" ", "\u3000", "a\x00b", "x" * 201])
def test_a_column_whose_name_no_tag_can_have_is_left_out_and_said(tmp_path, name):
    """What `init` writes always loads; the column that would prevent it is named."""
    result = draft(table({name: [1.0, 2.0], "flow": [1.0, 2.0]}), "m")
    path = tmp_path / "config.toml"
    write(result, path)
    assert list(load(path).tags) == ["flow"]
    assert result.notes == (f"left out: column {name[:40]!r} has no usable name",)


def test_scan_and_inputs_follow_from_the_data(tmp_path):
    """The scan is the data's interval; empty and excluded columns are no inputs, and it is said."""
    data = table({"a": [1, 2, 3], "none": [np.nan] * 3, "label": [0, 0, 1]}, 180_000_000_000)
    result = draft(data, "m", exclude=["label"])
    path = tmp_path / "deep" / "config.toml"
    write(result, path)
    model = load(path).models["m"]
    assert model.scan == 180_000_000_000
    assert model.inputs == ["a"]
    assert result.notes == ("left out: column 'none' holds no value at all",)


@given(st.integers(1_000, 10**17))
def test_an_interval_survives_as_a_duration_to_the_microsecond(span_ns):
    """What `init` writes is read as what it was, to the microsecond or one part in 10^9."""
    read = duration_ns(duration_text(span_ns))
    assert abs(read - span_ns) <= max(500, span_ns // 10**9)


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("Reactor temperature [degF]", [70, 80], "degF"),
        ("flow (m³/h)", [1, 2], "m3/h"),
        ("Temperatur [°C]", [1, 2], "degC"),
        ("reactor.temperature", [70, 80], "degC"),
        ("reactorTemperature", [70, 80], "degC"),
        ("Temperature", [900, 5000], ""),
        ("tank_level", [20, 80], "%"),
        ("tank_level", [0.1, 0.9], ""),
        ("tank_level", [1000, 3000], ""),
        ("temporary", [1, 2], ""),
        ("Accelerometer1RMS", [0, 1], ""),
        ("pressure_temperature_ratio", [1, 2], ""),
    ],
)
def test_a_unit_is_guessed_only_where_name_and_values_tell_it(name, values, unit):
    """Brackets win; a word counts only if the values fit; two candidates are none."""
    assert guess_unit(name, np.array(values, float)) == unit


def test_faults_are_said_before_anything_is_written(tmp_path):
    """A model's name that is no topic level, unknown exclusions, nothing left."""
    data = table({"a": [1, 2]})
    with pytest.raises(FieldwardenError, match="MQTT topics"):
        draft(data, "a/b")
    with pytest.raises(FieldwardenError, match="no such column"):
        draft(data, "m", exclude=["b"])
    with pytest.raises(FieldwardenError, match="no numeric column"):
        draft(data, "m", exclude=["a"])


def test_the_command_replaces_nothing_unasked(tmp_path):
    """A second run stops at the file that is there; --force replaces it."""
    (tmp_path / "train.csv").write_text("t,a [bar],who\n1,2,x\n2,3,y\n", encoding="utf-8")
    out = tmp_path / "plant" / "config.toml"
    arguments = [
        "init",
        "--from-csv",
        str(tmp_path / "train.csv"),
        "--model",
        "m",
        "--out",
        str(out),
    ]
    first = CliRunner().invoke(cli, arguments)
    assert first.exit_code == 0, first.output
    assert "fieldwarden fit" in first.output
    assert "left out: column 'who'" in first.output
    before = out.read_text(encoding="utf-8")
    assert 'unit = "bar"' in before
    second = CliRunner().invoke(cli, arguments)
    assert second.exit_code == 1
    assert "--force" in second.output
    assert out.read_text(encoding="utf-8") == before
    assert CliRunner().invoke(cli, [*arguments, "--force"]).exit_code == 0
