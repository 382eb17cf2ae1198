"""Robustness: training columns that are not what a textbook expects; a baseline or a clear error.

Each column is trained beside a normal one, judged on more of its kind; the row says whether there
was
a baseline that survives JSON, or an error that names the column, and whether judging raised alarms.

`python benchmarks/detection/robust.py` prints JSON lines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from _recorded import SECOND, Guard, say, table_of

from agent.errors import BaselineError
from agent.types import Float64

ROWS = 6000
Make = Callable[[int, np.random.Generator], Float64]

COLUMNS: dict[str, Make] = {
    "constant": lambda n, rng: np.full(n, 5.0),
    "all NaN": lambda n, rng: np.full(n, np.nan),
    "two-valued": lambda n, rng: np.repeat(rng.integers(0, 2, n // 40 + 1), 40)[:n].astype(float),
    "integer": lambda n, rng: np.round(rng.normal(0, 2, n)),
    "huge": lambda n, rng: rng.normal(0, 1, n) * 1e307,
    "one 1e308": lambda n, rng: np.where(np.arange(n) == n // 2, 1e308, rng.normal(0, 1, n)),
    "denormal": lambda n, rng: rng.normal(0, 1, n) * 1e-310,
    "single sample": lambda n, rng: np.where(np.arange(n) == 0, 3.0, np.nan),
    "mostly missing": lambda n, rng: np.where(rng.random(n) < 0.9, np.nan, rng.normal(0, 1, n)),
    "infinite": lambda n, rng: np.where(np.arange(n) % 100 == 0, np.inf, rng.normal(0, 1, n)),
}


def judge(name: str, make: Make) -> dict[str, object]:
    """Fit and judge one column beside a normal one."""
    rng = np.random.default_rng(11)
    names = ["odd", "normal"]
    train = np.column_stack([make(ROWS, rng), rng.normal(0, 1, ROWS)])
    try:
        guard = Guard(table_of(train, names, SECOND), "1 per 30 days")
    except BaselineError as error:
        return {"outcome": "error", "names_column": "odd" in str(error), "error": error.cause}
    rng = np.random.default_rng(12)
    test = np.column_stack([make(ROWS, rng), rng.normal(0, 1, ROWS)])
    judged = guard.judge(table_of(test, names, SECOND))
    kinds = sorted({str(event.data["kind"]) for event in judged.conditions()})
    return {"outcome": "baseline", "provisional": guard.report.baseline.provisional,
            "alarms": len(judged.raised), "kinds": kinds}  # fmt: skip


def empty() -> dict[str, object]:
    """A record without any row."""
    try:
        Guard(table_of(np.zeros((0, 2)), ["odd", "normal"], SECOND), "1 per 30 days")
    except Exception as error:  # noqa: BLE001 - which error it is, is the result
        clear = isinstance(error, BaselineError)
        return {"outcome": "error", "names_column": clear and "odd" in str(error),
                "error": str(error).splitlines()[0]}  # fmt: skip
    return {"outcome": "baseline"}


def main() -> None:
    """Print a row for each kind of column."""
    for name, make in COLUMNS.items():
        row = judge(name, make)
        say(table="robust", column=name, **row, reached=_usable(row))
    row = empty()
    say(table="robust", column="empty", **row, reached=_usable(row))


def _usable(row: dict[str, object]) -> bool:
    return row["outcome"] == "baseline" or bool(row["names_column"])


if __name__ == "__main__":
    main()
