"""`fieldwarden init`: what a source offers, training data and a model's signature become files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.configuration.placeholders import SOURCE
from agent.configuration.rules import EDIT, is_usable_name
from agent.errors import FieldwardenError
from agent.records.init import (
    Origin,
    check_model_name,
    draft,
    duration_text,
    head,
    model_table,
    outputs_line,
)
from agent.records.roles import question_of
from agent.records.table import Table
from agent.sources import SOURCES
from agent.sources.found import Found, Tell, Wish
from agent.starting.names import match
from agent.starting.placed import Placed, placed
from agent.starting.signature import Signature, columns
from agent.starting.tables import checked, settings, table_text
from agent.starting.tag_list import rows_of, text_of

LIST_ENDING = ".csv"


@dataclass(frozen=True, slots=True)
class Start:
    """What a person asked for.

    Attributes:
        out: file to be written; a list of tags alone where its name ends in .csv.
        source: name of the source.
        protocol: of the source; empty where none is asked.
        place: of the source, as typed.
        pairs: ``KEY=VALUE`` of the source's table.
        wish: what is looked for there.
        model: its name; empty where there is none.
        path: of the model's signature.
        said: what a person said of columns: ``exclude``, ``inputs``, ``outputs``, ``labels``.
    """

    out: Path
    source: str = SOURCE
    protocol: str = ""
    place: str = ""
    pairs: Sequence[str] = ()
    wish: Wish = field(default_factory=Wish)
    model: str = ""
    path: Path | None = None
    said: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def list_path(self) -> Path:
        """The list of tags: `out` itself, or beside the configuration."""
        if self.out.suffix == LIST_ENDING:
            return self.out
        return self.out.with_name(f"{self.out.stem}.tags.csv")


@dataclass(frozen=True, slots=True)
class Begun:
    """What is to be written, and what a person should know.

    `table`: of the source, where only a list is written; `summary`: one line.
    """

    texts: Mapping[Path, str]
    notes: Sequence[str]
    summary: str
    inputs: Sequence[str] = ()
    table: str = ""


def look(start: Start, tell: Tell) -> tuple[Found, str]:
    """(what the source offers, the tables of the configuration for it).

    Raises:
        FieldwardenError: a key is wrong, the source was not reached, or a map is ambiguous.
    """
    kind = SOURCES[start.protocol]
    place = kind.keys(start.place)
    keys: dict[str, Any] = place | settings(start.pairs, start.out)
    now = place | settings(start.pairs, None)
    known = {key: "127.0.0.1" if value == EDIT else value for key, value in now.items()}
    trial = table_text(start.protocol, start.source, known, {"": {}})
    config = checked(trial, start.source, start.out)
    found = asyncio.run(kind.browse(start.source, config, start.wish, tell))
    return found, table_text(start.protocol, start.source, keys, found.sources)


def begin(
    start: Start, found: Found | None, tables: str, table: Table | None,
    signature: Signature | None,
) -> Begun:  # fmt: skip
    """Put together what is known.

    Args:
        start: what was asked for.
        found: what the source offers; None where none was asked.
        tables: of the source, for the configuration.
        table: training data, where there is any.
        signature: of the model, where there is one.

    Raises:
        FieldwardenError: names that can not be used; nothing to begin with.
    """
    if table is not None:
        return _from_data(start, found, tables, table, signature)
    if found is None:
        cause = "nothing says what there is to read"
        hint = "give --from-csv TRAIN.csv, or where the tags are: see fieldwarden init --help"
        raise FieldwardenError("beginning", str(start.out), cause, hint)
    if signature is not None:
        return _from_signature(start, found, tables, signature)
    return _from_source(start, found, tables)


def _from_data(
    start: Start, found: Found | None, tables: str, table: Table, signature: Signature | None
) -> Begun:
    said = {key: list(names) for key, names in start.said.items()}
    notes: list[str] = []
    if signature is not None and start.path is not None:
        notes = _by_signature(said, table, signature, start.path)
    origin, names = None, _usable(table, said["exclude"])
    if found is not None:
        place = placed(names, found, table.units)
        notes += [*place.notes, *found.notes]
        if start.out.suffix == LIST_ENDING:
            return _list_alone(start, tables, place, notes)
        origin = Origin(tables, start.source, place.tags, place.words)
    made = draft(table, start.model, data=start.place or "the training data", origin=origin, **said)
    every = duration_text(table.interval_ns)
    summary = f"{start.out}: model {start.model}, {len(made.inputs)} inputs, a scan every {every}"
    return Begun({start.out: made.text}, [*made.notes, *notes], summary, made.inputs)


def _usable(table: Table, exclude: Sequence[str]) -> list[str]:
    return [name for name in table.names if name not in exclude and is_usable_name(name)]


def _by_signature(
    said: dict[str, list[str]], table: Table, signature: Signature, path: Path
) -> list[str]:
    """Say of the columns what the signature says: inputs, and that others are none.

    Returns:
        What a person should know: inputs that are called nearly so in the data.

    Raises:
        FieldwardenError: an input has no column in the data.
    """
    labels = (text.partition("=")[0] for text in said["labels"])
    taken = {*said["exclude"], *said["outputs"], *labels}
    usual = [name for name in table.names if name not in taken and not question_of(name)]
    wanted = columns(signature, usual, path)
    names = [_Column(name) for name in table.names]
    matches = match(wanted, names)
    notes, inputs = [f"inputs by the {signature.source}, in its order"], []
    for name in wanted:
        at = matches[name].at
        if at is None:
            others = ", ".join(matches[name].others)
            near = f"; like it are {others}" if others else ""
            cause = f"its input {name!r} is no column of the training data{near}"
            hint = "name the column as the model does, or give the data that it was trained on"
            raise FieldwardenError("matching the signature of", str(path), cause, hint)
        inputs.append(names[at].name)
        if matches[name].how == "nearest":
            notes.append(
                f"confirm: the input {name!r} of the model is taken to be column {names[at].name!r}"
            )
    known = {*inputs, *taken}
    given = match([port.name for port in signature.outputs], names) if signature.outputs else {}
    for one in given.values():
        if one.at is not None and one.how != "nearest" and names[one.at].name not in known:
            said["outputs"].append(names[one.at].name)
            known.add(names[one.at].name)
    said["inputs"] = inputs
    said["exclude"] = [*said["exclude"], *(name for name in table.names if name not in known)]
    return notes


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    also: tuple[str, ...] = ()


def _from_signature(start: Start, found: Found, tables: str, signature: Signature) -> Begun:
    """Without data: the model's inputs as a list of tags, and a model to be completed."""
    check_model_name(start.model)
    path = start.path or Path("MODEL")
    inputs = columns(signature, (), path)
    outputs = [port.name for port in signature.outputs if port.size == 1]
    outputs = [name for name in outputs if name not in inputs and not name.startswith("#")]
    place = placed([*inputs, *outputs], found, {})
    notes = [f"inputs by the {signature.source}", *place.notes, *found.notes]
    if start.out.suffix == LIST_ENDING:
        return _list_alone(start, tables, place, notes)
    scan = f'"{EDIT}"  # EDIT: how often the model itself reads, such as "1s"'
    model = model_table(start.model, inputs, scan, outputs_line(outputs))
    told = f"the model {start.model}, written from {start.place}"
    text = head(told, tables, start.list_path.name) + "\n" + model
    rows = rows_of(place.tags.values(), start.source)
    summary = f"{start.out}: model {start.model}, {len(inputs)} inputs; tags in {start.list_path}"
    return Begun({start.list_path: text_of(rows), start.out: text}, notes, summary, inputs)


def _list_alone(start: Start, tables: str, place: Placed, notes: Sequence[str]) -> Begun:
    rows = rows_of(place.tags.values(), start.source)
    summary = f"{start.out}: {len(rows)} tags, named as the columns are"
    return Begun({start.out: text_of(rows)}, notes, summary, table=tables)


def _from_source(start: Start, found: Found, tables: str) -> Begun:
    text = text_of(rows_of(found.tags, start.source))
    if start.out.suffix == LIST_ENDING:
        summary = f"{start.out}: {len(found.tags)} tags"
        return Begun({start.out: text}, found.notes, summary, table=tables)
    told = f"{len(found.tags)} tags, written from {start.place}"
    config = head(told, tables, start.list_path.name)
    summary = f"{start.out}: source {start.source}, {len(found.tags)} tags in {start.list_path}"
    return Begun({start.list_path: text, start.out: config}, found.notes, summary)
