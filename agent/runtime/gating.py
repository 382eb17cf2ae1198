"""What follows at the edge from the changes that are known: the intake's gate, and the bindings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.configuration.schema import Configuration, Tag
from agent.core.change import REBINDING
from agent.core.changes import Changes
from agent.decode import parse_address
from agent.errors import FieldwardenError
from agent.gate import Gate
from agent.intake import Intake
from agent.types import Float64, Quality

logger = logging.getLogger(__name__)

Latest = Callable[[str], tuple[float, int] | None]


class Gating:
    """Sets the gate of an intake, where what is held, masked or mapped is another.

    Args:
        intake: gets the gate, and samples that say that a tag is held from now on.

    Attributes:
        ahead: tags that are held though no change says so yet: what their source told waits.
        rebound: called with a source whose tags are to be read otherwise, by another map.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.rebound: Callable[[str], None] = lambda _: None
        self.ahead: set[str] = set()
        self._set: tuple[Any, ...] = ()
        self._bindings: dict[str, dict[str, Any]] = {}

    def set(
        self, changes: Changes, configuration: Configuration, ids: Mapping[str, int],
        latest: Latest,
    ) -> None:
        """Take what is known by now.

        Args:
            changes: of which nothing is due.
            configuration: as it is applied.
            ids: the store's id of each tag.
            latest: gives value and quality that a tag had last; None: it had none.
        """
        bits = dict.fromkeys((*changes.holding(), *self.ahead), int(Quality.CONTRACT_BROKEN))
        bits |= dict.fromkeys(changes.maintained(), int(Quality.MASKED))  # it holds nothing
        maps = {tag: part for tag, part in changes.maps().items() if tag in configuration.tags}
        bits |= _of_pairs(bits, maps)
        until_ns = changes.window_due_ns()
        wanted = (bits, maps, until_ns, len(ids))
        if wanted == self._set:
            return
        self._set = wanted
        before, known = self._intake.gate, ids.keys()
        gate = Gate(
            ids, {tag: bit for tag, bit in bits.items() if tag in known}, maps, until_ns
        )
        if before is not None:
            gate.inherit(before)
        self._intake.gate = None if gate.idle else gate
        self._tell(before, gate, maps, _unasked(configuration, ids), latest)
        self._rebind(maps, configuration)

    def hold(self, ids: Mapping[str, int], latest: Latest) -> bool:
        """Hold these tags, by id, from now on; the next `set` keeps `ahead`.

        Returns:
            Whether that was all; else `set` must make the gate.
        """
        if not ids:
            return True
        self.ahead.update(ids)
        self._set, gate = (), self._intake.gate
        if gate is None or gate.swaps or max(ids.values()) >= len(gate.bits):
            return False
        for tag, index in ids.items():
            if not gate.bits[index]:
                if (known := latest(tag)) is not None:
                    gate.know(index, *known)
                gate.hold(index, int(Quality.CONTRACT_BROKEN))
                self._append(np.array([index]), np.array([np.nan]), Quality.NOT_A_NUMBER)
        return True

    def _tell(
        self, before: Gate | None, gate: Gate, maps: Mapping[str, object],
        unasked: Mapping[int, str], latest: Latest,
    ) -> None:
        """A tag that is held from now on says so at once; of one that counts again, the last value
        is told again where its source will not, as it reports changes only: the one that came while
        it was held, or, as nothing else is known of it, that of before.
        """
        size = len(gate.bits)
        was = np.zeros(size, np.uint16)
        if before is not None:
            was[: min(size, len(before.bits))] = before.bits[:size]
        begins = np.nonzero((gate.bits != 0) & (was == 0))[0]
        ends = np.nonzero((gate.bits == 0) & (was != 0))[0]
        for index in begins.tolist():
            if index in unasked and (known := latest(unasked[index])) is not None:
                gate.know(index, *known)
        self._append(gate.sent_as(begins), np.full(len(begins), np.nan), Quality.NOT_A_NUMBER)
        if before is None or not len(ends):
            return
        value = before.last[ends]
        again = np.isfinite(value) & (before.last_quality[ends] == 0)
        again &= [
            index in unasked and not (before.old[index] and unasked[index] in maps)
            for index in ends.tolist()
        ]
        self._append(before.sent_as(ends)[again], value[again], Quality.HELD)

    def _append(self, index: NDArray[np.intp], value: Float64, quality: Quality) -> None:
        if len(index):
            self._intake.append(
                index.astype(np.int32), None, value,
                np.full(len(index), int(quality), np.uint16), source="gate",
            )  # fmt: skip

    def bound(self, name: str, tag: Tag) -> Tag:
        """A tag as its source is to read it: by the maps in force, else as configured."""
        part = self._bindings.get(name)
        return tag if part is None else tag.model_copy(update=part)

    def _rebind(
        self, maps: Mapping[str, Mapping[str, Any]], configuration: Configuration
    ) -> None:
        wanted = {
            tag: {key: str(part[key]) for key in sorted(REBINDING & part.keys())}
            for tag, part in maps.items() if REBINDING & part.keys()
        }
        wanted = {tag: part for tag, part in wanted.items() if _is_sound(tag, part, configuration)}
        before, self._bindings = self._bindings, wanted
        tags = configuration.tags
        touched = {
            tags[tag].source for tag in before.keys() | wanted.keys()
            if before.get(tag) != wanted.get(tag) and tag in tags
        }
        for source in sorted(touched):
            self.rebound(source)


def _of_pairs(
    bits: Mapping[str, int], maps: Mapping[str, Mapping[str, Any]]
) -> dict[str, int]:
    """The bits of tags that were given each other's values: what its source tells of one is of
    what comes as the other.
    """
    found: dict[str, int] = {}
    for tag, part in maps.items():
        other = str(part.get("swap_with", ""))
        if other and (both := bits.get(tag, 0) | bits.get(other, 0)):
            found |= {tag: both, other: both}
    return found


def _unasked(configuration: Configuration, ids: Mapping[str, int]) -> dict[int, str]:
    """The tags of sources that report changes only, by id."""
    sources = configuration.sources
    return {
        ids[name]: name for name, tag in configuration.tags.items()
        if tag.source in sources and sources[tag.source].by_exception
    }


def _is_sound(tag: str, part: Mapping[str, str], configuration: Configuration) -> bool:
    """Whether the protocol of a tag's source, as it is configured by now, knows such an address."""
    source = configuration.sources[configuration.tags[tag].source]
    try:
        parse_address(source.protocol, part.get("address", configuration.tags[tag].address))
    except FieldwardenError as error:
        logger.error("%s is read as configured, not as was approved: %s", tag, error)
        return False
    return True
