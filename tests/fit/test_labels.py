"""`fit --labels`: labels of a record become the reference that late truth is judged by."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.configuration.schema import Configuration
from agent.core.baseline_file import read_baseline
from agent.core.engine import Engine
from agent.errors import BaselineError, FieldwardenError
from agent.fit.labels import fit_labels, with_labels
from agent.fit.model import FitReport, fit_model
from agent.records.replay import iso, table_entries
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from tests.core.small import conditions
from tests.fit.streams import ar1

START, MINUTE = 1_700_000_000_000_000_000, 60_000_000_000
ROWS, EVERY = 6_000, 10
COLUMNS = ("a", "b", "y", "lab")


def configured(loss: str = "absolute") -> Configuration:
    """Model m predicts y from a and b; the laboratory says later what it was."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {name: {"source": "s", "address": f"{name} /v"} for name in COLUMNS},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": "60s", "inputs": ["a", "b"], "outputs": ["y"],
            "labels": [{"tag": "lab", "of": "y", "within": "2h", "loss": loss}],
        }},
    })  # fmt: skip


def record(rows: int = ROWS, seed: int = 1, worse: float = 1.0) -> Table:
    """The model errs more where its inputs are far out, and `worse` times that in all."""
    rng = np.random.default_rng(seed)
    a, b = ar1(0.0, rows, seed), ar1(0.5, rows, seed + 1)
    error = worse * (0.2 + np.sqrt(a * a + b * b)) * np.abs(1.0 + 0.2 * rng.standard_normal(rows))
    lab = np.full(rows, np.nan)
    lab[::EVERY] = (a + b + error)[::EVERY]
    times = START + np.arange(rows, dtype=np.int64) * MINUTE
    return Table(times, COLUMNS, np.asfortranarray(np.column_stack([a, b, a + b, lab])), MINUTE)


@cache
def fitted() -> FitReport:
    return fit_model(configured(), "m", record())


def test_losses_go_along_with_novelty_and_the_promise_is_in_labels():
    """Correlation, mean and the time between two false alarms are what the record makes them."""
    references, (told,) = fit_labels(configured(), "m", fitted().baseline, record())
    reference = references["absolute of y"]
    assert (told.output, told.label, told.loss) == ("y", "lab", "absolute")
    assert told.labels + told.left_out == pytest.approx(ROWS / EVERY, abs=2)
    assert told.correlation > 0.7
    assert told.used
    assert told.mean == pytest.approx(reference.risk)
    assert 1.0 < told.mean < 2.0
    assert told.every_s == pytest.approx(600, rel=0.1)
    assert told.arl_s > 30 * 86_400  # one chart of many that share one in 30 days
    rows = reference.expected.table
    assert rows[7][1] > 2.0 * rows[0][1]


def test_a_file_of_its_own_gives_the_same_as_columns_of_the_record():
    """Each label is put to the row of its time; none of another time counts."""
    whole = record()
    at = np.flatnonzero(np.isfinite(whole.column("lab")))
    own = Table(
        whole.time_ns[at] + MINUTE // 3, ("lab",), whole.column("lab")[at, None], EVERY * MINUTE
    )
    joined = with_labels(whole.select(COLUMNS[:3]), own)
    assert joined.names == COLUMNS
    np.testing.assert_array_equal(joined.column("lab"), whole.column("lab"))
    with pytest.raises(FieldwardenError, match="none of them is of a time of the record"):
        with_labels(whole.select(COLUMNS[:3]), replace(own, time_ns=own.time_ns + 10**18))


def test_too_few_labels_are_refused():
    """A reference of ten labels says nothing."""
    with pytest.raises(BaselineError, match="labels whose inputs and prediction are known"):
        fit_labels(configured(), "m", fitted().baseline, record(100))


def test_in_service_the_same_errors_raise_nothing_and_larger_ones_are_found():
    """The baseline that labels were fitted to, in the engine."""
    losses, _ = fit_labels(configured(), "m", fitted().baseline, record())
    baseline = replace(fitted().baseline, losses=losses)
    tags = {tag: row for row, tag in enumerate(COLUMNS)}
    spec = build_spec(configured(), tags, {"m": baseline}, recorded={"lab": EVERY * MINUTE})
    for worse, raised in ((1.0, False), (1.8, True)):
        engine = Engine(spec)
        blocks = table_entries(spec, record(3_000, 7, worse), 500)
        events = [event for block in blocks for event in engine.step(block).events]
        named = [kind for _, subject, kind in conditions(events) if subject == "model/m"]
        assert ("errors grew" in named) == raised
        pair = engine.truth.pairs[0][0]
        estimate, _ = pair.estimate()
        mean = pair.state.total / pair.state.labels
        assert (estimate.low <= mean <= estimate.high) != raised


def write(path: Path, table: Table, columns: tuple[str, ...]) -> None:
    part = table.select(columns)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *columns])
        for time_ns, row in zip(table.time_ns.tolist(), part.values.tolist(), strict=True):
            if not all(map(isnan, row)):
                writer.writerow([iso(time_ns), *("" if isnan(v) else f"{v:.9g}" for v in row)])


CONFIG = """
schema = 1
gateway = { site = "s", name = "g" }
[sources.s]
protocol = "mqtt"
host = "h"
[tags]
a = { source = "s", address = "a /v" }
b = { source = "s", address = "b /v" }
y = { source = "s", address = "y /v" }
lab = { source = "s", address = "lab /v" }
[models.m]
version = "1"
owner = { team = "t", contact = "c" }
baseline = "m.json"
scan = "60s"
inputs = ["a", "b"]
outputs = ["y"]
labels = [{ tag = "lab", of = "y", within = "2h" }]
"""


def test_the_command_takes_labels_of_a_second_file(tmp_path):
    """They reach the baseline's file, and the table says what they are worth."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    whole = record(2_000)
    write(tmp_path / "train.csv", whole, ("a", "b", "y"))
    write(tmp_path / "lab.csv", whole, ("lab",))
    arguments = ["fit", str(tmp_path / "config.toml"), "--data", str(tmp_path / "train.csv"),
                 "--labels", str(tmp_path / "lab.csv")]  # fmt: skip
    found = CliRunner().invoke(cli, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    (told,) = json.loads(found.stdout)["losses"]
    assert told["labels"] + told["left_out"] == pytest.approx(200, abs=2)
    baseline = read_baseline(tmp_path / "m.json")
    assert baseline.losses["absolute of y"].labels == told["labels"]
    assert baseline.facts["labels"] == str((tmp_path / "lab.csv").resolve())
    shown = CliRunner().invoke(cli, arguments)
    assert "losses" in shown.output
    assert "correlation" in shown.output
    assert "(absolute)" in shown.output.replace("\n", "")


def test_the_command_says_which_column_is_missing(tmp_path):
    """Neither file has the output: there is nothing to compare a label with."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    whole = record(600)
    write(tmp_path / "train.csv", whole, ("a", "b"))
    write(tmp_path / "lab.csv", whole, ("lab",))
    found = CliRunner().invoke(cli, [
        "fit", str(tmp_path / "config.toml"), "--data", str(tmp_path / "train.csv"),
        "--labels", str(tmp_path / "lab.csv"),
    ])  # fmt: skip
    assert found.exit_code != 0
    assert "no column y" in found.output


@pytest.mark.parametrize("change", [
    lambda losses: losses["absolute of y"].pop("risk"),
    lambda losses: losses["absolute of y"].update(deviation=-1.0),
    lambda losses: losses.update({"absolute of y": 3}),
])  # fmt: skip
def test_a_baseline_whose_losses_can_not_be_judged_by_is_refused(change):
    """A digest that fits says nothing of what was written."""
    from agent.core.baseline import digest_of, from_document, to_document

    losses, _ = fit_labels(configured(), "m", fitted().baseline, record())
    document = json.loads(json.dumps(to_document(replace(fitted().baseline, losses=losses))))
    assert from_document(document, "file").losses == losses
    change(document["losses"])
    document["digest"] = digest_of(document)
    with pytest.raises(BaselineError, match="damaged"):
        from_document(document, "file")
