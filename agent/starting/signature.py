"""What a model reads and gives, by its own signature: MLflow's MLmodel file, or an ONNX file.

Neither needs its library: MLmodel is YAML with JSON in it, and of ONNX only the names and shapes of
inputs and outputs are read (field numbers as in onnx.proto).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.decode import protobuf as wire
from agent.errors import FieldwardenError
from agent.files import read_bounded

_YAML_BYTES = 16_000_000
_ONNX_BYTES = 2_000_000_000
_OPERATION = "reading the signature"
_MALFORMED = (RecursionError, ValueError, KeyError, TypeError, AttributeError)
_TYPES = {
    1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "boolean", 10: "float16", 11: "double", 12: "uint32", 13: "uint64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: name, type, numbers in a row (0: as many as it is given)."""

    name: str
    type: str = ""
    size: int = 1
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model reads and gives, in its own order; `source` says whose word it is."""

    source: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]

    @property
    def matrix(self) -> Port | None:
        """The one input without names of its columns, where that is all there is."""
        one = self.inputs[0] if len(self.inputs) == 1 else None
        return one if one is not None and one.size != 1 else None


def read_signature(path: Path) -> Signature:
    """The signature of an MLflow model (its folder, or its MLmodel) or of an ONNX file.

    Raises:
        FieldwardenError: there is none, or it can not be read.
    """
    file = path / "MLmodel" if path.is_dir() else path
    if path.is_dir() and not file.exists():
        cause = "the folder has no file MLmodel"
        hint = "give an MLflow model's folder, or an ONNX file"
        raise FieldwardenError(_OPERATION, str(path), cause, hint)
    if file.name == "MLmodel":
        return _mlflow(file)
    return _onnx(file)


def columns(signature: Signature, known: Sequence[str], path: Path) -> list[str]:
    """The names of a model's inputs, one a column.

    Args:
        signature: of the model.
        known: columns of training data, where there are any: they name those of a matrix.
        path: of the model, for the error.

    Raises:
        FieldwardenError: the signature has a matrix, and nothing names its columns.
    """
    if signature.matrix is None:
        if wide := [port.name for port in signature.inputs if port.size != 1]:
            cause = f"input {wide[0]!r} has several columns, beside other inputs"
            raise FieldwardenError(_OPERATION, str(path), cause, "name the inputs: --input COLUMN")
        return [port.name for port in signature.inputs]
    size = signature.matrix.size
    if known and size in (0, len(known)):
        return list(known)
    cause = f"input {signature.matrix.name!r} has {size or 'some'} columns without names"
    if known:
        cause += f", and the data has {len(known)} that may be inputs"
    hint = "name them in the model's order: --from-csv TRAIN.csv, and --exclude what is no input"
    raise FieldwardenError(_OPERATION, str(path), cause, hint)


# --- MLflow ---------------------------------------------------------------------------------------


def _mlflow(file: Path) -> Signature:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError:
        hint = "pip install 'fieldwarden[contract]'"
        raise FieldwardenError("using", "YAML", "PyYAML is not installed", hint) from None
    data = read_bounded(file, _YAML_BYTES, _OPERATION, "give an MLflow model's folder")
    try:
        document = yaml.safe_load(data)
        told = document.get("signature") if isinstance(document, Mapping) else None
        if not isinstance(told, Mapping) or not told.get("inputs"):
            cause = "it has no signature"
            hint = "log the model with one: mlflow.models.infer_signature(inputs, outputs)"
            raise FieldwardenError(_OPERATION, str(file), cause, hint)
        inputs = [_mlflow_port(one, at) for at, one in enumerate(_listed(told["inputs"]))]
        outputs = [_mlflow_port(one, at) for at, one in enumerate(_listed(told.get("outputs")))]
    except (yaml.YAMLError, *_MALFORMED) as error:
        cause = f"it is no MLmodel file: {' '.join(str(error).split())[:120]}"
        raise FieldwardenError(_OPERATION, str(file), cause, "") from None
    return Signature(f"MLflow signature of {file.parent.name}", inputs, outputs)


def _listed(told: Any) -> list[Mapping[str, Any]]:
    found = json.loads(told) if isinstance(told, str) else told
    return list(found or [])


def _mlflow_port(told: Mapping[str, Any], at: int) -> Port:
    """A column of a table, or a tensor: its first dimension is that of rows."""
    name = str(told.get("name") or f"#{at}")
    kind = str(told["type"])
    if kind != "tensor":
        size = 0 if told.get("name") is None and at == 0 and "tensor-spec" in told else 1
        return Port(name, kind, size, bool(told.get("required", True)))
    spec = told["tensor-spec"]
    return Port(name, str(spec.get("dtype", "")), _size(list(spec.get("shape", []))[1:]))


def _size(shape: Sequence[int]) -> int:
    size = 1
    for extent in shape:
        if extent < 0:
            return 0
        size *= int(extent)
    return size


# --- ONNX -----------------------------------------------------------------------------------------

_GRAPH, _INITIALIZER, _INPUT, _OUTPUT = 7, 5, 11, 12


def _onnx(file: Path) -> Signature:
    data = read_bounded(file, _ONNX_BYTES, _OPERATION, "give an ONNX file, or an MLflow folder")
    try:
        graphs = [wire.part(value) for number, _, value in wire.fields(data) if number == _GRAPH]
        constants: set[str] = set()
        inputs, outputs = [], []
        for number, _, value in wire.fields(graphs[0]) if graphs else ():
            if number == _INITIALIZER:
                named = wire.fields(wire.part(value))
                constants |= {wire.text(inner) for at, _, inner in named if at == 8}
            elif number == _INPUT:
                inputs.append(_onnx_port(wire.part(value)))
            elif number == _OUTPUT:
                outputs.append(_onnx_port(wire.part(value)))
    except ValueError as error:
        cause = f"it is no ONNX file: {error}"
        raise FieldwardenError(_OPERATION, str(file), cause, "") from None
    inputs = [port for port in inputs if port.name not in constants]
    if not inputs:
        cause = "it has no inputs, or is no ONNX file"
        hint = "give an ONNX file, or an MLflow model's folder"
        raise FieldwardenError(_OPERATION, str(file), cause, hint)
    return Signature(f"inputs of {file.name}", inputs, outputs)


def _onnx_port(data: memoryview) -> Port:
    """A ValueInfoProto; where it has no shape, nothing is known of its size."""
    name, kind, size = "", "", 0
    for number, _, value in wire.fields(data):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            for of, _, tensor in wire.fields(wire.part(value)):
                if of == 1:
                    kind, size = _tensor(wire.part(tensor))
    return Port(name, kind, size)


def _tensor(data: memoryview) -> tuple[str, int]:
    kind, size = "", 0
    for number, _, value in wire.fields(data):
        if number == 1:
            kind = _TYPES.get(wire.whole(value), "")
        elif number == 2:
            dimensions = [wire.part(one) for at, _, one in wire.fields(wire.part(value)) if at == 1]
            size = _size([_extent(one) for one in dimensions][1:])
    return kind, size


def _extent(data: memoryview) -> int:
    """A dimension; -1 where it is open, or has a name only."""
    found = [wire.whole(value) for number, _, value in wire.fields(data) if number == 1]
    return found[-1] if found and found[-1] > 0 else -1
