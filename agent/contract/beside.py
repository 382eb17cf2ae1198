"""The contract's file beside a configuration, read for those that compare with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.configuration.schema import Configuration
from agent.contract.document import LIMIT_BYTES, Contract, contract_of
from agent.errors import FieldwardenError
from agent.files import read_bounded


@dataclass(frozen=True, slots=True)
class Found:
    """What there is: a contract, or none, and why it could not be read where it is there."""

    contract: Contract | None = None
    error: FieldwardenError | None = None
    file: str = ""


def found(configuration: Configuration) -> Found:
    """The contract of a configuration, as far as there is one. It reads a file."""
    path = configuration.contract_path
    if path is None or not path.exists():
        return Found(file=path.name if path else "")
    hint = f"make it anew: {snapshot_command(path, configuration.file)} --replace"
    try:
        content = read_bounded(path, LIMIT_BYTES, "reading the contract", hint)
        return Found(contract_of(content, str(path)), None, path.name)
    except FieldwardenError as error:
        return Found(None, error, path.name)


def snapshot_command(path: Path, file: Path | None) -> str:
    """What makes the contract of a configuration."""
    return f"fieldwarden contract snapshot {file or path}"
