"""Modbus: what is read together, how often, and what of it the device does not give at present.

Invariant: a request that fails is put off alone, for longer each time; the others keep their rate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.modbus import Address, Decoder, Request
from agent.sources.base import TagBinding, parse_all, tag_ids
from agent.types import Int32

_NARROWED = (decode.ILLEGAL_ADDRESS, decode.ILLEGAL_VALUE)
_FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

Answer = bytes | int


class Block:
    """One request of a poll, and how it fares.

    Attributes:
        refusal: the exception code by which the device refuses it; 0: it does not.
        failures: how often in a row it had no answer.
        cause: why, for people.
        due_s: event loop time before which it is not asked again.
        asked_s: event loop time of the latest try.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.refusal = self.failures = 0
        self.cause = ""
        self.due_s = self.asked_s = self.pause_s = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it is asked at each poll."""
        return not self.refusal and not self.failures

    def answered(self, answer: Answer) -> None:
        """It was asked, and had this answer."""
        self.failures = 0
        self.refusal = answer if isinstance(answer, int) and answer in decode.REFUSED else 0
        self._put_off(LONGEST_PAUSE_S if self.refusal else 0.0)

    def failed(self, cause: str) -> None:
        """It was asked, and had no answer."""
        self.cause, self.refusal = cause, 0
        self._put_off(min(_FIRST_PAUSE_S * 2**self.failures, LONGEST_PAUSE_S))
        self.failures = min(self.failures + 1, 30)

    def _put_off(self, pause_s: float) -> None:
        self.pause_s, self.due_s = pause_s, self.asked_s + pause_s

    def text(self) -> str:
        """What it lacks, for people; empty where it is well."""
        if self.refusal:
            said = f"{decode.exception_text(self.refusal)}"
        elif self.failures:
            said = self.cause
        else:
            return ""
        return f"{self.request.place}: {said}; asked again every {self.pause_s:g} s"


class Poll:
    """What is read together, at one interval."""

    def __init__(
        self, interval_s: float, tags: Mapping[str, TagBinding], addresses: list[Address], gap: int
    ) -> None:
        self.interval_s = interval_s
        self.due_s = 0.0
        self.tag = tag_ids(tags)
        self.addresses = addresses
        self.names = list(tags)
        self._codes = [
            tuple(
                raw
                for code in binding.tag.not_available
                if (raw := decode.raw_code(code, address)) is not None
            )
            for binding, address in zip(tags.values(), addresses, strict=True)
        ]
        self._gap = gap
        self.blocks: list[Block] = []
        self.plan()

    def plan(self) -> None:
        """Few reads, as if the device had every address between the tags."""
        self.use(decode.plan(self.addresses, self._gap))

    def use(self, requests: Sequence[Request]) -> None:
        """Read like this from now on."""
        known = {block.request: block for block in self.blocks}
        self.blocks = [known.get(request) or Block(request) for request in requests]
        self.requests = tuple(requests)
        self.decoder = Decoder(self.addresses, self.requests, self._codes)

    def replaced(self, old: Block, parts: Sequence[tuple[Request, Answer]], now_s: float) -> None:
        """Read in the parts that the device answered instead of the whole that it refused."""
        if len(parts) == 1 and parts[0][0] == old.request:
            return
        at = self.blocks.index(old)
        requests = [block.request for block in self.blocks]
        self.use([*requests[:at], *(request for request, _ in parts), *requests[at + 1 :]])
        for block, (_, answer) in zip(self.blocks[at : at + len(parts)], parts, strict=True):
            block.asked_s = now_s
            block.answered(answer)

    def due(self, now_s: float) -> list[Block]:
        """What to ask now: all that is well, then what was put off, longest unasked first.

        Where nothing is well one is asked all the same, so that the device is known to be there.
        """
        well = [block for block in self.blocks if block.is_well]
        others = sorted(
            (block for block in self.blocks if not block.is_well), key=lambda b: b.asked_s
        )
        late = [block for block in others if block.due_s <= now_s]
        return (well + late) or [block for block in others if block.refusal][:1]

    def columns_of(self, blocks: Sequence[Block]) -> Int32:
        """int32[n], the columns that these blocks give."""
        found = [column for block in blocks for column in block.request.columns]
        return np.array(found, np.int32)

    def text(self, request: Request) -> str:
        """One read and its tags, for people."""
        return f"{request} for " + ", ".join(self.names[column] for column in request.columns)

    def summary(self) -> str:
        """How many tags in which reads, for people."""
        tags, count = len(self.tag), len(self.requests)
        return (
            f"{tags} tag{'s' * (tags != 1)} in {count} request{'s' * (count != 1)} "
            f"every {self.interval_s:g} s: {', '.join(map(str, self.requests))}"
        )

    def lines(self) -> list[str]:
        """The plan, for people."""
        return [f"every {self.interval_s:g} s: {self.text(each)}" for each in self.requests]


def plan_polls(name: str, config: ModbusSource, tags: Mapping[str, TagBinding]) -> list[Poll]:
    """One poll for each interval that the tags ask for, the shortest first.

    Raises:
        ConfigurationError: addresses that are not understood, all at once.
    """
    addresses = dict(zip(tags, parse_all(name, tags, decode.parse_address), strict=True))
    intervals = {tag: binding.tag.interval or config.every for tag, binding in tags.items()}
    polls = []
    for interval in sorted(set(intervals.values())):
        chosen = {tag: tags[tag] for tag in tags if intervals[tag] == interval}
        polls.append(
            Poll(interval / 1e9, chosen, [addresses[tag] for tag in chosen], config.max_gap)
        )
    return polls


def served_of(refusal: int) -> dict[str, str]:
    """The terms of a tag, see `agent.contract.grades.SERVED`; 0: the device does not refuse it."""
    return {"refused": decode.exception_text(refusal)} if refusal else {}


async def narrowed(
    read: Callable[[Sequence[Request]], Awaitable[list[Answer]]],
    requests: Sequence[Request],
    addresses: list[Address],
) -> list[tuple[Request, Answer]]:
    """Read, and read again in smaller parts what the device refuses as it is."""
    found: list[tuple[Request, Answer]] = []
    for request, answer in zip(requests, await read(requests), strict=True):
        if answer in _NARROWED and len(request.columns) > 1:
            found += await narrowed(read, decode.split(request, addresses), addresses)
        else:
            found.append((request, answer))
    return found
