"""The benchmark of losses: its streams are what it says they are, and its rows come out."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "steward" / "loss.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("steward_loss", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["steward_loss"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("noise", ["normal", "lognormal"])
def test_streams_have_the_correlation_and_the_shift_that_is_said(bench, noise):
    """Unit variance, correlation rho with novelty, and .5 more by either way of shifting."""
    kind = bench.Kind(0.8, noise=noise)
    clean = bench.stream(kind, 20_000, 1)
    assert clean.loss.std() == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(clean.novelty, clean.loss)[0, 1] == pytest.approx(0.8, abs=0.01)
    for moved in ("loss", "covariates"):
        shifted = bench.stream(kind, 20_000, 1, moved)
        assert (shifted.loss - clean.loss).mean() == pytest.approx(0.5, abs=1e-3)
        assert (shifted.novelty == clean.novelty).all() == (moved == "loss")


def test_labels_of_a_batch_are_of_the_scans_before_it(bench):
    """Any ten of 200, each once, in the order of time."""
    at = bench.stream(bench.Kind(batches=True), 100, 2).at.reshape(-1, 10)
    assert (at // 200 == np.arange(10)[:, None]).all()
    assert (np.diff(at.ravel()) > 0).all()


def test_a_row_comes_out(bench, capsys, monkeypatch):
    """Of one kind of stream, with few references: a JSON line of finite figures."""
    monkeypatch.setattr(bench, "KINDS", {"normal 0.9": bench.Kind(0.9, labels=300)})
    bench.chart(1)
    row = json.loads(capsys.readouterr().out)
    assert 2.0 < row["delay"] < row["delay_alone"] < 100.0
    assert row["delay"] == pytest.approx(row["delay_by_covariates"], rel=0.5)
