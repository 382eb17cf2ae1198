"""Errors in words that a person can act on."""

from __future__ import annotations

import asyncio
import pickle
import socket
import ssl

import pytest

from agent.errors import (
    BaselineError,
    ConfigurationError,
    FieldwardenError,
    SourceError,
    cause_of,
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(111, "Connect call failed ('127.0.0.1', 1883)"), "Connection refused"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 101] b"), "Multiple exceptions: a, b"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"),
         "[SSL: WRONG_VERSION_NUMBER] wrong version"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("no port"), "no port"),
    ],
)  # fmt: skip
def test_a_cause_is_said_in_words_without_numbers(error, said):
    """The system's words for the system's errors; what has none is called by its name."""
    assert cause_of(error) == said


async def test_a_refused_connection_is_said_alike_however_it_was_made():
    """asyncio and the socket itself word it differently."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError) as loop:
            await asyncio.open_connection("127.0.0.1", port)
        with socket.socket() as plain, pytest.raises(OSError) as direct:
            plain.connect(("127.0.0.1", port))
    assert cause_of(loop.value) == cause_of(direct.value) == "Connection refused"


@pytest.mark.parametrize("error", [
    BaselineError("fitting", "t", "no value", "look"), SourceError("reading", "s", "refused"),
    ConfigurationError("c.toml", [FieldwardenError("reading", "c.toml", "bad", "mend it")]),
], ids=str)  # fmt: skip
def test_an_error_of_another_process_comes_as_it_was(error):
    """Text, parts and kind."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.operation, again.subject, again.hint) == (
        error.operation, error.subject, error.hint
    )  # fmt: skip
