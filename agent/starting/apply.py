"""A list of tags into a configuration: what would change, and the files that would be written.

Tags of the list are new, or as the list says from now on. Tags of the configuration's own list that
it lacks stay, unless their removal is asked for: then those of the sources that the list names go.
A tag with a table of its own in the file stays there, and its keys are set in place.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.configuration.draft import read_text
from agent.configuration.load import LIST_COLUMNS, list_reader, load, read_raw
from agent.configuration.schema import Configuration
from agent.configuration.toml_edit import add_to_list, set_keys
from agent.errors import ConfigurationError, FieldwardenError
from agent.files import read_bounded
from agent.starting.tag_list import text_of

_LIMIT_BYTES = 4 * 1024 * 1024
_OPERATION = "applying"
_NUMBERS = ("rolls_over_at", "period")

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, path -> text, and the configuration as it would be.

    `staying`: how many tags of the sources that the list names are not in it.
    """

    texts: Mapping[Path, str]
    configuration: Configuration
    staying: int


def plan(config: Path, tags: Path, target: Path | None = None, *, remove: bool = False) -> Plan:
    """What applying a list would write; nothing is written here.

    Args:
        config: the configuration.
        tags: the list.
        target: which of the configuration's lists it goes to, where there are several.
        remove: tags of the configuration's list leave it where this one lacks them.

    Raises:
        FieldwardenError: a file can not be read, or what came of it would be no configuration.
    """
    raw, text = read_raw(config), read_text(config)
    listed = _text(tags)
    rows = _rows(listed, tags)
    lists = [config.parent / name for name in raw.get("tag_lists", []) if isinstance(name, str)]
    place = _target(config, tags, target, lists)
    tables = raw.get("tags", {})
    in_tables = [row for row in rows if row["name"] in tables]
    in_list = [row for row in rows if row["name"] not in tables]
    own = _rows(_text(place), place) if place.exists() and not _same(place, tags) else []
    new, sources = {row["name"] for row in rows}, {row["source"] for row in rows}
    kept = [row for row in own if row["name"] not in new]
    staying = [row for row in kept if row["source"] in sources]
    if remove:
        kept = [row for row in kept if row["source"] not in sources]
    edited = _edited(text, in_tables, tables, config)
    if not any(_same(place, one) for one in lists) and (in_list or not in_tables):
        edited = _added(edited, place.name, config)
    is_whole = not kept and not in_tables
    merged = listed if is_whole else text_of(_in_order(own, kept, in_list))
    texts = {place: merged, config: edited}
    try:
        made = load(config, {path.resolve(): content for path, content in texts.items()})
    except ConfigurationError as error:
        raise _renamed(error, place, tags) if is_whole else error from None
    changed = {path: content for path, content in texts.items() if not _has(path, content)}
    return Plan(changed, made, 0 if remove else len(staying))


def _in_order(own: Sequence[Row], kept: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Rows where they stood, then those that are new, so that version control shows little."""
    by_name = {row["name"]: row for row in (*kept, *new)}
    first = [by_name.pop(row["name"]) for row in own if row["name"] in by_name]
    return [*first, *by_name.values()]


def _text(path: Path) -> str:
    try:
        return read_bounded(path, _LIMIT_BYTES, _OPERATION).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        cause = f"not UTF-8 at byte {error.start}"
        hint = "save it as CSV UTF-8; a spreadsheet asks for it when saving"
        raise FieldwardenError(_OPERATION, str(path), cause, hint) from None


def _rows(text: str, path: Path) -> list[dict[str, str]]:
    """Rows by column, without blanks around; a row without any cell is none.

    Raises:
        FieldwardenError: it is no list of tags.
    """
    reader = list_reader(text)
    columns = [column.strip() for column in reader.fieldnames or []]
    reader.fieldnames = columns
    if missing := [name for name in LIST_COLUMNS[:3] if name not in columns]:
        cause = f"it is no list of tags: column {', '.join(missing)} is missing"
        hint = "make one: fieldwarden init --opcua URL --out tags.csv"
        raise FieldwardenError(_OPERATION, str(path), cause, hint)
    try:
        rows = [
            {key: cell.strip() for key, cell in row.items() if key and isinstance(cell, str)}
            for row in reader
        ]
    except csv.Error as error:
        hint = "save it as CSV in UTF-8"
        raise FieldwardenError(_OPERATION, f"{path}:{reader.line_num}", str(error), hint) from None
    return [row for row in rows if any(row.values())]


def _target(config: Path, tags: Path, target: Path | None, lists: Sequence[Path]) -> Path:
    own = next((one for one in lists if _same(one, tags)), None)
    if target is not None:
        return target
    if own is not None:
        return own
    if len(lists) > 1:
        names = ", ".join(str(one) for one in lists)
        hint = "say which it goes to: --list FILE"
        raise FieldwardenError(_OPERATION, str(tags), f"{config} has several lists: {names}", hint)
    return lists[0] if lists else config.with_name(f"{config.stem}.tags.csv")


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _has(path: Path, content: str) -> bool:
    return path.exists() and path.read_bytes().decode("utf-8-sig", "replace") == content


def _edited(
    text: str, rows: Sequence[Row], tables: Mapping[str, Any], config: Path
) -> str:
    """The configuration with the keys of these tags' tables as the list has them."""
    for row in rows:
        name = row["name"]
        now = tables[name] if isinstance(tables[name], Mapping) else {}
        wanted = {key: value for key, value in _values(row).items() if now.get(key) != value}
        if not wanted:
            continue
        try:
            text = set_keys(text, ("tags", name), wanted)
        except ValueError as error:
            hint = f'write it as a table, [tags."{name}"], or take it out of the file'
            subject = f"{config}: tag {name!r}"
            raise FieldwardenError(_OPERATION, subject, str(error), hint) from None
    return text


def _values(row: Row) -> dict[str, Any]:
    """What a row says, as a table's keys; a cell that is no number is left to validation."""
    found: dict[str, Any] = {
        key: cell for key, cell in row.items()
        if cell and key != "name" and not key.startswith("physical_")
    }
    for key in _NUMBERS:
        if key in found:
            found[key] = _number(found[key])
    if row.get("physical_low") and row.get("physical_high"):
        found["physical"] = [_number(row["physical_low"]), _number(row["physical_high"])]
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _added(text: str, name: str, config: Path) -> str:
    try:
        return add_to_list(text, "tag_lists", name)
    except ValueError as error:
        hint = f'write it yourself, above the first table: tag_lists = ["{name}"]'
        raise FieldwardenError(_OPERATION, f"{config}: tag_lists", str(error), hint) from None


def _renamed(error: ConfigurationError, place: Path, tags: Path) -> ConfigurationError:
    """Faults of the list that would be written, told at the file that a person edits."""
    faults = [
        FieldwardenError(
            fault.operation.replace(str(place), str(tags)), fault.subject,
            fault.cause.replace(str(place), str(tags)), fault.hint,
        )
        for fault in error.faults
    ]  # fmt: skip
    return ConfigurationError(str(tags), faults)
