"""Lines for people: broken between words in a terminal, whole in a pipe."""

from __future__ import annotations

import shutil
import sys

import pytest

from agent.cli import _Failure
from agent.commands.lines import counted, hanging
from agent.errors import FieldwardenError

TEXT = "source utilities: 127.0.0.1:15020 was not reached: Connection refused"
PATH = "/var/lib/fieldwarden/" + "x" * 60


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of so many columns."""

    def _of(columns):
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: type("", (), {"columns": columns}))
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)

    return _of


def test_a_pipe_gets_the_line_as_it_is():
    """What reads it wants one line a thing."""
    assert hanging(TEXT, 9) == TEXT


def test_a_terminal_gets_words_that_are_whole(terminal):
    """The first line is where the cursor is already; the next ones begin below it."""
    terminal(50)
    assert hanging(TEXT, 9).split("\n") == [
        "source utilities: 127.0.0.1:15020 was not",
        "         reached: Connection refused",
    ]
    assert hanging(TEXT, 2, begun=False).split("\n")[1].startswith("  Connection")
    assert all(len(line) <= 50 for line in (" " * 9 + hanging(TEXT, 9)).split("\n"))


def test_a_path_stays_whole_to_be_copied(terminal):
    """Even where it is longer than a line."""
    terminal(60)
    lines = hanging(f"reading the store {PATH} of the agent: there is none", 7).split("\n")
    assert PATH in [line.strip() for line in lines]


def test_nothing_is_squeezed_into_a_few_columns(terminal):
    """The terminal then breaks it as it can."""
    terminal(42)
    assert hanging(TEXT, 9) == TEXT


def test_errors_are_broken_below_their_own_begin(terminal):
    """Cause and hint stay apart."""
    terminal(50)
    error = FieldwardenError("reading", "the file", "there is no such file, and never was", TEXT)
    lines = ("Error: " + _Failure(str(error)).format_message()).split("\n")
    assert lines[0] == "Error: reading the file: there is no such file,"
    assert lines[1] == "       and never was"
    assert lines[2].startswith("  hint: source utilities:")
    assert lines[3].startswith("        ")
    assert all(len(line) <= 50 for line in lines)


@pytest.mark.parametrize(
    ("number", "word", "text"),
    [(1, "event", "1 event"), (0, "event", "0 events"), (1, "entry", "1 entry"),
     (4000, "entry", "4,000 entries")],
)  # fmt: skip
def test_one_of_a_thing_is_singular(number, word, text):
    """And thousands can be read."""
    assert counted(number, word) == text
