"""Exports of tools nobody here has seen: kinds that were once read wrongly or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agent.errors import FieldwardenError
from agent.records.table import read_table
from agent.records.times import Reading

ROWS = 96
START = datetime(2025, 6, 29, 23, 3, tzinfo=UTC)
MOMENTS = [START + timedelta(minutes=row) for row in range(ROWS)]
TIMES = [int(moment.timestamp()) * 10**9 for moment in MOMENTS]
A = np.round(31 + np.random.default_rng(41).normal(0.0, 1.0, ROWS), 2)
B = np.round(7 + np.random.default_rng(42).normal(0.0, 0.1, ROWS), 4)


def read(tmp_path, text, **how):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path, text="skip", how=Reading(**how))


def lines(when, *, separator=",", mark=".", moments=MOMENTS):
    rows = zip(moments, A, B, strict=True)
    return "".join(
        separator.join([when(m), f"{a:.2f}".replace(".", mark), f"{b:.4f}".replace(".", mark)])
        + "\n" for m, a, b in rows
    )  # fmt: skip


def stamp(moment):
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def assert_same(table):
    assert table.time_ns.tolist() == TIMES
    assert np.array_equal(table.column("a"), A) and np.array_equal(table.column("b"), B)


@pytest.mark.parametrize("word", [
    "[-11059] No Good Data For Calculation", "[-10722] Point Not Found", "#BEZUG!", "#NOMBRE?",
    "<GATED>", "Bad - No Communication", "Uncertain, sensor cal", "Arc Off-line", "Burnout",
])  # fmt: skip
def test_words_for_no_value_are_known_by_how_tools_write_them(tmp_path, word):
    """A column that is bad nearly all the time is a column still; a column of texts is none."""
    filled = [row for row in range(ROWS) if row % 30 == 0]
    body = "".join(
        f'{stamp(m)},{a},"{b if row in filled else word}",{"run" if row % 2 else "stop now"}\n'
        for row, (m, a, b) in enumerate(zip(MOMENTS, A, B, strict=True))
    )
    table = read(tmp_path, "time,a,b,state\n" + body)
    assert table.names == ("a", "b")
    assert np.isfinite(table.column("b")).tolist() == [row in filled for row in range(ROWS)]
    assert any(f'b: {ROWS - len(filled)} cells "{word}"' in note for note in table.notes)


FORMS = {
    "Hungarian": lambda m: f"{m.year}. {m.month:02}. {m.day:02}. {m.hour}:{m:%M}",
    "Korean": lambda m: f"{m:%Y-%m-%d} {half(m, '오전', '오후')} {m.hour % 12 or 12}:{m:%M}",
    "Japanese": lambda m: f"{m:%Y/%m/%d} {half(m, '午前', '午後')} {m.hour % 12 or 12}:{m:%M}",
    "Chinese": lambda m: f"{m:%Y/%m/%d} {half(m, '上午', '下午')} {m.hour % 12 or 12}:{m:%M}",
    "Spanish": lambda m: f"{m:%d/%m/%Y} {m.hour % 12 or 12}:{m:%M:%S} {half(m, 'a', 'p')}.\u00a0m.",
}


def half(moment, first, second):
    return second if moment.hour > 11 else first


@pytest.mark.parametrize("kind", FORMS)
def test_halves_of_the_day_and_dots_after_numbers_are_read_in_each_language(tmp_path, kind):
    """What a spreadsheet writes where it is set so."""
    assert_same(read(tmp_path, "time,a,b\n" + lines(FORMS[kind])))


CLOCKS = {
    "both of digits": ("Date,Time,a,b\n", lambda m: f"{m:%Y%m%d,%H%M%S}", ",", "."),
    "hours and minutes": ("Datum;Zeit;a;b\n", lambda m: f"{m:%d.%m.%Y;%H%M}", ";", ","),
    "ISO date": ("Date,Time,a,b\n", lambda m: f"{m:%Y-%m-%d,%H%M%S}", ",", "."),
}


@pytest.mark.parametrize("kind", CLOCKS)
def test_a_clock_of_digits_beside_a_date_is_no_count_of_seconds(tmp_path, kind):
    """060000 is six in the morning, not 60,000 s after the recording began."""
    head, when, separator, mark = CLOCKS[kind]
    assert_same(read(tmp_path, head + lines(when, separator=separator, mark=mark)))


def test_clocks_that_lost_their_zeros_are_asked_about(tmp_path):
    """3000 beside a date can be 0:30 or 3000 s."""
    text = "Date,Time,a,b\n" + lines(lambda m: f"{m:%Y%m%d},{int(f'{m:%H%M%S}')}")
    with pytest.raises(FieldwardenError, match="like clocks or seconds") as caught:
        read(tmp_path, text)
    assert "--time-column Time" in caught.value.hint


def test_a_column_of_milliseconds_has_many_names(tmp_path):
    """It belongs to the time beside it."""
    for name in ("MilliSec", "Millisecond", "Millitm", "ms"):
        body = lines(lambda m: f"{stamp(m)},250")
        table = read(tmp_path, f"time,{name},a,b\n{body}")
        assert table.names == ("a", "b")
        assert table.time_ns.tolist() == [time + 250_000_000 for time in TIMES]


@pytest.mark.parametrize("end", ["//END\n", "# 96 rows\n", "#END\n\n// done\n", "% end\n\n\n"])
def test_a_comment_at_the_end_takes_no_row_with_it(tmp_path, end):
    """It is no footer that is counted once more."""
    assert_same(read(tmp_path, "time,a,b\n" + lines(stamp) + end))


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Kolkata", "Europe/Dublin"])
def test_names_of_a_zone_tell_the_hour_where_the_zone_is_said(tmp_path, zone):
    """CST and IST mean one thing in one place; in autumn they tell equal hours apart."""
    change = {"America/Chicago": (11, 2, 6), "Europe/Dublin": (10, 26, 0)}.get(zone, (3, 1, 0))
    start = datetime(2025, *change, tzinfo=UTC)
    moments = [start + timedelta(minutes=2 * row) for row in range(ROWS)]
    there = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    text = "time,a,b\n" + lines(lambda m: f"{m:%Y-%m-%d %H:%M:%S %Z}", moments=there)
    with pytest.raises(FieldwardenError) as caught:
        read(tmp_path, text)
    assert "--timezone" in str(caught.value)
    table = read(tmp_path, text, timezone=zone)
    assert table.time_ns.tolist() == [int(moment.timestamp()) * 10**9 for moment in moments]


HEADS = {
    "Java": '"#NAMES"\n"t_stamp","a","b"\n"#TYPES"\n"date","D","D"\n"#ROWS","96"\n',
    "LabVIEW": "Writer,2\nDate,2025/06/29\n***End_of_Header***\nSamples,96,96\n"
    "Date,2025/06/29,2025/06/29\nX0,0.0,0.0\n***End_of_Header***,,\ntime,a,b\n",
    "end of header": "unit,plant 3,x\n2025-06-29 20:00:00,1,2\n[END OF HEADER]\ntime,a,b\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_stands_above_a_table_is_none_of_it(tmp_path, kind):
    """Though it has dates and numbers in as many columns."""
    table = read(tmp_path, HEADS[kind] + lines(stamp))
    assert_same(table)
    assert not table.units


@pytest.mark.parametrize("name", ["a", "#1 pump"])
def test_a_heading_in_quotes_that_begins_with_a_hash_is_a_heading(tmp_path, name):
    """Also of two columns, which look like a mark and its number."""
    text = f'"#Time","{name}"\n' + "".join(f'"{m:%Y-%m-%d %H:%M:%S}","1.5"\n' for m in MOMENTS)
    table = read(tmp_path, text)
    assert (table.names, len(table.time_ns)) == ((name,), len(MOMENTS))


def test_a_column_that_may_count_time_is_asked_about(tmp_path):
    """Even steps are no proof of time; the error says what to say."""
    text = "X_Value,a,b\n" + lines(lambda m: f"{(m - START).total_seconds():.6f}")
    with pytest.raises(FieldwardenError, match="no column is a time") as caught:
        read(tmp_path, text)
    assert "--time-column 'X_Value'" in caught.value.hint
    table = read(tmp_path, text, time_column="X_Value")
    assert np.diff(table.time_ns).tolist() == [60 * 10**9] * (ROWS - 1)


def test_qualities_stand_beside_values_whatever_both_are_called(tmp_path):
    """Letters under a word that could be a state, and names that end in two words for a value."""
    body = "".join(
        f"{stamp(m)},{a},{'GB'[row % 9 == 4]},{b},{['Good', 'Bad Comm'][row % 7 == 2]}\n"
        for row, (m, a, b) in enumerate(zip(MOMENTS, A, B, strict=True))
    )
    table = read(tmp_path, "time,a,a_status,B.PV.Value,B.PV.Quality\n" + body)
    assert table.names == ("a", "B.PV.Value")
    rows = np.arange(ROWS)
    assert np.isnan(table.column("a")).tolist() == (rows % 9 == 4).tolist()
    assert np.isnan(table.column("B.PV.Value")).tolist() == (rows % 7 == 2).tolist()
