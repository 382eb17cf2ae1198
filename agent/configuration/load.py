"""File -> `Configuration`, with every fault at once: file, line, key, cause, nearest valid name."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from agent.configuration.draft import LIMIT_BYTES, Draft, alone, explain, parse, stands_for
from agent.configuration.hooks import HOOK_TABLES
from agent.configuration.rules import KeyPath, cross_faults, nearest
from agent.configuration.schema import SOURCE_TABLES, Configuration
from agent.errors import FieldwardenError
from agent.files import read_bounded

LIST_COLUMNS = (
    "name",
    "source",
    "address",
    "unit",
    "data_type",
    "interval",
    "kind",
    "rolls_over_at",
    "period",
    "physical_low",
    "physical_high",
    "max_silence",
    "not_available",
    "description",
)
_UNIONS: Final = {"sources": SOURCE_TABLES, "hooks": HOOK_TABLES}


def load(path: Path | str, instead: Mapping[Path, str] | None = None) -> Configuration:
    """Read, validate and cross-check a configuration; paths in it become absolute.

    Args:
        path: of the file.
        instead: texts that stand for files, by their absolute path: what would be written.

    Raises:
        ConfigurationError: the file is missing or has faults; all of them are in it.
    """
    file = Path(path)
    draft = parse(file, instead or {})
    if "broker" in draft.raw and "gateway" not in draft.raw:
        hint = f"serve it: fieldwarden central {path}; a gateway's begins like configs/mqtt.toml"
        raise alone(file, "it is the configuration of central, not of a gateway", hint)
    _add_tag_lists(draft)
    gateway = draft.raw.get("gateway")
    if isinstance(gateway, dict):
        gateway["state_directory"] = state_directory(gateway)
    status = draft.raw.setdefault("status", {})
    if isinstance(status, dict) and not status.get("runtime_directory"):
        status["runtime_directory"] = _of_unit("RUNTIME_DIRECTORY")
    context = {"directory": file.resolve().parent, "file": file.resolve()}
    try:
        configuration = Configuration.model_validate(draft.raw, context=context)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            explain(draft, details, Configuration, _UNIONS)
        configuration = None
    except (RecursionError, OverflowError, ValueError) as error:
        raise alone(file, str(error) or type(error).__name__, "see the reference") from None
    for path_, cause, hint in cross_faults(draft.raw):
        draft.fault(path_, cause, hint)
    if draft.faults or configuration is None:
        raise draft.error()
    return configuration


def state_directory(gateway: Mapping[str, Any]) -> Any:
    """What the table `[gateway]` says of the state directory, else what goes without saying."""
    return gateway.get("state_directory") or _of_unit("STATE_DIRECTORY") or "state"


def _of_unit(variable: str) -> str:
    """A directory of the systemd unit: of several, the first one is its own; empty without."""
    return os.environ.get(variable, "").split(":")[0]


def read_raw(file: Path) -> dict[str, Any]:
    """The tables of a file, not validated.

    Raises:
        ConfigurationError: it can not be read, or is no TOML.
    """
    return parse(file).raw


def _add_tag_lists(draft: Draft) -> None:
    lists = draft.raw.get("tag_lists", [])
    tags = draft.raw.setdefault("tags", {})
    if not isinstance(lists, list) or not isinstance(tags, dict):
        return  # validation says so
    for index, name in enumerate(lists):
        if isinstance(name, str):
            _add_tag_list(draft, index, draft.file.parent / name, tags)


def _add_tag_list(draft: Draft, index: int, file: Path, tags: dict[str, Any]) -> None:
    here = ("tag_lists", index)
    relative = "paths are relative to the configuration's folder"
    text = stands_for(file, draft.instead)
    try:
        if text is None:
            text = read_bounded(file, LIMIT_BYTES, "reading", relative).decode("utf-8-sig")
    except FieldwardenError as error:
        draft.fault(here, f"{file}: {error.cause}", error.hint)
        return
    except UnicodeDecodeError:
        draft.fault(here, f"{file}: not UTF-8", "save it as UTF-8")
        return
    reader = list_reader(text)
    try:
        _take_rows(draft, here, file, reader, tags)
    except csv.Error as error:  # a cell without end, a NUL
        draft.fault(here, f"{file}:{reader.line_num}: {error}", "save it as CSV in UTF-8")


def list_reader(text: str) -> csv.DictReader[str]:
    """Rows of a tag list, with commas or with semicolons, as spreadsheets write it."""
    separator = ";" if text.partition("\n")[0].count(";") > 1 else ","
    return csv.DictReader(text.splitlines(), delimiter=separator, restkey="", restval="")


def _take_rows(
    draft: Draft, here: KeyPath, file: Path, reader: csv.DictReader[str], tags: dict[str, Any]
) -> None:
    columns = [column.strip() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    for column in columns:
        if column not in LIST_COLUMNS:
            draft.fault(here, f"{file}: no column {column!r}", nearest(column, LIST_COLUMNS))
    if missing := [name for name in LIST_COLUMNS[:3] if name not in columns]:
        draft.fault(here, f"{file}: column {', '.join(missing)} is missing", "the first line names")
        return
    for row in reader:
        cells = {key: cell.strip() for key, cell in row.items() if key and isinstance(cell, str)}
        if not any(cells.values()):
            continue
        name = cells.pop("name")
        place = (file, reader.line_num)
        if name in tags:
            draft.fault(here, f"{file}:{place[1]}: tag {name!r} is there twice", "drop one")
            continue
        draft.listed[name] = place
        tags[name] = _listed_tag(draft, name, cells)


def _listed_tag(draft: Draft, name: str, cells: Mapping[str, str]) -> dict[str, Any]:
    tag: dict[str, Any] = {
        key: cell for key, cell in cells.items() if cell and not key.startswith("physical_")
    }
    for key in ("rolls_over_at", "period"):
        try:
            tag |= {key: float(tag[key])} if key in tag else {}
        except ValueError as error:
            draft.fault(("tags", name, key), str(error), "write a plain number, like 65536")
    low, high = cells.get("physical_low", ""), cells.get("physical_high", "")
    if low and high:
        try:
            tag["physical"] = [float(low), float(high)]
        except ValueError as error:
            draft.fault(("tags", name, "physical"), str(error), "write plain numbers, like -40.5")
    elif low or high:
        cause = "only one of physical_low and physical_high is given"
        draft.fault(("tags", name, "physical"), cause, "give both or none")
    return tag
