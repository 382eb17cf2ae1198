"""A lake reads as its rows would in one file, and a long one by blocks: any files, one result."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog

from agent.errors import FieldwardenError
from agent.records.lake import blocks, choose, opening, stream, survey
from agent.records.lake.named import is_lake
from agent.records.lake.opening import here
from agent.records.lake.stream import Columns
from agent.records.table import read_table
from agent.records.times import Reading
from tests.records.lakes import BEGIN_NS, SECOND, record, write

TAGS = ["flow", "level", "count"]
FIXTURES = [HealthCheck.function_scoped_fixture]
COLUMNS = Columns(tuple(TAGS), (), frozenset(), "")


@pytest.fixture
def small(monkeypatch):
    """Blocks and limits of the size of a test's record."""
    for module in (opening, stream):
        monkeypatch.setattr(module, "WHOLE_CELLS", 3000)
    for module in (choose, stream):
        monkeypatch.setattr(module, "CHOSEN_CELLS", 2400)
    monkeypatch.setattr(survey, "BLOCK_ROWS", 128)
    monkeypatch.setattr(blocks, "TOGETHER", 4)


def streamed(data, columns=COLUMNS, how=None):
    return stream.stream(str(data), columns, how or Reading(), here, lambda what, done, of: None)


def told(error):
    return str(error.value)


def same(one, other):
    np.testing.assert_array_equal(one.time_ns, other.time_ns)
    np.testing.assert_array_equal(one.values, other.values)
    assert one.names == other.names
    assert one.interval_ns == other.interval_ns


@st.composite
def cuts(draw):
    """Rows of the record by file: any sizes, some of them in two files, in any order."""
    places = sorted(draw(st.sets(st.integers(1, 2999), max_size=6)))
    spans = list(zip([0, *places], [*places, 3000], strict=True))
    spans = [(max(a - draw(st.sampled_from([0, 0, 40])), 0), b) for a, b in spans]
    groups = draw(st.lists(st.integers(20, 3000), min_size=len(spans), max_size=len(spans)))
    names = draw(st.permutations(range(len(spans))))
    turned = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))
    return list(zip(spans, groups, names, turned, strict=True)), draw(st.booleans())


def cut(table, folder, how):
    files, hive = how
    for (start, stop), group, name, turned in files:
        part = table.slice(start, stop - start)
        part = part.take(pa.array(np.arange(len(part))[::-1])) if turned else part
        into = folder / f"year=2026/part={name}" if hive else folder
        write(part, into / f"{name}.parquet", group)


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return read_table(write(record(), tmp_path_factory.mktemp("one") / "all.parquet"), TAGS)


@given(how=cuts())
@settings(max_examples=12, deadline=None)
def test_a_lake_reads_as_one_file_of_its_rows(one_file, how):
    """Files of any sizes and orders, in Hive's folders or flat, that overlap or do not."""
    with tempfile.TemporaryDirectory() as folder:
        cut(record(), Path(folder), how)
        same(read_table(folder if how[1] else f"{folder}/**/*.parquet", TAGS), one_file)


@given(how=cuts())
@settings(max_examples=12, deadline=None, suppress_health_check=FIXTURES)
def test_a_long_lake_gives_the_same_stretches_however_it_is_cut(small, tmp_path_factory, how):
    """Blocks are spans of time: what is told of them and which are chosen follows from the rows."""
    whole = streamed(write(record(), tmp_path_factory.mktemp("one") / "all.parquet").parent)
    with tempfile.TemporaryDirectory() as folder:
        cut(record(), Path(folder), how)
        found = streamed(folder)
    same(found.table, whole.table)
    assert found.table.selection == whole.table.selection
    assert len(whole.table.selection.starts) > 4


def test_stretches_are_whole_and_counts_are_of_all_rows(small, tmp_path):
    """Each stretch is rows of the record as they are; extremes, gaps and number are exact."""
    table = record()
    flow = table["flow"].to_numpy().copy()
    flow[7], flow[2911] = 61.25, 17.5
    level = table["level"].to_numpy().copy()
    level[1000:1333] = np.nan
    changed = table.set_column(1, "flow", pa.array(flow)).set_column(2, "level", pa.array(level))
    found = streamed(write(changed, tmp_path / "lake/a.parquet", 700).parent).table
    whole = found.selection
    assert (whole.rows, whole.first_ns) == (3000, BEGIN_NS)
    assert whole.last_ns == BEGIN_NS + 2999 * SECOND
    assert whole.extremes["flow"].low[0] == (flow.min(), int((flow == flow.min()).sum()))
    assert whole.extremes["flow"].high[-1] == (flow.max(), int((flow == flow.max()).sum()))
    assert whole.extremes["level"].count == int(np.isfinite(level).sum())
    bare = np.flatnonzero(np.isfinite(np.concatenate([[0.0], level, [0.0]])))
    assert whole.gaps["level"] == int(np.diff(bare).max()) - 1
    rows = (found.time_ns - BEGIN_NS) // SECOND
    stops = [*(start - 1 for start in whole.starts[1:]), len(rows)]
    for start, stop in zip(whole.starts, stops, strict=True):
        part = rows[start:stop]
        assert (np.diff(part) == 1).all()
        np.testing.assert_array_equal(found.values[start:stop, 0], flow[part])
    assert np.isnan(found.values[[start - 1 for start in whole.starts[1:]]]).all()
    assert whole.used == sum(b - a for a, b in zip(whole.starts, stops, strict=True))
    assert (np.diff(found.time_ns) > 0).all()
    assert set(found.steps_ns("flow")) == {SECOND}
    assert found.covered_ns == whole.used * SECOND
    assert "3,000 rows" in whole.text


def test_what_means_no_value_is_told_by_all_rows(small, tmp_path):
    """Two cells in two blocks are none of the values, as in one file; and the person is told."""
    table = record()
    flow = table["flow"].to_numpy().copy()
    flow[[5, 2500]] = -9999.0
    found = streamed(write(
        table.set_column(1, "flow", pa.array(flow)), tmp_path / "lake/a.parquet"
    ).parent).table
    assert found.selection.extremes["flow"].low[0][0] > 0.0
    assert not (found.values[:, 0] == -9999.0).any()
    assert any("-9999" in line for line in found.understood)
    kept = streamed(tmp_path / "lake", how=Reading(no_value="none")).table
    assert kept.selection.extremes["flow"].low[0] == (-9999.0, 2)


def test_qualities_are_told_by_all_rows(small, tmp_path):
    """A block that is bad throughout has one code only: what it means, the others say."""
    quality = np.full(3000, 192)
    quality[1000:1600] = 0
    table = record().append_column("flow_quality", pa.array(quality))
    found = streamed(write(table, tmp_path / "lake/a.parquet", 300).parent).table
    assert found.selection.extremes["flow"].count == 2400
    rows = (found.time_ns - BEGIN_NS) // SECOND
    bad = (rows >= 1000) & (rows < 1600)
    assert bad.any()
    assert np.isnan(found.values[bad, 0]).all()


def test_a_rare_mode_is_among_the_chosen(small, tmp_path):
    """Blocks of a mode that an even choice hardly holds are taken too."""
    mode = np.zeros(3000)
    mode[1700:1790] = 2.0
    table = record().append_column("mode", pa.array(mode))
    columns = Columns((*TAGS, "mode"), (), frozenset(), "mode")
    found = streamed(write(table, tmp_path / "lake/a.parquet").parent, columns).table
    assert (found.column("mode") == 2.0).sum() >= 85


def test_reports_by_exception_are_refused_where_they_are_many(small, tmp_path):
    """A value that holds until the next one would have to be known from blocks before."""
    table = record()
    for at, name in enumerate(TAGS, start=1):
        cells = table[name].to_numpy().astype(float)
        cells[np.arange(3000) % 3 != at - 1] = np.nan
        table = table.set_column(at, name, pa.array(cells))
    write(table, tmp_path / "lake/a.parquet")
    with pytest.raises(FieldwardenError) as error:
        streamed(tmp_path / "lake")
    assert "reports by exception" in told(error)


# --- tables ---------------------------------------------------------------------------------------


def test_a_delta_table_reads_as_one_file(one_file, tmp_path):
    """What it partitions by stands in no file, and is a column; dropped rows are not read."""
    plant = pa.array(["east" if row < 1200 else "west" for row in range(3000)])
    table = record().append_column("plant", plant)
    folder = tmp_path / "delta"
    write_deltalake(folder, table.slice(0, 10), partition_by=["plant"])
    write_deltalake(folder, table.slice(1200), mode="overwrite", partition_by=["plant"])
    write_deltalake(folder, table.slice(0, 1200), mode="append")
    found = read_table(folder, TAGS)
    same(found, one_file)
    assert any("Delta table at version 2" in line for line in found.understood)
    own = read_table(folder, ["flow", "plant"], texts=["plant"])
    assert sorted(own.texts.values()) == ["east", "west"]


def test_an_iceberg_table_reads_as_one_file(one_file, tmp_path):
    """Also where a column has another name now than in its files."""
    catalog = SqlCatalog(
        "lake", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}"
    )
    catalog.create_namespace("plant")
    table = record().set_column(
        0, "time", record()["time"].cast(pa.timestamp("us", "UTC"))
    ).rename_columns(["time", "old", "level", "count"])
    made = catalog.create_table("plant.line", schema=table.schema)
    made.append(table.slice(1000))
    made.append(table.slice(0, 1000))
    with made.update_schema() as change:
        change.rename_column("old", "flow")
    folder = made.location().removeprefix("file://")
    found = read_table(folder, TAGS)
    same(found, one_file)
    assert any("Iceberg table at snapshot" in line for line in found.understood)


# --- files as they are ----------------------------------------------------------------------------


def test_a_column_that_some_files_lack_is_missing_there(tmp_path):
    """And one of whole numbers in one file, of others in another, is one of numbers."""
    table = record()
    write(table.slice(0, 1000).drop_columns(["level"]), tmp_path / "a.parquet")
    counts = table["count"].slice(1000).cast(pa.float64())
    write(table.slice(1000).set_column(3, "count", counts), tmp_path / "b.parquet")
    found = read_table(tmp_path, TAGS)
    assert np.isnan(found.column("level")[:1000]).all()
    np.testing.assert_array_equal(found.column("level")[1000:], table["level"].to_numpy()[1000:])
    np.testing.assert_array_equal(found.column("count"), table["count"].to_numpy())
    assert any("level: 1 of 2 files have no such column" in line for line in found.understood)


def test_a_file_without_rows_is_no_trouble(one_file, tmp_path):
    """A writer that had nothing to write wrote a schema, of whatever types."""
    write(record(), tmp_path / "a.parquet")
    write(pa.table({"time": pa.array([], pa.string())}), tmp_path / "b.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden.parquet").write_bytes(b"half")
    same(read_table(tmp_path, TAGS), one_file)


def test_cells_that_were_told_differently_are_missing(tmp_path):
    """Files have no order: neither of two values at one time is the later one."""
    table = record()
    write(table, tmp_path / "a.parquet")
    other = table.slice(500, 3).set_column(1, "flow", pa.array([1.0, None, 3.0]))
    write(other, tmp_path / "b.parquet")
    found = read_table(tmp_path, TAGS)
    assert np.isnan(found.column("flow")[[500, 502]]).all()
    assert found.column("flow")[501] == table["flow"][501].as_py()
    assert len(found.time_ns) == 3000
    assert any("2 cells were told differently" in line for line in found.understood)


def as_text(table):
    return table.set_column(1, "flow", table["flow"].cast(pa.string()))


def naive(table):
    return table.set_column(0, "time", table["time"].cast(pa.timestamp("ns")))


def as_long(table):
    rows = 3 * len(table)
    return pa.table({
        "time": pa.array(np.repeat(table["time"].to_numpy(), 3)).cast(pa.timestamp("ns", "UTC")),
        "tag": pa.array(TAGS * len(table)), "value": np.arange(rows, dtype=np.float64),
    })  # fmt: skip


ODD = {
    "0 bytes": (lambda t, d: (d / "b.parquet").write_bytes(b""), "the file is empty: 0 bytes"),
    "damaged": (
        lambda t, d: (d / "b.parquet").write_bytes((d / "a.parquet").read_bytes()[:-900]),
        "b.parquet: no readable Parquet",
    ),
    "text": (lambda t, d: write(as_text(t), d / "b.parquet"), "a text in "),
    "zones": (lambda t, d: write(naive(t), d / "b.parquet"), "say their zone in some files"),
    "no times": (
        lambda t, d: write(t.drop_columns(["time"]), d / "b.parquet"), "other columns of stamps",
    ),
    "clashes": (
        lambda t, d: write(t.set_column(1, "flow", pa.array(np.arange(3000.0))), d / "b.parquet"),
        "cells are told differently at one time",
    ),
    "long": (lambda t, d: write(as_long(t), d / "a.parquet"), "long format"),
    "no column": (
        lambda t, d: write(t.drop_columns(["flow"]), d / "a.parquet"), "no column 'flow'",
    ),
    "one time": (lambda t, d: write(t.slice(0, 1), d / "a.parquet"), "all rows have one time"),
    "no time": (
        lambda t, d: write(t.set_column(0, "time", pa.array([None] * 3000, t["time"].type)),
                           d / "b.parquet"),
        "has no time",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_what_can_not_be_read_is_told_in_words(kind, tmp_path):
    """Operation, subject, cause; no traceback, and no result that is half of the record."""
    lake = tmp_path / "lake"
    write(record(), lake / "a.parquet")
    make, expected = ODD[kind]
    make(record(), lake)
    with pytest.raises(FieldwardenError) as error:
        read_table(lake, TAGS)
    assert expected in told(error)
    assert str(lake) in told(error)


@pytest.mark.parametrize(("kind", "files"), [
    ("text", ("a", "b")), ("zones", ("a", "b")), ("no times", ("a", "b")),
    ("stamps are texts", ("a", "b")), ("no times in the first", ("a", "b")),
])  # fmt: skip
def test_what_differs_between_files_is_told_with_a_file_of_each(kind, files, tmp_path):
    """A lake has thousands of them; those without rows do not count."""
    lake = tmp_path / "lake"
    texts = record().set_column(0, "time", record()["time"].cast(pa.string()))
    more = {
        "stamps are texts": lambda _, d: write(texts, d / "b.parquet"),
        "no times in the first": lambda t, d: (
            write(t, d / "b.parquet"), write(texts, d / "a.parquet"),
        ),
    }  # fmt: skip
    make = more.get(kind) or ODD[kind][0]
    write(texts.slice(0, 0), lake / "_0.parquet")
    write(texts.slice(0, 0), lake / "0.parquet")
    write(record(), lake / "a.parquet")
    make(record(), lake)
    with pytest.raises(FieldwardenError) as error:
        read_table(lake, TAGS)
    named = {name for name in ("0", "a", "b") if str(lake / f"{name}.parquet") in told(error)}
    assert named == set(files)


def test_a_file_that_changes_meanwhile_is_told(small, tmp_path):
    """A record that is half of one time and half of another is none."""
    file = write(record(), tmp_path / "lake/a.parquet")

    def tell(what, done, of):
        if what == "times" and done == of:
            write(record(seed=1), file)
            os.utime(file, ns=(10**18, 10**18))

    with pytest.raises(FieldwardenError) as error:
        stream.stream(str(file.parent), COLUMNS, Reading(), here, tell)
    assert "the file has changed since" in told(error)
    assert "versions" in error.value.hint


def test_a_file_that_is_gone_meanwhile_is_told(small, tmp_path):
    """Also by a worker that has no such folder."""
    file = write(record(), tmp_path / "lake/a.parquet")

    def tell(what, done, of):
        if what == "times":
            file.unlink(missing_ok=True)

    with pytest.raises(FieldwardenError) as error:
        stream.stream(str(file.parent), COLUMNS, Reading(), here, tell)
    assert "the file is not there" in told(error)


def test_a_long_lake_is_read_at_once_by_fit_alone(small, tmp_path):
    """`drill` and `replay` say what to give them instead."""
    write(record(), tmp_path / "lake/a.parquet")
    with pytest.raises(FieldwardenError) as error:
        read_table(tmp_path / "lake", TAGS)
    assert "3,000 rows of 3 columns are too much at once" in told(error)


def test_counts_since_1970_are_times_where_a_person_says_so(one_file, tmp_path):
    """Nothing is guessed of numbers: half a lake may look otherwise than all of it."""
    table = record()
    times = pa.array(table["time"].to_numpy().astype(np.int64) // 10**6)
    write(table.set_column(0, "ms", times), tmp_path / "a.parquet")
    with pytest.raises(FieldwardenError) as error:
        read_table(tmp_path, TAGS)
    assert "no column holds stamps" in told(error)
    how = Reading(time_column="ms", time_format="ms")
    same(read_table(tmp_path, TAGS, how=how), one_file)


def test_what_is_a_lake(tmp_path):
    """A folder, a pattern, a URI, a table's metadata; a file is none, whatever its name."""
    file = write(record(10), tmp_path / "odd[1].parquet")
    assert not is_lake(str(file))
    assert not is_lake("train.csv")
    for data in (tmp_path, tmp_path / "*.parquet", "s3://bucket/lake", "x/v1.metadata.json"):
        assert is_lake(str(data))
    with pytest.raises(FieldwardenError, match="no file fits"):
        read_table(tmp_path / "*/none*.parquet", TAGS)
