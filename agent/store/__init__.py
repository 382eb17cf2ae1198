"""The store: what is accepted is committed, in one SQLite file; see `writer` and `reader`."""

from agent.store.batch import Batch, OutboxMessage, Stream
from agent.store.reader import OutboxRow, Reader
from agent.store.writer import Store

__all__ = ["Batch", "OutboxMessage", "OutboxRow", "Reader", "Store", "Stream"]
