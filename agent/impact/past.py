"""What a replay needs of an agent's state directory, read and never written: entries, what serves.

The agent may run meanwhile; each look at the store is a short one (`agent.store.Reader`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.configuration.schema import Configuration
from agent.core import state
from agent.core.baseline import Baseline
from agent.core.baseline_file import read_baseline
from agent.core.serving import Service
from agent.core.spec import EngineSpec
from agent.errors import FieldwardenError
from agent.runtime.assemble import baselines_of, build_spec
from agent.runtime.candidates import read_service, with_candidates
from agent.store import Reader
from agent.types import Entry


@dataclass(frozen=True, slots=True)
class Past:
    """A store, and by what its entries are judged.

    Attributes:
        spec: with the versions that serve now.
        ids: index of each configured tag.
        texts: of codes, as far as the agent knew them at its last snapshot.
    """

    reader: Reader
    spec: EngineSpec
    ids: dict[str, int]
    texts: dict[int, str]

    @staticmethod
    def of(configuration: Configuration) -> Past:
        """Open the store of a configuration.

        Raises:
            FieldwardenError: there is none, or a baseline can not be read.
        """
        reader = Reader(configuration.store_path)
        known = reader.tag_ids()
        fresh = max(known.values(), default=0) + 1
        ids = {
            name: known.get(name, fresh + place) for place, name in enumerate(configuration.tags)
        }  # one that was never read has no samples
        spec = build_spec(configuration, ids, baselines_of(configuration))
        spec = _serving(spec, configuration, configuration.store_path.parent)
        return Past(reader, spec, ids, _texts(reader))

    def entries(self, from_ns: int, to_ns: int) -> Iterator[tuple[Entry, int]]:
        """Entries sealed within a time, and each one's end as the clock of now has it, in ns."""
        for entry, shift_ns in self.reader.entries_within(from_ns, to_ns):
            yield entry, entry.sealed_ns + shift_ns

    def span(self, to_ns: int) -> tuple[int, int]:
        """From when on, and until when (`to_ns` at most), there are entries; (0, 0): none."""
        first = next(self.entries(0, to_ns), None)
        if first is None:
            return 0, 0
        return first[1], min(to_ns, self.reader.last_time_ns())


def _serving(spec: EngineSpec, configuration: Configuration, directory: Path) -> EngineSpec:
    """The spec with accepted candidates in the place of what is configured."""
    told = read_service(directory)
    if not told:
        return spec
    try:
        service = Service.from_json(told)
    except (AttributeError, KeyError, TypeError):
        return spec
    known: dict[str, Baseline] = {}
    for served in (one for found in service.of.values() for one in found.served):
        try:
            known[served.digest] = read_baseline(directory / "candidates" / f"{served.digest}.json")
        except FieldwardenError:
            continue  # then the configured one is what there is
    return service.applied(with_candidates(spec, configuration, known))[0]


def _texts(reader: Reader) -> dict[int, str]:
    found = reader.snapshot()
    if found is None:
        return {}
    try:
        facts: Any = state.read(found[1]).facts
        return {int(code): str(text) for code, text in facts["texts"].items()}
    except (FieldwardenError, LookupError, TypeError, ValueError):
        return {}
