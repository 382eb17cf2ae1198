"""What central said it has, between its coming and the commit that acts on it."""

from __future__ import annotations

import json
import logging

from agent.forward.form import Identity, PayloadForm
from agent.store.batch import Acknowledgement
from agent.store.reader import OutboxRow

logger = logging.getLogger(__name__)


class Answers:
    """Acknowledgements of one gateway.

    Args:
        form: how they are said.
        identity: whose they must be.
        boot: number of this run: of others, nobody here knows what was sent.
    """

    def __init__(self, form: PayloadForm, identity: Identity, boot: int) -> None:
        self._form = form
        self._identity = identity
        self._boot = boot
        self._sent: dict[str, int] = {}
        self._found: dict[tuple[int, str], Acknowledgement] = {}
        self.refused = 0

    def sent(self, row: OutboxRow) -> None:
        """A row went out: central may acknowledge its number, and those that it tells are lost."""
        if row.boot == self._boot:
            self._may_have(row.stream, row.seq)
        if row.stream == "gap":
            gap = json.loads(row.payload)
            if gap["boot"] == self._boot:
                self._may_have(gap["of"], max(last for _, last in gap["ranges"]))

    def _may_have(self, stream: str, seq: int) -> None:
        self._sent[stream] = max(seq, self._sent.get(stream, 0))

    def hear(self, payload: bytes) -> bool:
        """Note an answer; False where it is not to be believed, which changes nothing."""
        try:
            found = self._form.acknowledgements(payload, self._identity)
            for one in found:
                if one.boot == self._boot and one.through > self._sent.get(one.stream, 0):
                    raise ValueError(f"{one.stream} {one.through} was never sent")
        except ValueError as error:
            self.refused += 1
            if self.refused == 1:
                logger.warning("uplink: an acknowledgement was refused: %s", error)
            return False
        for one in found:
            self._found[one.boot, one.stream] = one
        return bool(found)

    def take(self) -> list[Acknowledgement]:
        """The newest of each run and stream, once."""
        found, self._found = list(self._found.values()), {}
        return found
