"""At what interval tags are expected that are no inputs: outputs, labels and mode tags."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.configuration.schema import Configuration
from agent.core.baseline import Pace, from_document, to_document
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.errors import BaselineError
from agent.runtime.assemble import build_spec
from tests.core.small import SECOND, START, baseline
from tests.runtime.outputs import TAGS, configured, rows_of

LATE = {"y": Pace(60 * SECOND, 0), "lab": Pace(86_400 * SECOND, 86_400 * SECOND),
        "grade": Pace(10 * SECOND, 40 * SECOND)}  # fmt: skip


def spec(configuration: Configuration, paces: dict[str, Pace] | None = None, **more) -> EngineSpec:
    trained = replace(baseline(("a", "b", "c")), paces=paces or {})
    ids = {name: row + 1 for row, name in enumerate(TAGS)}
    return build_spec(configuration, ids, {"m": trained}, **more)


def test_a_tag_that_no_record_has_is_expected_as_often_as_its_model_scans():
    """And of a label no silence is too long: it comes when the laboratory is done."""
    tags = spec(configured(scan="20s")).tag_of
    assert [tags[name].interval_ns // SECOND for name in ("y", "grade", "lab")] == [20, 20, 20]
    assert [tags[name].max_silence_ns // SECOND for name in ("y", "grade")] == [100, 100]
    assert tags["lab"].max_silence_ns > 365 * 86_400 * SECOND
    assert tags["a"].interval_ns == SECOND  # of the record, as before
    assert tags["idle"].interval_ns == SECOND


def test_the_record_says_how_often_they_come():
    """As the baseline holds it, with the longest gap that it shows."""
    tags = spec(configured(scan="20s"), LATE).tag_of
    assert [tags[name].interval_ns // SECOND for name in ("y", "grade", "lab")] == [60, 10, 86_400]
    assert [tags[name].max_silence_ns // SECOND for name in ("y", "grade", "lab")] == [
        300, 80, 5 * 86_400,
    ]


def test_what_a_person_said_goes_first():
    """Of the tag, or of a replayed record."""
    tags = spec(configured(scan="20s", y={"interval": "5s"}), LATE).tag_of
    assert tags["y"].interval_ns == 5 * SECOND
    replayed = spec(configured(), LATE, recorded={"y": 7 * SECOND, "a": 7 * SECOND}).tag_of
    assert replayed["y"].interval_ns == 7 * SECOND
    assert replayed["a"].interval_ns == SECOND  # an input's is that of its training


def test_an_output_that_comes_with_its_models_scan_is_not_missing():
    """Every 20 s, as the model scans: nothing is told of it in its first minutes, or later."""
    engine = Engine(spec(configured(scan="20s")))
    told = []
    for entry in rows_of(600, y_every=20):
        told += engine.step(entry).events
    assert not [event for event in told if "/y" in event.subject or "/grade" in event.subject]


def test_an_output_that_stops_is_missing():
    """After five of its intervals; the model can then not be assessed."""
    engine = Engine(spec(configured(scan="20s")))
    told = [event for entry in rows_of(600, y_every=20, y_until=200)
            for event in engine.step(entry).events]  # fmt: skip
    (raised,) = [event for event in told if event.data.get("change") == "raised"]
    assert (raised.subject, raised.data["kind"]) == ("tag/y", "missing")
    assert 180 + 100 <= (raised.time_ns - START) // SECOND <= 180 + 150


def test_paces_last_in_the_baseline_and_are_looked_at():
    """There and back; a baseline without them has the document that it had."""
    plain = baseline()
    assert "paces" not in to_document(plain)
    kept = from_document(to_document(replace(plain, paces=LATE)), "file")
    assert dict(kept.paces) == LATE
    bad = to_document(replace(plain, paces={"y": Pace(0, 0)}))
    with pytest.raises(BaselineError, match="paces"):
        from_document(bad, "file")
