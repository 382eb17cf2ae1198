"""A fleet of gateways through mosquitto into PostgreSQL, while workers and broker are killed.

One JSON line:

    {"suite": "fleet", "gateways", "rows_per_s", "lost", "twice", "totals_exact", "page_p95_ms",
     "rss_mb", ...}

A row is one window of an input, one event or one verdict, committed. `lost` are messages that the
gateways told and that are not in the database in the end, `twice` rows too many; `totals_exact`
says whether all days of all inputs, and what was told as dropped, are what the gateways know.
`rss_mb` is the most that central held (workers, front, supervisor); the other members say the rest.
Progress goes to stderr. Exit 1 where anything is lost or there twice, or a total is wrong.

`python benchmarks/fleet/run.py [--quick] [--window SECONDS] [--kills 0] ...`; needs mosquitto and
PostgreSQL 15. Where fewer files may be open than there are gateways (`ulimit -n`), several share a
connection, which `connections` says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

import psutil
from fleet_compared import compare
from fleet_kills import Kills, say
from fleet_stand import Gateways, Stand, allow_files, ended_by_signal, wait
from fleet_watch import Load, Page, counted

from simulators.fleet.__main__ import carried_by

RAMP_S = 30.0
PROGRESS_S = 10.0
PATIENCE_S = 600.0  # until nothing is open any more, as long as it gets less
STANDSTILL_S = 180.0
NUDGE_S = 25.0  # without progress, those that hold something say one thing more


def measured(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """The whole course; the row."""
    stand = Stand(folder, options.workers)
    gateways = None
    try:
        say("mosquitto, PostgreSQL and central begin")
        stand.start()
        options.carried = carried_by(options.gateways)
        gateways = Gateways(stand.port, folder / "gateways.log", {
            "gateways": options.gateways, "window_s": options.window, "event_s": options.events,
            "seed": options.seed, "ramp_s": RAMP_S, "carried": options.carried,
            "trouble_s": RAMP_S + 0.5 * options.seconds,
        })  # fmt: skip
        wait("fleet", lambda: _there(gateways, options), 180.0)
        return _course(options, stand, gateways, folder)
    finally:
        if gateways is not None:
            gateways.end()
        stand.stop()


def _there(gateways: Gateways, options: argparse.Namespace) -> bool:
    if gateways.process.poll() is not None:
        raise RuntimeError("the gateways ended: see gateways.log")
    return gateways.told["connected"] > 0.97 * options.gateways


def _course(
    options: argparse.Namespace, stand: Stand, gateways: Gateways, folder: Path
) -> dict[str, object]:
    page, load = Page(stand.page), Load(stand, gateways=psutil.Process(gateways.process.pid))
    with stand.connect() as connection:
        before, offered = counted(connection), gateways.told["rows"]
        began = time.monotonic()
        page.start()
        _load(options, stand, gateways, load)
        seconds = time.monotonic() - began
        rows_per_s = (counted(connection) - before) / seconds
        offered = (gateways.told["rows"] - offered) / seconds
        page.stop()
        cores = load.cores()
        say("no more is told; what is open is sent")
        gateways.order("stop")
        stopped = time.monotonic()
        time.sleep(2.5)
        drained = _settled(options, gateways)
        drain_s = time.monotonic() - stopped
        gateways.truth(folder / "truth.jsonl")
        say("the database is compared with what the gateways know")
        found = compare(connection, folder / "truth.jsonl")
        late = connection.execute(_LATE).fetchone()
    told = gateways.told
    return {
        "suite": "fleet", "gateways": options.gateways, "rows_per_s": round(rows_per_s),
        "lost": found.lost, "twice": found.twice, "totals_exact": found.exact,
        "page_p95_ms": page.p95_ms(),
        "rss_mb": load.peak_mb("worker", "front", "supervisor"),
        "offered_rows_per_s": round(offered), "seconds": round(seconds),
        "window_s": options.window, "killed": options.killed, "drained": drained,
        "drain_s": round(drain_s, 1), "nudged": options.nudged,
        "late_s": [round(float(one or 0), 2) for one in late],
        "cores": cores, "cores_in_all": round(sum(cores.values()), 2), "mb": load.peaks(),
        "page_p95_ms_by_path": page.by_path(), "page_failed": page.failed,
        "connections": -(-options.gateways // options.carried),
        "workers": options.workers, "gateways_told": told, "found": found.document(),
    }  # fmt: skip


# How long after the end of a window it was committed; of gateways whose clock is right.
_LATE = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.95) WITHIN GROUP
  (ORDER BY late) FROM (SELECT extract(epoch FROM heard_at - end_at) AS late FROM summary
  WHERE end_at > now() - interval '1 hour' AND end_at - start_at < interval '9 minutes') AS known
WHERE late < 600
"""


def _load(
    options: argparse.Namespace, stand: Stand, gateways: Gateways, load: Load
) -> None:
    kills = Kills(stand, options.seed, options.kills)
    until, progress = time.monotonic() + options.seconds, time.monotonic()
    while time.monotonic() < until:
        kills.turn()
        load.sample()
        stand.children.require()
        if gateways.process.poll() is not None:
            raise RuntimeError("the gateways ended: see gateways.log")
        if time.monotonic() > progress:
            progress += PROGRESS_S
            told = gateways.told
            say(f"{told['rows']} rows made, {told['open']} messages open, "
                f"{told['connected']} connected, {told['resent']} sent again; "
                f"{load.cores()}")  # fmt: skip
        time.sleep(1.0)
    options.killed, options.nudged = kills.count, 0


def _settled(options: argparse.Namespace, gateways: Gateways) -> bool:
    """Whether all that was told was acknowledged in the end."""
    least, since, nudged = None, time.monotonic(), time.monotonic()
    until = since + PATIENCE_S
    while (now := time.monotonic()) < until and now - since < STANDSTILL_S:
        told = gateways.told
        left = told["open"] + options.gateways - told["connected"]
        if left == 0:
            return True
        if least is None or left < least:
            least, since = left, now
        if min(now - nudged, now - since) > NUDGE_S:
            nudged = now
            options.nudged += 1
            gateways.order("nudge")
        say(f"{told['open']} messages open, {told['connected']} connected")
        time.sleep(3.0)
    return False


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 gateways, a minute")
    parser.add_argument("--gateways", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="of load; default: 600")
    parser.add_argument("--window", type=float, default=None, help="seconds of a window")
    parser.add_argument("--events", type=float, default=180.0, help="seconds between happenings")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=float, default=1.0,
                        help="pauses between kills, times this; 0: none")  # fmt: skip
    parser.add_argument("--keep", type=Path, help="folder for logs and files, kept")
    options = parser.parse_args()
    gateways, seconds, window = (1_000, 60.0, 15.0) if options.quick else (10_000, 600.0, 75.0)
    options.gateways = options.gateways or gateways
    options.seconds = options.seconds or seconds
    options.window = options.window or window
    ended_by_signal()
    allow_files()
    with tempfile.TemporaryDirectory(prefix="fleet-") as made:
        try:
            row = measured(options, (options.keep or Path(made)).absolute())
        except Exception as error:  # noqa: BLE001 - it is told, and ends with exit 1
            traceback.print_exc()
            row = {"suite": "fleet", "gateways": options.gateways, "ended": repr(error)}
    print(json.dumps(row), flush=True)
    well = row.get("drained") and row["totals_exact"] and not (row["lost"] or row["twice"])
    sys.exit(not well)


if __name__ == "__main__":
    main()
