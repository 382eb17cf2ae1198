"""Which rows go next, from a real store."""

from __future__ import annotations

from agent.forward.lanes import Lanes
from agent.store import Batch, OutboxMessage, Reader
from tests.store.helpers import message, open_store


def verdict(model):
    key = f"verdict/{model}"
    return OutboxMessage("verdict", key, b"{}", 1, retain=True, replace_key=key)


async def test_no_row_goes_twice_in_a_turn(tmp_path):
    """A verdict of the backlog goes first, and is then passed over where its turn would be."""
    path = tmp_path / "s.sqlite"
    store = open_store(path)
    await store.commit(Batch(messages=[message(), verdict("a"), message(), verdict("b")]))
    reader = Reader(path)
    lanes = Lanes(reader)
    lanes.begin()
    turn = [row.id for row in lanes.next(100)]
    assert turn == [2, 4, 1, 3]
    await store.commit(Batch(messages=[message()]))
    assert [row.id for row in lanes.next(100)] == [5]
    lanes.again()
    assert sorted(row.id for row in lanes.next(100)) == [1, 2, 3, 4, 5]
    reader.close()
    await store.close()
