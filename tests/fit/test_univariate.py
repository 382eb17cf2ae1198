"""The charts of one input, as fitted: what they promise and what they find, on known streams."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.kernels import DETECTORS
from agent.fit.univariate import InputFit, fit_input
from tests.core.kernels.folding import START, detector, fold, params
from tests.fit.streams import SECOND, ar1, first_flags, fit_alone, raised, tau_of

ARL = 2e5


def fitted(values: np.ndarray, arl: float = ARL, interval_ns: int = SECOND) -> InputFit:
    return fit_input(values, interval_ns=interval_ns, arl=arl, name="x")


@pytest.mark.parametrize("phi", [0.9, 0.98])
def test_the_level_chart_keeps_its_run_length(phi, monkeypatch):
    """Both parts together: over baselines of 2,000 correlation times, not more than was asked."""
    fit_alone(monkeypatch, "level")
    rows, alarms, n = 0, 0, 500_000
    for seed in range(6):
        fit = fitted(ar1(phi, int(2000 * tau_of(phi)), seed))
        alarms += len(raised(fit, ar1(phi, n, 100 + seed))["level"])
        rows += n
    assert alarms <= 1.4 * rows / ARL + 3


@pytest.mark.parametrize(("phi", "most"), [(0.9, (1835, 354, 121)), (0.98, (6965, 1401, 499))])
def test_the_level_chart_finds_shifts_in_time(phi, most, monkeypatch):
    """Within 1.25 of the best of five charts measured, at an ARL of 2 x 10^5."""
    fit_alone(monkeypatch, "level")
    tau = tau_of(phi)
    fits = [fitted(ar1(phi, int(2000 * tau), seed)) for seed in range(8)]
    for shift, limit in zip((0.5, 1.0, 2.0), most, strict=True):
        lead, delays = int(20 * tau), []
        for seed, fit in enumerate(fits):
            streams = [ar1(phi, lead + 10 * limit, 1000 * seed + turn) for turn in range(60)]
            for stream in streams:
                stream[lead:] += shift
            first = first_flags(fit, "level", streams, lead)
            delays += [at if at >= 0 else 10 * limit for at in first]
        assert np.mean(delays) <= limit


def test_large_shifts_are_found_sooner_by_the_ewma():
    """Of 3 sd: the CUSUM alone takes longer."""
    fit = fitted(ar1(0.98, 100_000, 1), arl=1e9)
    streams = [ar1(0.98, 4000, seed) for seed in range(2, 22)]
    for stream in streams:
        stream[1000:] += 3.0
    soon = first_flags(fit, "level", streams, 1000)
    fit.detectors["level"] |= {"ewma_up": 1e300, "ewma_down": 1e300}
    alone = first_flags(fit, "level", streams, 1000)
    assert min(soon) > 0
    assert np.mean(soon) < 0.9 * np.mean(alone)


@pytest.mark.parametrize("phi", [0.0, 0.9])
@pytest.mark.parametrize("n", [400, 5000])
def test_noise_keeps_its_run_length(phi, n, monkeypatch):
    """On short records too, on average over them."""
    fit_alone(monkeypatch, "noise")
    arl, rows, alarms = 1e5, 0, 0
    for seed in range(24):
        stream = ar1(phi, n + 30_000, seed)
        alarms += len(raised(fitted(stream[:n], arl), stream[n:])["noise"])
        rows += 30_000
    assert alarms <= 1.4 * rows / arl + 3


@pytest.mark.parametrize("factor", [1 / 3, 3.0])
def test_noise_of_another_size_is_found_within_minutes(factor, monkeypatch):
    """Three times the noise, or a third of it, on a slow input and on a record of 500 rows."""
    fit_alone(monkeypatch, "noise")
    rng = np.random.default_rng(5)
    for n in (500, 50_000):
        slow = ar1(0.99, n + 1200, 6)
        noise = 0.2 * rng.standard_normal(n + 1200)
        fit = fitted((slow + noise)[:n], 1e8)
        noise[n + 600 :] *= factor
        found = raised(fit, (slow + noise)[n:])["noise"]
        assert found
        assert 600 <= found[0] <= 1000


def test_a_steady_climb_is_no_noise():
    """Differences that all point one way are movement, whatever their size beside the noise."""
    noise = ar1(0.0, 22_000, 3)
    fit = fitted(noise[:20_000], 1e6)
    climbing = noise[20_000:] + 2.0 * np.arange(2000)
    assert not raised(fit, climbing)["noise"]


def test_every_detector_has_its_parameters():
    """Complete, finite and as the kernels name them, whatever the record."""
    for values in (ar1(0.9, 5000, 1), ar1(0.0, 40, 2), np.zeros(100), np.round(ar1(0.5, 900, 3))):
        fit = fitted(values)
        for one in DETECTORS:
            assert set(fit.detectors[one.name]) == set(one.params.names or ())


def test_whole_units_that_jump_by_two_are_no_spike(monkeypatch):
    """Fitted where whole units follow one another, two at once are within what may come."""
    fit_alone(monkeypatch)
    rng = np.random.default_rng(8)
    for _ in range(10):
        shown = 32.0 + (rng.random(400) < 0.3)
        between = 0.98 * shown[1:] + 0.02 * shown[:-1]
        fit = fitted(between, 1e6)
        after = np.concatenate([between, [32.0, 32.98, 31.02, 32.98, 32.0, 32.0]])
        flags = raised(fit, after)
        assert not flags["rate"]
        assert not flags["spike"]


@pytest.mark.parametrize("phi", [0.0, 0.98])
@pytest.mark.parametrize(
    ("seconds", "samples"), [(0.1, 10), (1, 10), (2, 5), (60, 2), (3600, 2)]
)
def test_flags_of_one_wrong_reading_go_after_ten_seconds_of_two_to_ten_readings(
    seconds, samples, phi
):
    """A reading an hour that was wrong once is not told of for days, however slow its tag is."""
    interval_ns = int(seconds * SECOND)
    fit = fitted(ar1(phi, 2000, 1), interval_ns=interval_ns)
    stream = (ar1(phi, 400, 2) - fit.centre) / fit.scale
    stream[200] += 30.0
    arrival = START + np.arange(400, dtype=np.int64) * interval_ns
    for name in ("range", "spike", "rate"):
        one = detector(name)
        found = fold(one, params(one, **fit.detectors[name]), stream, arrival=arrival)
        (first, up), (last, down) = found.flags
        assert (up, down) == (1, 0)
        assert 200 <= first <= 202
        assert samples <= last - first <= samples + 2
