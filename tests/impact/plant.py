"""A process with a model of it, days of it in an agent's store, and what comes next, live."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agent.configuration.load import load
from agent.configuration.schema import Configuration
from agent.contract.effect import Effect
from agent.core.baseline import from_document, to_document
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.core.summary import merge
from agent.fit.model import fit_model
from agent.records.table import Table
from agent.runtime.assemble import baselines_of, build_spec
from agent.store import Batch, Store
from agent.types import Block, Command, Entry, Float64, Quality
from tests.core.small import SECOND, START
from tests.fit.streams import ar1

EVERY = 10 * SECOND
INPUTS = ("t1", "t2", "p", "flow")
TAGS = (*INPUTS, "aside", "y", "lab")
UNITS = ("degC", "degC", "bar", "m3/h", "bar", "%", "%")
CENTRES = (60.0, 75.0, 4.0, 12.0, 2.0, 50.0, 50.0)
SIZES = (2.0, 3.0, 0.4, 1.0, 0.2, 1.0, 1.0)
TRAINED = 2_500
"""Rows of the training record."""

TEXT = """\
schema = 1
[gateway]
site = "north"
name = "gw"
state_directory = "state"
[status]
listen = "127.0.0.1:{port}"
[sources.plc]
protocol = "modbus"
host = "127.0.0.1"
port = 1
every = "10s"
{tags}
[models.soft]
version = "3"
owner = {{ team = "process data", contact = "data@plant.example" }}
baseline = "soft.json"
scan = "10s"
inputs = {inputs}
outputs = ["y"]
labels = [{{ tag = "lab", of = "y", within = "1h", loss = "absolute" }}]
[models.other]
version = "1"
owner = {{ team = "utilities", contact = "u@plant.example" }}
baseline = "other.json"
scan = "10s"
inputs = ["p", "y"]
"""


def process(rows: int, seed: int) -> Float64:
    """float64[rows, 7]: two causes move the inputs, y follows them, the lab tells it at times."""
    rng = np.random.default_rng(seed)
    load_, feed = ar1(0.9, rows, seed + 1), ar1(0.8, rows, seed + 2)
    own = rng.standard_normal((rows, len(TAGS)))
    z = np.column_stack([
        0.8 * load_ + 0.6 * own[:, 0], 0.8 * load_ - 0.3 * feed + 0.5 * own[:, 1],
        0.7 * feed + 0.7 * own[:, 2], 0.5 * load_ + 0.5 * feed + 0.7 * own[:, 3],
        ar1(0.9, rows, seed + 3), 2.0 * load_ + feed + 0.3 * own[:, 5], np.zeros(rows),
    ])  # fmt: skip
    z[:, 6] = z[:, 5] + 0.2 * own[:, 6]
    found: Float64 = np.round(np.array(CENTRES) + z * np.array(SIZES), 4)
    found[np.arange(rows) % 36 != 0, 6] = np.nan  # every six minutes
    return found


def write_site(folder: Path, port: int = 8686) -> Configuration:
    """Configuration and baselines in a folder."""
    tags = "".join(
        f'[tags.{name}]\nsource = "plc"\naddress = "holding {2 * row} float32"\nunit = "{unit}"\n'
        + ('max_silence = "2h"\n' if name == "lab" else "")
        for row, (name, unit) in enumerate(zip(TAGS, UNITS, strict=True))
    )
    path = folder / "config.toml"
    path.write_text(TEXT.format(tags=tags, inputs=json.dumps(list(INPUTS)), port=port))
    configuration = load(path)
    for model in configuration.models:
        document = json.loads(json.dumps(trained(model)))
        write_baseline(folder / f"{model}.json", from_document(document, model))
    return configuration


@cache
def trained(model: str) -> dict[str, Any]:
    """The baseline's document; fitted once."""
    with tempfile.TemporaryDirectory() as folder:
        tags = "".join(f'[tags.{name}]\nsource = "plc"\naddress = "holding {2 * row} float32"\n'
                       f'unit = "{UNITS[row]}"\n' for row, name in enumerate(TAGS))  # fmt: skip
        path = Path(folder) / "config.toml"
        path.write_text(TEXT.format(tags=tags, inputs=json.dumps(list(INPUTS)), port=8686))
        configuration = load(path)
        values = np.asfortranarray(process(TRAINED, 1)[:, :6])
        times = START - 2 * TRAINED * EVERY + np.arange(TRAINED, dtype=np.int64) * EVERY
        record = Table(times, TAGS[:6], values, EVERY)
        return to_document(fit_model(configuration, model, record).baseline)


def blocks(
    values: Float64, ids: Mapping[str, int], first: int = 0, sequence: int = 1
) -> Iterator[Block]:
    """One block a row, as polls come: `first` rows after the start."""
    index = np.array([ids[name] for name in TAGS], np.int32)
    for row, own in enumerate(values):
        at = START + (first + row) * EVERY
        there = ~np.isnan(own)
        times = np.full(int(there.sum()), at, np.int64)
        yield Block(sequence + row, at + EVERY // 2, index[there], times, times.copy(), own[there],
                    np.zeros(len(times), np.uint16))  # fmt: skip


def record(
    configuration: Configuration, values: Float64,
    commands: Mapping[int, list[tuple[str, dict[str, Any]]]] | None = None,
    held: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Write these rows into the store, as an agent would have; the tags' ids.

    Args:
        configuration: of the site.
        values: a row a poll.
        commands: (kind, data) before some rows.
        held: tag -> row from which on its samples are held.
    """

    async def write() -> dict[str, int]:
        configuration.store_path.parent.mkdir(parents=True, exist_ok=True)
        store = Store.open(configuration.store_path, journal_limit_bytes=10**9,
                           outbox_limit_bytes=10**7, merge=merge)  # fmt: skip
        try:
            ids = store.tag_ids(list(configuration.tags))
            entries: list[Entry] = []
            sequence = 1
            for row, block in enumerate(blocks(values, ids)):
                for kind, data in (commands or {}).get(row, ()):
                    entries.append(Command(sequence, int(block.arrival_ns[0]), kind, data))
                    sequence += 1
                for tag, since in (held or {}).items():
                    if row >= since:
                        block.quality[block.tag == ids[tag]] |= int(Quality.CONTRACT_BROKEN)
                entries.append(replace(block, sequence=sequence))
                sequence += 1
            for start in range(0, len(entries), 500):
                await store.commit(Batch(entries=entries[start : start + 500]))
            return ids
        finally:
            await store.close()

    return asyncio.run(write())


def spec_of(configuration: Configuration, ids: Mapping[str, int]) -> EngineSpec:
    return build_spec(configuration, ids, baselines_of(configuration))


class Live:
    """What happens next, whatever comes: one engine, warm from `before`, block by block. It shares
    nothing with the replay but the engine.
    """

    def __init__(self, spec: EngineSpec, ids: Mapping[str, int], before: Float64) -> None:
        self.spec, self.ids, self.first = spec, ids, len(before)
        engine = Engine(spec)
        for block in blocks(before, ids):
            engine.step(block)
        self._state = engine.snapshot()
        self._agreed: dict[int, dict[str, list[str]]] = {}

    def verdicts(self, after: Float64, effect: Effect | None = None) -> dict[str, list[str]]:
        """Of each model one verdict a row, looked at when the next row is due."""
        engine = Engine(self.spec)
        engine.resume(self._state)
        found: dict[str, list[str]] = {model.name: [] for model in self.spec.models}
        for block in blocks(after, self.ids, self.first, self.first + 1):
            engine.step(block if effect is None else effect.apply(block))
            for name, own in found.items():
                own.append(engine.judge.verdicts[name].verdict)
        return found

    def shares(self, after: Float64, effect: Effect) -> dict[str, float]:
        """By model the share of rows in which the change makes the verdict another one."""
        agreed = self._agreed.setdefault(len(after), self.verdicts(after))
        served = self.verdicts(after, effect)
        return {
            name: sum(a != b for a, b in zip(own, served[name], strict=True)) / len(own)
            for name, own in agreed.items()
        }
