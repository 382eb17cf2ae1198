"""Which Modbus reads are done together, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.configuration.schema import ModbusSource
from agent.decode import modbus as decode
from agent.decode.modbus import Address, Decoder, Request
from agent.sources.base import TagBinding, parse_all, tag_ids


class Poll:
    """What is read together, at one interval."""

    def __init__(
        self, interval_s: float, tags: Mapping[str, TagBinding], addresses: list[Address], gap: int
    ) -> None:
        self.interval_s = interval_s
        self.due_s = 0.0
        self.tag = tag_ids(tags)
        self.addresses = addresses
        self._names = list(tags)
        self._gap = gap
        self.plan()

    def plan(self) -> None:
        """Few reads, as if the device had every address between the tags."""
        self.use(decode.plan(self.addresses, self._gap))

    def use(self, requests: Sequence[Request]) -> None:
        """Read like this from now on."""
        self.requests = tuple(requests)
        self.decoder = Decoder(self.addresses, self.requests)

    def text(self, request: Request) -> str:
        """One read and its tags, for people."""
        return f"{request} for " + ", ".join(self._names[column] for column in request.columns)

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
