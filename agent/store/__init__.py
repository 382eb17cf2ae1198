"""The store: what is accepted is committed, in one SQLite file; see `writer` and `reader`."""

from agent.store.batch import Acknowledgement, Batch, HookMessage, OutboxMessage, Stream
from agent.store.hook_messages import HookRow
from agent.store.journal import LOST
from agent.store.lock import is_written
from agent.store.reader import OutboxRow, Reader
from agent.store.writer import Store

__all__ = [
    "LOST", "Acknowledgement", "Batch", "HookMessage", "HookRow", "OutboxMessage", "OutboxRow",
    "Reader", "Store", "Stream", "is_written",
]  # fmt: skip
