"""The layers, the confinement of libraries and the limits of size, read from the source itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path for folder in ("agent", "simulators") for path in (ROOT / folder).rglob("*.py")
)
AGENT = [path for path in MODULES if path.is_relative_to(ROOT / "agent")]

FOUNDATION = {"agent.types", "agent.errors", "agent.clock"}
PURE = FOUNDATION - {"agent.clock"}
CONFIGURED = FOUNDATION | {"agent.configuration.schema", "agent.configuration.credentials"}

# Package or module -> what of `agent` it may import besides itself. What is not listed here is
# layer 5 (app, service, replay, fit, cli ...): it may import anything.
MAY_IMPORT: dict[str, set[str]] = {
    "agent.types": set(),
    "agent.errors": set(),
    "agent.clock": set(),
    "agent.configuration.schema": PURE,
    "agent.configuration.credentials": PURE | {"agent.configuration.schema"},
    "agent.configuration.certificates": PURE,
    "agent.core": PURE,
    "agent.decode": PURE,
    "agent.intake": CONFIGURED | {"agent.decode"},
    "agent.mqtt": CONFIGURED | {"agent.decode"},
    "agent.sources": CONFIGURED
    | {"agent.configuration.certificates", "agent.decode", "agent.intake", "agent.mqtt"},
    "agent.store": CONFIGURED | {"agent.decode"},
    "agent.forward": CONFIGURED | {"agent.decode", "agent.mqtt", "agent.store"},
    "agent.status": CONFIGURED | {"agent.decode", "agent.store"},
}
LOWER = set(MAY_IMPORT)

# Library -> the only places of `agent` that may import it.
CONFINED: dict[str, set[str]] = {
    "asyncua": {"agent/sources/opcua*.py"},
    "pymodbus": {"agent/sources/modbus.py"},
    "paho": {"agent/mqtt"},
    "sqlite_utils": {"agent/store"},
    "sqlite3": {"agent/store"},
    "aiohttp": {"agent/status"},
    "prometheus_client": {"agent/status"},
    "numba": {"agent/core/kernels", "agent/fit"},
    "scipy": {"agent/fit"},
    "pyarrow": {"agent/records/arrow.py"},
    "click": {"agent/cli.py", "agent/commands"},
    "rich": {"agent/commands", "agent/status/terminal.py", "agent/central/view.py"},
    "pydantic": {"agent/configuration/schema.py", "agent/configuration/load.py"},
    "cryptography": {"agent/configuration/certificates.py"},
    "amqtt": set(),
    "pandas": set(),
}
# What judgement may not see: it is a fold over entries, without I/O, clock or chance.
NOT_IN_CORE = {
    "asyncio", "logging", "os", "random", "time", "datetime", "socket", "subprocess", "threading",
    "pathlib", "io", "secrets", "uuid", "tempfile",
}  # fmt: skip
NOT_IN_DECODE = {"asyncio", "logging", "os", "random", "time", "socket", "threading", "pathlib"}
KERNEL_LOGARITHMS = {"log", "log1p", "log10", "log2", "exp", "expm1", "pow", "power"}

MOST_LINES_OF_A_FUNCTION = 70
MOST_LINES_OF_A_MODULE = 400


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, as full names."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            if node.module == "agent" or (ROOT / Path(*node.module.split("."))).is_dir():
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> str:
    """The row of `MAY_IMPORT` that a module of `agent` belongs to, or its top module."""
    for length in (3, 2):
        name = ".".join(module.split(".")[:length])
        if name in LOWER:
            return name
    return ".".join(module.split(".")[:2])


def within(path: Path, places: set[str]) -> bool:
    return any(path.match(place) or path.is_relative_to(ROOT / place) for place in places)


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_nobody_imports_from_a_layer_above(path):
    """DESIGN's layers: a lower module sees only what its row names, and never layer 5."""
    own = layer(name_of(path))
    if own not in LOWER:
        return
    for module in imports(path):
        if not module.startswith("agent.") or module == "agent.__version__":
            continue
        seen = layer(module)
        assert seen == own or seen in MAY_IMPORT[own], f"{name_of(path)} may not import {module}"


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_each_library_stays_where_it_belongs(path):
    """asyncua only in sources/opcua.py, sqlite3 only in store/, and so on."""
    for module in imports(path):
        places = CONFINED.get(module.partition(".")[0])
        assert places is None or within(path, places), f"{module} is not for {path.name}"


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_the_agent_needs_no_simulator(path):
    """Only the demo command may start the simulators."""
    if path.name != "demo.py":
        assert not any(module.split(".")[0] == "simulators" for module in imports(path))


# They find or make the compiled kernels, at import and at build; no judgement is in them.
COMPILING = {"agent/core/kernels/build.py", "agent/core/kernels/compiler.py"}
# Baselines on disk: what judgement is given, read and written by others than judgement.
ON_DISK = {"agent/core/baseline_file.py"}
CORE = [
    path
    for path in AGENT
    if path.is_relative_to(ROOT / "agent" / "core") and not within(path, COMPILING | ON_DISK)
]
DECODE = [path for path in AGENT if path.is_relative_to(ROOT / "agent" / "decode")]


@pytest.mark.parametrize("path", CORE + DECODE, ids=ids(CORE + DECODE))
def test_core_and_decode_have_no_io_no_clock_and_no_chance(path):
    """Neither an import of what could do it, nor `open`, `print` or `input`."""
    banned = NOT_IN_CORE if path in CORE else NOT_IN_DECODE
    tops = {module.partition(".")[0] for module in imports(path)}
    assert not tops & banned
    assert "agent.clock" not in imports(path)
    called = {
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "eval", "exec"}
    random = [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "random"
    ]
    assert not random


def is_kernel(node: ast.FunctionDef) -> bool:
    names = [
        d.id if isinstance(d, ast.Name) else getattr(d, "attr", "") for d in node.decorator_list
    ]
    return "kernel" in names


@pytest.mark.parametrize("path", CORE, ids=ids(CORE))
def test_kernels_use_arithmetic_that_is_the_same_everywhere(path):
    """Invariant 2: + - * / sqrt, comparisons and integers; logarithms belong to fitting."""
    for function in ast.walk(tree(path)):
        if not (isinstance(function, ast.FunctionDef) and is_kernel(function)):
            continue
        for node in ast.walk(function):
            used = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert used not in KERNEL_LOGARITHMS, f"{path.name}: {function.name} uses {used}"
            power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
            assert not power, f"{path.name}: {function.name} uses **"
            if isinstance(node, ast.keyword):
                assert node.arg != "fastmath"


CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns",
             "clock_gettime", "localtime", "gmtime", "ctime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}  # fmt: skip


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_only_clock_reads_a_clock(path):
    """No wall clock (nor another one) outside agent/clock.py."""
    if path == ROOT / "agent" / "clock.py":
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            assert not {alias.name for alias in node.names} & CLOCKS["time"]
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            assert node.attr not in CLOCKS.get(name, set()), (
                f"line {node.lineno}: {name}.{node.attr}"
            )


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_functions_and_modules_stay_readable(path):
    """At most 70 lines a function, 400 a module; the docstring of a function counts."""
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES_OF_A_MODULE, f"{lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_the_agent_has_no_threads_in_its_logic(path):
    """One thread of logic; the store commits, and paho looks up and connects, on one of its own."""
    if within(path, {"agent/store", "agent/mqtt/connection.py"}):
        return
    used = {
        module for module in imports(path) if module.split(".")[0] in {"threading", "concurrent"}
    }
    assert not used
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"to_thread", "run_in_executor"}, f"line {node.lineno}"


FORBIDDEN_WORDS = ("/work/", "/root/", "/home/")


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_no_path_of_a_certain_machine_is_in_the_source(path):
    """The checkout runs anywhere."""
    text = path.read_text(encoding="utf-8")
    assert not [word for word in FORBIDDEN_WORDS if word in text]


def test_tests_say_what_they_hold_up():
    """Every test states the behaviour in its docstring."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not silent


def test_the_rules_above_do_catch_offences(tmp_path, monkeypatch):
    """The checks see late, nested and dotted imports, and calls of clocks."""
    source = tmp_path / "agent" / "core" / "bad.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "def f():\n    from agent import cli\n    import os.path\n"
        "    from datetime import datetime\n    return datetime.now()\n",
        encoding="utf-8",
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert {"agent.cli", "os.path", "datetime"} <= imports(source)
    monkeypatch.setitem(globals(), "CORE", [source])
    with pytest.raises(AssertionError):
        test_nobody_imports_from_a_layer_above(source)
    with pytest.raises(AssertionError):
        test_core_and_decode_have_no_io_no_clock_and_no_chance(source)
    with pytest.raises(AssertionError):
        test_only_clock_reads_a_clock(source)
