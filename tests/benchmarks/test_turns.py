"""How late a loop is, from its turns: as it was, and without waiting for a core."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agent.errors import FieldwardenError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))
from _load import Bounded  # noqa: E402
from _turns import Turns, record  # noqa: E402

MS = 1_000_000


def test_the_lag_is_that_of_a_hundredth_of_all_moments():
    """Of 1 s with one turn of 50 ms, in 10 ms something that is due waits longer than 40 ms."""
    rows = np.array([[0, 50 * MS, 20 * MS, 30 * MS, 15 * MS], [60 * MS, MS, MS, MS, 0]])
    told = Turns(rows, 1000 * MS).told()
    lags = [told[name] for name in ("lag_p99_ms", "own_lag_p99_ms", "most_lag_p99_ms")]
    assert lags == pytest.approx([40.0, 10.0, 20.0], abs=0.1)
    assert (told["turn_max_ms"], told["own_turn_max_ms"]) == (50.0, 20.0)
    assert (told["busy"], told["waited_for_a_core"]) == (0.021, 0.015)


def test_turns_outside_the_spans_do_not_count(tmp_path):
    """Each belongs to the span in which it begins; half a row at the end is left out."""
    rows = np.array([[at * 100 * MS, 10 * MS, 10 * MS, 10 * MS, 0] for at in range(10)])
    (tmp_path / "turns").write_bytes(rows.tobytes() + b"half")
    told = Turns.within(tmp_path / "turns", [(0, 150 * MS), (900 * MS, 1000 * MS)]).told()
    assert told["turns"] == 3
    assert told["seconds"] == 0.2


def test_what_a_loop_does_is_told_apart(tmp_path, monkeypatch):
    """Work is CPU of its own; what is slept through in a turn is not."""
    kind = asyncio.SelectorEventLoop
    for name in ("_run_once", "_process_events"):
        monkeypatch.setattr(kind, name, getattr(kind, name))  # put back afterwards
    begin = time.monotonic_ns()
    recorder = record(tmp_path / "turns")
    asyncio.run(_work())
    recorder.close()
    found = Turns.within(tmp_path / "turns", [(begin, time.monotonic_ns())])
    assert found.own.max() >= 39.0
    assert (found.length - found.own).max() >= 59.0
    assert (found.length >= found.own - 0.1).all()
    assert (found.most >= found.own - 0.1).all()


async def _work():
    """A turn of 40 ms of work, and one in which 60 ms are slept through."""
    asyncio.get_running_loop().call_soon(time.sleep, 0.06)
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.01)
    end = time.thread_time_ns() + 40 * MS
    while time.thread_time_ns() < end:
        pass
    await asyncio.sleep(0.0)


def test_a_benchmark_ends_in_time_with_a_row():
    """Whatever it waits for, and though it catches what it can."""
    script = (
        "import contextlib, time\n"
        "from _load import Bounded\n"
        "def work(bounded):\n"
        "    bounded.note('waiting for ever')\n"
        "    while True:\n"
        "        with contextlib.suppress(Exception):\n"
        "            time.sleep(60.0)\n"
        "Bounded('some', 21.0).run(work)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=BENCHMARKS, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert '"ended": "not done after 21 s: waiting for ever"' in done.stdout
    assert "some: waiting for ever" in done.stderr


def test_a_benchmark_that_is_done_prints_its_row(capsys):
    """One line, of what it made."""
    Bounded("some", 60.0).run(lambda bounded: {"table": "some", "doing": bounded.doing})
    assert capsys.readouterr().out == '{"table": "some", "doing": "starting"}\n'


def test_a_benchmark_whose_agent_fails_says_so_in_its_row(capsys):
    """One line too, and an exit code that is not 0."""

    def work(bounded):
        bounded.note("asking")
        raise FieldwardenError("asking", "the agent", "it does not answer", "see its log")

    with pytest.raises(SystemExit):
        Bounded("some", 60.0).run(work)
    assert '"ended": "asking: asking the agent: it does not answer"' in capsys.readouterr().out
