"""The log tells each change once, at its level, with subject, cause and person."""

from __future__ import annotations

import logging

import pytest

from agent.runtime import spoken
from agent.types import Event

CASES = [
    ("verdict", "model/m", {"verdict": "untrusted", "reasons": [{"text": "a is stuck"}]},
     "WARNING", "model m is untrusted: a is stuck subject=model/m"),
    ("verdict", "model/m", {"verdict": "trusted", "reasons": []}, "INFO", "model m is trusted"),
    ("condition", "tag/a", {"change": "raised", "severity": "high", "text": "a is stuck",
                            "hint": "check it", "cause": "sensor"},
     "WARNING", "alarm raised: a is stuck; to do: check it subject=tag/a cause=sensor"),
    ("condition", "tag/a", {"change": "acknowledged", "text": "a is stuck", "by": "Mara Lind",
                            "note": "seen"}, "INFO", '(seen) subject=tag/a by="Mara Lind"'),
    ("source", "source/s", {"state": "failed", "reason": "refused"},
     "WARNING", "source s is failed: refused"),
    ("source", "source/s", {"state": "live"}, "INFO", "source s is live"),
    ("mode", "model/m", {"mode": "running", "was": None}, "INFO", "model m is in mode running"),
    ("configuration", "tag/a", {"change": "out_of_service", "by": "Ole"}, "INFO",
     "tag/a: out of service subject=tag/a by=Ole"),
    ("gap", "source/s", {"reason": "lost for 20 s"}, "WARNING", "gap: lost for 20 s"),
    ("gap", "gateway", {"reason": "dropped", "count": 1200, "unit": "samples"}, "WARNING",
     "gap: dropped, 1,200 samples"),
    ("clock", "gateway", {"change": "set", "shift_ns": 1200 * 10**9, "away_ns": 0,
                          "time_quality": "synchronised", "was": "unsynchronised"}, "INFO",
     ("clock: it was set forward by 20 min; times before it are moved, it is synchronised now, "
     "was unsynchronised")),
    ("clock", "gateway", {"change": "set", "shift_ns": -3_600_000_000_000, "away_ns": 0,
                          "time_quality": "implausible", "was": "unknown"}, "WARNING",
     "clock: it was set back by 60 min"),
    ("clock", "gateway", {"change": "away", "shift_ns": 0, "away_ns": 300 * 10**9,
                          "time_quality": "unknown", "was": "unknown"}, "WARNING",
     "clock: the process stood still for 5 min subject="),
    ("engine", "gateway", {"change": "x", "part": "store", "reason": "it was empty", "count": 3,
                           "unit": "entries", "set_aside": "f.db.damaged-1", "hint": "h"},
     "WARNING", ("store: it was empty; 3 entries are lost; the old file is set aside as "
     "f.db.damaged-1: what could be read")),
    ("gap", "source/s", {"from_ns": 10**9, "to_ns": 21 * 10**9, "reason": "no route"}, "WARNING",
     "nothing came from source s for 20 s: no route"),
    ("retraining", "model/m", {"change": "requested", "id": "m@7", "owner": "data <d@x>",
                               "text": "2 of 3 inputs shifted"}, "WARNING",
     "retraining of model m requested (m@7), for data <d@x>: 2 of 3 inputs shifted"),
    ("retraining", "model/m", {"change": "declared", "id": "m@7", "owner": "data <d@x>",
                               "text": "t", "note": "new grade", "by": "Ole"}, "INFO",
     "t (new grade) subject=model/m by=Ole"),
    ("engine", "gateway", {"change": "warming up", "part": "model m"}, "INFO", "warming up"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "subject", "data", "level", "text"), CASES)
def test_an_event_is_one_line_at_its_level(caplog, kind, subject, data, level, text):
    """What asks for somebody is a warning; all else is information."""
    with caplog.at_level(logging.DEBUG, "fieldwarden"):
        spoken.say([Event(kind, 1, subject, data)])
    (record,) = caplog.records
    assert record.levelname == level
    assert text in record.getMessage()


def test_findings_are_not_told(caplog):
    """A finding is a detail of a condition, and there are many."""
    with caplog.at_level(logging.DEBUG, "fieldwarden"):
        spoken.say([Event("finding", 1, "tag/a", {"detector": "level"})])
    assert caplog.records == []


def test_no_text_breaks_the_line(caplog):
    """Texts come from devices and people: a line stays a line, a field a field."""
    data = {"state": "failed", "reason": "a\nb\x1b[31m", "by": "x=y z"}
    with caplog.at_level(logging.DEBUG, "fieldwarden"):
        spoken.say([Event("source", 1, "source/s\n", data)])
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert 'by="x=y z"' in record.getMessage()
