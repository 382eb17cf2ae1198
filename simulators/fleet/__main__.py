"""`python -m simulators.fleet`: a fleet on a broker; orders on stdin, a line of JSON a turn.

`stop`: nothing new is said. `nudge`: those that hold something say one thing more. `truth PATH`:
write what central must have, once nothing is open.
The end of stdin ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
from dataclasses import fields
from pathlib import Path

from simulators.fleet.fleet import Course, Fleet
from simulators.fleet.truth import write_truth

_SPARE_FILES = 100
_TURN_S = 2.0


def carried_by(gateways: int) -> int:
    """Gateways to a connection, so that this process may open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return -(-gateways // max(1, hard - _SPARE_FILES))


def _tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def _progress(fleet: Fleet) -> None:
    while True:
        await asyncio.sleep(_TURN_S)
        _tell(fleet.report())


async def _serve(port: int, course: Course) -> None:
    fleet = Fleet("127.0.0.1", port, course)
    fleet.begin()
    # What a fleet holds lasts: looking it through again and again would stop it for half a second.
    gc.collect()
    gc.freeze()
    progress = asyncio.ensure_future(_progress(fleet))
    orders = await _orders()
    while line := (await orders.readline()).decode().strip():
        word, _, argument = line.partition(" ")
        if word == "stop":
            fleet.stop()
        elif word == "nudge":
            fleet.nudge()
        elif word == "truth":
            write_truth(Path(argument), fleet.gateways, fleet.pool)
            _tell({"truth": argument})
    progress.cancel()
    await fleet.end()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="of the broker on 127.0.0.1")
    for one in fields(Course):
        kind = int if one.type == "int" else float
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind)
    chosen = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    port = chosen.pop("port")
    chosen.setdefault("gateways", 100)
    chosen.setdefault("carried", carried_by(chosen["gateways"]))
    asyncio.run(_serve(port, Course(**chosen)))


if __name__ == "__main__":
    main()
