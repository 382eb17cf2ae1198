"""What every test sees, and the rule that CI skips nothing."""

from __future__ import annotations

import os

import pytest


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: what is missing must be installed by `.ci/run`."""
    if os.environ.get("CI", "").lower() not in {"true", "1"} or exitstatus != pytest.ExitCode.OK:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    if skipped:
        reporter.write_line(f"CI: {len(skipped)} skipped, which counts as failed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the expected events of tests/golden anew."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden events.jsonl")
