"""The course of a model that is trained anew, as it came out: request, decision, data, trial.

Pure functions over what the agent told and what the person's commands answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from simulators.demo_report import Reported, Row, faults_of

NOT_YET = "it did not come"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was expected, and what came.

    Attributes:
        name: of the step.
        expected: in plain words.
        at_s: seconds since the script began; None where it did not come.
        said: what came, or why not.
        came: whether it is what was expected.
    """

    name: str
    expected: str
    at_s: float | None
    said: str
    came: bool


def asked(
    told: Sequence[Reported], truth: Iterable[Mapping[str, Any]], start_ns: int
) -> Step | None:
    """Whether retraining was asked for once, and for what the plant did; None: nothing was due."""
    moved = [fault for fault in faults_of(truth) if fault["kind"] == "process"]
    requests = [
        one for one in told if one.kind == "retraining" and one.data.get("change") == "requested"
    ]
    if not moved and not requests:
        return None
    expected = "one request for retraining, and none before the plant itself changed"
    if not requests:
        return Step("asked", expected, None, NOT_YET, came=False)
    first = requests[0]
    early = not moved or first.time_ns < moved[0]["at_ns"]
    said = str(first.data.get("text", "")).rsplit(", since ", 1)[0]
    if early:
        said = f"asked for by a fault of an instrument or a connection: {said}"
    if len(requests) > 1:
        said = f"asked for {len(requests)} times: {said}"
    at_s = (first.time_ns - start_ns) / 1e9
    return Step("asked", expected, at_s, said, came=not early and len(requests) == 1)


def serves(told: Sequence[Reported], start_ns: int) -> Step | None:
    """Whether the model was trusted again under what was accepted; None: nothing was."""
    changes = [one for one in told if one.kind == "retraining"]
    accepted = next((one for one in changes if one.data.get("change") == "accepted"), None)
    if accepted is None:
        return None
    expected = "by what it was trained on now, the model is trusted again"
    after = (
        one for one in told
        if one.kind == "verdict" and one.time_ns >= accepted.time_ns
        and one.data["verdict"] == "trusted"
    )  # fmt: skip
    first = next(after, None)
    if first is None:
        return Step("trusted again", expected, None, NOT_YET, came=False)
    waited_s = (first.time_ns - accepted.time_ns) / 1e9
    said = f"trusted {waited_s:.1f} s after the switch, version {first.data.get('version')}"
    return Step("trusted again", expected, (first.time_ns - start_ns) / 1e9, said, came=True)


def late_labels(errors: Sequence[Mapping[str, Any]], delay_s: float) -> Step | None:
    """What the late truth says of the model; `errors` as its verdict tells them."""
    if not errors:
        return None
    expected = (
        f"results of the laboratory, {delay_s:g} s after their samples, each beside what the model "
        "said of that moment"
    )
    said = [
        f"{one['labels']} compared: {one['output']} was off by {one['mean_loss']:.2g} in the mean, "
        f"in training by {one['expected_loss']:.2g}"
        for one in errors if one.get("labels") and one.get("expected_loss") is not None
    ]  # fmt: skip
    return Step("late labels", expected, None, "; ".join(said) or NOT_YET, came=bool(said))


def course_table(
    steps: Sequence[Step], width: int = 130,
    title: str = "From a changed plant to a model trained anew",
) -> Table:  # fmt: skip
    """What was expected, step by step, and whether it came."""
    narrow = width < 110
    table = Table(title=title, box=box.SIMPLE_HEAD, leading=int(narrow))
    table.add_column("step", no_wrap=True)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("came", no_wrap=True)
    table.add_column("expected" + ("\nand what came" if narrow else ""), ratio=1)
    if not narrow:
        table.add_column("what came", ratio=1)
    for step in steps:
        at = "" if step.at_s is None else f"{step.at_s:.1f} s"
        words = (step.name, at, "yes" if step.came else "no")
        style = "" if step.came else "red"
        if narrow:
            both = Text.assemble(step.expected, "\n", (step.said, "bold"))
            table.add_row(*words, both, style=style)
        else:
            table.add_row(*words, Text(step.expected), Text(step.said), style=style)
    return table


def in_one_line(
    rows: Sequence[Row], false: Sequence[Reported], steps: Sequence[Step],
    changed: Sequence[Step] = (),
) -> list[str]:  # fmt: skip
    """What came out, in plain words."""
    found = [row for row in rows if row.detected_s is not None]
    right = sum(row.right for row in found)
    lines = []
    if rows:
        slowest = max((row.detected_s or 0.0 for row in found), default=0.0)
        within = f", each within {slowest:.1f} s" if found else ""
        lines.append(
            f"{len(found)} of {len(rows)} found{within}; {right} by the right name; "
            f"{len(false)} alarms without a fault"
        )
    if steps:
        came = sum(step.came for step in steps)
        lines.append(f"trained anew: {came} of {len(steps)} steps came as expected")
    if changed:
        came = sum(step.came for step in changed)
        lines.append(f"a change upstream: {came} of {len(changed)} steps came as expected")
    return lines
