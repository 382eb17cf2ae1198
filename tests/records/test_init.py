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
    result = draft(table({name: [1.0, 2.0, 3.0] for name in names}), "yield", inputs=names)
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


# --- what is no input ----------------------------------------------------------------------

ASKED = {
    "lab.yield": "--label", "Lab_Moisture": "--label", "LIMS result": "--label",
    "yield.predicted": "--output", "y_pred": "--output", "SoftSensor1": "--output",
    "estimated_density": "--output", "TI101.Quality": "--exclude", "flow_flag": "--exclude",
    "anomaly": "--exclude", "target": "--exclude",
}  # fmt: skip
NOT_ASKED = [
    "reactor.temperature", "softness", "collaboration", "west_flow", "equality", "FI103",
    "prediluted.flow", "labour",
]  # fmt: skip


def test_columns_that_look_like_no_input_are_asked_about(tmp_path):
    """Each stands as a comment with the question; what loads has none of them."""
    names = [*NOT_ASKED, *ASKED]
    result = draft(table({name: [1.0, 2.0, 3.0] for name in names}), "m")
    path = tmp_path / "config.toml"
    write(result, path)
    assert list(load(path).tags) == list(load(path).models["m"].inputs) == NOT_ASKED
    for name, option in ASKED.items():
        note = next(note for note in result.notes if repr(name) in note)
        assert f"say which ({option} " in note and "--input " in note
        assert f'# [tags."{name}"]' in result.text


def test_a_column_that_is_mostly_missing_is_asked_about_unless_all_are():
    """A lab value without a telling name; but a sparse record is no record of lab values."""
    rows = 40
    rare = [1.0 if i % 20 == 0 else np.nan for i in range(rows)]
    half = [1.0 if i % 3 == 0 else np.nan for i in range(rows)]
    data = table({"a": range(rows), "b": range(rows), "assayed": rare})
    assert draft(data, "m").inputs == ("a", "b")
    assert draft(table({"a": half, "b": half, "c": half}), "m").inputs == ("a", "b", "c")


def test_what_a_person_says_of_the_columns_is_written(tmp_path):
    """Outputs, labels with how often they come, inputs in spite of their names."""
    rows = 100
    lab = [1.0 * i if i % 10 == 0 else np.nan for i in range(rows)]
    names = {"a": range(rows), "flow_est": range(rows), "y.pred": range(rows), "lab": lab,
             "anomaly": range(rows)}  # fmt: skip
    result = draft(
        table(names, 60_000_000_000), "m", inputs=["flow_est"], outputs=["y.pred"],
        labels=["lab"], exclude=["anomaly"],
    )  # fmt: skip
    path = tmp_path / "config.toml"
    write(result, path)
    configuration = load(path)
    model = configuration.models["m"]
    assert (model.inputs, model.outputs) == (["a", "flow_est"], ["y.pred"])
    assert [(label.tag, label.of) for label in model.labels] == [("lab", "y.pred")]
    assert configuration.tags["lab"].interval == 600 * 10**9  # as in the data: every tenth row
    assert configuration.tags["lab"].max_silence >= 2 * 600 * 10**9
    assert configuration.tags["a"].interval is None
    assert "anomaly" not in configuration.tags and result.notes == ()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"labels": ["b"]}, "no output was named"),
        ({"outputs": ["c"]}, "no such column"),
        ({"outputs": ["b"], "exclude": ["b"]}, "also given with --exclude"),
        ({"outputs": ["a", "b"], "labels": ["c0"]}, "it is the truth of one output"),
        ({"outputs": ["a"], "labels": ["c0=b"]}, "no output of the model"),
        ({"outputs": ["a", "b", "c0"]}, "left as an input"),
    ],
)
def test_what_a_person_says_must_fit(said, words):
    """Each contradiction is an error that names the column."""
    data = table({"a": [1.0, 2.0], "b": [1.0, 2.0], "c0": [1.0, 2.0]})
    with pytest.raises(FieldwardenError) as caught:
        draft(data, "m", **said)
    assert words in caught.value.cause
