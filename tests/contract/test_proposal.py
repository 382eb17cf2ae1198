"""The document of a proposed change: every key checked, and what is wrong told all at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.configuration.load import load
from agent.configuration.schema import Configuration
from agent.contract.proposal import checked, parsed
from agent.contract.proposal_keys import SOURCE_KEYS, TAG_KEYS
from agent.errors import ConfigurationError, FieldwardenError

ROOT = Path(__file__).parents[2]
HEAD = 'text = "a new transmitter"\nwho = "A. Berg"\n'


def configured() -> Configuration:
    """Two tags in degC of a Modbus source, one without a unit, one of a broker."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"plc": {"protocol": "modbus", "host": "h"},
                    "line": {"protocol": "mqtt", "host": "h"}},
        "tags": {
            "a": {"source": "plc", "address": "holding 0 float32", "unit": "degC"},
            "b": {"source": "plc", "address": "holding 2 float32", "unit": "degC"},
            "bare": {"source": "plc", "address": "holding 4 float32"},
            "speed": {"source": "line", "address": "t /speed", "unit": "m/min"},
        },
    })  # fmt: skip


def faults(text: str) -> str:
    """What is said of a document that is refused."""
    with pytest.raises(FieldwardenError) as told:
        parsed(text.encode(), "change.toml", configured())
    return str(told.value)


def test_the_example_names_every_key_and_is_taken():
    """`configs/change.toml` goes with the reference configuration, and shows all that there is."""
    path = ROOT / "configs" / "change.toml"
    text = path.read_text(encoding="utf-8")
    found = parsed(text.encode(), str(path), load(ROOT / "configs" / "reference.toml"))
    assert found.who and found.planned_ns == 1_796_277_600 * 10**9
    missing = [key for key in (*TAG_KEYS, *SOURCE_KEYS) if f"\n{key} = " not in text
               and f"\n# {key} = " not in text]  # fmt: skip
    assert not missing


def test_a_document_is_the_same_after_the_journal():
    """What `to_json` gives is checked again to the same proposal."""
    text = HEAD + "planned = 2026-12-03T06:00:00Z\n[tags.a]\nunit = 'degF'\n"
    text += "[sources.plc]\nreplaced = true"
    found = parsed(text.encode(), "f", configured())
    assert checked(found.to_json(), "journal", configured()) == found


def test_what_a_proposal_touches():
    """Tags named, those that trade places, those of a whole source; of a renamed key its own."""

    def touched(text: str) -> tuple[list[str], list[str]]:
        return parsed((HEAD + text).encode(), "f", configured()).touched(configured())

    assert touched('[tags.a]\nswap_with = "b"') == (["plc"], ["a", "b"])
    assert touched("[sources.plc]\nreplaced = true") == (["plc"], ["a", "b", "bare"])
    assert touched('[sources.line]\nrenamed = { speed = "rpm" }') == (["line"], ["speed"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", ["it is no TOML", "configs/change.toml"]),
        ("", ["nothing changes", "[sources.NAME]"]),
        ("colour = 1\n[tags.a]\nremoved = true", ["colour", "there is no such key"]),
        ("[tags.aa]\nremoved = true", ["no tag 'aa'", "did you mean 'a'?"]),
        ("[sources.plk]\nreplaced = true", ["no source 'plk'", "did you mean 'plc'?"]),
        ("[tags.a]", ["tags.a", "it says nothing"]),
        ("tags = 3", ["it is no table"]),
        ("[tags.a]\nunits = 'degF'", ["tags.a: units", "did you mean 'unit'?"]),
        ("[tags.a]\nunit = 'bar'", ["degC can not be told in bar"]),
        ("[tags.bare]\nunit = 'bar'", ["no unit in the configuration", "factor and offset"]),
        ("[tags.a]\nunit = 'degF'\nfactor = 2.0", ["can not stand beside factor"]),
        ("[tags.a]\nremoved = true\ndecimals = 1", ["can not stand beside decimals"]),
        ("[tags.a]\nfactor = 0", ["makes every value the same", "removed = true"]),
        ("[tags.a]\nfactor = nan", ["nan is no number"]),
        ("[tags.a]\noffset = true", ["True is no number"]),
        ("[tags.a]\ndecimals = 20", ["no whole number from 0 to 12"]),
        ("[tags.a]\nwhole_numbers = 1", ["1 is not true"]),
        ("[tags.a]\ninterval = 10", ["10 is no duration"]),
        ("[tags.a]\ninterval = '10 bananas'", ["is no duration"]),
        ("[tags.a]\nswap_with = 'a'", ["trade places with itself"]),
        ("[tags.a]\nswap_with = 'c'", ["no tag 'c'"]),
        ("[tags.a]\nswap_with = 'b'\n[tags.bare]\nswap_with = 'b'", ["with a and with bare"]),
        ("[tags.a]\ndata_type = 'int17'", ["no type 'int17'", "did you mean 'int1"]),
        ("[tags.a]\naddress = 'holding'", ["it is not understood"]),
        ("[tags.a]\naddress = 'holding 0 float32'", ["that is where the tag is now"]),
        ("[tags.a]\nrange = [5, 5]", ["must be below"]),
        ("[tags.a]\nrange = 5", ["is no range", "write [low, high]"]),
        ("[sources.line]\nregister_shift = 1", ["mqtt has no registers"]),
        ("[sources.plc]\nregister_shift = 0", ["nothing moves"]),
        ("[sources.plc]\nnamespace_shift = 1", ["modbus has no namespaces"]),
        ("[sources.line]\nrenamed = { sped = 'x' }", ["a key 'sped'", "did you mean 'speed'?"]),
        ("planned = 2026-12-03T06:00:00\n[tags.a]\nremoved = true", ["no time with its offset"]),
    ],
)  # fmt: skip
def test_each_fault_says_what_to_write(text, words):
    """Operation, place, cause and hint."""
    told = faults(HEAD + text)
    assert told.startswith("reading ")
    assert "change.toml" in told
    assert not [word for word in words if word not in told], told


def test_all_faults_are_told_at_once():
    """Nobody mends a file fault by fault."""
    text = "[tags.a]\nunit = 'bar'\nfactr = 1\n[sources.plc]\nregister_shift = 'x'"
    with pytest.raises(ConfigurationError) as told:
        checked(tomllib.loads(text), "f", configured())
    assert len(told.value.faults) == 5  # text and who are missing, too
