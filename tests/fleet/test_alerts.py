"""The alert rules: what Prometheus' own tool says of them, and that they ask for what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from agent.fleet.metrics import FleetMetrics
from agent.fleet.questions import Snapshot
from agent.fleet.rollup import fleet_of
from tests.programs import needed, program

FOLDER = Path(__file__).parent.parent.parent / "dashboards"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))
TESTS = sorted(FOLDER.glob("alerts*_test.yml"))
PROMTOOL = program("promtool")
needs_promtool = needed("promtool")


def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def promtool(*words):
    done = subprocess.run(
        [PROMTOOL, *words], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_the_rules_and_their_unit_tests_pass():
    """Syntax, and each alert at its time with its words."""
    assert promtool("check", "rules", "--lint-fatal", "alerts.yml")[0] == 0
    code, said = promtool("test", "rules", *(path.name for path in TESTS))
    assert code == 0, said


@needs_promtool
def test_a_rule_that_is_wrong_fails_its_unit_test(tmp_path):
    """The tests would see a limit that was moved."""
    text = (FOLDER / "alerts.yml").read_text("utf-8")
    (tmp_path / "alerts.yml").write_text(text.replace("> 0.05", "> 0.5"), "utf-8")
    shutil.copy(FOLDER / "alerts_test.yml", tmp_path)
    code, said = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert code == 1 and "FieldwardenModelsUnassessable" in said


def test_each_alert_is_tested_where_it_fires_and_where_it_does_not():
    """And says what is wrong and what to do."""
    found: dict[str, set[bool]] = {}
    for path in TESTS:
        for test in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for one in test["alert_rule_test"]:
                found.setdefault(one["alertname"], set()).add(bool(one["exp_alerts"]))
    assert found == {rule["alert"]: {True, False} for rule in rules()}
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "hint"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_rules_ask_for_metrics_that_the_page_has():
    """By name; and for no word of a label that it does not say."""
    worker = {"name": "central-1", "heard_s": 1.0, "trouble": "", "rows": 1, "messages": 1,
              "duplicates": 0, "unreadable": 0}  # fmt: skip
    relay = {"name": "desk", "waiting": 1, "dead": 1, "oldest_s": 9.5, "delivered": 3,
             "dropped": {"refused": 1}, "attempts": 2, "trouble": "it answered 503"}  # fmt: skip
    fleet = fleet_of(Snapshot(datetime(2026, 1, 1, tzinfo=UTC), [], []), {})
    text = FleetMetrics().render(fleet, [worker], [relay], "")[0].decode()
    known = {
        name
        for one in text_string_to_metric_families(text)
        for name in (one.name, f"{one.name}_total")
    }
    asked = {
        name for rule in rules() for name in re.findall(r"fieldwarden_\w+", str(rule["expr"]))
    }
    assert asked and asked <= known
