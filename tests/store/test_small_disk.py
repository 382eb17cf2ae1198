"""A disk that is smaller than the limits, or filled by others: the store stays, and recovers."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest

from agent.errors import StoreError
from tests.store.helpers import (
    MB,
    Batch,
    Reader,
    assert_accounts,
    block,
    event,
    message,
    open_store,
)

DISK_MB = 24


@pytest.fixture
def disk(tmp_path):
    """A file system of its own; mounting one needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def batch(sequence, *, snapshot=False):
    return Batch(
        entries=[block(sequence, n=5_000)],
        events=[(sequence, 0, event(sequence, text="x" * 200))],
        messages=[message(text="y" * 300, event=(sequence, 0))],
        snapshot=(sequence, b"state") if snapshot else None,
    )


async def test_a_disk_smaller_than_the_limits_never_fills(disk):
    """Limits are shares of what there is: twice the disk goes through it without an error."""
    path = disk / "fieldwarden.db"
    store = open_store(path, journal=2_000 * MB, outbox=500 * MB)
    for sequence in range(1, 1_500):
        await store.commit(batch(sequence, snapshot=sequence % 20 == 0))
    assert store._writer.counters.get("journal_bytes") < 0.4 * DISK_MB * MB
    assert store._writer._reserve.held
    await store.close()
    assert_accounts(path)


async def test_a_disk_that_others_fill_is_survived(disk):
    """The reserve frees the writer once; then commits fail, and stand again when there is room."""
    path = disk / "fieldwarden.db"
    store = open_store(path, journal=2_000 * MB)
    for sequence in range(1, 100):
        await store.commit(batch(sequence, snapshot=sequence % 20 == 0))
    fill(disk)
    assert store._writer._reserve.held
    sequence = 100
    with contextlib.suppress(StoreError):
        while sequence < 1_500:
            await store.commit(batch(sequence, snapshot=sequence % 20 == 0))
            sequence += 1
    assert not store._writer._reserve.held
    assert sequence > 105, "the reserve gave the writer no room"
    if sequence < 1_500:
        fill(disk)
        with pytest.raises(StoreError, match="free space"):
            await store.commit(batch(sequence))
    (disk / "others").unlink()
    for more in range(sequence, sequence + 130):
        await store.commit(batch(more))
    assert store._writer._reserve.held
    reader = Reader(path)
    assert [one.sequence for one in reader.journal()][-1] == sequence + 129
    reader.close()
    await store.close()
    assert_accounts(path)


def fill(disk):
    """Write until there is no room, as another program does."""
    with (disk / "others").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 4096, 512):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
