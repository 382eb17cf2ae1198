"""The bundle: only of what was declared, clean, the same bytes each time, and readable."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import xml.etree.ElementTree as ET
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.bundle import evidence as evidence_module
from agent.bundle import pack
from agent.bundle.evidence import gathered
from agent.bundle.pictures import picture
from agent.configuration.load import load
from agent.errors import FieldwardenError
from agent.store import Reader
from agent.types import Quality
from tests import small_site
from tests.core import small
from tests.core.small import SECOND, START

CONFIG = small_site.text(
    gateway='name = "gw-07"\nstate_directory = "state"\nsummary = "1min"',
    of_tags="physical = [-1000.0, 1000.0]",
    model='[models.m.retraining]\nshifted_for = "3min"',
)


def learned():
    """The small baseline, whose inputs predict each other."""
    one = small.baseline(joint=True)
    items = tuple(dataclasses.replace(item, r2=0.9) for item in one.modes[0].inputs)
    mode = dataclasses.replace(one.modes[0], inputs=items)
    return dataclasses.replace(one, modes=(mode,), digest="")


def rows():
    """Two inputs move after 100 s; the third is stuck for a while, later one is bad at times.

    One sample of the time in which it is stuck arrives much later.
    """
    values, quality = small.normal(800), np.zeros((800, 3), np.uint16)
    values[100:] += [0.0, 4.0, 4.0]
    values[240:300, 0] = values[240, 0]
    quality[620, 1] = Quality.BAD
    values[640, 0] = 5000.0
    block = small.block(values, quality=quality)
    source = block.source_ns.copy()
    source[3 * 500 + 2] = START + 280 * SECOND
    return dataclasses.replace(block, source_ns=source)


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A configuration, and its store after a shift that asked for retraining."""
    made = small_site.Site(tmp_path_factory.mktemp("plant"), CONFIG, learned())
    yield made
    asyncio.run(made.store.close())


@pytest.fixture(scope="module")
def declared(plant):
    """The same, once somebody declared it; what was refused before."""
    configuration, engine = plant.configuration, plant.engine
    ends = [START + at * SECOND for at in range(50, 800, 50)]
    asyncio.run(plant.commit(*small.cut(rows(), ends)))
    (name,) = engine.retraining.requests
    reader = Reader(plant.store.path)
    with pytest.raises(FieldwardenError, match="learns the fault") as refused:
        gathered(reader, configuration, "m")
    said = small.command(801, "declare", sequence=engine.sequence + 1, request=name, by="ann",
                         note="new catalyst")
    asyncio.run(plant.commit(said))
    yield configuration, reader, name, str(refused.value)
    reader.close()


def opened(content):
    return zipfile.ZipFile(io.BytesIO(content))


def table(archive, name):
    return pq.read_table(io.BytesIO(archive.read(name)))


def test_no_data_before_a_declaration(declared):
    """Who asks is told what to do first."""
    assert "fieldwarden retraining declare" in declared[3]


def test_made_again_it_has_the_same_bytes(declared):
    """From the store anew; names sorted, times fixed."""
    configuration, reader, name, _ = declared
    first = pack.bundle(gathered(reader, configuration, name), configuration)
    again = Reader(configuration.store_path)
    second = pack.bundle(gathered(again, load(configuration.file), "m"), configuration)
    again.close()
    assert first == second
    archive = opened(first)
    assert archive.namelist() == sorted(archive.namelist())
    assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_it_has_what_moved_what_was_left_out_and_only_clean_data(declared):
    """Samples and windows since the shift, without the time of the stuck sensor and bad samples."""
    configuration, reader, name, _ = declared
    found = gathered(reader, configuration, name)
    archive = opened(pack.bundle(found, configuration))
    request = json.loads(archive.read("request.json"))
    assert request["decisions"][0]["by"] == "ann"
    assert {one["tag"] for one in request["moved"]} == {"b", "c"}
    left = json.loads(archive.read("left_out.json"))
    (span,) = [one for one in left["spans"] if one["subject"] == "tag/a"]
    assert (span["cause"], span["kind"]) == ("sensor", "stuck")
    assert {one["kind"] for one in left["spans"]} == {"stuck", "bad quality"}
    assert {"tag": "a", "why": "out_of_physical", "count": 1} in left["bad_samples"]

    samples = table(archive, "samples.parquet")
    times = samples["time"].cast("int64").to_numpy()
    assert set(samples["tag"].to_pylist()) == {"a", "b", "c"}
    assert times.min() >= request["since_ns"] and times.max() < request["until_ns"]
    assert not ((times >= span["from_ns"]) & (times < span["to_ns"])).any()
    assert np.abs(samples["value"].to_numpy()).max() < 100.0
    windows = table(archive, "block_means.parquet")
    starts = windows["start_time"].cast("int64").to_numpy()
    ends = windows["end_time"].cast("int64").to_numpy()
    assert len(starts) and not ((starts < span["to_ns"]) & (ends > span["from_ns"])).any()
    of_b = np.array(windows["tag"].to_pylist()) == "b"
    assert abs(windows["mean"].to_numpy()[of_b].mean() - 4.0) < 0.3

    manifest = json.loads(archive.read("manifest.json"))
    assert set(manifest["files"]) == set(archive.namelist()) - {"manifest.json"}
    assert manifest["samples"]["count"] == len(times)
    hashes = manifest["hashes"]
    assert hashes["baseline"] == hashes["baseline_now"] == request["baseline"]
    assert all(len(text) == 64 for text in hashes.values())
    for picture_file in [one for one in archive.namelist() if one.endswith(".svg")]:
        ET.fromstring(archive.read(picture_file))


def test_the_samples_are_read_by_fit(declared, tmp_path):
    """The file is one that this program takes as training data."""
    from agent.records.table import read_table

    configuration, reader, name, _ = declared
    archive = opened(pack.bundle(gathered(reader, configuration, name), configuration))
    (tmp_path / "s.parquet").write_bytes(archive.read("samples.parquet"))
    read = read_table(tmp_path / "s.parquet", ["a", "b", "c"])
    assert set(read.names) == {"a", "b", "c"}


def test_too_many_samples_are_left_out_and_it_is_said(declared, monkeypatch):
    """The block means stay; a bundle that is too large without samples is refused."""
    configuration, reader, name, _ = declared
    monkeypatch.setattr(evidence_module, "MOST_SAMPLES", 100)
    found = gathered(reader, configuration, name)
    archive = opened(pack.bundle(found, configuration))
    manifest = json.loads(archive.read("manifest.json"))
    assert "more than 100" in manifest["samples"]["why_none"]
    assert "samples.parquet" not in archive.namelist()
    monkeypatch.setattr(evidence_module, "MOST_SAMPLES", 10**6)
    full = gathered(reader, configuration, name)
    size = sum(map(len, pack._files(full).values()))
    monkeypatch.setattr(pack, "MOST_BYTES", size - 1)
    assert "samples.parquet" not in opened(pack.bundle(full, configuration)).namelist()
    monkeypatch.setattr(pack, "MOST_BYTES", 100)
    with pytest.raises(FieldwardenError, match="it has more than"):
        pack.bundle(full, configuration)


def test_an_unknown_request_gets_the_nearest(declared):
    """As everywhere."""
    configuration, reader, name, _ = declared
    with pytest.raises(FieldwardenError) as caught:
        gathered(reader, configuration, name[:-1])
    assert name in caught.value.hint


@pytest.mark.parametrize("tag", ["a", '<script>&"\x1b'])
@pytest.mark.parametrize("blocks", [0, 1, 3000])
def test_a_picture_is_sound_whatever_the_names_and_the_data(tag, blocks):
    """No window, one, many; a range of no width."""
    moved = {"tag": tag, "off": 3.0, "unit": "", "trained": [1.0, 1.0], "centre": 1.0}
    inputs = {tag: {"mean": 1.0, "bins": [0] * 15 + [blocks]}}
    made = [{"start_ns": n * 60, "end_ns": n * 60 + 60, "inputs": inputs} for n in range(blocks)]
    text = picture(moved, made)
    ET.fromstring(text)
    assert "nan" not in text and len(text) < 40_000


@pytest.mark.parametrize("low", [True, False])
def test_a_shift_to_either_side_is_drawn_on_that_side(low):
    """Of all bins of training, also those that are empty now: the only bar is the first or last."""
    moved = {"tag": "a", "off": 3.0, "unit": "", "trained": [1.0, 2.0], "centre": 1.5}
    bins = [60, *[0] * 15] if low else [*[0] * 15, 60]
    made = [{"start_ns": 0, "end_ns": 60, "inputs": {"a": {"mean": 9.0, "bins": bins}}}]
    root = ET.fromstring(picture(moved, made))
    bars = [one for one in root if one.get("fill-opacity") == "0.8"]
    tall = [place for place, one in enumerate(bars) if float(one.get("height")) > 0.0]
    assert (len(bars), tall) == (16, [0] if low else [15])
