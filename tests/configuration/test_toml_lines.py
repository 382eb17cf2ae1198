"""A faulty file is refused in time, with a hint that fits."""

from __future__ import annotations

import time

import pytest

from agent.configuration.load import load
from agent.configuration.toml_lines import longest_key
from agent.errors import ConfigurationError

LIMIT = 4 * 1024 * 1024
LONG = {
    "bare": ".".join("a" * (LIMIT // 2 - 9)),
    "behind a quote in single quotes": "'\"'." + ".".join("a" * (LIMIT // 2 - 9)),
    "blanks between": " . ".join("a" * (LIMIT // 4 - 9)),
    "quoted dots": ".".join(['"."'] * (LIMIT // 4 - 9)),
    "a table's name": "[" + ".".join("a" * (LIMIT // 2 - 9)) + "]",
    "in an inline table": "x = { " + ".".join("a" * (LIMIT // 2 - 20)) + " = 1 }",
    "behind a text of several lines": 'x = { a = """\n""", ' + ".".join("a" * 9_000) + " = 1 }",
}


@pytest.mark.parametrize("kind", LONG)
def test_a_key_of_very_many_parts_is_refused_at_once(tmp_path, kind):
    """The parser alone would take hours for it."""
    file = tmp_path / "c.toml"
    file.write_text(LONG[kind], encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert time.monotonic() - began < 5.0
    assert "nested too deeply" in str(caught.value)


@pytest.mark.parametrize("text", [
    "# " + "." * 900, 'x = "' + "a." * 900 + '"', 'x = """\n' + "a." * 900 + '\n"""',
    "x = [" + "1.5, " * 900 + "]", "x = '" + "." * 900 + "'",
])  # fmt: skip
def test_dots_that_are_no_key_do_not_count(text):
    """Comments, texts and lists of numbers."""
    assert longest_key(text, 200) <= 2


@pytest.mark.parametrize(("text", "hint"), [
    ("scan = 1s", 'scan = "1s"'), ("[tags.inlet flow]", '[tags."inlet flow"]'),
    ("[tags.inlet.flow]\nunit = 1", '[tags."inlet.flow"]'),
    ('path = "C:\\data"', "single quotes"), ('path = "C:\\Users"', "single quotes"),
    ("[gateway]\n[gateway]", "put the keys together"), ("a = [1 2]", "bracket"),
    ('a = "x', "quotes that end"), ("a = True", "small letters"), ("a b = 1", "needs quotes"),
    ("a = 1\na = 2", "drop one"),
])  # fmt: skip
def test_the_hint_fits_the_error(tmp_path, text, hint):
    """What to change in the file, not always the same."""
    file = tmp_path / "c.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    assert any(hint in fault.hint for fault in caught.value.faults), str(caught.value)
