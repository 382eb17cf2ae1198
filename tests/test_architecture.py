"""The layers, the confinement of libraries and the limits of size, read from the source itself."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from agent.configuration.schema import SOURCE_TABLES
from agent.core.kernels import DETECTORS, JOINT_CHARTS, TAG_DETECTORS

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path for folder in ("agent", "simulators") for path in (ROOT / folder).rglob("*.py")
)
AGENT = [path for path in MODULES if path.is_relative_to(ROOT / "agent")]

PURE = {"agent.types", "agent.errors"}
FOUNDATION = PURE | {"agent.clock", "agent.backoff", "agent.files"}
CONFIGURED = FOUNDATION | {
    "agent.configuration.values",
    "agent.configuration.schema",
    "agent.configuration.people",
    "agent.configuration.credentials",
}

# Package or module -> what of `agent` it may import besides itself. What is not listed here is
# layer 5 (app, service, replay, fit, cli ...): it may import anything.
MAY_IMPORT: dict[str, set[str]] = {
    "agent.types": set(),
    "agent.errors": set(),
    "agent.boottime": set(),
    "agent.clock": {"agent.boottime", "agent.types"},
    "agent.backoff": set(),
    "agent.files": {"agent.errors"},
    "agent.configuration.values": PURE,
    "agent.configuration.loops": {"agent.configuration.values"},
    "agent.configuration.connection": {"agent.configuration.values"},
    "agent.configuration.retraining": {"agent.configuration.values"},
    "agent.configuration.hooks": PURE | {"agent.configuration.values"},
    "agent.configuration.relay": {"agent.configuration.hooks", "agent.configuration.values"},
    "agent.configuration.people": {"agent.configuration.values"},
    "agent.configuration.contract": {"agent.configuration.values"},
    "agent.configuration.schema": PURE | {
        "agent.configuration.values", "agent.configuration.loops", "agent.configuration.retraining",
        "agent.configuration.hooks", "agent.configuration.people", "agent.configuration.contract",
        "agent.configuration.connection",
    },
    "agent.configuration.credentials": PURE | {
        "agent.configuration.connection", "agent.configuration.hooks", "agent.configuration.people",
        "agent.files",
    },
    "agent.configuration.certificates": PURE | {"agent.files"},
    "agent.core": PURE | {"agent.files"},
    "agent.decode": PURE,
    "agent.gate": PURE,
    "agent.intake": CONFIGURED | {"agent.decode", "agent.gate"},
    "agent.mqtt": CONFIGURED | {"agent.decode"},
    "agent.sources": CONFIGURED
    | {"agent.configuration.certificates", "agent.decode", "agent.intake", "agent.mqtt"},
    "agent.store": CONFIGURED | {"agent.decode"},
    "agent.forward": CONFIGURED | {"agent.decode", "agent.mqtt", "agent.store"},
    "agent.status": CONFIGURED | {"agent.decode", "agent.store"},
    "agent.hooks": CONFIGURED
    | {"agent.configuration.hooks", "agent.forward", "agent.mqtt", "agent.store"},
}
LOWER = set(MAY_IMPORT)

# Library -> the only places of `agent` that may import it.
CONFINED: dict[str, set[str]] = {
    "asyncua": {"agent/sources/opcua*.py"},
    "pymodbus": set(),
    "paho": {"agent/mqtt"},
    "sqlite_utils": {"agent/store"},
    "sqlite3": {"agent/store"},
    "aiohttp": {"agent/status", "agent/hooks", "agent/fleet/web*.py"},
    "mlflow": {"agent/hooks/registry.py"},
    "prometheus_client": {"agent/status", "agent/fleet/*metrics.py"},
    "numba": {"agent/core/kernels", "agent/fit"},
    "scipy": {"agent/fit"},
    "polars": {f"agent/records/{name}.py" for name in ("columns", "frames", "numbers", "parquet")}
    | {"agent/records/lake"},
    "pyarrow": {"agent/records/parquet.py", "agent/records/written.py", "agent/records/lake"},
    "python_calamine": {"agent/records/workbook.py"},
    "deltalake": {"agent/records/lake/found.py"},
    "pyiceberg": {"agent/records/lake/found.py"},
    "distributed": {"agent/cluster.py"},
    "jinja2": {"agent/report/page.py"},
    "click": {"agent/cli.py", "agent/commands"},
    "rich": {
        "agent/commands", "agent/status/terminal.py", "agent/central/view.py",
        "agent/central/table.py",
    },
    "pydantic": {
        "agent/configuration/hooks.py",
        "agent/configuration/contract.py",
        "agent/configuration/people.py",
        "agent/configuration/relay.py",
        "agent/configuration/retraining.py",
        "agent/configuration/values.py",
        "agent/configuration/schema.py",
        "agent/configuration/draft.py",
        "agent/configuration/load.py",
        "agent/fleet/configuration.py",
    },
    "cryptography": {"agent/configuration/certificates.py"},
    "sqlalchemy": {"agent/fleet"},
    "alembic": {"agent/fleet/migrations"},
    "psycopg": {"agent/fleet"},
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
    return parsed(path.read_text(encoding="utf-8"))


@cache
def parsed(text: str) -> ast.Module:
    """Each file is asked about by many tests."""
    return ast.parse(text)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, as full names."""
    return imported(path.read_text(encoding="utf-8"))


@cache
def imported(text: str) -> set[str]:
    """The same for a file's text."""
    found = set()
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"from {'.' * node.level}{node.module}: relative import"
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
    assert not imports(path) & (FOUNDATION - PURE)
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


def needs(path: Path, modules: set[str]) -> set[str]:
    """Which of `modules` a file imports, also for types alone; a module rather than its package."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & modules
            if inner - modules:
                found.add(node.module)
    return found & modules


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; [] for none."""
    done: set[str] = set()

    def below(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for other in sorted(graph[name]):
            if found := below(other, [*way, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := below(name, []))), [])


def test_no_module_imports_itself_by_way_of_others():
    """What a module stands on can be read before it; imports for types alone count too."""
    names = {name_of(path) for path in AGENT}
    assert circle({name_of(path): needs(path, names) for path in AGENT}) == []


def test_a_circle_of_imports_is_found(tmp_path, monkeypatch):
    """Through a third module, inside a function, or for types alone; a package is no circle."""
    sources = {
        "agent/__init__.py": "",
        "agent/room/__init__.py": "from agent.room.a import x\n",
        "agent/room/a.py": "from agent.room import b\n",
        "agent/room/b.py": "def f():\n    import agent.c\n",
        "agent/c.py": "from agent.d import y\n",
        "agent/d.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    files = [tmp_path / name for name in sources]
    names = {name_of(path) for path in files}
    assert circle({name_of(path): needs(path, names) for path in files}) == []
    (tmp_path / "agent/d.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from agent.room.a import x\n",
        encoding="utf-8",
    )
    found = circle({name_of(path): needs(path, names) for path in files})
    assert found == ["agent.c", "agent.d", "agent.room.a", "agent.room.b", "agent.c"]


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
    """One thread of logic; the store commits, and paho looks up and connects, on one of its own.
    The drill, which is no agent, works in processes; central as a service, which is none either,
    asks its database aside.
    """
    threaded = {"agent/store", "agent/mqtt/background.py", "agent/workers.py"}
    if within(path, threaded | {"agent/fleet/aside.py"}):
        return
    used = {
        module for module in imports(path) if module.split(".")[0] in {"threading", "concurrent"}
    }
    assert not used
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"to_thread", "run_in_executor"}, f"line {node.lineno}"


# Each protocol's own modules, its table of the configuration and the table of sources; and
# AsyncAPI's word for how the uplink speaks, which is no source.
NAMES_PROTOCOLS = {
    "agent/configuration/schema.py", "agent/sources/__init__.py", "agent/forward/json_asyncapi.py",
} | {
    f"agent/{room}/{protocol}*.py" for room in ("sources", "decode") for protocol in SOURCE_TABLES
}
PROTOCOL_TABLES = {table.__name__ for table in SOURCE_TABLES.values()}


def protocols_named(path: Path) -> set[str]:
    """Protocols that a module compares with, their tables, and their modules that it imports."""
    found = {
        module
        for module in imports(path)
        for protocol in SOURCE_TABLES
        if module.startswith((f"agent.sources.{protocol}", f"agent.decode.{protocol}"))
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and node.value in SOURCE_TABLES:
            found.add(node.value)
        name = getattr(node, "id", "") or getattr(node, "attr", "") or getattr(node, "name", "")
        if name in PROTOCOL_TABLES:
            found.add(name)
    return found


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_protocols_are_named_by_themselves_and_in_the_tables_only(path):
    """What differs between protocols is a fact in a table, so that a new one is a row of it.

    Text for people, such as the sample that `init` writes, may speak of a protocol.
    """
    if not within(path, NAMES_PROTOCOLS):
        assert not protocols_named(path)


# The JSON form itself, its row of `FORMS`, its description, and central, which reads it.
KNOWS_JSON_FORM = {
    "agent/forward/__init__.py", "agent/forward/json_asyncapi.py", "agent/central", "agent/hooks",
    "agent/fleet",
}  # fmt: skip


@pytest.mark.parametrize("path", AGENT, ids=ids(AGENT))
def test_payload_forms_are_known_by_their_table_only(path):
    """Sender, outbox messages and sizes speak to `PayloadForm`; central reads what JSON writes, and
    a hook is told in JSON whatever goes upstream.
    """
    if not within(path, KNOWS_JSON_FORM):
        assert "agent.forward.json_payload" not in imports(path)


DETECTOR_NAMES = {row.name for row in (*DETECTORS, *TAG_DETECTORS, *JOINT_CHARTS)}
DETECTOR_NAMES -= {"change"}  # also the key under which an event says what changed
JUDGES = [
    path for path in AGENT
    if within(path, {f"agent/{room}" for room in ("core", "fit", "drill", "records", "runtime")})
    and not within(path, {"agent/core/kernels"})
]


def detectors_named(path: Path) -> set[str]:
    """Detectors that a module asks for by name: looked up, compared, or searched for."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            asked = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = node.args if node.func.attr in {"get", "pop", "startswith"} else []
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            # A fault's kind, and a condition's, may be called as a detector is.
            if "kind" not in {getattr(s, "attr", getattr(s, "id", "")) for s in sides}:
                asked = [
                    each for side in sides
                    for each in (side.elts if isinstance(side, ast.Set | ast.Tuple) else [side])
                ]
        found |= {
            one.value for one in asked
            if isinstance(one, ast.Constant) and one.value in DETECTOR_NAMES
        }
    return found


@pytest.mark.parametrize("path", JUDGES, ids=ids(JUDGES))
def test_detectors_are_named_by_themselves_and_in_the_tables_only(path):
    """What a detector is stands in its row, so that a new one is a module and a row of it."""
    assert not detectors_named(path)


@pytest.mark.parametrize(
    "offence",
    [
        'def f(found):\n    return "stuck" in found\n',
        'def f(key):\n    return key.detector == "level"\n',
        'def f(key):\n    return key.detector in {"spike", "rate"}\n',
        'def f(item):\n    return item.detectors.get("category")\n',
        'def f(item):\n    return item.detectors["step"]\n',
        'def f(chart):\n    return chart.startswith("t2")\n',
    ],
)
def test_naming_a_detector_is_caught(tmp_path, offence):
    """However a module asks for it."""
    source = tmp_path / "bad.py"
    source.write_text(offence, encoding="utf-8")
    assert detectors_named(source)


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


@pytest.mark.parametrize(
    "offence",
    [
        'def f(source):\n    return source.protocol == "modbus"\n',
        'def f(source):\n    match source.protocol:\n        case "opcua":\n            return 1\n',
        'TABLE = {"mqtt": 1}\n',
        "def f(source, schema):\n    return isinstance(source, schema.OpcUaSource)\n",
        "from agent.configuration.schema import MqttSource\n",
        "def f():\n    from agent.decode import modbus\n    return modbus\n",
        "from agent.sources.modbus_framing import Framing\n",
    ],
)
def test_naming_a_protocol_is_caught(tmp_path, monkeypatch, offence):
    """Compared, matched, listed, asked by class or imported: none of it passes."""
    source = tmp_path / "agent" / "checking" / "bad.py"
    source.parent.mkdir(parents=True)
    (tmp_path / "agent" / "decode").mkdir()
    source.write_text(offence, encoding="utf-8")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError):
        test_protocols_are_named_by_themselves_and_in_the_tables_only(source)


def test_naming_a_payload_form_is_caught(tmp_path, monkeypatch):
    """Also where it is imported late."""
    source = tmp_path / "agent" / "runtime" / "bad.py"
    source.parent.mkdir(parents=True)
    (tmp_path / "agent" / "forward").mkdir()
    source.write_text("def f():\n    from agent.forward import json_payload\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError):
        test_payload_forms_are_known_by_their_table_only(source)
