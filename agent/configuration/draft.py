"""A file on its way to a configuration: its tables, its lines, and every fault found so far.

What pydantic says of a value becomes a fault with file, line, key and the nearest valid name, for
any configuration: the agent's, and that of central.
"""

from __future__ import annotations

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic_core import ErrorDetails

from agent.configuration import toml_lines
from agent.configuration.rules import KeyPath, nearest
from agent.configuration.values import Section, masked
from agent.errors import ConfigurationError, FieldwardenError
from agent.files import read_bounded

LIMIT_BYTES: Final = 4 * 1024 * 1024  # some 30,000 tags; parsed in two seconds
_MOST_PARTS: Final = 200  # of one dotted key
_DEEPEST: Final = 12
_IN_NAMED: Final = 3  # keys deep: a key in the table of one tag, source, model or person

Unions = Mapping[str, Mapping[str, type[Section]]]


@dataclass
class Draft:
    """What is known of a file while it is read."""

    file: Path
    raw: dict[str, Any]
    lines: dict[KeyPath, int]
    listed: dict[str, tuple[Path, int]] = field(default_factory=dict)  # tag -> its row
    faults: list[tuple[int, FieldwardenError]] = field(default_factory=list)
    instead: Mapping[Path, str] = field(default_factory=dict)

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


def _quoted(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"'


def read_text(file: Path, errors: str = "strict") -> str:
    """The text of a file; `errors` as for `bytes.decode`.

    Raises:
        ConfigurationError: it can not be read, is too large, or is not UTF-8.
    """
    missing = "give the path of an existing file, or make one: fieldwarden init --help"
    try:
        return read_bounded(file, LIMIT_BYTES, "reading", missing).decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise alone(file, f"not UTF-8 at byte {error.start}", "save it as UTF-8") from error
    except FieldwardenError as error:
        raise alone(file, error.cause, error.hint) from error


def parse(file: Path, instead: Mapping[Path, str] | None = None) -> Draft:
    """The tables of a file, not validated; `instead` as for `load`.

    Raises:
        ConfigurationError: it can not be read, or is no TOML.
    """
    texts = instead or {}
    text = stands_for(file, texts) or read_text(file)
    try:
        # Before parsing: the parser takes quadratic time for a key of very many parts.
        if toml_lines.longest_key(text, _MOST_PARTS) > _MOST_PARTS:
            raise RecursionError
        raw = tomllib.loads(text)
        if _deep(raw):
            raise RecursionError
        return Draft(file, raw, toml_lines.key_lines(text), instead=texts)
    except tomllib.TOMLDecodeError as error:
        raise alone(file, str(error), toml_lines.advice(str(error))) from error
    except RecursionError:
        cause = "tables or lists are nested too deeply"
        raise alone(file, cause, f"no key of this file lies deeper than {_DEEPEST}") from None
    except (ValueError, OverflowError) as error:  # a number of thousands of digits
        raise alone(file, str(error), "write numbers that a computer can hold") from None


def stands_for(file: Path, instead: Mapping[Path, str]) -> str | None:
    """The text that stands for a file; None where the file itself counts."""
    try:
        return instead.get(file.resolve()) if instead else None
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return None


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


def alone(file: Path, cause: str, hint: str) -> ConfigurationError:
    """A fault that leaves no other to be found."""
    fault = FieldwardenError("reading", str(file), cause, hint)
    return ConfigurationError(str(file), [fault])


def explain(draft: Draft, details: ErrorDetails, root: type[Section], unions: Unions) -> None:
    """Turn one of pydantic's errors into a fault that speaks of the file.

    Args:
        draft: gets the fault.
        details: one of a `ValidationError`.
        root: what the whole file was read as.
        unions: table of the file -> what its tables may be, by their discriminator.
    """
    path, valid = _resolve(details["loc"], root, unions)
    kind, context = details["type"], details.get("ctx", {})
    key = str(path[-1]) if path else ""
    union = str(context.get("discriminator", "")).strip("'")  # the key that says which table it is
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
            at = (*path, union) if union else path
            found = context.get("tag", details["input"])
            hint = _near(found, allowed) or _HINTS.get(key, "")
            draft.fault(at, f"{found!r} is none of {', '.join(allowed)}", hint)
        case "union_tag_not_found":
            *some, last = (f'"{name}"' for name in unions[str(path[0])])
            hint = f"write {union} = {', '.join(some)} or {last}"
            draft.fault((*path, union), "is required", hint)
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


def _resolve(
    loc: tuple[int | str, ...], root: type[Section], unions: Unions
) -> tuple[KeyPath, list[str]]:
    """The path in the file, and the valid names beside its last key.

    pydantic's location also names the member of a discriminated union, which is no key of the
    file: `("sources", "reactor", "opcua", "endpont")`.
    """
    path: KeyPath = ()
    annotation: Any = root
    valid: list[str] = []
    for part in loc:
        annotation = _bare(annotation)
        members = typing.get_args(annotation)
        if isinstance(annotation, types.UnionType) and all(map(_is_section, members)):
            annotation = unions[str(path[0])][str(part)]
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
