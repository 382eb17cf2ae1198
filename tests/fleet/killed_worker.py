"""A process that settles what it is given, and says each batch that it has committed.

    python -m tests.fleet.killed_worker URL FILE

FILE holds messages, one a line as JSON of its text; batches of them are settled in order. It is
killed by its test at any moment, and else ends once its input does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from tests.fleet.messages import arrival, cut

SIZES = (7, 1, 19, 3)


def main(url, file):
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    ledger = Ledger(Database(url))
    for number, some in enumerate(cut(lines, SIZES)):
        ledger.settle([arrival(json.loads(one).encode()) for one in some])
        print(number, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
