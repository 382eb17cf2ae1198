"""What is offered for training, through a real store: nothing before it is declared, then the same.

The agent's store on disk takes every entry, event and window of a scenario, as at run time. Of an
open request no bundle is made; once a person declared it, the bundle made twice, the second time by
a reader of its own, has the same bytes. Of what asks for nothing there is none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

from _guarded import Guarded, configuration_of, record_of
from _judged import declaration, opened
from _kinds import KINDS, case_of
from _scenes import entries

from agent.bundle.evidence import gathered
from agent.bundle.pack import bundle
from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.errors import FieldwardenError
from agent.runtime.assemble import baselines_of, build_spec
from agent.store import Batch, Reader, Store
from agent.types import Entry

WANTED = (
    ("process", "moved for good", True), ("mixed", "stuck within a shift", True),
    ("concept", "truth moved", True), ("sensor", "bias 4 sd", False),
)  # fmt: skip
"""(family, kind, whether data is offered)."""

PLANTS = ("simulator", "gas turbine", "tep")
_SEED = 2_000


def tasks(plants: list[str], *, quick: bool) -> list[tuple[str, str, str, bool, int]]:
    """(plant, family, kind, whether data is offered, seed)."""
    return [
        (plant, family, name, offered, _SEED + seed)
        for plant in PLANTS if plant in plants and not (quick and plant != "simulator")
        for family, name, offered in WANTED
        for seed in range(1 if quick or plant != "simulator" else 2)
    ]  # fmt: skip


def judged(data: Path, work: Path, task: tuple[str, str, str, bool, int]) -> dict[str, Any]:
    """The line of a scenario."""
    site, family, name, offered, seed = task
    plant = opened(site, data, work)
    kind = next(one for one in KINDS if (one.family, one.name) == (family, name))
    case = case_of(plant, record_of(plant.site, data), kind, seed)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_stored(plant, case.scene, Path(folder)))
    good = found["requests"] == int(offered) and (
        not offered or bool(found["refused_while_open"] and found["same_bytes"] and found["clean"])
    )
    return {
        "scenario": f"{site}: bundle of {name}", "plant": site, "family": "bundle", "seed": seed,
        **found, "reached": good, "cpu_s": round(time.process_time() - began, 2),
    }  # fmt: skip


async def _stored(plant: Guarded, scene: Any, folder: Path) -> dict[str, Any]:
    configuration = configuration_of(plant.config)
    gateway = configuration.gateway.model_copy(update={"state_directory": str(folder)})
    configuration = configuration.model_copy(update={"gateway": gateway})
    store = Store.open(
        folder / "fieldwarden.db", journal_limit_bytes=10**9, outbox_limit_bytes=10**7
    )
    try:
        ids = store.tag_ids(list(configuration.tags))
        spec = build_spec(configuration, ids, baselines_of(configuration))
        engine = Engine(spec)
        for entry in entries(spec, plant, scene):
            await _commit(store, engine, entry)
        return await _offered(store, engine, configuration)
    finally:
        await store.close()


async def _commit(store: Store, engine: Engine, entry: Entry) -> None:
    outcome = engine.step(entry)
    batch = Batch(entries=[entry])
    batch.events = [(entry.sequence, place, one) for place, one in enumerate(outcome.events)]
    batch.summaries = [{**one, "entry": entry.sequence} for one in outcome.summaries]
    batch.pins = engine.retraining.pins()
    await store.commit(batch)


async def _offered(store: Store, engine: Engine, configuration: Configuration) -> dict[str, Any]:
    names = list(engine.retraining.requests)
    found: dict[str, Any] = {"requests": len(names), "refused_while_open": None,
                             "same_bytes": None, "clean": None}  # fmt: skip
    if not names:
        return found
    found["refused_while_open"] = _refused(store.path, configuration, names[0])
    await _commit(store, engine, declaration(engine, names[0]))
    first = bundle(gathered(Reader(store.path), configuration, names[0]), configuration)
    second = bundle(gathered(Reader(store.path), configuration, names[0]), configuration)
    found |= {"same_bytes": first == second, "sha256": hashlib.sha256(first).hexdigest()[:16]}
    with zipfile.ZipFile(BytesIO(first)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        left = json.loads(archive.read("left_out.json"))
        times = _times(archive.read("samples.parquet"))
    spans = [(int(one["from_ns"]), int(one["to_ns"])) for one in left["spans"]]
    within = [t for t in times if any(a <= t < (b or 1 << 62) for a, b in spans)]
    return found | {"samples": manifest["samples"]["count"], "windows": manifest["windows"],
                    "left_out": len(spans), "clean": bool(times) and not within}  # fmt: skip


def _refused(path: Path, configuration: Configuration, name: str) -> bool:
    try:
        gathered(Reader(path), configuration, name)
    except FieldwardenError as error:
        return "learns the fault" in str(error)
    return False


def _times(samples: bytes) -> list[int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pq.read_table(BytesIO(samples)).column("time")
    found: list[int] = column.cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_pylist()
    return found
