"""Signatures as MLflow and ONNX write them, read without either library."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from agent.cli import cli
from agent.configuration.load import load
from agent.errors import FieldwardenError
from agent.starting.signature import Port, columns, read_signature

ONNX = bytes.fromhex(
    "080e3ac1010a2b0a1372656163746f722e74656d70657261747572650a0c636f6f6c696e672e666c6f771201"
    "7322034164640a120a01730a015712057969656c6422034d756c1201672a0d08011001220400000040420157"
    "5a230a1372656163746f722e74656d7065726174757265120c0a0a080112060a000a0208015a1c0a0c636f6f"
    "6c696e672e666c6f77120c0a0a080112060a000a0208015a0f0a0157120a0a08080112040a02080162180a05"
    "7969656c64120f0a0d080112090a0312014e0a0208014202101c"
)
"""Two named inputs, a weight that stands among the inputs, one output; by onnx 1.23's helper."""

MATRIX = bytes.fromhex(
    "080e3a410a100a015812015922084964656e746974791201675a140a0158120f0a0d080112090a0312014e0a"
    "02080362140a0159120f0a0d080112090a0312014e0a0208034202101c"
)
"""One input X of three columns, as converters of scikit-learn models write it."""

MLMODEL = """\
artifact_path: model
flavors: {sklearn: {sklearn_version: 1.5.0}}
model_uuid: 3f0c
signature:
  inputs: '[{"type": "double", "name": "reactor.temperature", "required": true},
    {"type": "long", "name": "Cooling Flow", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
  params: null
"""
TENSOR = MLMODEL.replace("inputs: '[", """inputs: '[{"type": "tensor", "tensor-spec":
    {"dtype": "float32", "shape": [-1, 2]}}]'
  old: '[""")


@pytest.fixture
def model(tmp_path):
    """Write a model's file; its path."""

    def _write(name, content):
        path = tmp_path / "m" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.parent if name == "MLmodel" else path

    return _write


def test_an_mlflow_folder_names_its_inputs(model):
    """In its order, with what it asks for."""
    found = read_signature(model("MLmodel", MLMODEL))
    assert found.inputs == [
        Port("reactor.temperature", "double"), Port("Cooling Flow", "long", is_required=False)
    ]  # fmt: skip
    assert found.matrix is None
    assert [port.size for port in found.outputs] == [1]


def test_an_onnx_file_names_its_inputs(model):
    """A weight among them is none."""
    found = read_signature(model("m.onnx", ONNX))
    assert [(one.name, one.type, one.size) for one in found.inputs] == [
        ("reactor.temperature", "float", 1), ("cooling.flow", "float", 1)
    ]  # fmt: skip
    assert [one.name for one in found.outputs] == ["yield"]


@pytest.mark.parametrize(
    ("name", "content", "size"), [("m.onnx", MATRIX, 3), ("MLmodel", TENSOR, 2)]
)
def test_the_columns_of_a_matrix_are_those_of_the_data_where_they_are_as_many(
    model, name, content, size
):
    """Else nobody knows which they are, and it is said how many are missing."""
    path = model(name, content)
    found = read_signature(path)
    known = [f"c{at}" for at in range(size)]
    assert found.matrix is not None and columns(found, known, path) == known
    for wrong in ((), ("a",)):
        with pytest.raises(FieldwardenError, match="columns without names"):
            columns(found, wrong, path)


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("MLmodel", "flavors: {}", "it has no signature"), ("MLmodel", "a: [", "no MLmodel file"),
        ("MLmodel", "signature: {inputs: '[{}]'}", "no MLmodel file"),
        ("MLmodel", "signature: {inputs: '[1'}", "no MLmodel file"),
        ("m.onnx", b"PK\x03\x04", "no ONNX file"), ("m.onnx", b"", "no inputs"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_an_error(model, name, content, cause):
    """With what to give instead, where that is known."""
    with pytest.raises(FieldwardenError, match=cause):
        read_signature(model(name, content))


def test_a_folder_without_a_model_is_told(tmp_path):
    """The file is named."""
    with pytest.raises(FieldwardenError, match="has no file MLmodel"):
        read_signature(tmp_path)


@given(st.integers(0, len(ONNX)), st.binary(max_size=3))
def test_a_damaged_onnx_file_is_an_error_or_another_model(tmp_path_factory, at, junk):
    """Nothing but our own error leaves it."""
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(ONNX[:at] + junk + ONNX[at + len(junk) :])
    try:
        read_signature(path)
    except FieldwardenError:
        return


def test_a_signature_says_which_columns_are_inputs(tmp_path, model):
    """In the model's order and by name but for signs; what is no input is left out."""
    rows = ["time,cooling_flow,reactor.temperature,lab.yield,noise"]
    values = np.random.default_rng(0).normal(20, 1, (60, 4)).round(3)
    rows += [f"2026-03-01T00:00:{at:02d}Z,{','.join(map(str, values[at]))}" for at in range(60)]
    (tmp_path / "train.csv").write_text("\n".join(rows), encoding="utf-8")
    out = tmp_path / "config.toml"
    arguments = ["init", "--from-csv", str(tmp_path / "train.csv"), "--model", "m", "--out",
                 str(out), "--model-signature", str(model("MLmodel", MLMODEL))]  # fmt: skip
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert load(out).models["m"].inputs == ["reactor.temperature", "cooling_flow"]
    assert set(load(out).tags) == {"cooling_flow", "reactor.temperature"}
    bad = json.dumps([{"type": "double", "name": "pressure"}])
    wrong = model("MLmodel", f"signature: {{inputs: '{bad}'}}")
    done = CliRunner().invoke(cli, [*arguments[:-1], str(wrong), "--force"])
    assert done.exit_code == 1 and "its input 'pressure' is no column" in done.output
