"""`fieldwarden init`: training data -> a configuration that `check`, `fit` and `replay` accept.

What data can not tell (where the tags are served, who owns the model) is filled with placeholders
that are valid and marked "EDIT".
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.configuration.placeholders import CONTACT, GATEWAY, HOST, SITE, SOURCE, TEAM, TOPIC
from agent.configuration.rules import is_usable_name
from agent.errors import FieldwardenError
from agent.files import write_text
from agent.records.kinds import is_constant_by_nature, proposals, recognise
from agent.records.loops import FoundLoop, find_loops
from agent.records.roles import Said, questions
from agent.records.table import Table
from agent.records.units import unit_in
from agent.sources.found import FoundTag
from agent.types import Float64

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_UNIT_OF_WORD = {
    "temperature": "degC",
    "temp": "degC",
    "thermocouple": "degC",
    "pressure": "bar",
    "voltage": "V",
    "current": "A",
    "rpm": "rpm",
    "humidity": "%",
    "level": "%",
    "valve": "%",
}
_SCALES_NS = (("d", 86400 * 10**9), ("h", 3600 * 10**9), ("min", 60 * 10**9), ("s", 10**9))
_SILENT_STEPS = 5
_MOST_NAMED = 20
_KIND = re.compile(r'^kind = "([^"]+)"', re.MULTILINE)
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a configuration, and what a person should know about it."""

    text: str
    inputs: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the tags are served, where that is known.

    Attributes:
        tables: of the sources, as they stand in the file.
        source: name of the source.
        tags: column -> the tag that it is, as far as that is known.
        words: column -> what a person should know of that.
    """

    tables: str
    source: str
    tags: Mapping[str, FoundTag]
    words: Mapping[str, str]


def draft(
    table: Table, model: str, *, data: str = "TRAIN.csv", exclude: Sequence[str] = (),
    inputs: Sequence[str] = (), outputs: Sequence[str] = (), labels: Sequence[str] = (),
    origin: Origin | None = None,
) -> Draft:  # fmt: skip
    """Write a configuration for one model whose inputs are the table's columns.

    A column that looks like no input (a lab value, a prediction, a quality) and of which nobody
    said what it is stands there as comment, with the question.

    Args:
        table: training data.
        model: the model's name.
        data: how the data file is called in the comments.
        exclude: columns that are no inputs (truth columns, counters).
        inputs: columns that are, whatever they look like; their order counts where these are all.
        outputs: columns that the model itself gives.
        labels: columns that bring the truth for an output; ``LABEL=OUTPUT`` where there are
            several outputs.
        origin: where the tags are served; without it a placeholder stands there.

    Raises:
        FieldwardenError: a name can not be used, or no column is left.
    """
    check_model_name(model)
    said = Said.of(table.names, exclude, inputs, outputs, labels)
    notes = list(table.notes)
    names = [name for name in table.names if name not in exclude and _usable(table, name, notes)]
    asked = questions(table, [name for name in names if name not in said.known])
    kept = [name for name in names if name not in said.others and name not in asked]
    if set(kept) == set(inputs):
        kept = list(dict.fromkeys(inputs))  # all were named: in that order, as a signature has it
    notes += [f"{item.text(name)}; it is left out until then" for name, item in asked.items()]
    if still := [
        name for name in kept
        if _is_constant(table.column(name)) and not is_constant_by_nature(name)
    ]:
        more = ", ..." if len(still) > _MOST_NAMED else ""
        notes.append(
            f"one value all the time: {', '.join(still[:_MOST_NAMED])}{more}: an input "
            "like that is watched for leaving it; --exclude what the model does not read"
        )
    if not kept:
        cause = "no numeric column with a value is left as an input"
        hint = f"say which are: --input {next(iter(asked), 'COLUMN')}"
        raise FieldwardenError("reading data", data, cause, hint)
    keys = dict(zip(names, _keys(names), strict=True))
    kinds: dict[str, str] = {}
    parts = [head(f"the model {model}, written from {data}", origin.tables if origin else None)]
    for name in names:
        text = _tag(table, name, keys[name], origin)
        parts.append(_as_question(text, asked[name].text(name)) if name in asked else text)
        if match := _KIND.search(text):
            kinds[name] = match[1]
    loops = find_loops(table, [name for name in names if name not in asked])
    parts += _loops(loops)
    kinds |= {f"loop {loop.name}": "loop" + "?" * bool(loop.doubt) for loop in loops}
    notes += proposals(kinds)
    parts.append(_model(model, kept, duration_text(table.interval_ns), said, table))
    return Draft("\n".join(parts), tuple(kept), tuple(notes))


def check_model_name(model: str) -> None:
    """Refuse a name that no model can have.

    Raises:
        FieldwardenError: it has signs that topics and files may not have.
    """
    if not model or _UNSAFE.search(model):
        cause = "letters, digits, '_', '.' and '-' only, because it becomes part of MQTT topics"
        raise FieldwardenError("naming model", repr(model), cause, "choose another --model")


def _is_constant(values: Float64) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 1 and bool((finite == finite[0]).all())


def _usable(table: Table, name: str, notes: list[str]) -> bool:
    if not is_usable_name(name):
        notes.append(f"left out: column {name[:40]!r} has no usable name")
    elif not np.isfinite(table.column(name)).any():
        notes.append(f"left out: column {name!r} holds no value at all")
    else:
        return True
    return False


def _as_question(text: str, question: str) -> str:
    lines = textwrap.wrap(
        f"EDIT: {question}. Until then it is not read:", 96, initial_indent="# ",
        subsequent_indent="# ", break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    lines += [f"# {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def write(draft_: Draft, path: Path, *, overwrite: bool = False) -> None:
    """Write the draft to `path` and make its folder.

    Raises:
        FieldwardenError: the file is there already, or can not be written.
    """
    write_all({path: draft_.text}, overwrite=overwrite)


def write_all(texts: Mapping[Path, str], *, overwrite: bool) -> None:
    """Write files, each whole, and make their folders; none where one is there already.

    Raises:
        FieldwardenError: a file is there already, or can not be written.
    """
    for path in texts:
        if path.exists() and not overwrite:
            hint = "give another --out, or --force to replace it"
            raise FieldwardenError("writing", str(path), "it is there already", hint)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            cause = error.strerror or str(error)
            raise FieldwardenError("writing", str(path), cause, "give another --out") from error
        write_text(path, text)


def duration_text(span_ns: int) -> str:
    """Nanoseconds as a duration of the configuration, exact to a microsecond: ``"3min"``."""
    for unit, scale in _SCALES_NS:
        if span_ns % scale == 0:
            return f"{span_ns // scale}{unit}"
    return f"{max(span_ns / 1e6, 0.001):.3f}".rstrip("0").rstrip(".") + "ms"


def _text(value: str) -> str:
    """A TOML basic string; JSON's is one, but for DEL, which names may not hold."""
    return json.dumps(value, ensure_ascii=False)


_PLACEHOLDER = f"""\
# EDIT: where the tags are served. Here: one JSON object a message on the topic {TOPIC},
# like {{"tag": 1.5, ...}}. For OPC UA and Modbus see configs/opcua.toml and configs/modbus.toml.
[sources.{SOURCE}]
protocol = "mqtt"
host = "{HOST}"
port = 1883
"""


def head(what: str, sources: str | None = None, tag_list: str = "") -> str:
    """What stands above the tags.

    Args:
        what: the file is for, and was written from.
        sources: tables of the sources; None: a placeholder.
        tag_list: file that the tags stand in; empty: they follow.
    """
    lists = f"tag_lists = [{_text(tag_list)}]     # the tags, to be edited in a spreadsheet\n"
    return f"""\
# Fieldwarden configuration for {what}.
# Before `run`, edit what is marked EDIT; a value that begins with EDIT is refused until then.
# Every key with its unit and default: configs/reference.toml.
schema = 1
{lists if tag_list else ""}
[gateway]
site = "{SITE}"                      # EDIT: part of the MQTT topics upstream
name = "{GATEWAY}"                  # EDIT: one name for each agent of the site
false_alarms = "1 per 30 days"      # the promise, for everything this gateway watches

{_PLACEHOLDER if sources is None else sources}
# Tags of a model are named as its columns are. `physical = [low, high]` is what a sensor can say at
# all (from its data sheet); what the model was trained on is found by `fit`.
"""


def _keys(names: Sequence[str]) -> list[str]:
    """A key of the placeholder's JSON object for each name: no blanks, each once."""
    keys: list[str] = []
    for name in names:
        key = first = re.sub(r"[^\w.-]+", "_", name).strip("_") or "tag"
        number = 1
        while key in keys:
            number += 1
            key = f"{first}_{number}"
        keys.append(key)
    return keys


def _tag(table: Table, name: str, key: str, origin: Origin | None) -> str:
    values = table.column(name)
    in_name = "from the heading" if unit_in(name) else "guessed from the name"
    told = "from the data" if name in table.units else in_name
    unit = table.units.get(name) or guess_unit(name, values)
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    seen = f"always {low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    if missing := 1.0 - len(finite) / len(values):
        seen += f", {missing:.1%} missing"
    if origin is None:
        place = [f'source = "{SOURCE}"', f"address = {_text(f'{TOPIC} /{key}')}"]
    else:
        tag = origin.tags[name]
        place = tag_lines(tag, origin.source)
        seen += f"; {origin.words[name]}" if origin.words.get(name) else ""
        unit, told = (tag.unit, "as the source says") if tag.unit else (unit, told)
    lines = [f"[tags.{_text(name)}]  # in the data: {seen}", *place]
    if unit:
        lines.append(f"unit = {_text(unit)}  # {told}")
    if found := recognise(name, values, unit, table.interval_ns):
        lead = "" if found.sure else "# "
        lines.append(f"{lead}kind = {_text(found.kind)}  # EDIT: {found.why}")
    if (numbers := table.no_values.get(name)) and not any(
        line.startswith("physical = ") for line in lines
    ):
        told = ", ".join(f"{number:.10g}" for number in numbers)
        lines.append(f"physical = {_without(numbers, low, high)}  # EDIT: leaves out {told}")
    steps = table.steps_ns(name)
    if longest := table.silences_ns.get(name):
        lines.append(f'max_silence = "{duration_text(2 * longest)}"  # reported by exception')
    elif len(steps) and (usual := int(np.median(steps))) > 1.5 * table.interval_ns:
        silence = max(_SILENT_STEPS * usual, 2 * int(steps.max()))
        lines.append(f'interval = "{duration_text(usual)}"  # as it comes in the data')
        lines.append(f'max_silence = "{duration_text(silence)}"')
    return "\n".join(lines) + "\n"


def tag_lines(tag: FoundTag, source: str) -> list[str]:
    """What is known of where a tag is served, without its unit; its header is not among them."""
    named = f"{source}-{tag.source}" if tag.source else source
    lines = [f"source = {_text(named)}", f"address = {_text(tag.address)}"]
    for key, value in (("data_type", tag.data_type), ("description", tag.description)):
        lines += [f"{key} = {_text(value)}"] if value else []
    if tag.physical is not None:
        lines.append(f"physical = [{tag.physical[0]:.12g}, {tag.physical[1]:.12g}]")
    return lines


def _loops(loops: Sequence[FoundLoop]) -> list[str]:
    """The tables of control loops; one that the data speak against is a question."""
    if not loops:
        return []
    head = "# Control loops, found by their names (ISA-5.1). EDIT: are these the parts of each?"
    texts = [f"{head}\n# What is set is never called a faulty sensor.\n"]
    for loop in loops:
        rows = [f"{part} = {_text(tag)}" for part, tag in loop.parts.items()]
        text = "\n".join([f"[loops.{_text(loop.name)}]", *rows]) + "\n"
        texts.append(_as_question(text, f"is this a loop? {loop.doubt}") if loop.doubt else text)
    return texts


def _without(numbers: Sequence[float], low: float, high: float) -> str:
    """A range half-way from the values, low to high, to the nearest number that is no value."""
    room = min(max(low - number, number - high) for number in numbers) / 2
    ends = (float(f"{low - room:.3g}"), float(f"{high + room:.3g}"))
    return f"[{ends[0]:.10g}, {ends[1]:.10g}]"


def _model(model: str, names: list[str], scan: str, said: Said, table: Table) -> str:
    more = outputs_line(said.outputs)
    if said.labels:
        rows = "".join(
            f"    {{ tag = {_text(label)}, of = {_text(output)}, within = "
            f'"{duration_text(_within_ns(table, label))}" }},\n'
            for label, output in said.labels.items()
        )
        more += f"labels = [  # EDIT: `within` is how late a value may come\n{rows}]\n"
    return model_table(model, names, f'"{scan}"  # the interval of the data', more)


def outputs_line(outputs: Sequence[str]) -> str:
    """The key `outputs` of a model, with its line's end; empty without any."""
    return f"outputs = [{', '.join(map(_text, outputs))}]\n" if outputs else ""


def model_table(model: str, names: Sequence[str], scan: str, more: str = "") -> str:
    """The table of a model.

    Args:
        model: its name.
        names: its inputs.
        scan: in quotes, with a comment.
        more: lines of further keys.
    """
    inputs = "".join(f"    {_text(name)},\n" for name in names)
    return f"""\
[models.{_text(model)}]
version = "1"                       # EDIT: the version of the model that was trained on this data
owner = {{ team = "{TEAM}", contact = "{CONTACT}" }}  # EDIT: who must act
baseline = {_text(f"baselines/{model}.json")}  # written by: fieldwarden fit
scan = {scan}
{more}inputs = [  # EDIT: what the model reads
{inputs}]
"""


def _within_ns(table: Table, name: str) -> int:
    """How late a label may come, for want of anything better: twice the time between two."""
    steps = table.steps_ns(name)
    return 2 * (int(np.median(steps)) if len(steps) else table.interval_ns)


def guess_unit(name: str, values: Float64) -> str:
    """A unit from brackets at the end of the name, or from a telling word in it; else empty.

    A percentage is believed only where the values fit one, a temperature only in the range where
    degC is usual.
    """
    if unit := unit_in(name):
        return unit
    words = {word.lower() for word in _WORDS.findall(name)}
    found = {_UNIT_OF_WORD[word] for word in words if word in _UNIT_OF_WORD}
    if len(found) != 1:
        return ""
    unit = found.pop()
    low, high = np.nanmin(values), np.nanmax(values)
    if unit == "%" and not (low >= -1.0 and high <= 101.0 and high > 1.5):
        return ""
    if unit == "degC" and not (low >= -80.0 and high <= 1600.0):
        return ""
    return unit
