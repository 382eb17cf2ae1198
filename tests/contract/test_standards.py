"""What is written in standard forms, checked by tools of others: see `.ci/standards.txt`.

`make test` makes their environment, `.venv-lint`; where it could not be made, these are skipped,
and CI refuses what is skipped.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli import cli
from agent.contract.document import TagTerms, text_of
from tests.contract.test_differences import contract

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-lint" / "bin"
pytestmark = pytest.mark.skipif(
    not (TOOLS.parent / ".ready").exists(), reason="no .venv-lint: make standards, with a network"
)
ASYNCAPI = """
import sys, warnings, yaml
warnings.simplefilter("ignore")  # of the library's own names
from asyncapi3.models import AsyncAPI3
AsyncAPI3.model_validate(yaml.safe_load(sys.stdin))
"""


def lint(path):
    """Whether `datacontract lint` takes a file, and what it says."""
    done = subprocess.run(
        [TOOLS / "datacontract", "lint", "--all-errors", path],
        capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "200"},
    )  # fmt: skip
    return done.returncode == 0, done.stdout + done.stderr


def test_datacontract_lint_takes_an_export(tmp_path):
    """With all that a contract may say; a type that ODCS does not have is refused."""
    config = tmp_path / "config.toml"
    config.write_text("schema = 1\n", encoding="utf-8")
    told = TagTerms(
        {"address": "nsu=urn:p;s=Ä 1", "unit": "degC", "physical": [0.0, 9.5], "description": "x",
         "interval_s": 1.0, "not_available": [-9999]},
        {"data_type": "Double", "range": [0.0, 9.0], "keys": ["a", "b"], "retained": False},
    )  # fmt: skip
    made = contract(a=told, b=TagTerms({"address": "x", "data_type": "string"}))
    config.with_name("config.contract.json").write_text(text_of(made), encoding="utf-8")
    arguments = ["contract", "export", str(config), "--out", str(tmp_path)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    (path,) = tmp_path.glob("*.odcs.yaml")
    taken, said = lint(path)
    assert taken, said
    text = path.read_text("utf-8")
    assert "logicalType: string" in text
    path.write_text(text.replace("logicalType: string", "logicalType: odd", 1), encoding="utf-8")
    taken, said = lint(path)
    assert not taken
    assert "logicalType" in said


@pytest.mark.parametrize(
    ("was", "now", "named"),
    [("", "", ""), ("qos: 1", "qos: 4", "qos"), ("action: send", "action: shout", "action"),
     ("    address:", "    topic:", "topic")],
)  # fmt: skip
def test_the_asyncapi_document_has_the_structure_of_the_standard(was, now, named):
    """Of AsyncAPI 3.0, where each object takes only what the standard knows."""
    text = (ROOT / "docs" / "asyncapi.yaml").read_text("utf-8")
    assert was in text
    done = subprocess.run(
        [TOOLS / "python", "-c", ASYNCAPI], input=text.replace(was, now, 1) if was else text,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (not was), done.stderr[-2000:]
    assert named in done.stderr
