"""Scripted faults do what the script says, where and when it says it, and nothing else."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import FieldwardenError
from simulators.faults import (
    KINDS,
    Injector,
    TruthLog,
    drive,
    load_faults,
    outputs_injector,
    parse_faults,
)
from simulators.plant import Plant
from simulators.tags import COLUMN, PREDICTED, TAGS

TAG, OTHER = "feed.temperature", "coolant.flow"
AT, OTHER_AT = COLUMN[TAG], COLUMN[OTHER]
START, DURATION, ROWS = 10.0, 20.0, 600
SECONDS = np.arange(ROWS) * 0.1
INSIDE = (SECONDS >= START) & (SECONDS < START + DURATION)


@pytest.fixture(scope="module")
def measured():
    return Plant().advance(ROWS)[0]


def run(measured, kind, **more):
    fault = {"kind": kind, "tag": TAG, "start": START, "duration": DURATION, **more}
    return Injector(parse_faults([fault]), seed=1).apply(SECONDS, measured)


def outside_is_untouched(reading, measured, *columns):
    other = np.ones(measured.shape, dtype=bool)
    other[np.ix_(np.flatnonzero(INSIDE), list(columns))] = False
    assert np.array_equal(reading.value[other], measured[other])


def test_stuck_holds_the_last_value_before_the_fault(measured):
    """Inside the fault every value equals the last good one."""
    reading = run(measured, "stuck")
    before = measured[np.flatnonzero(INSIDE)[0] - 1, AT]
    assert (reading.value[INSIDE, AT] == before).all()
    outside_is_untouched(reading, measured, AT)


def test_drift_grows_linearly_to_its_size(measured):
    """The deviation is a straight line from 0 to `size`, in the instrument's steps."""
    reading = run(measured, "drift", size=6.0)
    deviation = (reading.value - measured)[INSIDE, AT]
    expected = 6.0 * (SECONDS[INSIDE] - START) / DURATION
    assert np.abs(deviation - expected).max() < 0.5001 * TAGS[AT].resolution
    outside_is_untouched(reading, measured, AT)


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("bias", {"size": -2.5}, lambda v: v - 2.5),
        ("scale", {"size": 1000.0}, lambda v: v * 1000.0),
        ("unit_change", {}, lambda v: v * 1.8 + 32.0),
        ("unit_change", {"to": "K"}, lambda v: v + 273.15),
    ],
)
def test_pointwise_faults_map_each_value(measured, kind, more, expected):
    """Bias, scale and unit change are exact functions of the measured value."""
    reading = run(measured, kind, **more)
    assert np.abs(reading.value[INSIDE, AT] - expected(measured[INSIDE, AT])).max() < 1e-5
    outside_is_untouched(reading, measured, AT)


@pytest.mark.parametrize(("kind", "more"), [
    ("drift", {"size": 6.0}), ("bias", {"size": 0.333}), ("noise", {"size": 3.0}),
    ("spikes", {"size": 7.77}), ("out_of_range", {"size": 95.0}),
])  # fmt: skip
def test_what_an_instrument_does_comes_in_its_steps(measured, kind, more):
    """A factor behind it does not."""
    values = run(measured, kind, **more).value[INSIDE, AT]
    steps = values / TAGS[AT].resolution
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    behind = run(measured, "scale", size=1.1).value[INSIDE, AT] / TAGS[AT].resolution
    assert np.abs(behind - np.rint(behind)).max() > 0.05


def test_noise_adds_white_noise_of_its_size(measured):
    """The deviation has mean 0 and standard deviation `size`, within 15 % over 200 rows."""
    reading = run(measured, "noise", size=3.0)
    deviation = (reading.value - measured)[INSIDE, AT]
    assert 2.5 < deviation.std() < 3.5 and abs(deviation.mean()) < 0.8
    outside_is_untouched(reading, measured, AT)


def test_spikes_are_rare_and_of_their_size(measured):
    """Between 1 and 12 % of the rows deviate, each by +-size exactly."""
    reading = run(measured, "spikes", size=9.0)
    deviation = np.abs((reading.value - measured)[INSIDE, AT])
    hit = deviation > 0.1
    assert 0.01 < hit.mean() < 0.12
    assert np.abs(deviation[hit] - 9.0).max() < 1e-5
    outside_is_untouched(reading, measured, AT)


def test_out_of_range_shows_the_given_value_with_ordinary_noise(measured):
    """Values lie about `size`, within six times the instrument's noise, and are not constant."""
    values = run(measured, "out_of_range", size=95.0).value[INSIDE, AT]
    assert np.abs(values - 95.0).max() < 6 * TAGS[AT].noise and values.std() > 0


def test_swap_exchanges_two_tags(measured):
    """Each of the two tags shows the other's values."""
    reading = run(measured, "swap", other=OTHER)
    assert np.array_equal(reading.value[INSIDE, AT], measured[INSIDE, OTHER_AT])
    assert np.array_equal(reading.value[INSIDE, OTHER_AT], measured[INSIDE, AT])
    outside_is_untouched(reading, measured, AT, OTHER_AT)


def test_delivery_faults_leave_the_values_alone(measured):
    """Dropout delivers nothing, bad quality marks, a frozen clock stamps the fault's start."""
    dropped = run(measured, "dropout")
    assert np.isnan(dropped.value[INSIDE, AT]).all()
    outside_is_untouched(dropped, measured, AT)
    bad = run(measured, "bad_quality")
    assert np.array_equal(bad.bad[:, AT], INSIDE) and bad.bad.sum() == INSIDE.sum()
    frozen = run(measured, "frozen_clock")
    assert (frozen.clock[INSIDE, AT] == START).all()
    assert np.array_equal(frozen.clock[~INSIDE, AT], SECONDS[~INSIDE])
    assert np.array_equal(frozen.value, measured) and np.array_equal(bad.value, measured)


@given(cuts=st.lists(st.integers(1, 200), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_cutting_the_rows_changes_no_fault(cuts):
    """Row by row (as the servers do) and in bulk (as histories do) give the same readings."""
    tables = [
        {"kind": "stuck", "tag": TAG, "start": 10, "duration": 5},
        {"kind": "noise", "tag": OTHER, "start": 2, "duration": 40, "size": 2},
        {"kind": "spikes", "tag": "reactor.level", "start": 1, "duration": 50, "size": 2},
        {"kind": "drift", "tag": "reactor.pressure", "start": 30, "duration": 9, "size": 1},
    ]
    rows = np.random.default_rng(0).standard_normal((ROWS, len(TAGS)))
    bulk = Injector(parse_faults(tables), 1).apply(SECONDS, rows).value
    stepped, parts, first = Injector(parse_faults(tables), 1), [], 0
    for size in [*cuts, ROWS]:
        part = slice(first, first + size)
        parts.append(stepped.apply(SECONDS[part], rows[part]).value)
        first += size
    assert np.array_equal(np.vstack(parts), bulk)


def test_a_fault_of_the_output_leaves_the_plant_alone(measured):
    """The soft sensor does it to its own predictions, from the fault's start to its end."""
    faults = parse_faults(
        [{"kind": "bias", "tag": PREDICTED, "start": START, "duration": DURATION, "size": 1.5}]
    )
    assert faults[0].source == "line"
    assert np.array_equal(Injector(faults).apply(SECONDS, measured).value, measured)
    predicted = np.full((ROWS, 1), 80.0)
    wrong = outputs_injector(faults).apply(SECONDS, predicted).value[:, 0]
    assert np.array_equal(wrong, np.where(INSIDE, 81.5, 80.0))


def test_a_process_fault_moves_the_plant_and_no_instrument(measured):
    """The disturbance wanders about its size while it is on, and about zero again after it."""
    faults = parse_faults([
        {"kind": "process", "disturbance": "steam header", "start": 2, "duration": 60, "size": -8},
    ])  # fmt: skip
    assert np.array_equal(Injector(faults).apply(SECONDS, measured).value, measured)
    plant, usual, steam = Plant(), Plant(), COLUMN["steam.pressure"]
    for second, off in ((0.0, 0.0), (2.0, -0.8), (61.9, -0.8), (62.0, 0.0)):
        drive(plant, faults, second)
        rows, same = plant.advance(300)[0], usual.advance(300)[0]
        assert np.mean((rows - same)[-100:, steam]) == pytest.approx(off, abs=0.01), second


def test_truth_log_has_a_line_for_each_start_and_end(tmp_path):
    """Starts and ends come in order of time, with wall times from the first row on."""
    tables = [
        {"kind": "stuck", "tag": TAG, "start": 5, "duration": 10},
        {"kind": "source_lost", "source": "reactor", "start": 7, "duration": 2},
    ]
    out = io.StringIO()
    log = TruthLog(parse_faults(tables), out, start_ns=1_000_000_000_000)
    assert log.advance(4.9, 0) == []
    log.advance(8.0, 1_008_000_000_000)
    log.advance(20.0, 1_020_000_000_000)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["phase"], line["subject"]) for line in lines] == [
        ("start", TAG),
        ("start", "reactor"),
        ("end", "reactor"),
        ("end", TAG),
    ]
    assert lines[0]["start_ns"] == 1_005_000_000_000 and lines[0]["end_ns"] == 1_015_000_000_000
    assert lines[1]["kind"] == "source_lost" and lines[1]["at_ns"] == 1_008_000_000_000


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": "melted", "tag": TAG}, "melted"),
        ({"kind": "stuck", "tag": "no.such"}, "no.such"),
        ({"kind": "drift", "tag": TAG}, "needs a size"),
        ({"kind": "swap", "tag": TAG}, "other"),
        ({"kind": "source_lost", "source": "moon"}, "reactor"),
        ({"kind": "stuck", "tag": TAG, "strat": 1}, "strat"),
        ({"kind": "stuck", "tag": TAG, "start": -1}, "start"),
        ({"kind": "unit_change", "tag": TAG, "to": "ell"}, "degF"),
        ({"kind": "process", "disturbance": "moon", "size": 1}, "steam header"),
        ({"kind": "process", "disturbance": "steam header"}, "needs a size"),
        ({"kind": "swap", "tag": PREDICTED, "other": TAG}, PREDICTED),
        ({"kind": "bad_quality", "tag": PREDICTED}, PREDICTED),
    ],
)
def test_senseless_faults_are_refused_by_name(table, says):
    """A fault that can not be applied is an error that says which and why."""
    with pytest.raises(FieldwardenError, match="fault 1") as caught:
        parse_faults([{"start": 0, "duration": 1, **table}])
    assert says in str(caught.value)


def test_script_file_covers_every_kind(tmp_path):
    """A TOML file with every kind loads, in order of start."""
    lines = []
    for number, kind in enumerate(KINDS):
        subject = 'source = "line"' if kind == "source_lost" else f'tag = "{TAG}"'
        subject = "" if kind == "uplink_lost" else subject
        lines.append(
            f'[[fault]]\nkind = "{kind}"\n{subject}\nstart = {100 - number}\nduration = 1\n'
            f'size = 1.0\nother = "{OTHER}"\ndisturbance = "fouling"\n'
        )
    path = tmp_path / "faults.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert [fault.kind for fault in load_faults(path)] == list(reversed(KINDS))
