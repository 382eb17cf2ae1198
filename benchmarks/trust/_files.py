"""Row `files`: exports as plants have them, through `init` and `fit`; one expectation a line.

The data's own README says what must come out. True values are read from the file whose numbers are
plain, by the benchmark itself.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _records import MODEL, command

INPUTS = ("TI101", "PI102", "FI103")
PLAIN = "excel.csv"
START_NS = 1_759_276_800 * 1_000_000_000  # 2025-10-01 00:00 UTC
MINUTE_NS = 60 * 1_000_000_000
UNITS = ({"degC", "°C"}, {"bar"}, {"m3/h", "m³/h"})


@dataclass(slots=True)
class Tried:
    """What `init` and `fit` made of a file: exit codes, what they said, and what they wrote."""

    init_code: int
    init_said: str
    fit_code: int | None = None
    fit_said: str = ""
    configuration: dict[str, Any] = field(default_factory=dict)
    baseline: dict[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """Everything, on one line, so that breaks of lines do not matter."""
        return " ".join(f"{self.init_said} {self.fit_said}".split())

    @property
    def inputs(self) -> list[str]:
        """The model's inputs, in the file's order."""
        return list(self.configuration.get("models", {}).get(MODEL, {}).get("inputs", []))

    @property
    def units(self) -> list[str]:
        """Of the inputs, in their order."""
        tags = self.configuration.get("tags", {})
        return [tags.get(name, {}).get("unit", "") for name in self.inputs]

    def trained(self, position: int) -> tuple[float, float]:
        """The trained range of an input; NaN where nothing was fitted."""
        modes = self.baseline.get("modes") or [{"inputs": []}]
        inputs = modes[0]["inputs"]
        low, high = inputs[position]["trained"] if position < len(inputs) else (np.nan, np.nan)
        return float(low), float(high)


Check = Callable[[Tried, np.ndarray], bool]


def tried(path: Path, folder: Path, *how: str) -> Tried:
    """`init` and, where that wrote a configuration, `fit`, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.unlink(missing_ok=True)
    first = command("init", "--from-csv", str(path), "--model", MODEL, "--out", str(config), *how)
    result = Tried(first.exit_code, first.output)
    if first.exit_code == 0 and config.exists():
        result.configuration = tomllib.loads(config.read_text(encoding="utf-8"))
        second = command("fit", str(config), "--model", MODEL, "--data", str(path), *how)
        result.fit_code, result.fit_said = second.exit_code, second.output
        written = folder / result.configuration["models"][MODEL]["baseline"]
        if written.exists():
            result.baseline = json.loads(written.read_text(encoding="utf-8"))
    return result


def truth(folder: Path) -> np.ndarray:
    """float64[n, 3]: the values that all files hold."""
    lines = (folder / PLAIN).read_text(encoding="utf-8").splitlines()[1:]
    return np.array([[float(cell) for cell in line.split(",")[1:4]] for line in lines])


# --- what must come out ---------------------------------------------------------------------------


def _both_ran(t: Tried, _: np.ndarray) -> bool:
    return t.init_code == 0 and t.fit_code == 0


def _three_inputs(t: Tried, _: np.ndarray) -> bool:
    names = [re.split(r"[ \[(]", name)[0] for name in t.inputs]
    return names == list(INPUTS)


def _ranges(t: Tried, true: np.ndarray) -> bool:
    """Each trained range lies within the true values and spans most of the middle of them."""
    for position in range(len(t.inputs)):
        values = true[:, position]
        low, high = t.trained(position)
        inner = np.subtract(*np.quantile(values, [0.95, 0.05]))
        margin = 0.25 * (values.max() - values.min())
        if not (values.min() - margin <= low < high <= values.max() + margin):
            return False
        if high - low < inner:
            return False
    return bool(t.inputs)


def _times(t: Tried, true: np.ndarray) -> bool:
    facts = t.baseline.get("facts", {})
    return (
        facts.get("from_ns") == START_NS and t.baseline.get("interval_ns") == MINUTE_NS
        and facts.get("to_ns") == START_NS + (len(true) - 1) * MINUTE_NS
        and facts.get("rows") == len(true)
    )


def _units(t: Tried, _: np.ndarray) -> bool:
    return len(t.units) == len(UNITS) and all(
        unit in allowed for unit, allowed in zip(t.units, UNITS, strict=True)
    )


def _says(*patterns: str) -> Check:
    return lambda t, _: all(re.search(pattern, t.said, re.IGNORECASE) for pattern in patterns)


_USUAL: tuple[tuple[str, Check], ...] = (
    ("init and fit run", _both_ran), ("the inputs are TI101, PI102, FI103", _three_inputs),
    ("the trained ranges are those of the true values", _ranges),
    ("one row a minute from 2025-10-01 00:00 on, none lost", _times),
)  # fmt: skip

EXPECTED: dict[str, tuple[tuple[str, Check], ...]] = {
    "de.csv": (*_USUAL, ("units from the headings", _units)),
    "pi_text.csv": (
        *_USUAL, ("bad samples are listed by word", _says("Bad Input", "I/O Timeout", "No Data")),
        ("and counted: 4, 2 and 1", _says(
            r"4 (cells|samples|values)? ?\W*Bad Input|Bad Input\W*\D{0,12}4",
            r"2 (cells|samples|values)? ?\W*I/O Timeout|I/O Timeout\W*\D{0,12}2",
            r"1 (cells?|samples?|values?)? ?\W*No Data|No Data\W*\D{0,12}1",
        )),
    ),
    "sentinel.csv": (
        *_USUAL[:2], ("-9999 in TI101 is proposed as no value", _says(r"-9999", r"TI101")),
        ("it is not in the trained range", lambda t, _: t.trained(0)[0] > -1000.0),
        ("the trained ranges are those of the true values", _ranges),
    ),
    "excel.csv": _USUAL,
    "index_first.csv": _USUAL,
    "units_row.csv": (*_USUAL, ("units from the second row", _units)),
    "quality.csv": (
        ("init and fit run", _both_ran),
        ("the inputs are TI101 and PI102", lambda t, _: t.inputs == list(INPUTS[:2])),
        ("the trained ranges are those of the true values", _ranges),
        ("one row a minute from 2025-10-01 00:00 on, none lost", _times),
    ),
    "quality.csv with samples marked bad": (
        ("the inputs are TI101 and PI102", lambda t, _: t.inputs == list(INPUTS[:2])),
        ("what is marked bad is in no trained range", lambda t, _: t.trained(0)[1] < 1000.0
         and t.trained(1)[1] < 1000.0),
    ),
    "dst_fold.csv": (
        ("it is said that an hour comes twice", _says("hour", "twice|repeat|again|put back")),
        ("and how to give the zone", _says("--timezone")),
        ("nothing is interleaved or lost", lambda t, true: t.init_code != 0
         or t.baseline.get("facts", {}).get("rows") == len(true)),
    ),
    "no_time.csv": (
        ("init refuses", lambda t, _: t.init_code == 1),
        ("it says that no column is a time", _says("no column.{0,40}time|no time")),
        ("and that an interval can be given", _says("interval")),
        ("no column of values is taken for time", lambda t, _: not t.inputs),
    ),
}  # fmt: skip


def file_rows(cases: Path, work: Path) -> list[dict[str, Any]]:
    """A row for each file: what holds and what does not."""
    folder = cases / "files"
    true = truth(folder)
    made = []
    for name, checks in EXPECTED.items():
        place = work / "files" / re.sub(r"\W+", "-", name)
        path = folder / name
        if not path.exists():
            path = _marked(folder / "quality.csv", place)
        result = tried(path, place)
        holds = {text: bool(check(result, true)) for text, check in checks}
        made.append({
            "file": name, "passed": all(holds.values()),
            "failed": [text for text, good in holds.items() if not good],
            "said": result.said[-240:] if not all(holds.values()) else "",
        })  # fmt: skip
    made.append({
        "all": True, "files": len(made), "passed": sum(row["passed"] for row in made),
        "reached": all(row["passed"] for row in made),
    })  # fmt: skip
    return made


def _marked(source: Path, folder: Path) -> Path:
    """The file with some samples absurd and marked bad by their quality, in both ways."""
    folder.mkdir(parents=True, exist_ok=True)
    head, *lines = source.read_text(encoding="utf-8").splitlines()
    for row in range(100, len(lines), 200):
        cells = lines[row].split(",")
        cells[1:5] = ["99999", "0", "99999", "Bad"]
        lines[row] = ",".join(cells)
    target = folder / "marked.csv"
    target.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return target
