"""File -> `Configuration`, with every fault at once: file, line, key, cause, nearest valid name."""

from __future__ import annotations

import csv
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.configuration import toml_lines
from agent.configuration.rules import KeyPath, cross_faults, nearest
from agent.configuration.schema import SOURCE_TABLES, Configuration
from agent.configuration.values import Section, masked
from agent.errors import ConfigurationError, FieldwardenError
from agent.files import read_bounded

_LIST_COLUMNS = (
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
_LIMIT_BYTES = 4 * 1024 * 1024  # some 30,000 tags; parsed in two seconds
_MOST_PARTS = 200  # of one dotted key
_DEEPEST = 12
_IN_NAMED = 3  # keys deep: a key in the table of one tag, source, model or person


@dataclass
class _Draft:
    """What is known of a file while it is read."""

    file: Path
    raw: dict[str, Any]
    lines: dict[KeyPath, int]
    listed: dict[str, tuple[Path, int]] = field(default_factory=dict)  # tag -> its row
    faults: list[tuple[int, FieldwardenError]] = field(default_factory=list)

    def fault(self, path: KeyPath, cause: str, hint: str = "") -> None:
        """Note one fault at a key."""
        key = ".".join(map(_quoted, path)).replace(".[", "[") or "(top level)"
        where, line = str(self.file), toml_lines.line_of(self.lines, path)
        if len(path) > 1 and path[0] == "tags" and path[1] in self.listed:
            row_file, line = self.listed[str(path[1])]
            where = str(row_file)
        operation = f"{where}:{line}:" if line else f"{where}:"
        key, cause, hint = masked(key), masked(cause), masked(hint)
        self.faults.append((line or 0, FieldwardenError(operation, key, cause, hint)))

    def error(self) -> ConfigurationError:
        """All faults, in the order of the file's lines."""
        ordered = [fault for _, fault in sorted(self.faults, key=lambda item: item[0])]
        return ConfigurationError(str(self.file), ordered)


def load(path: Path | str) -> Configuration:
    """Read, validate and cross-check a configuration; paths in it become absolute.

    Raises:
        ConfigurationError: the file is missing or has faults; all of them are in it.
    """
    file = Path(path)
    draft = _parse(file)
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
            _explain(draft, details)
        configuration = None
    except (RecursionError, OverflowError, ValueError) as error:
        raise _alone(file, str(error) or type(error).__name__, "see the reference") from None
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


def _quoted(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"'


def read_raw(file: Path) -> dict[str, Any]:
    """The tables of a file, not validated.

    Raises:
        ConfigurationError: it can not be read, or is no TOML.
    """
    return _parse(file).raw


def read_text(file: Path, errors: str = "strict") -> str:
    """The text of a file; `errors` as for `bytes.decode`.

    Raises:
        ConfigurationError: it can not be read, is too large, or is not UTF-8.
    """
    missing = "give the path of an existing file, or make one: fieldwarden init --help"
    try:
        return read_bounded(file, _LIMIT_BYTES, "reading", missing).decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise _alone(file, f"not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    except FieldwardenError as error:
        raise _alone(file, error.cause, error.hint) from error


def _parse(file: Path) -> _Draft:
    text = read_text(file)
    try:
        # Before parsing: the parser takes quadratic time for a key of very many parts.
        if toml_lines.longest_key(text, _MOST_PARTS) > _MOST_PARTS:
            raise RecursionError
        raw = tomllib.loads(text)
        if _deep(raw):
            raise RecursionError
        return _Draft(file, raw, toml_lines.key_lines(text))
    except tomllib.TOMLDecodeError as error:
        raise _alone(file, str(error), toml_lines.advice(str(error))) from error
    except RecursionError:
        cause = "tables or lists are nested too deeply"
        raise _alone(file, cause, f"no key of this file lies deeper than {_DEEPEST}") from None
    except (ValueError, OverflowError) as error:  # a number of thousands of digits
        raise _alone(file, str(error), "write numbers that a computer can hold") from None


def _deep(raw: Any) -> bool:
    """Whether tables and lists are nested deeper than anything that is known."""
    level = [raw]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _alone(file: Path, cause: str, hint: str) -> ConfigurationError:
    fault = FieldwardenError("reading", str(file), cause, hint)
    return ConfigurationError(str(file), [fault])


def _add_tag_lists(draft: _Draft) -> None:
    lists = draft.raw.get("tag_lists", [])
    tags = draft.raw.setdefault("tags", {})
    if not isinstance(lists, list) or not isinstance(tags, dict):
        return  # validation says so
    for index, name in enumerate(lists):
        if isinstance(name, str):
            _add_tag_list(draft, index, draft.file.parent / name, tags)


def _add_tag_list(draft: _Draft, index: int, file: Path, tags: dict[str, Any]) -> None:
    here = ("tag_lists", index)
    relative = "paths are relative to the configuration's folder"
    try:
        text = read_bounded(file, _LIMIT_BYTES, "reading", relative).decode("utf-8-sig")
    except FieldwardenError as error:
        draft.fault(here, f"{file}: {error.cause}", error.hint)
        return
    except UnicodeDecodeError:
        draft.fault(here, f"{file}: not UTF-8", "save it as UTF-8")
        return
    separator = ";" if text.partition("\n")[0].count(";") > 1 else ","
    reader = csv.DictReader(text.splitlines(), delimiter=separator, restkey="", restval="")
    try:
        _take_rows(draft, here, file, reader, tags)
    except csv.Error as error:  # a cell without end, a NUL
        draft.fault(here, f"{file}:{reader.line_num}: {error}", "save it as CSV in UTF-8")


def _take_rows(
    draft: _Draft, here: KeyPath, file: Path, reader: csv.DictReader[str], tags: dict[str, Any]
) -> None:
    columns = [column.strip() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    for column in columns:
        if column not in _LIST_COLUMNS:
            draft.fault(here, f"{file}: no column {column!r}", nearest(column, _LIST_COLUMNS))
    if missing := [name for name in _LIST_COLUMNS[:3] if name not in columns]:
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


def _listed_tag(draft: _Draft, name: str, cells: Mapping[str, str]) -> dict[str, Any]:
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


def _explain(draft: _Draft, details: ErrorDetails) -> None:
    """Turn one of pydantic's errors into a fault that speaks of the file."""
    path, valid = _resolve(details["loc"])
    kind, context = details["type"], details.get("ctx", {})
    key = str(path[-1]) if path else ""
    match kind:
        case "extra_forbidden":
            hint = _FOREIGN.get(key) or nearest(key, valid)
            if isinstance(details["input"], dict) and len(path) == _IN_NAMED:
                hint = f'names with dots need quotes: [{path[0]}."{path[1]}.{key}"]'
            draft.fault(path, "unknown key", hint)
        case "missing":
            draft.fault(path, "is required", _HINTS.get(key, ""))
        case "literal_error" | "union_tag_invalid":
            allowed = _allowed(context)
            at = (*path, "protocol") if kind == "union_tag_invalid" else path
            found = context.get("tag", details["input"])
            hint = _near(found, allowed) or _HINTS.get(key, "")
            draft.fault(at, f"{found!r} is none of {', '.join(allowed)}", hint)
        case "union_tag_not_found":
            *some, last = (f'"{protocol}"' for protocol in SOURCE_TABLES)
            hint = f"write protocol = {', '.join(some)} or {last}"
            draft.fault((*path, "protocol"), "is required", hint)
        case "string_type" | "float_type" | "list_type" | "dict_type" | "model_type":
            wanted = _KINDS[kind]
            draft.fault(path, f"{details['input']!r} must be {wanted}", _HINTS.get(key, ""))
        case _:
            cause = details["msg"].removeprefix("Value error, ")
            draft.fault(path, cause, _HINTS.get(key, ""))


_OWNER: Final = (
    'owner = { team = "process data", contact = "who@plant.example" }: no owner, no start'
)
_HINTS: Mapping[str, str] = {
    "schema": "this version reads schema = 1",
    "schema_number": "this version reads schema = 1",
    "owner": _OWNER,
    "team": _OWNER,
    "contact": _OWNER,
    "baseline": "a path, relative to this file; `fieldwarden fit` writes it",
    "endpoint": "write it like opc.tcp://127.0.0.1:4840/plant",
    "token_sha256": "64 hexadecimal digits, lower case; `fieldwarden token` prints them",
    "physical": "write it like physical = [-40, 250]",
}


_FOREIGN: Mapping[str, str] = {
    "password": "a secret never stands here: name its password_file, password_env, "
    "password_credential",
    "token": "a secret never stands here: write its token_sha256 (make one: fieldwarden token)",
}
"""Keys that people look for -> what there is instead."""

_KINDS: Mapping[str, str] = {
    "string_type": "text in quotes",
    "float_type": "a number",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}


def _allowed(context: Mapping[str, Any]) -> list[str]:
    text = str(context.get("expected") or context.get("expected_tags") or "")
    return [part.strip().strip("'") for part in text.replace(" or ", ", ").split(",")]


def _near(found: object, allowed: list[str]) -> str:
    near = difflib.get_close_matches(str(found), allowed, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _resolve(loc: tuple[int | str, ...]) -> tuple[KeyPath, list[str]]:
    """The path in the file, and the valid names beside its last key.

    pydantic's location also names the member of a discriminated union, which is no key of the
    file: `("sources", "reactor", "opcua", "endpont")`.
    """
    path: KeyPath = ()
    annotation: Any = Configuration
    valid: list[str] = []
    for part in loc:
        annotation = _bare(annotation)
        members = typing.get_args(annotation)
        if isinstance(annotation, types.UnionType) and all(map(_is_section, members)):
            annotation = SOURCE_TABLES[str(part)]
            continue
        if _is_section(annotation):
            fields = annotation.model_fields
            valid = [info.alias or name for name, info in fields.items()]
            by_key = {info.alias or name: info.annotation for name, info in fields.items()}
            annotation = by_key.get(str(part), Any)
        elif members:
            annotation = members[-1]
        path += (part,)
    return path, valid


def _bare(annotation: Any) -> Any:
    """`annotation` without Annotated and without `| None`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, types.UnionType):
        rest = [item for item in typing.get_args(annotation) if item is not type(None)]
        if len(rest) == 1:
            return _bare(rest[0])
    return annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)
