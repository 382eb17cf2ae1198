"""Reports and exports of a store that a real engine filled: complete, repeatable, honest."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from agent.cli import cli
from agent.report.history import NOT_WATCHED, Span, shares, verdicts
from agent.store import Reader
from agent.types import Command
from tests import small_site
from tests.core.small import SECOND, START, TAGS, baseline, block, normal

CONFIG = small_site.text(
    gateway='name = "gw<1>"\nstate_directory = "state"\nsummary = "1min"', team="process <control>",
)
MINUTES = 10
ROWS = 60 * MINUTES
ACKNOWLEDGED = 360  # the row before which somebody did so


@pytest.fixture
async def site(tmp_path):
    """A folder with configuration, baseline and a store: b is stuck from the fourth minute on."""
    made = small_site.Site(tmp_path, CONFIG, baseline())
    values = normal(ROWS)
    values[240:420, 1] = 0.5
    for sequence, first in enumerate(range(0, ACKNOWLEDGED, 20), 1):
        await made.commit(block(values[first : first + 20], start=first, sequence=sequence))
    raised = next(e for e in _events(tmp_path, "condition") if e["subject"] == "tag/b")
    told = {"subject": "tag/b", "by": "Mara", "note": "wire <broken>", "false": False}
    told["id"] = raised["data"]["id"]
    sequence += 1
    await made.commit(Command(sequence, _at(ACKNOWLEDGED), "acknowledge", told))
    for first in range(ACKNOWLEDGED, ROWS, 20):
        sequence += 1
        await made.commit(block(values[first : first + 20], start=first, sequence=sequence))
    await made.store.close()
    return tmp_path


def _at(row):
    return START + row * SECOND


def _events(folder, kind):
    reader = Reader(folder / "state" / "fieldwarden.db")
    try:
        return reader.events(limit=1000, kind=kind, after=(0, -1))
    finally:
        reader.close()


def run(*words):
    """A command; its output, where it went well."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


def report(site, *more, out="r.json"):
    """The report as a file's content."""
    run("report", site / "config.toml", "--out", site / out, *more)
    return (site / out).read_text(encoding="utf-8")


def test_a_report_has_the_fault_its_end_and_what_people_said(site):
    """Also the time outside training, and the shares of the verdicts."""
    told = json.loads(report(site))
    assert [(one["cause"], one["members"][0].split("@")[0]) for one in told["incidents"]] == [
        ("sensor", "tag/b")
    ]
    incident = told["incidents"][0]
    assert incident["until_ns"] < _at(500)
    assert _at(240) < incident["since_ns"] < incident["until_ns"]
    assert incident["said"] == [{
        "time_ns": _at(ACKNOWLEDGED), "by": "Mara", "what": "acknowledged",
        "note": "wire <broken>", "false": False,
    }]  # fmt: skip
    decision = told["decisions"][0]
    assert (decision["who"], decision["why"]) == ("Mara", "wire <broken>")
    assert len(decision["evidence"]) == len(decision["hash"]) == 64
    assert told["shares"]["trusted"] > 0.5 > told["shares"]["untrusted"] > 0.2
    assert sum(v for k, v in told["shares"].items() if k != NOT_WATCHED) == pytest.approx(1.0)
    moved = {one["tag"]: one for one in told["inputs"]}
    assert moved["a"]["scans"] > 500 and abs(moved["a"]["shift"]) < 0.2
    assert moved["b"]["sd"] < 0.95 < moved["a"]["sd"] + 0.1
    assert any("no labels" in one for one in told["not_checked"])


def test_the_same_store_gives_the_same_bytes(site):
    """As a page and as JSON, with each book of rules; also pictures have no time of their own."""
    for out in ("r.html", "r.json"):
        for rules in ((), ("--for", "annex22"), ("--for", "ai-act"), ("--for", "iso42001")):
            assert report(site, *rules, out=out) == report(site, *rules, out=out)


def test_a_page_needs_nothing_else_and_takes_no_markup_from_data(site):
    """No script, nothing from elsewhere; names and notes are text."""
    page = report(site, "--for", "annex22", out="r.html")
    assert "<script" not in page and "src=" not in page and "@import" not in page
    assert "wire &lt;broken&gt;" in page and "process &lt;control&gt;" in page
    assert page.count("<svg") == 1 + len(TAGS)
    assert "Evidence for EU GMP Annex 22" in page and "complian" not in page.lower()
    assert page.index("What was not checked") > page.index("What this is about")


def test_every_clause_leads_to_a_part_of_the_page(site):
    """A table of clauses that points nowhere would be no evidence."""
    for rules in ("annex22", "ai-act", "iso42001"):
        page = report(site, "--for", rules, out="r.html")
        linked = set(page.split('<a href="#')[1:])
        assert linked
        for link in linked:
            assert f'id="{link.split(chr(34))[0]}"' in page


def test_exports_hold_what_the_store_holds(site):
    """In both forms, every sample, window and event; times to the nanosecond."""
    for what, count in (("samples", ROWS * 3), ("events", None), ("windows", None)):
        run("export", site / "config.toml", "--what", what, "--out", site / "x.parquet")
        run("export", site / "config.toml", "--what", what, "--out", site / "x.csv")
        table = parquet.read_table(site / "x.parquet")
        with (site / "x.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert table.column_names == list(rows[0]) and table.num_rows == len(rows)
        assert count in {None, len(rows)}
    chosen = ("--tag", "b", "--since", "1min", "--out", site / "b.parquet")
    run("export", site / "config.toml", *chosen)
    table = parquet.read_table(site / "b.parquet")
    assert set(table["tag"].to_pylist()) == {"b"} and 50 <= table.num_rows <= 61
    assert table["value"].to_pylist() == normal(ROWS)[-table.num_rows :, 1].tolist()
    assert np.diff(table["time"].to_numpy()).astype(int).tolist() == [SECOND] * (table.num_rows - 1)


@pytest.mark.parametrize(("words", "said"), [
    (("export", "--tag", "bb", "--out", "x.csv"), "no such tag"),
    (("export", "--out", "x.xlsx"), ".parquet"),
    (("export", "--since", "soon", "--out", "x.csv"), "--since"),
    (("report", "--out", "x.pdf"), ".html"),
    (("report", "--model", "n", "--out", "x.html"), "no such model"),
    (("export", "--out", "none/x.csv"), "No such file"),
], ids=str)  # fmt: skip
def test_what_can_not_be_written_is_said_and_leaves_nothing(site, words, said, monkeypatch):
    """Neither a file nor a draft of one."""
    monkeypatch.chdir(site)
    before = sorted(site.iterdir())
    done = CliRunner().invoke(cli, [words[0], "config.toml", *words[1:]])
    assert done.exit_code != 0 and said in done.output
    assert sorted(site.iterdir()) == before


def test_time_without_the_agent_belongs_to_no_verdict():
    """A verdict that stood when the agent ended does not go on while it is away."""
    told = [
        {"subject": "model/m", "time_ns": 10, "data": {"verdict": "trusted"}},
        {"subject": "model/other", "time_ns": 20, "data": {"verdict": "untrusted"}},
        {"subject": "model/m", "time_ns": 80, "data": {"verdict": "caution"}},
    ]
    spans = verdicts(told, "m", 0, 100, [(30, 70)])
    assert [(one.start_ns, one.end_ns, one.verdict) for one in spans] == [
        (0, 10, NOT_WATCHED), (10, 30, "trusted"), (30, 70, NOT_WATCHED), (70, 80, "trusted"),
        (80, 100, "caution"),
    ]  # fmt: skip
    found = shares(spans)
    assert found["trusted"] == pytest.approx(0.6) and found[NOT_WATCHED] == pytest.approx(0.5)
    assert shares([Span(0, 5, NOT_WATCHED)])[NOT_WATCHED] == 1.0
