"""Keys of a file are set in place: all else of it stays, letter by letter."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.configuration.toml_edit import add_to_list, set_keys, toml

TEXT = """\
# head
schema = 1   # the version

[gateway]  # who
name = "gw"

[tags."a b"] # a tag
unit = "degC"  # by the "data" sheet
physical = [ -40,   # low
  250 ]  # high
'address' = 'holding 1'
[tags.c]
address = "x # y"
"""


def test_values_are_replaced_and_comments_stay():
    """Of one line and of several, with quotes and signs in them; a new key comes first."""
    made = set_keys(
        TEXT, ("tags", "a b"),
        {"unit": "K", "physical": [0.0, 1.5], "address": "holding 2", "kind": "angle"},
    )  # fmt: skip
    assert made == TEXT.replace('"degC"', '"K"').replace(
        "[ -40,   # low\n  250 ]", "[0.0, 1.5]"
    ).replace("'holding 1'", '"holding 2"').replace("# a tag\n", '# a tag\nkind = "angle"\n')
    assert set_keys(TEXT, ("tags", "c"), {"address": "z"}).endswith('[tags.c]\naddress = "z"\n')


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (TEXT, TEXT.replace("version\n", 'version\ntag_lists = ["t.csv"]\n')),
        ('tag_lists = ["a.csv"]  # why\n[a]\n', 'tag_lists = ["a.csv", "t.csv"]  # why\n[a]\n'),
        ("tag_lists = []\n", 'tag_lists = ["t.csv"]\n'), ("", 'tag_lists = ["t.csv"]\n'),
        ("x = 1", 'x = 1\ntag_lists = ["t.csv"]\n'),
        ('tag_lists = [\n    "a.csv",  # one\n]\n[a]\n',
         'tag_lists = [\n    "a.csv",  # one\n    "t.csv",\n]\n[a]\n'),
        ('tag_lists = [\n    "a.csv"  # one\n]\n',
         'tag_lists = [\n    "a.csv",  # one\n    "t.csv",\n]\n'),
        ("# of a\n[a]\nb = 1\n", 'tag_lists = ["t.csv"]\n# of a\n[a]\nb = 1\n'),
    ],
)  # fmt: skip
def test_a_list_gets_one_more_wherever_it_stands(text, wanted):
    """On one line, on several, empty, or not there."""
    assert add_to_list(text, "tag_lists", "t.csv") == wanted


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ('tags = { a = { unit = "x" } }\n', ("tags", "a")), ('tags.a.kind = "x"\n', ("tags", "a")),
        ('[tags.a]\nunit = """\nx\n"""\n', ("tags", "a")),
    ],
)  # fmt: skip
def test_what_can_not_be_set_in_place_is_refused(text, table):
    """Inline tables, dotted keys, texts over several lines."""
    with pytest.raises(ValueError):
        set_keys(text, table, {"unit": "y"})


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12), st.booleans(),
    st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6), max_size=3),
)  # fmt: skip
KEYS = st.sampled_from(["unit", "address", "physical", "kind", "description"])


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.dictionaries(KEYS, VALUES, max_size=5))
def test_whatever_was_there_what_is_set_is_read_back(before, after):
    """With comments behind every value, which stay."""
    lines = [f"{key} = {toml(value)}  # {key}'s [\"note\"]" for key, value in before.items()]
    text = "\n".join(["a = 1", '[tags."x.y"]', *lines, "[z]", "b = 2"]) + "\n"
    made = set_keys(text, ("tags", "x.y"), after)
    assert tomllib.loads(made) == {
        "a": 1, "tags": {"x.y": before | after}, "z": {"b": 2}
    }  # fmt: skip
    assert all(f"# {key}'s [\"note\"]" in made for key in before)
