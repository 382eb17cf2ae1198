"""Log lines: priorities for the journal, repeated ones once a minute, floods cut."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

from agent.commands.log_lines import (
    KIND_PER_MINUTE,
    BadRequests,
    Sparing,
    _Prioritised,
    set_up_logging,
)  # fmt: skip


def logged(*lines, filters=()):
    """What a handler writes of (time in s, level, text, arguments) each."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for one in filters:
        handler.addFilter(one)
    for at, level, text, *args in lines:
        record = logging.LogRecord("x", level, "file", len(text), text, tuple(args), None)
        record.created = at
        handler.handle(record)
    return out.getvalue().splitlines()


def test_the_same_line_is_said_once_a_minute_and_counted():
    """A link that flaps all night fills no journal, and nothing is hidden."""
    lines = [(float(s), logging.WARNING, "source %s is lost", "a") for s in range(0, 121, 10)]
    assert logged(*lines, filters=[Sparing()]) == [
        "source a is lost", "source a is lost (said 5 times more since)",
        "source a is lost (said 5 times more since)",
    ]  # fmt: skip


def test_what_the_lines_leave_out_or_add_is_no_business_of_other_handlers(capsys, caplog):
    """They get each record as it was logged."""
    others = logging.getLogger().handlers[:]
    set_up_logging(verbose=False)
    logging.getLogger().handlers.extend(others)
    for second in range(3):
        record = logging.LogRecord("x", logging.WARNING, "f", 1, "lost", (), None)
        record.created = 61.0 * (second // 2)
        logging.getLogger().handle(record)
    assert [one.getMessage() for one in caplog.records] == ["lost", "lost", "lost"]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("x: ")[2] for line in said] == ["lost", "lost (said 1 times more since)"]


def test_different_lines_of_one_kind_are_cut_at_a_limit():
    """A thousand tags that fail at once are not a thousand lines; the next minute speaks again."""
    lines = [(0.001 * i, logging.WARNING, "tag %d is lost", i) for i in range(1_000)]
    said = logged(*lines, (61.0, logging.WARNING, "tag %d is lost", 5_000), filters=[Sparing()])
    assert len(said) == KIND_PER_MINUTE + 1
    assert said[-2].endswith("more of this kind within the minute are left out")
    assert said[-1] == "tag 5000 is lost"


def test_a_clock_that_goes_back_silences_nothing():
    """The filter compares times of records, which the wall clock gives."""
    lines = [(1e9, logging.WARNING, "lost"), (5.0, logging.WARNING, "lost")]
    assert logged(*lines, filters=[Sparing()]) == ["lost", "lost"]


def test_every_line_has_the_priority_that_the_journal_sorts_by():
    """sd-daemon(3): <4> is a warning; a traceback's lines have it too."""
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "first\nsecond", (), None)
    assert _Prioritised("%(message)s").format(record) == "<4>first\n<4>second"


def test_a_request_that_is_no_http_gives_no_traceback():
    """What strangers send is not a fault of ours."""
    from aiohttp.http_exceptions import BadStatusLine

    try:
        raise BadStatusLine("\x16\x03")
    except BadStatusLine:
        record = logging.LogRecord("aiohttp.server", logging.ERROR, "f", 1, "Error", (),
                                   sys.exc_info())  # fmt: skip
    assert BadRequests().filter(record)
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "no HTTP" in record.getMessage()


def test_the_journal_gets_priorities_and_a_terminal_gets_times():
    """As the service manager says by its environment."""
    code = (
        "import logging\nfrom agent.commands.log_lines import set_up_logging\n"
        "set_up_logging(verbose=False)\nlogging.getLogger('a').warning('said')"
    )
    for environment, begins in (({"JOURNAL_STREAM": "8:1"}, "<4>WARNING a: said"), ({}, "20")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONPATH": ".", **environment},
        )  # fmt: skip
        assert done.stderr.startswith(begins)
