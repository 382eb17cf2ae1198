"""An agent is found by its configuration, also where that has faults by now."""

from __future__ import annotations

import pytest

from agent.configuration.load import load
from agent.configuration.whereabouts import find
from agent.errors import ConfigurationError

GOOD = """\
schema = 1
[gateway]
site = "s"
name = "g"
state_directory = "own"
[status]
socket = "elsewhere/a.sock"
[sources.one]
protocol = "mqtt"
host = "127.0.0.1"
[tags.a]
source = "one"
address = "t /a"
"""
BROKEN = {
    "a wrong value": GOOD.replace("schema = 1", "schema = 2"),
    "no TOML at its end": GOOD + "[tags.b\n",
    "no TOML at its begin": "schema = = 1\n" + GOOD,
    "quotes without end": GOOD.replace('name = "g"', 'name = "g'),
    "two of one key": GOOD.replace('name = "g"', 'name = "g"\nname = "h"'),
    "nested too deeply": GOOD + "x = " + "[" * 50 + "]" * 50,
    "a key of many parts": GOOD + "a" + ".a" * 9_000 + " = 1\n",
    "not UTF-8": GOOD.replace('"s"', '"\udcff"'),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_file_still_names_its_agent(tmp_path, monkeypatch, fault):
    """The same store and socket as before the fault, and what the fault is."""
    file = tmp_path / "c.toml"
    file.write_text(GOOD, encoding="utf-8")
    good = load(file)
    file.write_bytes(BROKEN[fault].encode("utf-8", "surrogateescape"))
    found = find(file)
    assert (found.store, found.socket) == (good.store_path, good.socket_path)
    assert isinstance(found.fault, ConfigurationError) and found.fault.faults


@pytest.mark.parametrize("text", ["", "= 1", "[gateway]\nstate_directory = 3\n", "gateway = 1",
                                  '[status]\nsocket = "a\\u0000b"\n'])
def test_what_it_does_not_name_goes_without_saying(tmp_path, monkeypatch, text):
    """systemd's directory, else that beside the file."""
    file = tmp_path / "c.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert find(file).store == tmp_path / "state" / "fieldwarden.db"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert str(find(file).store) == "/var/lib/one/fieldwarden.db"
    assert str(find(file).socket) == "/var/lib/one/agent.sock"


def test_a_file_that_is_not_there_names_nothing(tmp_path):
    """A name that was mistyped is told so."""
    with pytest.raises(ConfigurationError):
        find(tmp_path / "none.toml")
