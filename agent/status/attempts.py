"""Tokens that were nobody's: logged sparingly, and answered the later the more there were.

A token has 256 bits and can not be guessed; what tries anyway is a fault or an attack, and people
are to hear of it. Slowing down costs the agent nothing: a request waits, and few may wait at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Final

_LOG = logging.getLogger(__name__)

_FIRST_S: Final = 0.25
_LONGEST_S: Final = 8.0
_FORGOTTEN_S: Final = 600.0
_ADDRESSES: Final = 1_000
_TOLD: Final = frozenset(10**power for power in range(12))
"""The first is told, then how many there were by then: a guesser fills no log."""
MOST_WAITING: Final = 20  # beyond them one is told to come again later


class Attempts:
    """Counts by address; times are those of the event loop."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._waiting = 0
        self.total = 0

    async def failed(self, address: str) -> bool:
        """Note a token of nobody's and wait; False where too many wait already."""
        now = asyncio.get_running_loop().time()
        count, last = self._failed.pop(address, (0, now))
        count = 1 if now - last > _FORGOTTEN_S else count + 1
        self._failed[address] = (count, now)
        while len(self._failed) > _ADDRESSES:
            self._failed.popitem(last=False)
        self.total += 1
        if count in _TOLD:
            again = f", {count:,} times of late" if count > 1 else ""
            _LOG.warning("a token that is nobody's was shown%s by=%s", again, address)
        if self._waiting >= MOST_WAITING:
            return False
        self._waiting += 1
        try:
            await asyncio.sleep(min(_LONGEST_S, _FIRST_S * 2 ** min(count - 1, 10)))
        finally:
            self._waiting -= 1
        return True
