"""What every test sees; who runs which test is in `lanes`, what was left out in `left_out`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from agent.commands.log_lines import QUIET

pytest_plugins = ("tests.lanes", "tests.left_out")

# Agents and commands are started by the hundred: each would compile the same 300 modules first,
# which is a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Speed is measured by benchmarks: a busy machine stops an example for longer than any limit.
# Examples are the same wherever they are tried, so that CI finds nothing that a run before it did
# not; `--hypothesis-profile searching` tries others, each time.
for profile, derandomize in (("patient", True), ("searching", False)):
    settings.register_profile(
        profile, derandomize=derandomize, deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
settings.load_profile("patient")

_WRONG: list[str] = []


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Numbers and texts that stand in modules which are imported by then become examples, too: what
    is tried would depend on what a worker did before.
    """
    if settings.default.derandomize:
        with contextlib.suppress(ImportError):  # of another version: they are the same but for that
            from hypothesis.internal.conjecture.providers import Constants, HypothesisProvider

            HypothesisProvider._local_constants = Constants()


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets up log lines for its process: those of the next test are not its business."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Rules about the whole run, beside those of each test."""
    _WRONG.extend(_kernels_called_otherwise_than_compiled())
    if hasattr(session.config, "workeroutput"):  # one of several processes: its parent tells
        session.config.workeroutput["wrong"] = _WRONG
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    for line in _WRONG:
        reporter.write_line(line, red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of several has ended: take over what it found."""
    _WRONG.extend(getattr(node, "workeroutput", {}).get("wrong", ()))


def _kernels_called_otherwise_than_compiled() -> list[str]:
    """No call of a kernel had other types than the extension is compiled for.

    The JIT compiles a kernel anew for whatever it is given; the extension takes it for what it
    expects, a column of a matrix for a contiguous array, and silently gives other numbers.
    """
    compiler = sys.modules.get("agent.core.kernels.compiler")
    if compiler is None or compiler.MODE != "jit":
        return []
    from agent.core.kernels.build import exports

    wrong = []
    for name, (signature, function) in exports().items():
        called = getattr(sys.modules[function.__module__], function.__name__)
        wanted = [_kind(one) for one in signature.args]
        for types in called.signatures:
            found = [_kind(one) for one in types]
            wrong += [f"{name}: argument {place} was {was}, compiled for {want}"
                      for place, (was, want) in enumerate(zip(found, wanted, strict=True))
                      if was != want]  # fmt: skip
    return wrong


def _kind(one: Any) -> str:
    """A numba type in words; whether an array may be written is no matter."""
    if hasattr(one, "layout"):
        return f"{one.dtype}[{one.ndim}] {one.layout}"
    return str(one)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` writes the expected events of tests/golden anew."""
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden events.jsonl")
