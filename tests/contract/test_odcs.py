"""Contracts in the Open Data Contract Standard: valid by its JSON Schema, and back without loss."""

from __future__ import annotations

import copy
import importlib.resources
import json

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import cli
from agent.commands.contract import file_name
from agent.contract.document import Contract, ModelTerms, SourceTerms, TagTerms, text_of
from agent.contract.odcs import contract_from, documents
from agent.errors import FieldwardenError
from tests.contract.test_differences import contract, words

SCHEMA = json.loads(
    (importlib.resources.files("open_data_contract_standard") / "schema.json").read_text("utf-8")
)


def test_the_schema_is_that_of_the_version_that_is_written():
    """A newer package would check less strictly."""
    assert SCHEMA["properties"]["apiVersion"]["default"] == "v3.1.0"


def valid(document):
    """Whether ODCS's own schema takes it; of what does not fit the place is told."""
    found = [
        (error.json_path, error.message)
        for error in jsonschema.Draft201909Validator(SCHEMA).iter_errors(document)
    ]
    assert not found, found


keys = st.one_of(
    words.filter(bool),
    st.sampled_from(["interval_s", "served_x", "max_silence_s", "a1_b2", "x__y", "Ab", "a:b"]),
)
values = st.one_of(
    st.integers(-(2**53), 2**53), words, st.booleans(), st.lists(st.integers(), max_size=2),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
terms = st.dictionaries(keys, values, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    agreed=terms, told=terms, name=words, known=st.fixed_dictionaries({}, optional={
        "address": words, "description": words,
        "physical": st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(list),
        "data_type": st.sampled_from(["float64", "string", "bool", "int16"]),
    }),
)  # fmt: skip
def test_any_contract_goes_there_and_back(agreed, told, name, known):
    """Whatever its terms are called: the same contract, and each file valid."""
    own = TagTerms(agreed | known, told)
    model = ModelTerms("1", "o", "", {name: {"role": "input", **told}})
    made = Contract("north", "gw", {"s": SourceTerms(agreed, told, {name: own})}, {"m": model}, "z")
    written = documents(made)
    for document in written.values():
        valid(document)
    again = contract_from(json.loads(json.dumps(one)) for one in written.values())
    assert again == made and again.digest == made.digest


def test_what_odcs_has_a_word_for_stands_there():
    """Other tools read it: address, type, range, whether a model needs it, who owns it."""
    full = contract(a=TagTerms(
        {"address": "ns=2;s=T", "physical": [0.0, 9.0], "description": "feed", "unit": "degC"},
        {"data_type": "Int16"},
    ))  # fmt: skip
    document = documents(full)["s"]
    a, b = document["schema"][0]["properties"]
    assert (a["physicalName"], a["physicalType"], a["logicalType"]) == (
        "ns=2;s=T", "Int16", "integer",
    )  # fmt: skip
    assert a["logicalTypeOptions"] == {"minimum": 0.0, "maximum": 9.0}
    assert (a["required"], b["required"], a["description"]) == (True, False, "feed")
    assert document["team"]["name"] == "t <c>"
    assert {"property": "unit", "value": "degC"} in a["customProperties"]


def test_the_commands_write_and_take_files(tmp_path):
    """Export, a change by hand, import: it is shown, and asked for with --replace."""
    config = tmp_path / "config.toml"
    config.write_text("schema = 1\n", encoding="utf-8")
    saved = tmp_path / "config.contract.json"
    saved.write_text(text_of(contract()), encoding="utf-8")
    out = tmp_path / "out"

    def run(*arguments):
        return CliRunner().invoke(cli, ["contract", *map(str, arguments)])

    assert run("export", config, "--out", out).exit_code == 0
    (path,) = out.iterdir()
    document = yaml.safe_load(path.read_text("utf-8"))
    valid(document)
    assert run("import", config, path).exit_code == 0
    assert saved.read_text("utf-8") == text_of(contract())
    edited = copy.deepcopy(document)
    edited["schema"][0]["properties"][0]["physicalName"] = "holding 7"
    path.write_text(yaml.safe_dump(edited), encoding="utf-8")
    refused = run("import", config, path)
    assert refused.exit_code == 1
    assert "address was holding 0, is holding 7" in refused.output
    assert saved.read_text("utf-8") == text_of(contract())
    assert run("import", config, path, "--replace").exit_code == 0
    assert "holding 7" in saved.read_text("utf-8")


@pytest.mark.parametrize(
    "bad", ["a: [", "[]", "kind: DataContract", "- 1", "!!python/object:os.system x", "a: &a [*a]"]
)
def test_what_is_no_contract_is_refused_in_words(tmp_path, bad):
    """And no tag of YAML makes an object."""
    config, path = tmp_path / "config.toml", tmp_path / "s.yaml"
    config.write_text("schema = 1\n", encoding="utf-8")
    path.write_text(bad, encoding="utf-8")
    found = CliRunner().invoke(cli, ["contract", "import", str(config), str(path)])
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    assert "reading" in found.output


def test_contracts_of_two_gateways_are_not_mixed():
    """One import is of one gateway."""
    one, other = documents(contract())["s"], documents(contract())["s"] | {"dataProduct": "gw2"}
    with pytest.raises(FieldwardenError, match="of 2 gateways"):
        contract_from([one, other])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda one: one.pop("domain"), "lacks the key domain"),
        (lambda one: one.update(kind="Other"), "its kind is 'Other'"),
        (lambda one: one.update(servers=3), "of another form"),
    ],
)
def test_of_several_files_the_faulty_one_is_named(spoil, told):
    """By its source, with what is wrong."""
    good, bad = documents(contract())["s"], copy.deepcopy(documents(contract())["s"])
    spoil(bad)
    with pytest.raises(FieldwardenError, match=f"that of source {bad['name']}.*{told}"):
        contract_from([bad, good])


def test_two_files_of_one_source_are_refused():
    """Which of them counts nobody could tell."""
    one = documents(contract())["s"]
    with pytest.raises(FieldwardenError, match="those of source s: only one"):
        contract_from([one, copy.deepcopy(one)])


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "..", ".hidden", "Kühlung", "a b"])
def test_a_source_is_no_path(name):
    """Its file stays in the folder, whatever it is called."""
    found = file_name(name)
    assert "/" not in found and not found.startswith(".")
