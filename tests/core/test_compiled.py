"""Compiled ahead of time, just in time, and not at all: the same events, the same state bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """
import hashlib, json, sys
from agent.core.engine import Engine
from agent.core.kernels.compiler import MODE
from tests.core.small import baseline, cut, eventful, spec, tell, SECOND, START
found = {}
for held in (False, True):
    engine = Engine(spec(by_exception=held, trained=baseline(joint=True)))
    told = tell(engine, cut(eventful(seed=2), [START + 70 * SECOND, START + 123 * SECOND]))
    found[str(held)] = told.events, told.summaries, hashlib.sha256(told.state).hexdigest()
print(json.dumps({"mode": MODE, "numba": "numba" in sys.modules, "found": found}))
"""

FIT = """
import json
import numpy as np
from agent.core.kernels.compiler import MODE
from agent.fit.joint import fit_joint
from agent.fit.univariate import fit_input
rng = np.random.default_rng(4)
common = np.cumsum(rng.standard_normal(500)) * 0.1
values = common[:, None] + rng.standard_normal((500, 3))
names = ["a", "b", "c"]
found = [fit_input(values[:, j], interval_ns=10**9, arl=1e6, name="x").detectors for j in range(3)]
found.append(fit_joint(values, names, interval_ns=10**9, arl=1e6).to_json())
print(json.dumps({"mode": MODE, "found": found}))
"""


CHOICE = """
import json
from agent.core.kernels.compiler import MODE
print(json.dumps(MODE))
"""


def run(root: Path, script: str = SCRIPT, **env: str) -> Any:
    """What a script says of the agent under `root`, in a process of its own."""
    switches = {"NUMBA_DISABLE_JIT", "FIELDWARDEN_KERNELS"}
    clean = {name: value for name, value in os.environ.items() if name not in switches}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env={**clean, "PYTHONPATH": str(root), **env},
        capture_output=True, text=True, check=True, timeout=110,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def just_in_time() -> dict:
    return run(ROOT, FIELDWARDEN_KERNELS="jit")


def test_the_jit_off_gives_the_same_judgement(just_in_time):
    """`NUMBA_DISABLE_JIT=1`: plain Python, numba not imported; the same events, the same bytes."""
    plain = run(ROOT, NUMBA_DISABLE_JIT="1")
    assert (just_in_time["mode"], just_in_time["numba"]) == ("jit", True)
    assert (plain["mode"], plain["numba"]) == ("python", False)
    assert len(just_in_time["found"]["False"][0]) > 20
    assert plain["found"] == just_in_time["found"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with its kernels compiled ahead of time."""
    root = tmp_path_factory.mktemp("built")
    leave = shutil.ignore_patterns("__pycache__", "_compiled*")
    shutil.copytree(ROOT / "agent", root / "agent", ignore=leave)
    shutil.copytree(ROOT / "tests" / "core", root / "tests" / "core", ignore=leave)
    (root / "tests" / "__init__.py").touch()
    subprocess.run(
        [sys.executable, "-m", "agent.core.kernels.build"], cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, check=True, timeout=110,
    )  # fmt: skip
    return root


def test_compiled_ahead_of_time_gives_the_same_judgement(just_in_time, built):
    """The extension gives the same events and bytes, without numba in memory."""
    compiled = run(built)
    assert (compiled["mode"], compiled["numba"]) == ("compiled", False)
    assert compiled["found"] == just_in_time["found"]


def test_a_fit_is_the_same_however_the_kernels_run(built):
    """Limits are learnt with kernels, too: the extension gives the same ones, to the last bit."""
    compiled, jit = run(built, FIT), run(built, FIT, FIELDWARDEN_KERNELS="jit")
    assert (compiled["mode"], jit["mode"]) == ("compiled", "jit")
    assert compiled["found"] == jit["found"]
    assert run(built, FIT, NUMBA_DISABLE_JIT="1")["found"] == jit["found"]


def test_an_extension_of_other_sources_is_not_used(built):
    """A kernel that changed after the build runs as it is written, not as it was compiled."""
    assert run(built, CHOICE) == "compiled"
    assert run(built, CHOICE, FIELDWARDEN_KERNELS="jit") == "jit"
    assert run(built, CHOICE, NUMBA_DISABLE_JIT="1") == "python"
    source = built / "agent" / "core" / "kernels" / "range.py"
    before = source.read_text(encoding="utf-8")
    source.write_text(before + "\n", encoding="utf-8")
    try:
        assert run(built, CHOICE) == "jit"
    finally:
        source.write_text(before, encoding="utf-8")


def test_the_digest_covers_every_kernel(built):
    """The note beside the extension names exactly the sources it was built from."""
    kernels = built / "agent" / "core" / "kernels"
    digest = hashlib.sha256()
    for path in sorted(kernels.glob("*.py")):
        if path.name not in {"build.py", "compiler.py"}:
            digest.update(path.name.encode() + path.read_bytes())
    assert (kernels / "_compiled.sha256").read_text(encoding="ascii").strip() == digest.hexdigest()
