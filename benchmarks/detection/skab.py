"""SKAB: a water loop with one fault a file; fitted on a file's first 400 rows, judged on the rest.

At two budgets in the same configuration: the one that ships, and a benchmark point at which the
method may be compared with published ones. A row is flagged when the model's verdict is not
"trusted" for more than a fact; nothing knows the row's index or the record's length. Figures are
pooled over the judged rows of all files, as in the published table: F1, FAR (share of normal rows
flagged), MAR (share of anomalous rows missed). NAB scores count a change of the flag (either way)
as a change point found, with windows of 60 s to the right of the true ones (the leaderboard's own
evaluation).

Beside them the published leaderboard (waico/SKAB, README of 2024-08, over all its 34 files) and
two dumb baselines that show what the metric is worth: flagging every row, and flagging rows 570
to 969 whatever they hold.

`python benchmarks/detection/skab.py [--data FOLDER]` prints JSON lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _recorded import Flags, Guard, absent, data_folder, say

from agent.records.table import Table, read_table

TRAINING = 400
WINDOW_S = 60
POINTS = {"shipped": "1 per 30 days", "benchmark": "100 per 1 days"}
GOALS = {"before_onset_percent": 5.0, "caught_within_60_s_of_16": 12}
TRUTH = ("anomaly", "changepoint")
PUBLISHED = {
    # algorithm: (F1, FAR %, MAR %)
    "Conv-AE": (0.78, 13.55, 28.02),
    "MSET": (0.78, 39.73, 14.13),
    "T-squared+Q (PCA-based)": (0.76, 26.62, 24.92),
    "LSTM-AE": (0.74, 29.96, 25.92),
    "T-squared": (0.66, 19.21, 42.6),
    "LSTM-VAE": (0.56, 9.13, 55.03),
    "Vanilla LSTM": (0.54, 12.54, 59.53),
    "Vanilla AE": (0.39, 2.59, 75.15),
    "MSCRED": (0.36, 49.94, 69.88),
    "Isolation forest": (0.29, 2.56, 82.89),
}
PUBLISHED_NAB = {
    # algorithm: (standard, low FP, low FN)
    "MSCRED": (32.42, 16.53, 40.28),
    "Isolation forest": (26.16, 19.5, 30.82),
    "T-squared+Q (PCA-based)": (25.35, 14.51, 31.33),
    "Conv-AE": (23.61, 21.54, 27.55),
    "LSTM-AE": (23.51, 20.11, 25.91),
    "T-squared": (19.54, 10.2, 24.31),
    "MSET": (13.84, 10.22, 17.37),
    "Vanilla AE": (11.41, 6.53, 13.91),
    "Vanilla LSTM": (11.31, -3.8, 17.25),
    "ArimaFD": (-0.09, -0.17, -0.06),
}
NAB_WEIGHTS = {"standard": (-0.11, -1.0), "low_fp": (-0.22, -1.0), "low_fn": (-0.11, -2.0)}


@dataclass(frozen=True)
class Truth:
    """A file's judged rows: seconds, whether anomalous, the rows of its change points."""

    seconds: np.ndarray
    anomalous: Flags
    changes: np.ndarray

    @property
    def onset(self) -> int:
        """The first anomalous row."""
        return int(np.argmax(self.anomalous))


@dataclass
class Pool:
    """Sums over files, for one way of flagging."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    quiet: int = 0
    nab: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAB_WEIGHTS, 0.0))
    changes: int = 0

    def add(self, flagged: Flags, truth: Truth) -> None:
        """Take one file's judged rows in."""
        self.hit += int((flagged & truth.anomalous).sum())
        self.false += int((flagged & ~truth.anomalous).sum())
        self.missed += int((~flagged & truth.anomalous).sum())
        self.quiet += int((~flagged & ~truth.anomalous).sum())
        self.changes += len(truth.changes)
        for name, weights in NAB_WEIGHTS.items():
            self.nab[name] += nab_score(flagged, truth, *weights)

    def figures(self) -> dict[str, float]:
        """F1, FAR and MAR in percent, NAB scores (0: says nothing, 100: perfect)."""
        nab = {}
        for name, (_, missed) in NAB_WEIGHTS.items():
            nothing = missed * self.changes
            nab[f"nab_{name}"] = round(
                100.0 * (self.nab[name] - nothing) / (self.changes - nothing), 2
            )
        return {
            "f1": round(2 * self.hit / max(2 * self.hit + self.false + self.missed, 1), 3),
            "far_percent": round(100.0 * self.false / max(self.false + self.quiet, 1), 2),
            "mar_percent": round(100.0 * self.missed / max(self.missed + self.hit, 1), 2),
            **nab,
        }


def nab_score(flagged: Flags, truth: Truth, false: float, missed: float) -> float:
    """One file's NAB sum: the first change of the flag in each window counts from 1 (at once) down
    to 0 (at its end) along a tanh; changes outside all windows count `false`, empty ones `missed`.
    """
    found = truth.seconds[1:][flagged[1:] != flagged[:-1]]
    inside = np.zeros(len(found), np.bool_)
    score = 0.0
    for start in truth.seconds[truth.changes]:
        here = (found >= start) & (found <= start + WINDOW_S)
        inside |= here
        if not here.any():
            score += missed
            continue
        place = np.pi * (float(found[here][0] - start) / WINDOW_S - 0.5)
        score += 0.5 - 0.5 * float(np.tanh(place) / np.tanh(np.pi / 2))
    return score + false * int((~inside).sum())


def main() -> None:
    """Print a row for each file and point, the pooled rows, and what they stand beside."""
    folder = data_folder("skab", __doc__ or "")
    files = sorted((folder / "valve1").glob("*.csv"), key=lambda path: int(path.stem))
    if not files:
        absent("skab", folder)
        return
    dumb = {"always alarm": Pool(), "rows 570 to 969": Pool()}
    for path in files:
        _, truth = _read(path)
        rows = np.arange(TRAINING, TRAINING + len(truth.anomalous))
        dumb["always alarm"].add(np.ones(len(rows), np.bool_), truth)
        dumb["rows 570 to 969"].add((rows >= 570) & (rows <= 969), truth)
    for point in POINTS:
        _point(point, files)
    for name, pool in dumb.items():
        say(table="skab", row="dumb baseline", method=name, **pool.figures())
    for name in sorted({*PUBLISHED, *PUBLISHED_NAB}):
        f1, far, mar = PUBLISHED.get(name, (None, None, None))
        standard, low_fp, low_fn = PUBLISHED_NAB.get(name, (None, None, None))
        say(table="skab", row="published", method=name, f1=f1, far_percent=far, mar_percent=mar,
            nab_standard=standard, nab_low_fp=low_fp, nab_low_fn=low_fn)


def _point(point: str, files: list[Path]) -> None:
    """Every file at one budget."""
    pool, joint = Pool(), Pool()
    before: list[Flags] = []
    before_joint: list[Flags] = []
    caught = caught_joint = 0
    for path in files:
        table, truth = _read(path)
        guard = Guard(_rows(table, slice(0, TRAINING)), POINTS[point])
        judged = guard.judge(_rows(table, slice(TRAINING, None)))
        onset = truth.onset
        delay, delay_joint = _delay(judged.flagged, truth), _delay(judged.joint, truth)
        in_time = _in_time(delay)
        caught += in_time
        caught_joint += _in_time(delay_joint)
        flagged = judged.flagged & _assessed(judged.verdicts)
        before.append(flagged[:onset])
        before_joint.append(judged.joint[:onset])
        pool.add(flagged, truth)
        joint.add(judged.joint, truth)
        first = next((e for e, row in zip(judged.conditions(), judged.raised, strict=True)
                      if row >= onset), None)
        say(table="skab", point=point, file=f"valve1/{path.name}",
            before_onset_percent=_percent(flagged[:onset]), delay_s=delay, caught=in_time,
            first=f"{first.subject}: {first.data['kind']}" if first else None,
            joint_before_onset_percent=_percent(judged.joint[:onset]),
            joint_delay_s=delay_joint)
    share = _percent(np.concatenate(before))
    say(table="skab", row="joint charts alone", point=point, budget=POINTS[point],
        before_onset_percent=_percent(np.concatenate(before_joint)),
        caught_within_60_s=caught_joint, files=len(files), **joint.figures())
    gate = {} if point != "benchmark" else {
        "goals": GOALS,
        "reached": share <= GOALS["before_onset_percent"]
        and caught >= GOALS["caught_within_60_s_of_16"] * len(files) / 16,
    }
    say(table="skab", row="fieldwarden", point=point, budget=POINTS[point],
        before_onset_percent=share, caught_within_60_s=caught, files=len(files),
        **pool.figures(), **gate)


def _read(path: Path) -> tuple[Table, Truth]:
    table = read_table(path)
    names = [name for name in table.names if name not in TRUTH]
    changes = np.flatnonzero(table.column("changepoint")[TRAINING:] > 0)
    seconds = (table.time_ns[TRAINING:] - table.time_ns[TRAINING]) / 1e9
    truth = Truth(seconds, table.column("anomaly")[TRAINING:] > 0, changes)
    return table.select(names), truth


def _rows(table: Table, part: slice) -> Table:
    values = np.asfortranarray(table.values[part])
    return Table(table.time_ns[part], table.names, values, table.interval_ns)


def _assessed(verdicts: list[str]) -> Flags:
    """False for the warm-up, in which there were too few scans to say anything."""
    known = np.array([verdict != "unassessable" for verdict in verdicts])
    started: Flags = np.maximum.accumulate(known)
    return started


def _delay(flagged: Flags, truth: Truth) -> float | None:
    """Seconds from the onset to the first flagged row; None where it was up before, or never."""
    onset = truth.onset
    if flagged[onset - 1] or not flagged[onset:].any():
        return None
    first = onset + int(np.argmax(flagged[onset:]))
    return float(truth.seconds[first] - truth.seconds[onset])


def _in_time(delay: float | None) -> bool:
    """Whether the onset was caught; what was flagged already when it came has not found it."""
    return delay is not None and delay <= WINDOW_S


def _percent(flags: Flags) -> float:
    return round(100.0 * float(np.mean(flags)), 2)


if __name__ == "__main__":
    main()
