"""Publisher -> broker -> agent -> broker -> central, through every fault that must be borne.

A JSON line for each fault:

    {"suite": "faults", "fault", "rounds", "accepted", "delivered", "duplicates_after_key",
     "stored_twice", "lost", "reported_dropped", "recovery_s"}

`accepted` counts messages that the plant's broker acknowledged, and events that the agent stored;
`delivered` those that stand in the journal and at central. `lost` is what is in neither and was not
told as dropped. `recovery_s` is the median of the rounds. Lines of sources say in `wrong_as_good`
and `false_conditions` what must be 0 as well.

`python benchmarks/faults/run.py [--long] [name ...]`; exit 1 where anything was lost or came twice.
The faults of disks need root (loop devices), those of clocks libfaketime; what can not be run is
said in a line of its own.
"""

from __future__ import annotations

import argparse
import errno
import json
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import on_clock
import on_disk
import on_links
import on_sources
from books import Audit
from chain import Chain, train

MUST_BE_ZERO = ("lost", "duplicates_after_key", "stored_twice", "wrong_as_good", "false_conditions")


@dataclass(frozen=True)
class Line:
    """One fault's line."""

    fault: str
    rounds: int
    audit: Audit
    took_s: float | None = None  # with its audit


class Group(Protocol):
    """Faults that share a chain: a line each, as they end."""

    def __call__(self, folder: Path, baseline: Path, /, *, long: bool) -> Iterator[Line]: ...


Fault = tuple[str, int, Callable[[Chain, int], list[float]]]


def measured(chain: Chain, fault: str, rounds: int, act: Callable[[], list[float]]) -> Line:
    """Run a fault on a chain, then read both sides."""
    trouble = ""
    took: list[float] = []
    began = time.monotonic()
    try:
        took = act()
    except TimeoutError as error:
        trouble = f"{error}"
    audit = chain.audit()
    if trouble:
        audit.notes.append(trouble)
    audit.recovery_s = statistics.median(took) if took else None
    return Line(fault, rounds, audit, time.monotonic() - began)


# --- groups: each has a chain of its own, and most of the time it waits ---------------------------


def in_turn(
    folder: Path, baseline: Path, plan: Iterable[Fault], *, keeps: bool = False
) -> Iterator[Line]:
    """Faults on a chain of their own, one after the other; its broker perhaps `keeps`."""
    chain = Chain(folder, baseline, keeps=keeps)
    try:
        for fault, rounds, act in plan:
            yield measured(chain, fault, rounds, lambda act=act, n=rounds: act(chain, n))
    finally:
        chain.close()


def links(folder: Path, baseline: Path, *, long: bool) -> Iterator[Line]:
    """The link to central, and what waits behind it."""
    yield from in_turn(folder, baseline, (
        ("cut between PUBLISH and PUBACK", 50 if long else 5, on_links.cut_before_puback),
        ("flaps", 200 if long else 20, on_links.flaps),
        ("kill -9 of a broker that forgets", 20 if long else 1, on_links.broker_killed),
        ("half-open uplink", 5 if long else 1, on_links.half_open),
        ("backlog with live traffic", 1_000_000 if long else 5_000, on_links.backlog),
    ))  # fmt: skip


def processes(folder: Path, baseline: Path, *, long: bool) -> Iterator[Line]:
    """Processes that are killed or stopped."""
    stop_s = 300 if long else 8
    yield from in_turn(folder, baseline, (
        ("kill -9 of the agent", 100 if long else 3, on_links.kill),
        ("kill -9 of a broker that keeps", 20 if long else 1, on_links.broker_killed),
        ("kill -9 of central", 20 if long else 2, on_links.central_killed),
        ("SIGSTOP", 1, lambda chain, n: on_links.stopped(chain, n, stop_s)),
    ), keeps=True)  # fmt: skip


def disks(folder: Path, baseline: Path, *, long: bool) -> Iterator[Line]:
    """Power cuts, full and read-only disks."""
    if not on_disk.can_mount(folder):
        raise NotImplementedError("needs root and loop devices")
    with on_disk.on_disk(folder / "cut", baseline, 64, 64) as (chain, disk):
        n = 30 if long else 2
        yield measured(chain, "power cut", n, lambda: on_disk.power_cut(chain, disk, n))
        n = 5 if long else 1
        yield measured(chain, "disk full by others", n,
                       lambda: on_disk.full_by_others(chain, disk, n))
        yield measured(chain, "read-only disk", 1, lambda: on_disk.read_only(chain, disk, 1))
    if long:  # the short form has not the time to fill a disk
        with on_disk.on_disk(folder / "small", baseline, 16, 2048) as (chain, disk):
            yield measured(chain, "disk smaller than the limits", 600,
                           lambda: on_disk.full_by_itself(chain, disk, 600))


def stores(folder: Path, baseline: Path, *, long: bool) -> Iterator[Line]:
    """Damaged stores, and calls that fail."""
    folder.mkdir(parents=True)
    orders = folder / "orders"
    orders.write_text("0 0\n")
    chain = Chain(
        folder / "chain", baseline, LD_PRELOAD=str(on_disk.shim(folder)),
        FAILING_DISK=str(folder / "chain" / "state"), FAILING_DISK_ORDERS=str(orders),
    )  # fmt: skip
    try:
        for every in (1, 2, 3, 5, 8, 13) if long else (1, 3):
            for error in (errno.EIO, errno.ENOSPC):
                fault = f"{errno.errorcode[error]} at every {every}. write or sync"
                yield measured(chain, fault, 1, lambda every=every, error=error:
                               on_disk.failing_calls(chain, orders, every, error))  # fmt: skip
        for name, damage in on_disk.DAMAGES.items():
            line = measured(chain, f"damaged store: {name}", 1,
                            lambda damage=damage: on_disk.damaged(chain, damage))  # fmt: skip
            yield line
        yield measured(chain, "store removed while running", 1,
                       lambda: on_disk.removed_while_running(chain, 1))  # fmt: skip
    finally:
        chain.close()


def clocks(folder: Path, baseline: Path, *, long: bool) -> Iterator[Line]:
    """The wall clock."""
    if on_clock.LIBRARY is None:
        raise NotImplementedError("needs libfaketime (Debian: faketime)")
    folder.mkdir(parents=True)
    orders = folder / "clock"
    on_clock.set_clock(orders, "-1200")
    chain = Chain(folder / "chain", baseline, **on_clock.environment(orders))
    starts = ["1970-01-02", "2040-01-01", "-3600", "+3600", "-86400"]
    try:
        for first in starts if long else ("2040-01-01", "-3600"):
            for kill in (False, True):
                when = "before a kill" if kill else "while running"
                yield measured(chain, f"clock {first}, set right {when}", 1,
                               lambda first=first, kill=kill:
                               on_clock.stepped(chain, orders, first, kill=kill))  # fmt: skip
        yield measured(chain, "dead with its clock in 2040", 1,
                       lambda: on_clock.dead_is_not_trusted(chain, orders))  # fmt: skip
    finally:
        chain.close()
    on_clock.set_clock(orders, "1970-01-02")
    chain = Chain(folder / "first", baseline, **on_clock.environment(orders))
    try:
        yield measured(chain, "first boot in 1970, set right before a kill", 1,
                       lambda: on_clock.stepped(chain, orders, "1970-01-02", kill=True))
    finally:
        chain.close()


def modbus(folder: Path, _baseline: Path, *, long: bool) -> Iterator[Line]:
    """Devices that answer wrongly, late or not at all."""
    for fault, audit in on_sources.modbus(folder, 60.0 if long else 8.0):
        yield Line(fault, 1, audit)


def opcua(folder: Path, _baseline: Path, *, long: bool) -> Iterator[Line]:
    """Servers and links that stand still."""
    for fault, audit in on_sources.opcua(folder, (3.0, 25.0) if long else (12.0,)):
        yield Line(fault, 1, audit)


# the longest first
GROUPS: dict[str, Group] = {
    "links": links, "stores": stores, "clocks": clocks, "processes": processes, "disks": disks,
    "opcua": opcua, "modbus": modbus,
}  # fmt: skip


# --- running --------------------------------------------------------------------------------------


def document(line: Line) -> dict[str, object]:
    """The line as it is printed."""
    facts = asdict(line.audit)
    extra, notes, took = facts.pop("extra"), facts.pop("notes"), facts.pop("recovery_s")
    told = {"suite": "faults", "fault": line.fault, "rounds": line.rounds, **facts}
    told["recovery_s"] = None if took is None else round(took, 1)
    if line.took_s is not None:
        extra["took_s"] = round(line.took_s, 1)
    return {**told, **extra, **({"notes": notes} if notes else {})}


def run(name: str, folder: Path, baseline: Path, *, long: bool) -> list[dict[str, object]]:
    """One group; those of its lines that are not as promised."""
    failed: list[dict[str, object]] = []
    try:
        for line in GROUPS[name](folder / name, baseline, long=long):
            told = document(line)
            print(json.dumps(told), flush=True)
            if any(told.get(key) for key in MUST_BE_ZERO) or "notes" in told:
                failed.append(told)
    except NotImplementedError as error:
        print(json.dumps({"suite": "faults", "fault": name, "not_run": str(error)}), flush=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the other groups go on
        traceback.print_exc()
        failed.append({"suite": "faults", "fault": name, "ended": repr(error)})
    return failed


def main() -> None:
    """Run the groups, several at a time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--long", action="store_true", help="every round that is promised; hours")
    parser.add_argument("--at-once", type=int, default=5, help="groups side by side")
    parser.add_argument("--keep", type=Path, help="folder for logs and stores, kept")
    chosen = parser.parse_args()
    if unknown := set(chosen.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as made:
        folder = chosen.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        baseline = train(folder)
        with ThreadPoolExecutor(chosen.at_once) as pool:
            names = chosen.groups or list(GROUPS)
            ran = list(pool.map(lambda n: run(n, folder, baseline, long=chosen.long), names))
    failed = [line for group in ran for line in group]
    took = round(time.monotonic() - began)
    told = {"suite": "faults", "not_as_promised": len(failed), "seconds": took}
    # again at the end, where whoever keeps but the last lines of a log finds them
    print(json.dumps(told | ({"failed": failed} if failed else {})), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
