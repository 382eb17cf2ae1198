"""Tables that are compressed, in an archive or in a workbook: read as the plain text would be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import resource
import subprocess
import sys
import tarfile
import zipfile
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest

from agent.errors import FieldwardenError
from agent.records import packed
from agent.records.table import read_table
from agent.records.times import Reading

ROWS = 90
START = datetime(2025, 11, 3, 22, 45, tzinfo=UTC)
MOMENTS = [START + timedelta(minutes=row) for row in range(ROWS)]
TIMES = [int(moment.timestamp()) * 10**9 for moment in MOMENTS]
_NOISE = np.random.default_rng(5).normal(0.0, 1.0, (2, ROWS))
TI, PI = np.round(81 + _NOISE[0], 3), np.round(6 + 0.1 * _NOISE[1], 4)
TEXT = "Zeit;TI7 [°C];PI8 [bar]\n" + "".join(
    f"{moment:%d.%m.%Y %H:%M:%S};{a:.3f};{b:.4f}\n".replace(".", ",").replace(",", ".", 2)
    for moment, a, b in zip(MOMENTS, TI, PI, strict=True)
)


def archive(members, method=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return made.getvalue()


# --- workbooks: no more than what stands in every one ----------------------------------------

_STYLES = {"date": 1, "clock": 2}
_EPOCHS = {False: datetime(1899, 12, 30, tzinfo=UTC), True: datetime(1904, 1, 1, tzinfo=UTC)}
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def column_name(at):
    return (chr(64 + at // 26) if at // 26 else "") + chr(65 + at % 26)


def cell(at, value, *, from_1904):
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{at}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        days = (value - _EPOCHS[from_1904]) / timedelta(days=1)
        return f'<c r="{at}" s="1"><v>{days!r}</v></c>'
    if isinstance(value, time):
        share = (value.hour * 3600 + value.minute * 60 + value.second) / 86_400
        return f'<c r="{at}" s="2"><v>{share!r}</v></c>'
    if isinstance(value, str):
        return f'<c r="{at}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{at}"><v>{float(value)!r}</v></c>'


def workbook(sheets, *, from_1904=False, hidden=()):
    """Sheets of rows of cells."""
    ids = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="{name}" sheetId="{at}" r:id="r{at}"'
        f"{' state=' + chr(34) + 'hidden' + chr(34) if name in hidden else ''}/>"
        for at, name in zip(ids, sheets, strict=True)
    )
    parts = {
        "[Content_Types].xml": "<Types xmlns="
        '"http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": "<Relationships xmlns="
        '"http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}">'
        f'<workbookPr date1904="{int(from_1904)}"/><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": "<Relationships xmlns="
        '"http://schemas.openxmlformats.org/package/2006/relationships">' + "".join(
            f'<Relationship Id="r{at}" Type="{_RELATIONS}/worksheet" '
            f'Target="worksheets/sheet{at}.xml"/>' for at in ids
        ) + f'<Relationship Id="s" Type="{_RELATIONS}/styles" Target="styles.xml"/>'
        "</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts count="1">'
        '<numFmt numFmtId="170" formatCode="dd\\.mm\\.yyyy\\ hh:mm:ss"/></numFmts>'
        '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="170"/><xf numFmtId="21"/></cellXfs>'
        "</styleSheet>",
    }  # fmt: skip
    for at, rows in zip(ids, sheets.values(), strict=True):
        lines = []
        for row, cells in enumerate(rows, start=1):
            made = (
                cell(f"{column_name(place)}{row}", value, from_1904=from_1904)
                for place, value in enumerate(cells)
            )
            lines.append(f'<row r="{row}">{"".join(made)}</row>')
        data = f"<sheetData>{''.join(lines)}</sheetData>"
        parts[f"xl/worksheets/sheet{at}.xml"] = f'<worksheet xmlns="{_MAIN}">{data}</worksheet>'
    return archive(parts)


def sheet_rows(when=lambda moment: [moment], number=float):
    head = ["Zeit", *[None] * (len(when(START)) - 1)]
    return [
        ['Anlage "Nord", Schicht 2'], [], [*head, "TI7\n[°C]", "PI8 [bar]"],
        *([*when(m), number(a), number(b)] for m, a, b in zip(MOMENTS, TI, PI, strict=True)),
    ]  # fmt: skip


def assert_same(table, names=("TI7 [°C]", "PI8 [bar]")):
    assert table.names == names
    assert table.time_ns.tolist() == TIMES
    assert np.array_equal(table.values, np.column_stack([TI, PI]))


PACKED = {
    "gzip": ("x.csv.gz", gzip.compress(TEXT.encode())),
    "gzip, named as if it were none": ("x.csv", gzip.compress(TEXT.encode("cp1252"))),
    "bzip2": ("x.csv.bz2", bz2.compress(TEXT.encode("utf-16"))),
    "xz": ("x.csv.xz", lzma.compress(TEXT.encode())),
    "zip": ("x.zip", archive({"a/x.csv": TEXT})),
    "zip, stored, beside what is no table": (
        "x.zip",
        archive({"README.txt": "Hello", "a/": "", "a/x.csv": TEXT, "a/empty.csv": "",
                 "__MACOSX/a/._x.csv": "Mac", "a/plot.png": b"\x89PNG"}, zipfile.ZIP_STORED),
    ),
    "gzip in a zip": ("x.zip", archive({"x.csv.gz": gzip.compress(TEXT.encode())})),
    "zip in gzip": ("x.zip.gz", gzip.compress(archive({"x.csv": TEXT}))),
}  # fmt: skip


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_packed_is_read_as_if_it_were_not(tmp_path, kind):
    """Every value and time, and nothing is left behind in the folder of temporary files."""
    name, data = PACKED[kind]
    (tmp_path / name).write_bytes(data)
    table = read_table(tmp_path / name)
    assert_same(table)
    if kind.startswith("zip,"):
        assert "a/x.csv" in table.understood


def test_a_parquet_file_that_is_packed_is_read_too(tmp_path):
    """It is known by the ending that it has inside."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = io.BytesIO()
    stamps = pa.array(TIMES, pa.int64()).cast(pa.timestamp("ns", tz="UTC"))
    parquet.write_table(pa.table({"time": stamps, "TI7 [°C]": TI, "PI8 [bar]": PI}), made)
    (tmp_path / "x.zip").write_bytes(archive({"x.parquet": made.getvalue()}))
    (tmp_path / "x.parquet.gz").write_bytes(gzip.compress(made.getvalue()))
    assert_same(read_table(tmp_path / "x.zip"))
    assert_same(read_table(tmp_path / "x.parquet.gz"))


def test_an_error_names_the_packed_file_and_what_of_it_is_meant(tmp_path, monkeypatch):
    """Not the temporary one, which is gone when it is read."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    wrong = TEXT.replace("81,", "8,1,", 1)
    (tmp_path / "x.zip").write_bytes(archive({"a/x.csv": wrong}))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(wrong.encode()))
    for name, subject in (("x.zip", "x.zip (a/x.csv)"), ("x.csv.gz", "x.csv.gz")):
        with pytest.raises(FieldwardenError, match="is no number") as caught:
            read_table(tmp_path / name)
        assert caught.value.subject == str(tmp_path / subject)
        assert "line " in caught.value.cause
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_of_several_files_it_is_asked_which_one(tmp_path):
    """The error names the option, and the option takes a name with its folder or without."""
    path = tmp_path / "x.zip"
    path.write_bytes(archive({"a/x.csv": TEXT, "b/y.csv": TEXT.replace("TI7", "TI9")}))
    with pytest.raises(FieldwardenError, match=r"2 files: a/x.csv, b/y.csv") as caught:
        read_table(path)
    assert "--member 'a/x.csv'" in caught.value.hint
    assert_same(read_table(path, how=Reading(member="a/x.csv")))
    assert read_table(path, how=Reading(member="y.csv")).names[0] == "TI9 [°C]"
    with pytest.raises(FieldwardenError, match=r"no file 'z\.csv' for --member"):
        read_table(path, how=Reading(member="z.csv"))


def tar():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as out:
        entry = tarfile.TarInfo("x.csv")
        entry.size = len(TEXT.encode())
        out.addfile(entry, io.BytesIO(TEXT.encode()))
    return made.getvalue()


def protected():
    data = bytearray(archive({"x.csv": TEXT}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    return bytes(data)


REFUSED = {
    "gzip that ends early": (gzip.compress(TEXT.encode())[:-40], "gzip file is damaged", "again"),
    "xz that is spoilt": (
        lzma.compress(TEXT.encode())[:-60] + bytes(60), "xz file is damaged", "again",
    ),
    "zip that ends early": (archive({"x.csv": TEXT})[:-30], "zip file is damaged", "again"),
    "zip of other bytes than it says": (
        archive({"x.csv": TEXT}, zipfile.ZIP_STORED).replace(b";8", b";9", 1), "damaged", "again",
    ),
    "zip with a password": (protected(), "password", "unpack"),
    "zip of pictures": (archive({".x": b"a", "__MACOSX/b.csv": b"b"}), "no table", "CSV"),
    "zip in a zip": (archive({"x.dat": archive({"x.csv": TEXT})}), "in an archive", "unpack"),
    "tar": (tar(), "tar archive", "tar xf"),
    "OpenDocument": (archive({"mimetype": "x", "content.xml": "<a/>"}), "another kind", ".xlsx"),
    "a binary workbook": (archive({"xl/workbook.bin": b"x"}), "another kind", ".xlsx"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_unpacked_says_why(tmp_path, kind):
    """With what to do about it."""
    data, cause, hint = REFUSED[kind]
    (tmp_path / "x.csv").write_bytes(data)
    with pytest.raises(FieldwardenError) as caught:
        read_table(tmp_path / "x.csv")
    assert cause in caught.value.cause and hint in caught.value.hint


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress,
                                  lambda data: archive({"x.csv": data})])  # fmt: skip
def test_a_file_that_unpacks_to_too_much_is_refused_before_it_fills_the_disk(
    tmp_path, monkeypatch, pack
):
    """By what it unpacks to, whatever its own size."""
    path = tmp_path / "x.csv"
    path.write_bytes(pack(bytes(12 << 20)))
    written = []
    copy = packed._copy

    def seen(file, stream, target, most):
        try:
            copy(file, stream, target, most)
        finally:
            written.append(target.stat().st_size)

    monkeypatch.setattr("agent.records.table._LIMIT_BYTES", 8 << 20)
    monkeypatch.setattr(packed, "_copy", seen)
    with pytest.raises(FieldwardenError, match="unpacked it is larger than"):
        read_table(path)
    assert sum(written) <= 8 << 20


# --- workbooks -------------------------------------------------------------------------------


@pytest.fixture
def calamine():
    return pytest.importorskip("python_calamine")


NAMES = ("TI7 [°C]", "PI8 [bar]")
BOOKS = {
    "dates": ({"Blatt1": sheet_rows()}, {}),
    "dates of 1904": ({"Blatt1": sheet_rows()}, {"from_1904": True}),
    "empty and hidden sheets beside": (
        {"Tabelle2": [], "Daten": sheet_rows(), "Ablage": sheet_rows()}, {"hidden": ["Ablage"]},
    ),
    "numbers as texts": (
        {"Blatt1": sheet_rows(number=lambda value: f"{value:.4f}".replace(".", ","))}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOOKS)
@pytest.mark.parametrize("name", ["x.xlsx", "x.csv"])
def test_a_workbook_is_read_as_its_sheet_would_be(tmp_path, calamine, kind, name):
    """Preamble, heading of two lines, dates as Excel has them; whatever the file is called."""
    sheets, options = BOOKS[kind]
    (tmp_path / name).write_bytes(workbook(sheets, **options))
    assert_same(read_table(tmp_path / name))


def test_a_date_and_a_clock_in_two_columns_are_one_time(tmp_path, calamine):
    """A day is a stamp of midnight, in a workbook."""
    rows = sheet_rows(lambda m: [m.replace(hour=0, minute=0), m.time()])
    rows[2][1] = "Uhrzeit"
    (tmp_path / "x.xlsx").write_bytes(workbook({"a": rows}))
    assert_same(read_table(tmp_path / "x.xlsx"))


def test_numbers_of_a_workbook_have_no_mark_that_could_mean_two_things(tmp_path, calamine):
    """12.345 is no twelve thousand; a text 12,345 beside it is asked about."""
    rows = [["time", "a", "b"], *([m, 12.345, "12,345"] for m in MOMENTS)]
    path = tmp_path / "x.xlsx"
    path.write_bytes(workbook({"a": rows}))
    with pytest.raises(FieldwardenError, match="say --decimal point or --decimal comma"):
        read_table(path)
    assert np.all(read_table(path, text="skip").column("a") == 12.345)
    both = read_table(path, how=Reading(decimal="comma"))
    assert np.all(both.values == 12.345)
    assert np.all(read_table(path, how=Reading(decimal="point")).column("b") == 12_345)


def test_whatever_stands_in_cells_of_a_workbook_is_understood_as_in_a_text(tmp_path, calamine):
    """Words are bad samples, formulas have their value, truth is 1 and 0, nothing is missing."""
    rows = [["time", "a", "run"], *([m, 5.25, row % 3 == 0] for row, m in enumerate(MOMENTS))]
    rows[4][1], rows[5][1], rows[6][1] = "I/O Timeout", None, 7
    (tmp_path / "x.xlsx").write_bytes(workbook({"a": rows}))
    table = read_table(tmp_path / "x.xlsx")
    a = table.column("a")
    assert np.isnan(a[[3, 4]]).all() and a[5] == 7 and np.isfinite(a).sum() == ROWS - 2
    assert table.column("run").tolist() == [float(row % 3 == 0) for row in range(ROWS)]
    assert 'a: 1 cell "I/O Timeout" taken as missing' in table.notes


def test_of_several_sheets_it_is_asked_which_one(tmp_path, calamine):
    """A hidden one is no candidate, but can be named."""
    path = tmp_path / "x.xlsx"
    other = [["time", "b"], *([m, 1.5] for m in MOMENTS)]
    path.write_bytes(workbook({"A": sheet_rows(), "B": other, "C": other}, hidden=["C"]))
    with pytest.raises(FieldwardenError, match="2 sheets: 'A', 'B'") as caught:
        read_table(path)
    assert "--sheet 'A'" in caught.value.hint
    assert_same(read_table(path, how=Reading(sheet="A")))
    assert read_table(path, how=Reading(sheet="C")).names == ("b",)
    with pytest.raises(FieldwardenError, match="no sheet 'D' for --sheet"):
        read_table(path, how=Reading(sheet="D"))


def test_a_workbook_in_an_archive_is_read(tmp_path, calamine):
    """As is one that is compressed once more."""
    book = workbook({"A": sheet_rows()})
    (tmp_path / "x.zip").write_bytes(archive({"x.xlsx": book}))
    (tmp_path / "x.xlsx.gz").write_bytes(gzip.compress(book))
    assert "x.xlsx, sheet 'A'" in read_table(tmp_path / "x.zip").understood
    assert_same(read_table(tmp_path / "x.xlsx.gz"))


def test_a_damaged_workbook_is_an_error_for_a_person(tmp_path, calamine):
    """Wherever it is damaged."""
    book = workbook({"A": sheet_rows()})
    path = tmp_path / "x.xlsx"
    for place in range(0, len(book), 97):
        path.write_bytes(book[:place] + b"\xff\x00\xff" + book[place + 3 :])
        with suppress(FieldwardenError):  # some bytes say nothing that is needed
            assert read_table(path).names == NAMES


def test_a_sheet_without_cells_is_said_to_be_empty(tmp_path, calamine):
    """Nothing is there to be asked about."""
    (tmp_path / "x.xlsx").write_bytes(workbook({"A": [], "B": []}))
    with pytest.raises(FieldwardenError, match="sheets are empty"):
        read_table(tmp_path / "x.xlsx")


_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
from agent.records.table import read_table
try:
    read_table(sys.argv[1])
except Exception as error:
    print(type(error).__name__, error.cause)
"""


def parts_of(book):
    with zipfile.ZipFile(io.BytesIO(book)) as parts:
        return {part: parts.read(part) for part in parts.namelist()}


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="this system limits no memory")
def test_one_cell_far_off_does_not_take_all_memory(tmp_path, calamine):
    """A reader that holds a rectangle would ask for 600 GB."""
    every = parts_of(workbook({"A": sheet_rows()}))
    far, sheet = tmp_path / "far.xlsx", "xl/worksheets/sheet1.xml"
    cells = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
    far.write_bytes(archive({**every, sheet: every[sheet].replace(b"</sheetData>", cells)}))
    words = [sys.executable, "-c", _LIMITED, str(far), str(4 << 30)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path.cwd(), check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.startswith("FieldwardenError") and "row 1,048,576" in done.stdout


def test_a_workbook_whose_parts_unpack_to_too_much_is_refused(tmp_path, calamine, monkeypatch):
    """Whatever part it is, and however small the file."""
    every = parts_of(workbook({"A": sheet_rows()}))
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(archive({**every, "xl/sharedStrings.xml": bytes(20 << 20)}))
    monkeypatch.setattr("agent.records.workbook._MOST_BYTES", 8 << 20)
    with pytest.raises(FieldwardenError, match="unpacked it is larger than"):
        read_table(path)
