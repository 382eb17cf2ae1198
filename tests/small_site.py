"""A small site in a folder: a configuration of model m over a, b and c, its baseline, its store."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.configuration.load import load
from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.core.summary import merge
from agent.runtime.assemble import baselines_of, build_spec
from agent.store import Batch, Store
from agent.types import Entry
from tests.core.small import TAGS

MQTT = 'protocol = "mqtt"\nhost = "127.0.0.1"'
NAME = 'name = "gw-07"'


def text(
    *, source: str = MQTT, address: Callable[[str, int], str] = lambda tag, _: f"t /{tag}",
    gateway: str = NAME,
    team: str = "process data", tags: Sequence[str] = TAGS, of_tags: str = "", scan: str = "1s",
    model: str = "", tail: str = "",
) -> str:
    """A configuration.

    Args:
        source: what stands in the table of the one source.
        address: of a tag, by its name and its place among all.
        gateway: what stands in [gateway] behind the site.
        team: that owns the model.
        tags: that there are; a, b and c are the inputs.
        of_tags: what stands in the table of each tag besides.
        scan: of the model.
        model: what stands behind its inputs, also tables of it.
        tail: what stands behind the model.
    """
    tables = [
        f'[tags.{tag}]\nsource = "line"\naddress = "{address(tag, place)}"\n'
        f'unit = "degC"\n{of_tags}\n'
        for place, tag in enumerate(tags)
    ]
    return f"""\
schema = 1
[gateway]
site = "north"
{gateway}
[sources.line]
{source}
{"".join(tables)}[models.m]
version = "1"
owner = {{ team = "{team}", contact = "data@plant.example" }}
baseline = "m.json"
scan = "{scan}"
inputs = {list(TAGS)}
{model}
{tail}
"""


class Site:
    """Configuration, store and engine of a site, folded and committed without the edges.

    Args:
        folder: where it is.
        written: its configuration, see `text`; `state_directory` is to be "state".
        baseline: of its model.
    """

    def __init__(self, folder: Path, written: str, baseline: Baseline) -> None:
        (folder / "config.toml").write_text(written, encoding="utf-8")
        write_baseline(folder / "m.json", dataclasses.replace(baseline, digest=""))
        self.folder = folder
        self.configuration: Configuration = load(folder / "config.toml")
        self.store = Store.open(
            self.configuration.store_path, journal_limit_bytes=10**8,
            outbox_limit_bytes=10**8, merge=merge,
        )  # fmt: skip
        ids = self.store.tag_ids(list(self.configuration.tags))
        self.engine = Engine(build_spec(self.configuration, ids, baselines_of(self.configuration)))

    async def commit(self, *entries: Entry) -> None:
        """Fold entries and store what comes of them."""
        batch = Batch(entries=list(entries))
        for entry in entries:
            outcome = self.engine.step(entry)
            batch.events += [(entry.sequence, i, event) for i, event in enumerate(outcome.events)]
            batch.summaries += [{**one, "entry": entry.sequence} for one in outcome.summaries]
        batch.pins = self.engine.retraining.pins()
        await self.store.commit(batch)
