"""Whether an entry may be folded next."""

from __future__ import annotations

from agent.core.timeline import LEAPS
from agent.errors import FieldwardenError
from agent.types import Block, Command, Entry


def check_order(entry: Entry, sequence: int, time_ns: int) -> None:
    """Refuse an entry that is not the next one.

    Args:
        entry: what is to be folded.
        sequence: of the entry before.
        time_ns: that is judged already.

    Raises:
        FieldwardenError: it is out of order.
    """
    first = entry.sealed_ns
    if isinstance(entry, Block) and len(entry):
        first = int(entry.arrival_ns[0])
        if int(entry.arrival_ns[-1]) >= entry.sealed_ns or bool(
            (entry.arrival_ns[1:] < entry.arrival_ns[:-1]).any()
        ):
            raise FieldwardenError(
                "folding entry", str(entry.sequence),
                "its arrival times decrease, or reach the time it was sealed at",
                "a block holds what arrived before it was sealed, in order",
            )
    back = first < time_ns and not (isinstance(entry, Command) and entry.kind in LEAPS)
    if entry.sequence <= sequence or back:
        raise FieldwardenError(
            "folding entry", str(entry.sequence),
            f"it lies before entry {sequence} or before the time judged already",
            "entries are folded once and in the journal's order",
        )
