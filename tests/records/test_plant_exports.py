"""Exports by the tools that write them: the table that was written, or a question with its option.

Each is of one record: three tags, one row a minute. What must come out is what was put in.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agent.errors import FieldwardenError
from agent.records.table import read_table
from agent.records.times import Reading

S = 10**9
ROWS = 120
START = datetime(2025, 10, 14, 6, tzinfo=UTC)
MOMENTS = [START + timedelta(minutes=row) for row in range(ROWS)]
TIMES = [int(moment.timestamp()) * S for moment in MOMENTS]
_NOISE = np.random.default_rng(77).normal(0.0, 1.0, (3, ROWS))
TAGS = {
    "TI101": np.round(60 + 3 * _NOISE[0], 3), "PI102": np.round(4 + 0.2 * _NOISE[1], 4),
    "FI103": np.round(1300 + 180 * _NOISE[2], 2),
}  # fmt: skip
DIGITS = {"TI101": 3, "PI102": 4, "FI103": 2}
BAD = np.arange(ROWS) % 20 == 4


def stamp(pattern):
    return lambda moment: moment.strftime(pattern)


ISO, GERMAN = stamp("%Y-%m-%d %H:%M:%S"), stamp("%d.%m.%Y %H:%M:%S")


def text(tag, value, mark="."):
    return f"{value:.{DIGITS[tag]}f}".replace(".", mark)


def wide(when=ISO, cell=text, *, separator=",", heading="time,TI101,PI102,FI103", top="", below="",
         end="\n"):  # fmt: skip
    """A row a minute, with a column for each tag."""
    lines = [heading.replace(",", separator), *([below] if below else [])]
    for row, moment in enumerate(MOMENTS):
        cells = (cell(tag, TAGS[tag][row]) for tag in TAGS)
        lines.append(separator.join([when(moment), *cells]))
    return top + end.join(lines) + end


def long(line, heading, top=""):
    """A row for each report."""
    rows = (line(tag, row, TAGS[tag][row]) for row in range(ROWS) for tag in TAGS)
    return top + heading + "\n" + "\n".join(rows) + "\n"


def comma(tag, value):
    return text(tag, value, ",")


def german(**more):
    return wide(more.pop("when", GERMAN), more.pop("cell", comma), separator=";", **more)


def excel_e6(moment):
    return f"{(25569 + moment.timestamp() / 86400) * 1e6:.6f}"


ANNOTATED = (
    "#group,false,false,true,true,false,false,true,true\n"
    "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string"
    "\n#default,_result,,,,,,,\n,result,table,_start,_stop,_time,_value,_field,_measurement\n"
)
FLUX = "".join(
    ANNOTATED + "".join(
        f",,{at},2025-10-14T06:00:00Z,2025-10-14T09:00:00Z,{m:%Y-%m-%dT%H:%M:%SZ},"
        f"{text(tag, v)},{tag},plant\n" for m, v in zip(MOMENTS, values, strict=True)
    ) + "\n"
    for at, (tag, values) in enumerate(TAGS.items())
)  # fmt: skip
WINCC = "VarName;TimeString;VarValue;Validity;Time_ms"
WHOLE = wide().splitlines(keepends=True)
UNITS = {"TI101": " °C", "PI102": " bar", "FI103": " m³/h"}

READ = {
    "WinCC, with its marks": long(
        lambda t, r, v: f'"{t}";"{GERMAN(MOMENTS[r])}";{comma(t, v)};1;'
        + excel_e6(MOMENTS[r]).replace(".", ","), WINCC,
    ) + '"$RT_OFF$";"14.10.2025 09:00:00";0;2;45944375000,0\n"$RT_COUNT$";360;;;\n',
    "WinCC, days times a million alone": long(
        lambda t, r, v: f"{t};{comma(t, v)};{excel_e6(MOMENTS[r]).replace('.', ',')}",
        "VarName;VarValue;Time_ms",
    ),
    "Historian SQL": long(
        lambda t, r, v: f"{ISO(MOMENTS[r])}.0000000,{t},{text(t, v)},0,192,192",
        "DateTime,TagName,Value,Quality,QualityDetail,OPCQuality",
    ),
    "OLEDB, questionable or not": long(
        lambda t, r, v: f"{t},{MOMENTS[r]:%m/%d/%Y %I:%M:%S %p},{text(t, v)},0,False,False",
        "tag,time,value,status,questionable,substituted",
    ),
    "iHistorian": long(
        lambda t, r, v: f"{t},{MOMENTS[r]:%m/%d/%Y %H:%M:%S},{text(t, v)},Good",
        "Tagname,TimeStamp,Value,DataQuality", "[Data]\n",
    ),
    "PHD, with confidence": wide(
        cell=lambda t, v: f"{text(t, v)},100",
        heading="time,TI101,TI101 Confidence,PI102,PI102 Confidence,FI103,FI103 Confidence",
    ),
    "PCS 7 quality code": wide(
        cell=lambda t, v: f"{text(t, v)},0x80",
        heading="time,TI101,TI101 QC,PI102,PI102 QC,FI103,FI103 QC",
    ),
    "FactoryTalk, milliseconds apart": wide(
        stamp("%m/%d/%Y,%H:%M:%S,000"), heading="Date,Time,Millitm,TI101,PI102,FI103"
    ),
    "InfluxDB, annotated, table by table": FLUX,
    "InfluxDB, pivoted": wide(
        lambda m: f",,0,2025-10-14T06:00:00Z,2025-10-14T09:00:00Z,{m:%Y-%m-%dT%H:%M:%SZ}",
        heading=",result,table,_start,_stop,_time,TI101,PI102,FI103",
        top="#group,false,false\n#datatype,string,long\n#default,_result,,\n",
    ),
    "Grafana with units": wide(cell=lambda t, v: text(t, v) + UNITS[t]),
    "a server's header block": wide(
        top="Server,PISRV01,,\nDescriptor,Reactor temp,Reactor press,Feed\nEngUnits,degC,bar,m3/h\n"
    ),
    "a table of limits on top": wide(
        top="Tag,TI101,PI102,FI103\nDesc,a,b,c\nUnit,degC,bar,m3/h\nLow,0,0,0\nHigh,100,10,2000\n"
    ),
    "limits below the names": wide(below="Unit,degC,bar,m3/h\nLow,0,0,0\nHigh,100,10,2000"),
    "psql": wide(separator=" | ", below="------+-----+----+----") + "(120 rows)\n\n",
    "sqlcmd": wide(separator="|", below="------|-----|----|----") + "\n(120 rows affected)\n",
    "the heading comes again": "".join([*WHOLE[:50], WHOLE[0], *WHOLE[50:]]),
    "rows that come twice": "".join([*WHOLE[:50], *WHOLE[40:]]),
    "a leading separator": "".join(f",{line}" for line in WHOLE),
    "aggregates at the end": wide() + "Average,60,4,1300\nMax,70,5,1800\nStd Dev,3,.2,180\n",
    "a sum at the end": german(heading="Zeit,TI101,PI102,FI103") + "Summe;1,0;2,0;3,0\n",
    "a numbered record": "Record No," + "".join(
        line if not at else f"{1000 + at},{line}" for at, line in enumerate(WHOLE)
    ),
    "Lfd. Nr.": "Lfd. Nr.,Zeit,TI101,PI102,FI103\n" + "".join(
        f"{at + 1},{line}" for at, line in enumerate(WHOLE[1:])
    ),
    "units in cells, German": german(cell=lambda t, v: comma(t, v) + UNITS[t]),
    "Fortran's exponent": wide(cell=lambda t, v: f"{v:.9E}".replace("E", "D")),
    "a spreadsheet's texts": wide(cell=lambda t, v: f'="{text(t, v)}"'),
    "whole numbers with marks of thousands": wide(
        cell=lambda t, v: f'"{v:,.2f}"' if t == "FI103" else text(t, v)
    ),
}  # fmt: skip


def checked(path, data, how=None, tags=None, times=None):
    """The table, of which names, times and values are what was written."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    table = read_table(path, text="skip", how=how)
    tags = TAGS if tags is None else tags
    assert table.names == tuple(tags)
    assert table.time_ns.tolist() == (TIMES if times is None else times)
    for name, values in tags.items():
        np.testing.assert_allclose(table.column(name), values, rtol=1e-12, err_msg=name)
    return table


@pytest.mark.parametrize("kind", READ)
def test_what_a_tool_writes_is_read(tmp_path, kind):
    """Names, times and values; nothing more."""
    checked(tmp_path / "x.csv", READ[kind])


STAMPS = [
    "%d. %m. %Y %H:%M:%S", "%Y-%m-%d %I:%M:%S %p", "%Y-%b-%d %H:%M:%S", "%H:%M:%S %d.%m.%Y",
    "%H:%M:%S %m/%d/%Y", "%d.%m.%Y - %H:%M:%S", "[%Y-%m-%d %H:%M:%S]", "%d/%b/%Y:%H:%M:%S +0000",
    "%d/%m/%Y %Hh%M", "%Y:%m:%d %H:%M:%S", "%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日%H時%M分",
    '="%d/%m/%Y %H:%M"', "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
    "%Y-%m-%d %H:%M:%S UTC+0", "%Y-%m-%d %H:%M:%S GMT+00:00", "%d.%m.%Y %H:%M:%S (UTC)",
]  # fmt: skip


@pytest.mark.parametrize("pattern", STAMPS)
def test_times_in_unusual_forms_are_read(tmp_path, pattern):
    """Where they mean one thing."""
    checked(tmp_path / "x.csv", wide(stamp(pattern), separator=";"))


COUNTED = {
    "MATLAB's days": (lambda m: f"{719529 + m.timestamp() / 86400:.8f}", ""),
    "MATLAB's days, said": (lambda m: f"{719529 + m.timestamp() / 86400:.8f}", "matlab"),
    "days from 1904": (lambda m: f"{24107 + m.timestamp() / 86400:.8f}", "excel1904"),
    "LabVIEW's seconds": (lambda m: f"{m.timestamp() + 2082844800:.0f}", "labview"),
    "Windows' file times": (lambda m: str((int(m.timestamp()) + 11644473600) * 10**7), ""),
    ".NET's ticks": (lambda m: str((int(m.timestamp()) + 62135596800) * 10**7), "ticks"),
}  # fmt: skip


@pytest.mark.parametrize("kind", COUNTED)
def test_numbers_of_other_tools_are_read_as_they_count(tmp_path, kind):
    """By their size where that is certain, else by what a person says."""
    form, said = COUNTED[kind]
    checked(tmp_path / "x.csv", wide(form), Reading(time_format=said))


ASKED_TIMES = {
    "LabVIEW or a far future": (COUNTED["LabVIEW's seconds"][0], "--time-format labview"),
    "ticks or 1990": (COUNTED[".NET's ticks"][0], "--time-format ticks"),
    "modified Julian days or 2066": (lambda m: f"{40587 + m.timestamp() / 86400 + 15018:.8f}",
                                     "--time-format excel"),
    "a Julian date": (lambda m: f"{2440587.5 + m.timestamp() / 86400:.8f}", "date with a clock"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ASKED_TIMES)
def test_numbers_that_can_be_two_times_are_asked_about(tmp_path, kind):
    """Never a record of another century."""
    form, hint = ASKED_TIMES[kind]
    path = tmp_path / "x.csv"
    path.write_text(wide(form))
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert hint in caught.value.hint and "line 2, column 'time'" in caught.value.cause


@pytest.mark.parametrize(("heading", "step_ns"), [
    ("Time [ms]", 10**6), ("time_us", 10**3), ("Time (s)", S), ("Time in min", 60 * S),
    ("elapsed time [h]", 3600 * S), ("Time", S),
])  # fmt: skip
def test_time_since_the_start_is_in_the_unit_of_its_heading(tmp_path, heading, step_ns):
    """Seconds where no unit stands there."""
    path = tmp_path / "x.csv"
    path.write_text(f"{heading},a\n" + "".join(f"{row * 20},{row}.5\n" for row in range(ROWS)))
    assert read_table(path).time_ns.tolist() == [row * 20 * step_ns for row in range(ROWS)]


def test_milliseconds_of_their_own_column_are_part_of_the_time(tmp_path):
    """Ten rows a second, after a stamp and after a clock."""
    moments = [START + timedelta(milliseconds=100 * row) for row in range(ROWS)]
    forms = {"Time,ms,a": "%Y-%m-%d %H:%M:%S", "Date,Time,ms,a": "%m/%d/%Y,%H:%M:%S"}
    for heading, form in forms.items():
        path = tmp_path / "x.csv"
        rows = (f"{m:{form}},{m.microsecond // 1000},{r}.5\n" for r, m in enumerate(moments))
        path.write_text(heading + "\n" + "".join(rows))
        table = read_table(path)
        assert table.names == ("a",)
        assert np.diff(table.time_ns).tolist() == [S // 10] * (ROWS - 1)


def test_the_end_of_a_day_is_the_beginning_of_the_next(tmp_path):
    """24:00 is a time; 24:01 is none."""
    begin = datetime(2025, 10, 14, 23, tzinfo=UTC)
    lines = [f"{begin + timedelta(minutes=r):%d.%m.%Y %H:%M},{r}.5" for r in range(ROWS)]
    lines[60] = lines[60].replace("15.10.2025 00:00", "14.10.2025 24:00")
    path = tmp_path / "x.csv"
    path.write_text("time,a\n" + "\n".join(lines) + "\n")
    assert set(np.diff(read_table(path).time_ns)) == {60 * S}
    path.write_text(path.read_text().replace("24:00", "24:01"))
    with pytest.raises(FieldwardenError, match="no such time of day"):
        read_table(path)


# --- cells -----------------------------------------------------------------------------------

SIGNED = np.round(20 * _NOISE[0], 2)
NEGATIVE = {
    "behind": lambda v: f"{abs(v):.2f}-" if v < 0 else f"{v:.2f}",
    "parentheses": lambda v: f"({abs(v):.2f})" if v < 0 else f"{v:.2f}",
    "U+2212": lambda v: f"{v:.2f}".replace("-", "\u2212"),
    "en dash": lambda v: f"{v:.2f}".replace("-", "\u2013"),
    "a blank after it": lambda v: f"{v:.2f}".replace("-", "- "), "with %": lambda v: f"{v:.2f} %",
}  # fmt: skip


@pytest.mark.parametrize("kind", NEGATIVE)
@pytest.mark.parametrize("mark", [".", ","])
def test_negative_numbers_are_never_lost(tmp_path, kind, mark):
    """A sign in another place or of another shape is a sign."""
    form = NEGATIVE[kind]
    lines = (f"{GERMAN(MOMENTS[r])};{form(SIGNED[r]).replace('.', mark)}\n" for r in range(ROWS))
    checked(tmp_path / "x.csv", "time;a\n" + "".join(lines), tags={"a": SIGNED})


WORDS = ["TRUE FALSE", "WAHR FALSCH", "vrai faux", "On Off", "Ein Aus", "Yes No", "ja nein",
         "Oui Non"]  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_yes_and_no_are_1_and_0(tmp_path, words):
    """In any case; but "off" among numbers is no 0."""
    yes, no = words.split()
    state = np.arange(ROWS) // 20 % 2
    rows = (f"{ISO(MOMENTS[r])},{yes if state[r] else no},{r}.5\n" for r in range(ROWS))
    path = tmp_path / "x.csv"
    table = checked(path, "time,a,b\n" + "".join(rows),
                    tags={"a": state, "b": np.arange(ROWS) + 0.5})  # fmt: skip
    assert words == "TRUE FALSE" or any("read as 1" in note for note in table.notes)
    rows = (f"{ISO(MOMENTS[r])},{no if r % 9 == 3 else r}\n" for r in range(ROWS))
    path.write_text("time,a\n" + "".join(rows))
    assert np.isnan(read_table(path).column("a")).sum() == sum(r % 9 == 3 for r in range(ROWS))


def test_units_in_cells_are_the_unit_of_the_column(tmp_path):
    """One unit is taken, two are not, and neither is one that only some cells have."""
    path = tmp_path / "x.csv"
    table = checked(path, wide(cell=lambda t, v: text(t, v) + UNITS[t]))
    assert table.units == {"TI101": "degC", "PI102": "bar", "FI103": "m3/h"}
    for cell in (
        lambda t, v: text(t, v) + (" mbar" if v < 4 else " bar") * (t == "PI102"),
        lambda t, v: text(t, v) + " bar" * bool(t == "PI102" and v < 4),
    ):
        path.write_text(wide(cell=cell))
        assert read_table(path, text="skip").names == ("TI101", "FI103")
        with pytest.raises(FieldwardenError, match="PI102"):
            read_table(path)


def test_marks_of_thousands_that_the_file_shows_hold_for_all_columns(tmp_path):
    """1.234,56 in one column tells what 1.234 in another one is; without that it is asked."""
    whole = np.round(2500 + 300 * _NOISE[1])
    mark = {44: 46, 46: 44}
    cells = [f"{v:,.0f}".translate(mark) for v in whole]
    other = [f"{v:,.2f}".translate(mark) for v in TAGS["FI103"]]
    rows = (f"{GERMAN(MOMENTS[r])};{cells[r]};{other[r]}\n" for r in range(ROWS))
    path = tmp_path / "x.csv"
    checked(path, "time;a;b\n" + "".join(rows), tags={"a": whole, "b": TAGS["FI103"]})
    rows = (f"{GERMAN(MOMENTS[r])};{cells[r]};{comma('PI102', 4.0)}\n" for r in range(ROWS))
    path.write_text("time;a;b\n" + "".join(rows))
    with pytest.raises(FieldwardenError, match="--decimal point or --decimal comma"):
        read_table(path)
    assert read_table(path, how=Reading(decimal="comma")).column("a").tolist() == whole.tolist()


@pytest.mark.parametrize(("heading", "good", "bad"), [
    ("Tagname,TimeStamp,Value,DataQuality", "Good", "Bad"),
    ("Tagname,TimeStamp,Value,Quality", "100", "0"),
    ("VarName,TimeString,VarValue,Validity", "1", "0"),
    ("tag,time,value,questionable", "False", "True"), ("tag,time,value,QC", "128", "0x28"),
    ("tag,time,value,OPCQuality", "192", "24"), ("tag,time,value,confidence", "100", "0"),
])  # fmt: skip
def test_bad_samples_of_long_format_are_never_values(tmp_path, heading, good, bad):
    """However the column of quality is called."""
    data = long(lambda t, r, v: f"{t},{ISO(MOMENTS[r])},{99999 if BAD[r] else text(t, v)},"
                f"{bad if BAD[r] else good}", heading)  # fmt: skip
    checked(tmp_path / "x.csv", data,
            tags={tag: np.where(BAD, np.nan, values) for tag, values in TAGS.items()})  # fmt: skip


# --- what is left out or refused ---------------------------------------------------------------


def test_a_number_that_was_cut_off_is_no_number(tmp_path):
    """The last line has all its cells, but no end, and its last number fewer decimals."""
    path = tmp_path / "x.csv"
    path.write_text(wide()[:-3])
    table = read_table(path)
    assert len(table.time_ns) == ROWS - 1 and any("incomplete" in note for note in table.notes)
    path.write_text(wide()[:-1])
    assert len(read_table(path).time_ns) == ROWS


def test_an_hour_sorted_into_itself_is_refused(tmp_path):
    """Local times that a tool sorted: nobody can tell which of two rows is the first."""
    zone = ZoneInfo("Europe/Berlin")
    change = datetime(2025, 10, 26, 1, tzinfo=UTC)
    for step in (1, 5, 15, 30):
        moments = (change + timedelta(minutes=step * (r - 60)) for r in range(ROWS))
        local = (moment.astimezone(zone) for moment in moments)
        lines = sorted(f"{m:%Y-%m-%d %H:%M},{r}.5\n" for r, m in enumerate(local))
        path = tmp_path / "x.csv"
        path.write_text("time,a\n" + "".join(lines))
        with pytest.raises(FieldwardenError, match="sorted into each other"):
            read_table(path)


REFUSED = {
    "an old workbook": (b"\xd0\xcf\x11\xe0" + bytes(100), "Excel workbook", ".xlsx"),
    "HTML": (b"<html><table><tr><td>1</td></tr></table></html>", "HTML", "CSV"),
    "JSON": (json.dumps([{"time": "2025-10-14", "a": 1}]).encode(), "JSON", "CSV"),
    "JSON lines": (b'{"time": "2025-10-14", "a": 1}\n' * 9, "JSON", "CSV"),
    "Shift JIS": (
        wide(heading="日時,温度,圧力,流量").encode("shift_jis"), "no UTF-8", "--encoding",
    ),
    "Cyrillic": (wide(heading="time,Давление,a,b").encode("cp1251"), "no UTF-8", "cp1251"),
    "times of each tag": (
        wide(heading="Time,TI101,Time,FI103").encode(), "two columns are named 'Time'", "long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table_is_said_to_be_what_it_is(tmp_path, kind):
    """With what to do about it."""
    data, cause, hint = REFUSED[kind]
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(FieldwardenError) as caught:
        read_table(path)
    assert cause in caught.value.cause and hint in caught.value.hint
