"""Whether somebody writes a store can be seen without disturbing who does, or is about to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

from agent.store import is_written
from tests.store.helpers import open_store
from tests.waiting import PATIENCE_S


async def test_a_store_is_written_from_its_opening_to_its_close(tmp_path):
    """Looking takes no lock: a start meanwhile does not fail."""
    path = tmp_path / "s.db"
    assert not is_written(path)
    store = open_store(path)
    assert is_written(path)
    await store.close()
    assert not is_written(path) and path.with_suffix(".lock").exists()
    os.link(path.with_suffix(".lock"), tmp_path / "other.lock")
    store = open_store(path)
    assert is_written(tmp_path / "other.db")  # the same file by another name
    await store.close()


def test_a_killed_process_writes_nothing_any_more(tmp_path):
    """SIGKILL leaves no time to tidy up."""
    path = tmp_path / "s.db"
    code = f"""
        import sys, time
        from pathlib import Path
        from tests.store.helpers import open_store
        store = open_store(Path({str(path)!r}))
        print("open", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "open\n"
        assert is_written(path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    assert not is_written(path)
