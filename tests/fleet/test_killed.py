"""Workers that are killed outright, between commit and acknowledgement or within a transaction."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.fleet.database import Database
from tests.fleet import messages as m
from tests.fleet import worlds as w
from tests.fleet.killed_worker import SIZES
from tests.fleet.test_ledger import world

ROOT = Path(__file__).parent.parent.parent
DEATHS = 2


def unacknowledged(lines, heard):
    """What a broker would send again: all but the batches that the worker said it committed."""
    batches = list(m.cut(lines, SIZES))
    return [one for some in batches[heard:] for one in some]


def test_two_processes_that_are_killed_again_and_again_settle_everything_once(
    database_url, tmp_path
):
    """What was committed and not yet acknowledged comes again, to another process."""
    order = random.Random(5)
    given = [payload.decode() for payload, _ in world("killed", order) for _ in range(2)]
    order.shuffle(given)
    shares = [given[::2], given[1::2]]
    for turn in range(DEATHS + 1):
        running = []
        for number, share in enumerate(shares):
            file = tmp_path / f"{turn}-{number}"
            file.write_text("".join(json.dumps(one) + "\n" for one in share), encoding="utf-8")
            running.append(subprocess.Popen(
                [sys.executable, "-m", "tests.fleet.killed_worker", database_url, str(file)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            ))  # fmt: skip
        for number, process in enumerate(running):
            if turn == DEATHS:
                process.stdin.close()
            heard, batches = 0, len(list(m.cut(shares[number], SIZES)))
            while line := process.stdout.readline():
                heard = int(line) + 1
                if turn < DEATHS and heard >= min(order.randint(1, 4), batches):
                    process.send_signal(signal.SIGKILL)
                    heard += sum(1 for _ in process.stdout) * order.randint(0, 1)  # or not told
                    break
            process.wait(60)
            process.stdin.close()
            process.stdout.close()
            assert process.returncode in ({-signal.SIGKILL} if turn < DEATHS else {0})
            shares[number] = unacknowledged(shares[number], heard)
        order.shuffle(shares)
    database = Database(database_url)
    central = Central()
    for one in given:
        central.take(one.encode(), Receipt(1))
    assert {key: one[0] for key, one in w.marks(database, "killed").items()} == {
        key: one[0] for key, one in w.marks_of(central).items()
    }
    found = w.totals(database, "killed")
    assert found == w.summed(database, "killed") and found
    for (model, tag), one in found.items():
        total = central.windows.merged(model, tag, "b")
        assert one[1:] == tuple(
            total[key] for key in ("count", "good", "sum", "sum_sq", "min", "max")
        )
    events = w.events(database, "killed")
    assert len(events) == len(set(events))
    assert events == sorted(
        (view.gateway, store, boot, seq)
        for view in central.gateways.values()
        for (store, boot, name), stream in view.streams.items() if name == "event"
        for first, last in stream.received for seq in range(first, last + 1)
    )  # fmt: skip
    database.close()
