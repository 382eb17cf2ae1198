"""What plants export: long format, reports by exception, qualities, sentinels, odd ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from agent.errors import FieldwardenError
from agent.records.order import in_order
from agent.records.reports import held
from agent.records.table import read_table
from agent.records.times import Reading
from agent.records.units import unit_in

START = datetime(2026, 3, 1, 6, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9
S = 10**9
ROWS = 120
_NOISE = np.random.default_rng(5).normal(0.0, 1.0, (ROWS, 2))
TEMP, FLOW = 60.0 + 4.0 * _NOISE[:, 0], 1200.0 + 40.0 * _NOISE[:, 1]
BAD_ROWS = [7, 30, 31]


def _stamp(row):
    return f"{START + timedelta(minutes=row):%Y-%m-%d %H:%M:%S}"


def _write(path, heading, line, encoding="utf-8"):
    path.write_bytes(
        (heading + "\n" + "".join(f"{line(r)}\n" for r in range(ROWS))).encode(encoding)
    )
    return path


# --- long format ---------------------------------------------------------------------------


def _reports():
    return [(r, tag, v[r]) for r in range(ROWS) for tag, v in (("TI101", TEMP), ("FI103", FLOW))]


NAMED = ["time,tag,value", "Timestamp,TagName,Value", "Zeitstempel,Messstelle,Wert",
         "DateTime,point_name,vValue"]  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "by_tag"), [*((h, b) for h in NAMED for b in (False, True)), ("a,b,c", False)]
)
def test_long_format_gives_the_table_of_wide_format(tmp_path, heading, by_tag):
    """A row a report, in order of time or of tag; headings that say nothing are no matter."""
    reports = sorted(_reports(), key=lambda r: r[1]) if by_tag else _reports()
    path = tmp_path / "x.csv"
    path.write_text(heading + "\n" + "".join(f"{_stamp(r)},{t},{v:.3f}\n" for r, t, v in reports))
    table = read_table(path, ["TI101", "FI103"])
    assert table.time_ns.tolist() == [START_NS + r * 60 * S for r in range(ROWS)]
    np.testing.assert_allclose(table.values, np.column_stack([TEMP, FLOW]), atol=6e-4)
    assert "long format" in " ".join(table.understood)
    with pytest.raises(FieldwardenError, match="no column 'TI99'"):
        read_table(path, ["TI99"])


def test_long_format_has_qualities_units_words_and_its_own_folds(tmp_path):
    """Columns of quality and unit are no tags; local time is settled tag by tag."""
    change = datetime(2025, 10, 26, 1, tzinfo=UTC)
    moments = [change + timedelta(minutes=r - 60) for r in range(ROWS)]
    local = [m + timedelta(hours=2 if m < change else 1) for m in moments]
    rows = []
    for tag, unit in (("TI101", "°C"), ("FI103", "m³/h")):
        for r in range(ROWS):
            value = "I/O Timeout" if r == 5 else f"{TEMP[r]:.3f}"
            rows.append(f"{local[r]:%d.%m.%Y %H:%M};{tag};{value};{unit};{0 if r == 9 else 192}\n")
    path = tmp_path / "x.csv"
    path.write_text("Zeit;Tag;Value;Unit;Quality\n" + "".join(rows))
    with pytest.raises(FieldwardenError, match="comes twice"):
        read_table(path)
    table = read_table(path, how=Reading(timezone="Europe/Berlin"))
    assert table.time_ns.tolist() == [int(m.timestamp()) * S for m in moments]
    assert table.units == {"TI101": "degC", "FI103": "m3/h"}
    assert np.flatnonzero(np.isnan(table.column("FI103"))).tolist() == [5, 9]
    assert any('"I/O Timeout"' in note for note in table.notes)


def test_a_wide_table_with_a_column_of_texts_stays_wide(tmp_path):
    """An operator's name beside values names no tag; where it is meant so, an option says it."""
    path = _write(
        tmp_path / "x.csv",
        "time,operator,value,flow",
        lambda r: f"{_stamp(r)},{'anna' if r % 2 else 'ben'},{TEMP[r]:.2f},{FLOW[r]:.2f}",
    )
    assert read_table(path, text="skip").names == ("value", "flow")
    path = _write(tmp_path / "y.csv", "time,who,reads",
                  lambda r: f"{_stamp(r)},{'anna' if r % 2 else 'ben'},{TEMP[r]:.2f}")  # fmt: skip
    assert read_table(path, text="skip").names == ("reads",)
    assert set(read_table(path, how=Reading(tag_column="who")).names) == {"anna", "ben"}


# --- reports by exception ------------------------------------------------------------------


@pytest.mark.parametrize("form", ["wide", "long", "wide, doubled times"])
def test_reports_by_exception_hold_until_the_next(tmp_path, form):
    """The table has even rows; at each the value last reported; a bad report holds as missing."""
    rng = np.random.default_rng(3)
    reports = []
    for tag in ("A", "B", "C"):
        at = 0.0
        while at < 7200:
            reports.append((round(at, 3), tag, f"{rng.normal(50, 1):.3f}"))
            at += rng.uniform(20, 100)
    reports.sort()
    if form == "wide, doubled times":
        reports = [(float(round(at / 5) * 5), tag, value) for at, tag, value in reports]
        reports = list({(at, tag): (at, tag, value) for at, tag, value in reports}.values())
    reports = [(at, t, "Bad" if i == 40 else v) for i, (at, t, v) in enumerate(reports)]
    stamps = [f"{START + timedelta(seconds=at):%Y-%m-%d %H:%M:%S.%f}" for at, _, _ in reports]
    path = tmp_path / "x.csv"
    if form == "long":
        lines = [f"{s},{t},{v}\n" for s, (_, t, v) in zip(stamps, reports, strict=True)]
        path.write_text("time,tag,value\n" + "".join(lines))
    else:
        lines = [f"{s},{','.join(v if t == tag else '' for tag in 'ABC')}\n"
                 for s, (_, t, v) in zip(stamps, reports, strict=True)]  # fmt: skip
        path.write_text("time,A,B,C\n" + "".join(lines))
    table = read_table(path, ["A", "B", "C"], how=Reading(interval="30s"))
    assert table.interval_ns == 30 * S and set(np.diff(table.time_ns)) == {30 * S}
    assert any("by exception" in note for note in table.notes)
    for place, tag in enumerate("ABC"):
        for row, now in enumerate(table.time_ns):
            told = [v for at, t, v in reports if t == tag and START_NS + round(at * S) <= now]
            want = np.nan if not told or told[-1] == "Bad" else float(told[-1])
            np.testing.assert_equal(table.values[row, place], want)
    assert set(table.silences_ns) == {"A", "B", "C"}
    assert read_table(path).interval_ns == 60 * S  # what most tags report at, rounded


def test_too_short_an_interval_is_refused_before_memory_is_taken():
    """A grid of milliseconds over a year is an error, with what to say instead."""
    times = np.array([0, 10**17], np.int64)
    with pytest.raises(ValueError, match=r"rows of 0\.001 s"):
        held(times, np.ones((2, 3)), {}, 10**6)


def test_rows_of_one_time_are_joined_where_nothing_is_lost(tmp_path):
    """Two halves of one row are one; two values of one tag at one time are not."""
    times = np.array([0, 0, S, S], np.int64)
    halves = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, np.nan], [np.nan, 4.0]])
    _, values, _, notes = in_order(tmp_path, times, halves, {}, turned=False)
    assert values.tolist() == [[1.0, 2.0], [3.0, 4.0]] and "joined" in notes[0]


# --- columns of quality --------------------------------------------------------------------

QUALITIES = {
    "OPC": ("192", "0"), "OPC, uncertain": ("216", "64"), "words": ("Good", "Bad"),
    "words with a reason": ("Good", "Bad [Comm Failure]"), "letters": ("G", "B"),
    "OPC UA": ("0", "2150891520"), "hexadecimal": ("0x000000C0", "0x00000018"),
    "decimals": ("192.0", "24.0"), "truth": ("true", "false"),
}  # fmt: skip
HEADINGS = [
    "time,TI,TI.Quality,FI,FI.Quality", "time,TI,Quality,FI,Quality", "time,TI,TI_Q,FI,FI_Q",
    "time,TI [degC],TI status,FI [m3/h],FI status", "time,TI.Value,TI.Quality,FI.Value,FI.Quality",
    "time,TI,Quality of TI,FI,Quality of FI", "time,TI,TIQuality,FI,FIQuality",
]  # fmt: skip


def _with_quality(path, heading, good, bad, encoding="utf-8"):
    return _write(path, heading, lambda r: (
        f"{_stamp(r)},{TEMP[r]:.3f},{bad if r in BAD_ROWS else good},{FLOW[r]:.2f},{good}"
    ), encoding)  # fmt: skip


# A status of two values may be one of the plant.
_STATES = {"truth", "letters", "OPC UA"}
CODED = [(h, c) for h in HEADINGS for c in QUALITIES if not ("status" in h and c in _STATES)]


@pytest.mark.parametrize(("heading", "coding"), CODED)
def test_qualities_mark_bad_samples_and_are_no_inputs(tmp_path, coding, heading):
    """Whatever codes or words they are, and however the column is called."""
    good, bad = QUALITIES[coding]
    path = _with_quality(tmp_path / "x.csv", heading, good, bad)
    table = read_table(path)
    assert len(table.names) == 2
    assert np.flatnonzero(np.isnan(table.values[:, 0])).tolist() == BAD_ROWS
    assert np.isfinite(table.values[:, 1]).all()
    assert any("3 cells" in note and bad in note for note in table.notes)
    again = read_table(path, [table.names[0]])  # as `fit` asks for it
    assert np.flatnonzero(np.isnan(again.values[:, 0])).tolist() == BAD_ROWS


def test_codes_without_a_known_meaning_are_asked_about(tmp_path):
    """1 and 0 can mean either; a name such as `bad` tells; a state of the plant is no quality."""
    path = _with_quality(tmp_path / "x.csv", "time,TI,TI.Quality,FI,FI.Quality", "0", "1")
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert "--good 0 or --good 1" in caught.value.hint and "TI.Quality" in caught.value.cause
    table = read_table(path, how=Reading(good="0"))
    assert np.flatnonzero(np.isnan(table.column("TI"))).tolist() == BAD_ROWS
    path = _with_quality(tmp_path / "y.csv", "time,TI,TI_bad,FI,FI_bad", "0", "1")
    assert np.flatnonzero(np.isnan(read_table(path).column("TI"))).tolist() == BAD_ROWS
    path = _with_quality(tmp_path / "z.csv", "time,P1,P1_Status,P2,P2_Status", "0", "1")
    assert read_table(path).names == ("P1", "P1_Status", "P2", "P2_Status")


# --- sentinels -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [
    "-9999", "-999.25", "-200", "1e20", "-3.4028235E38", "9999", "32767", "-999", "1.7e308",
])  # fmt: skip
def test_numbers_that_mean_no_value_are_proposed(tmp_path, number):
    """Repeated and far from all others: missing, said, with how to keep them."""
    path = _write(tmp_path / "x.csv", "time,TI,FI", lambda r: (
        f"{_stamp(r)},{number if r in BAD_ROWS else f'{TEMP[r]:.3f}'},{FLOW[r]:.2f}"
    ))  # fmt: skip
    table = read_table(path)
    assert np.flatnonzero(np.isnan(table.column("TI"))).tolist() == BAD_ROWS
    note = next(note for note in table.notes if "no value" in note)
    assert "TI: 3 cells hold" in note and "--no-value none" in note
    kept = read_table(path, how=Reading(no_value="none"))
    assert np.isfinite(kept.column("TI")).all()
    said = read_table(path, how=Reading(no_value=f"{number}, 7"))
    assert np.flatnonzero(np.isnan(said.column("TI"))).tolist() == BAD_ROWS


@pytest.mark.parametrize("values", [
    [0.0, *range(1, 60)], [-1.0, -1.0, *np.linspace(40, 60, 80)], [0.0, 0.0, 0.0, *[50.0] * 60],
    [*np.linspace(-210, -190, 60), -200.0, -200.0], [-9999.0, *np.linspace(40, 60, 80)],
    [1e5, 1e5, *np.linspace(0, 1, 60)],
])  # fmt: skip
def test_values_of_the_plant_are_no_sentinels(tmp_path, values):
    """Zero, a standstill, a cold box at -200, one odd number, a large but ordinary one."""
    path = tmp_path / "x.csv"
    path.write_text("time,a\n" + "".join(f"{_stamp(r)},{v}\n" for r, v in enumerate(values)))
    assert np.isfinite(read_table(path).column("a")).all()


# --- marks of numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(("text", "separator"), [
    (lambda v: f"{v:,.2f}", ","), (lambda v: f"{v:,.2f}".translate({44: 46, 46: 44}), ";"),
    (lambda v: f"{v:,.2f}".replace(",", " ").replace(".", ","), ";"),
    (lambda v: f"{v:,.2f}".replace(",", "\u202f").replace(".", ","), "\t"),
    (lambda v: f"{v:,.2f}".replace(",", "'"), ";"),
])  # fmt: skip
def test_marks_of_thousands_are_understood_where_they_can_mean_one_thing(tmp_path, text, separator):
    """1,234.56, 1.234,56, 1 234,56 and 1'234.56, below and above a thousand."""
    values = np.round(np.linspace(-3.0e6, 12.0, ROWS), 2)
    path = _write(tmp_path / "x.csv", separator.join(["time", "a", "b"]), lambda r: separator.join(
        [_stamp(r), f'"{text(values[r])}"', f'"{text(FLOW[r])}"']
    ))  # fmt: skip
    np.testing.assert_array_equal(read_table(path).column("a"), values)


@pytest.mark.parametrize("cells", [["1,234", "5,678"], ["999", "1.234"], ["1.234", "12", "2.000"]])
def test_a_mark_that_can_mean_two_things_is_asked_about(tmp_path, cells):
    """The option reads it either way."""
    lines = [f"{_stamp(r)};{cells[r % len(cells)]}\n" for r in range(12)]
    path = tmp_path / "x.csv"
    path.write_text("time;a\n" + "".join(lines))
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert "--decimal point or --decimal comma" in caught.value.hint
    whole = {float(cell.replace(",", "").replace(".", "")) for cell in cells}
    parts = {float(cell.replace(",", ".")) for cell in cells}
    comma = any("," in cell for cell in cells)
    for decimal, wanted in (
        ("comma", parts if comma else whole),
        ("point", whole if comma else parts),
    ):
        assert set(read_table(path, how=Reading(decimal=decimal)).column("a")) == wanted


# --- times ---------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", ["TI,PI", "T,P", "kWh,P", "run hours,P", "n,P", "t,P"])
@pytest.mark.parametrize("shape", ["noise", "rising", "counter", "epoch-like"])
def test_a_column_of_values_is_never_taken_for_time(tmp_path, heading, shape):
    """Neither noise, nor a rising temperature, nor a totaliser; an interval can be said."""
    column = {
        "noise": 500 + _NOISE[:, 0], "rising": np.cumsum(np.abs(_NOISE[:, 0])),
        "counter": 5.0e8 + np.cumsum(np.abs(_NOISE[:, 0])), "epoch-like": 1.7e9 + 9 * _NOISE[:, 0],
    }[shape]  # fmt: skip
    path = _write(tmp_path / "x.csv", heading, lambda r: f"{column[r]:.3f},{FLOW[r]:.2f}")
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert "no column is a time" in caught.value.cause and "--interval 60s" in caught.value.hint
    table = read_table(path, how=Reading(interval="60s"))
    assert table.names == tuple(heading.split(",")) and table.interval_ns == 60 * S


def test_two_columns_of_times_are_asked_about(tmp_path):
    """Sampled and received: the option names one, and the other is no input."""
    path = _write(tmp_path / "x.csv", "sample time,arrival time,a",
                  lambda r: f"{_stamp(r)},{_stamp(r + 1)},{TEMP[r]:.2f}")  # fmt: skip
    with pytest.raises(FieldwardenError, match="are both times"):
        read_table(path)
    table = read_table(path, text="skip", how=Reading(time_column="arrival time"))
    assert table.time_ns[0] == START_NS + 60 * S and table.names == ("a",)


@pytest.mark.parametrize(("decimals", "step"), [(5, 1), (6, 1), (6, 10), (10, 60)])
def test_days_of_a_spreadsheet_are_understood(tmp_path, decimals, step):
    """Minutes and hours, with as few digits as are written; half days are asked about."""
    first = 25569 + START.timestamp() / 86400
    path = _write(tmp_path / "x.csv", "Time,a",
                  lambda r: f"{first + r * step / 1440:.{decimals}f},{TEMP[r]:.2f}")  # fmt: skip
    table = read_table(path)
    assert abs(table.time_ns - START_NS - np.arange(ROWS) * step * 60 * S).max() <= 0.6 * S
    assert table.interval_ns == step * 60 * S
    path = _write(tmp_path / "y.csv", "Time,a", lambda r: f"{46082 + r / 2:.1f},{TEMP[r]:.2f}")
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert "--time-format excel, or --time-format s" in caught.value.hint


@pytest.mark.parametrize("form", ["%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M"])
def test_days_that_follow_each_other_tell_which_is_the_month(tmp_path, form):
    """From the 1st to the 3rd: in the other order a month would pass at midnight."""
    moments = [START + timedelta(minutes=30 * r) for r in range(ROWS)]
    path = _write(tmp_path / "x.csv", "time,a", lambda r: f"{moments[r]:{form}},{TEMP[r]:.2f}")
    assert read_table(path).time_ns.tolist() == [int(m.timestamp()) * S for m in moments]


@pytest.mark.parametrize(("word", "hours"), [("IST", 5.5), ("CST", -6), ("Asia/Kolkata", 5.5)])
def test_a_zone_of_several_places_is_asked_about(tmp_path, word, hours):
    """The error names the option; with it, the zone that was said holds."""
    path = _write(tmp_path / "x.csv", "time,a", lambda r: f"{_stamp(r)} {word},{TEMP[r]:.2f}")
    with pytest.raises(FieldwardenError, match="--timezone"):
        read_table(path)
    zone = "America/Chicago" if word == "CST" else "Asia/Kolkata"
    table = read_table(path, how=Reading(timezone=zone))
    assert table.time_ns[0] == START_NS - hours * 3600 * S


def test_an_hour_that_is_skipped_is_noticed(tmp_path):
    """Local time of a night in spring: read as it stands, with how to give the zone."""
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    moments = [change + timedelta(minutes=r - 60) for r in range(ROWS)]
    local = [m + timedelta(hours=1 if m < change else 2) for m in moments]
    path = _write(
        tmp_path / "x.csv", "time,a", lambda r: f"{local[r]:%Y-%m-%d %H:%M},{TEMP[r]:.2f}"
    )
    assert any("put forward" in n and "--timezone" in n for n in read_table(path).notes)
    table = read_table(path, how=Reading(timezone="Europe/Berlin"))
    assert set(np.diff(table.time_ns)) == {60 * S}
    path = _write(tmp_path / "y.csv", "time,a", lambda r: f"{_stamp(r)},{TEMP[r]:.2f}")
    assert read_table(path).notes == ()


# --- ends of files, encodings, units -------------------------------------------------------


def test_what_stands_at_the_end_and_is_no_data_is_left_out(tmp_path):
    """A total, an end mark; but a line in the middle that has no time is an error."""
    path = _write(tmp_path / "x.csv", "time,a,b", lambda r: f"{_stamp(r)},{TEMP[r]:.2f},1")
    text = path.read_text()
    path.write_text(text + "\nTotal rows: 120\nEnd of report\n")
    table = read_table(path)
    assert len(table.time_ns) == ROWS and any("2 lines at the end" in n for n in table.notes)
    path.write_text(text + "End of report\n" + text.splitlines()[1] + "\n")
    with pytest.raises(FieldwardenError, match=r"line 122, column 'time': 'End of report'"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["cp1251", "shift_jis", "utf-32", "gb18030", "latin-1"])
def test_other_encodings_are_said_by_an_option(tmp_path, encoding):
    """Marks tell UTF-16 and UTF-32; of the old ones the name must be given."""
    name = {"cp1251": "Давление, бар", "latin-1": "Größe [°C]"}.get(encoding, "温度")
    path = _write(
        tmp_path / "x.csv", f"time;{name}", lambda r: f"{_stamp(r)};{TEMP[r]:.2f}", encoding
    )
    how = Reading(encoding="" if encoding in {"utf-32", "latin-1"} else encoding)
    assert read_table(path, how=how).names == (name,)
    with pytest.raises(FieldwardenError, match="unknown encoding"):
        read_table(path, how=Reading(encoding="klingon"))


@pytest.mark.parametrize(("name", "unit"), [
    ("TI101 [°C]", "degC"), ("TI101 (degC) average", "degC"), ("TI101 in °C", "degC"),
    ("TI101 / °C", "degC"), ("PI102, mbar", "mbar"), ("PI102_bar", "bar"), ("FI m³/h", "m3/h"),
    ("FI.kgh", "kg/h"), ("L1 %", "%"), ("TI101", ""), ("reactor_in", ""), ("Feed to A", ""),
    ("pump (north)", "north"), ("line 2", ""),
])  # fmt: skip
def test_a_unit_is_found_where_headings_have_it(name, unit):
    """In brackets anywhere, or at the end; a word that is no unit is none."""
    assert unit_in(name) == unit


def test_the_row_of_units_is_told_from_rows_of_descriptions(tmp_path):
    """Descriptions and types of data beside it are no units."""
    heading = "time,TI,FI\nwhen,Reactor top,Feed\nUTC,float,float\n,°C,m³/h"
    table = read_table(_write(tmp_path / "x.csv", heading,
                              lambda r: f"{_stamp(r)},{TEMP[r]:.2f},{FLOW[r]:.2f}"))  # fmt: skip
    assert (table.units["TI"], table.units["FI"]) == ("degC", "m3/h")


def test_each_column_is_described_in_a_line(tmp_path):
    """Name, unit, range and what is missing."""
    path = _write(tmp_path / "x.csv", "time,TI [°C],FI",
                  lambda r: f"{_stamp(r)},{'' if r == 3 else '60.0'},{r}")  # fmt: skip
    first, second = read_table(path).columns
    assert first.split() == ["TI", "[°C]", "degC", "60", "to", "60,", "0.83%", "missing"]
    assert second.split() == ["FI", "0", "to", "119"]


def test_parquet_takes_the_same_way(tmp_path):
    """Long format, words, qualities and sentinels in Parquet."""
    stamps = pa.array(
        [START + timedelta(minutes=r) for r in range(ROWS)], pa.timestamp("ms", "UTC")
    )
    values = [-9999.0 if r in BAD_ROWS else TEMP[r] for r in range(ROWS)]
    words = ["No Data" if r == 4 else f"{FLOW[r]:.1f}" for r in range(ROWS)]
    codes = pa.array([0 if r == 50 else 192 for r in range(ROWS)], pa.int16())
    parquet.write_table(
        pa.table({"time": stamps, "TI": values, "TI.Quality": codes, "FI": words}),
        tmp_path / "x.parquet",
    )
    table = read_table(tmp_path / "x.parquet")
    assert table.names == ("TI", "FI")
    assert np.flatnonzero(np.isnan(table.column("TI"))).tolist() == [*BAD_ROWS, 50]
    assert np.flatnonzero(np.isnan(table.column("FI"))).tolist() == [4]
    tags = pa.array(["TI", "FI"] * (ROWS // 2)).dictionary_encode()
    parquet.write_table(pa.table({"time": stamps, "tag": tags, "value": TEMP}), tmp_path / "y.pq")
    assert set(read_table(tmp_path / "y.pq").names) == {"TI", "FI"}
