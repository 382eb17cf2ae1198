"""Recorded data is read as it is meant, or refused with the column and the row."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from agent.errors import FieldwardenError
from agent.records.table import read_table
from agent.records.times import Reading

START = 1_772_344_800_000_000_000  # 2026-03-01T06:00:00Z
S = 1_000_000_000


@pytest.fixture
def write(tmp_path):
    def _write(text, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return _write


TIMES = [
    ("ISO 8601 in UTC", "2026-03-01T06:00:00Z", "2026-03-01T06:00:01Z"),
    ("with a blank, no zone", "2026-03-01 06:00:00", "2026-03-01 06:00:01"),
    ("with an offset", "2026-03-01T07:00:00+01:00", "2026-03-01T07:00:01+01:00"),
    ("seconds", "1772344800", "1772344801"),
    ("seconds with a fraction", "1772344800.0", "1772344801.000"),
    ("milliseconds", "1772344800000", "1772344801000"),
    ("microseconds", "1772344800000000", "1772344801000000"),
    ("nanoseconds", "1772344800000000000", "1772344801000000000"),
]


@pytest.mark.parametrize(("first", "second"), [t[1:] for t in TIMES], ids=[t[0] for t in TIMES])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_times_and_separators_are_recognised(write, first, second, separator):
    """Every form of time, with every separator, gives the same table."""
    rows = [("time", "a", "b c"), (first, "1.5", "-2"), (second, "2.5", "1e3")]
    table = read_table(write("\n".join(separator.join(row) for row in rows) + "\n"))
    assert table.time_ns.tolist() == [START, START + S]
    assert table.names == ("a", "b c")
    assert table.values.tolist() == [[1.5, -2.0], [2.5, 1000.0]]
    assert table.interval_ns == S
    assert table.notes == ()


def test_a_decimal_comma_is_tolerated_with_a_semicolon(write):
    """European exports: ; between the cells and , in the numbers, times included."""
    table = read_table(write("t;a;b\n1772344800,5;1,5;-2\n1772344801,5;;1,0e3\n"))
    assert table.time_ns.tolist() == [START + S // 2, START + 3 * S // 2]
    assert table.values[0].tolist() == [1.5, -2.0]
    assert math.isnan(table.values[1, 0])
    assert table.values[1, 1] == 1000.0


def test_empty_and_nan_mean_missing_and_columns_are_contiguous(write):
    """All the usual words for nothing; and columns lie in memory one after the other."""
    cells = ["", "NaN", "nan", "null", "N/A", "#N/A", "-", "None", "3"]
    text = "t,a,b\n" + "".join(f"{1000 + i},{cell},1\n" for i, cell in enumerate(cells))
    table = read_table(write(text))
    assert np.isnan(table.column("a")[:-1]).all()
    assert table.column("a")[-1] == 3.0
    assert table.values.flags.f_contiguous
    assert table.column("b").flags.c_contiguous


def test_only_the_columns_asked_for_are_looked_at(write):
    """Text in another column does not matter; the order is the caller's."""
    path = write("t,a,who,b\n1,1,anna,10\n2,2,ben,20\n")
    table = read_table(path, ["b", "a"])
    assert table.names == ("b", "a")
    assert table.values.tolist() == [[10.0, 1.0], [20.0, 2.0]]
    with pytest.raises(FieldwardenError, match="no column 'bb'"):
        read_table(path, ["bb"])
    assert table.select(["a"]).values.tolist() == [[1.0], [2.0]]
    with pytest.raises(FieldwardenError, match="no such column"):
        table.select(["who"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("t,a\n1,5\n2,5\n3,1.2.3\n", "column 'a', line 4: '1.2.3' is no number"),
        ("t,a\n1,5\n2,abc\n3,def\n", "column 'a', line 3: 'abc' is no number"),
        ("t,a\n1,5\n2,1e999\n", "column 'a', line 3: '1e999' is no number"),
        ("t,a\n1,5\n2,1_0\n", "column 'a', line 3: '1_0' is no number"),
        ("t,a\n1,5\nsoon,5\n", "line 3, column 't': 'soon': it is no time"),
        (
            "t,a\n01/02/2026 10:00,5\n01/02/2026 10:01,5\n",
            "line 2, column 't': '01/02/2026 10:00': which number is the day",
        ),
        ("t,a\n2026-03-01,5\n,5\n", "line 3, column 't': ''"),
        ("t,a\n1,5,6\n2,5\n", "line 2 has 3 cells, the first line has 2"),
        ("t,a,a\n1,5,6\n2,5,6\n", "two columns are named 'a'"),
        ("t,a,\n1,5,6\n2,5,6\n", "column 3 has no name"),
        ("1,2,3\n2,5,6\n3,5,6\n", "numbers, not names"),
        ("t\n1\n2\n", "one column only"),
        ("t,a\n1,5\n", "only 1 rows"),
        ("t,a\n", "no header with data below it"),
        ("", "no header with data below it"),
        ("t,a\n\0\0\n", "not a text file"),
        (
            "t,a\n" + "".join(f"{i // 10},5\n" for i in range(1000)),
            "900 of 1000 rows have the time",
        ),
    ],
)
def test_what_can_not_be_understood_is_refused_with_its_place(write, text, words):
    """The error says which column, which line of the file, and what stands there."""
    with pytest.raises(FieldwardenError) as caught:
        read_table(write(text))
    assert words in caught.value.cause
    assert caught.value.subject.endswith("data.csv")


def test_a_text_column_may_be_left_out_with_a_note(write):
    """`init` looks at files that people keep, which have remarks in them."""
    table = read_table(write("t,a,remark\n1,5,ok\n2,6,shift change\n"), text="skip")
    assert table.names == ("a",)
    assert table.notes == ("left out: column 'remark', line 2: 'ok' is no number",)


def test_rows_are_put_in_order_and_said_so(write):
    """Unsorted rows are sorted; of a few equal times the last row counts; both are noted."""
    table = read_table(write("t,a\n1000,1\n1003,4\n1001,2\n1002,3\n1002,33\n1004,5\n"))
    assert table.column("a").tolist() == [1.0, 2.0, 33.0, 4.0, 5.0]
    assert (np.diff(table.time_ns) > 0).all()
    assert len(table.notes) == 2


def test_other_encodings_and_marks_are_read(write):
    """A byte order mark, CRLF line ends, and the encoding of spreadsheets."""
    bom = read_table(write("\ufefft;Temperatur [°C]\r\n1;5,5\r\n2;6,5\r\n"))
    assert bom.names == ("Temperatur [°C]",)
    windows = read_table(write("t;Temperatur [°C]\n1;5,5\n2;6,5\n", encoding="cp1252"))
    assert windows.names == ("Temperatur [°C]",)
    assert windows.column("Temperatur [°C]").tolist() == [5.5, 6.5]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.lists(
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(math.nan)),
        min_size=2,
        max_size=30,
    ),
    step=st.integers(1, 10**12),
)
def test_what_was_written_is_read_bit_by_bit(tmp_path, values, step):
    """What repr of a float wrote is read as it was, denormals and huge included."""
    path = tmp_path / "x.csv"
    stamps = [START + i * step * 1000 for i in range(len(values))]
    path.write_text(
        "t,a\n" + "".join(f"{t},{v!r}\n" for t, v in zip(stamps, values, strict=True)),
        encoding="utf-8",
    )
    table = read_table(path, how=Reading(no_value="none"))
    assert table.time_ns.tolist() == stamps
    np.testing.assert_array_equal(table.column("a"), values)


# --- Parquet -------------------------------------------------------------------------------


def _moments(count, unit="us"):
    start = datetime(2026, 3, 1, 6, tzinfo=UTC)
    return pa.array([start + timedelta(seconds=i) for i in range(count)], pa.timestamp(unit, "UTC"))


def test_parquet_gives_the_same_table_as_csv(tmp_path, write):
    """Integers, floats, booleans, dictionaries of numbers and nulls become float64 with NaN."""
    path = tmp_path / "x.parquet"
    data = {
        "time": _moments(3),
        "a": pa.array([1, None, 3], pa.int32()),
        "b": pa.array([0.5, 1.5, None], pa.float32()),
        "on": pa.array([True, False, True]),
        "text": pa.array(["1.5", "", "2.5"]).dictionary_encode(),
    }
    parquet.write_table(pa.table(data), path)
    table = read_table(path)
    same = read_table(
        write(
            "time,a,b,on,text\n2026-03-01T06:00:00Z,1,0.5,true,1.5\n"
            "2026-03-01T06:00:01Z,,1.5,false,\n2026-03-01T06:00:02Z,3,,true,2.5\n"
        )
    )
    assert table.names == same.names
    assert table.time_ns.tolist() == same.time_ns.tolist()
    np.testing.assert_array_equal(table.values, same.values)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parquet_times_of_every_unit_and_place_are_found(tmp_path, unit):
    """A time column that pandas wrote last is found; epoch numbers in the first column work."""
    path = tmp_path / "x.parquet"
    data = pa.table({"a": [1.0, 2.0], "__index_level_0__": _moments(2, unit)})
    parquet.write_table(data, path)
    assert read_table(path).time_ns.tolist() == [START, START + S]
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    epochs = [START // S * factor, (START // S + 1) * factor]
    parquet.write_table(pa.table({"t": epochs, "a": [1.0, 2.0]}), path)
    assert read_table(path).time_ns.tolist() == [START, START + S]


@pytest.mark.parametrize("of_day", [False, True])
def test_parquet_times_of_nanoseconds_are_read_to_the_last_one(tmp_path, of_day):
    """What a gateway stored is no whole number of microseconds: it is read as it is."""
    path, exact = tmp_path / "x.parquet", [START + 343, START + S + 120_746_001]
    beside = pa.array([1, 2], pa.time64("ns") if of_day else pa.duration("ns"))
    data = {"t": pa.array(exact, pa.timestamp("ns", "UTC")), "a": [1.0, 2.0], "beside": beside}
    parquet.write_table(pa.table(data), path)
    assert read_table(path, ["a"]).time_ns.tolist() == exact


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"t": [1, 2], "a": ["x", "y"]}, "column 'a', row 1: 'x' is no number"),
        ({"t": [1, 2], "a": ["1", "1.2.3"]}, "column 'a', row 2: '1.2.3' is no number"),
        (
            {"t": pa.array([0, 10**10], pa.timestamp("s")), "a": [1.0, 2.0]},
            "it is not between the years 1970 and 2199",
        ),
        ({"i": [1, 2], "a": [1.0, 2.0]}, "no column is a time"),
        ({"t": [1, None], "a": [1.0, 2.0]}, "row 2, column 't'"),
        ({"t": [1, 2], "a": [[1.0], [2.0]]}, "is of type list"),
        ({"t": [1, 2]}, "one column only"),
    ],
)
def test_parquet_that_can_not_be_understood_is_refused(tmp_path, columns, words):
    """Column and row, as for CSV."""
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert words in caught.value.cause


def test_files_that_are_missing_or_damaged_are_refused(tmp_path):
    """A clean error for each; no traceback of a library."""
    with pytest.raises(FieldwardenError, match="No such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(FieldwardenError, match="no readable Parquet"):
        read_table(tmp_path / "bad.parquet")


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
def test_without_polars_it_is_said_what_to_install(tmp_path, monkeypatch, name):
    """The extra is named; the rest of the agent needs none of it."""
    (tmp_path / name).write_text("t,a\n1,2\n2,3\n")
    monkeypatch.setitem(sys.modules, "polars", None)
    for module in ("frames", "columns", "numbers"):
        monkeypatch.delitem(sys.modules, f"agent.records.{module}", raising=False)
    with pytest.raises(FieldwardenError) as caught:
        read_table(tmp_path / name)
    assert "fieldwarden[fit]" in caught.value.hint


def test_columns_that_follow_each_other_are_selected_without_a_copy(tmp_path):
    """A large record is not held twice; others are put in their order."""
    path = tmp_path / "x.csv"
    path.write_text("time,a,b,c\n2026-03-01 00:00:00,1,2,3\n2026-03-01 00:01:00,4,5,6\n")
    table = read_table(path)
    same = table.select(["b", "c"])
    assert np.shares_memory(same.values, table.values)
    assert same.values.tolist() == [[2.0, 3.0], [5.0, 6.0]] and same.values.flags.f_contiguous
    assert table.select(["c", "a"]).values.tolist() == [[3.0, 1.0], [6.0, 4.0]]
