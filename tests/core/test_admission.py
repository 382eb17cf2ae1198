"""Admission: what the calibrated detectors get to see, one sample for one row of training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import admission
from agent.types import Quality

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


_SILENT = Quality.COMMUNICATION_LOST | Quality.REPLAYED | Quality.REPEATED


class Door:
    """One input's admission, fed tag-major; times in seconds after START.

    Its source is always there, unless `patience` is given: then `heard` says when.
    """

    def __init__(
        self, *, interval: float = 1.0, delay: float = 0.0, centre: float = 0.0, scale: float = 1.0,
        patience: float = 0.0, kind: int = 0, turn: float = 0.0, cut: float = 0.0,
        fastest: float = 0.0,
    ) -> None:
        self.params = np.zeros(1, admission.PARAMS)
        self.params[0] = (
            0, centre, 1.0 / scale, round(interval * SECOND), round(delay * SECOND), 0,
            round(patience * SECOND), kind, turn, cut, fastest,
        )
        self.state = np.zeros(1, admission.STATE)

    def take(
        self, arrival, *, until=None, source=None, value=None, quality=None, heard=()
    ):
        """Admitted samples: (arrival s, sample clock s, value, quality) as arrays."""
        arrival_ns = np.array([START + round(t * SECOND) for t in arrival], np.int64)
        source_ns = arrival_ns if source is None else np.array(
            [START + round(t * SECOND) for t in source], np.int64
        )
        return self.take_ns(arrival_ns, source_ns, until, value, quality, heard)

    def take_ns(
        self, arrival_ns, source_ns, until=None, value=None, quality=None, heard=()
    ):
        n = len(arrival_ns)
        until_ns = int(arrival_ns[-1]) + 1 if until is None else START + round(until * SECOND)
        values = np.arange(n, dtype=np.float64) if value is None else np.array(value, np.float64)
        marks = np.zeros(n, np.uint16) if quality is None else np.array(quality, np.uint16)
        starts = np.array([0, n], np.int64)
        news = np.array([START + round(t * SECOND) for t in heard], np.int64)
        news = np.sort(np.concatenate([news, arrival_ns[(marks & _SILENT) == 0]]))
        if not self.params[0]["patience_ns"]:  # another tag of the source spoke all the time
            news = np.arange(START - SECOND, until_ns, SECOND // 10, dtype=np.int64)
        room = int(admission.capacity(self.params, self.state, starts, arrival_ns, until_ns))
        # a canary behind the promised room: a kernel has no bounds to run into
        out = [np.full(room + 64, -7, kind) for kind in (np.int64, np.int64, np.float64)]
        out_quality = np.full(room + 64, 7777, np.uint16)
        out_starts = np.zeros(2, np.int64)
        written = admission.admit(
            self.params, self.state, starts, until_ns, arrival_ns, source_ns, values, marks,
            np.array([0, len(news)], np.int64), news, out_starts, *out, out_quality,
        )
        assert written <= room
        assert (out_quality[room:] == 7777).all()
        assert out_starts.tolist() == [0, written]
        times = [(column[:written] - START) / SECOND for column in out[:2]]
        return (*times, out[2][:written], out_quality[:written])


def test_a_sample_per_interval_is_admitted_as_it_is():
    """Samples at the training interval pass one by one, standardised."""
    arrival, clock, value, quality = Door(centre=10.0, scale=2.0).take(
        range(5), value=[10, 12, 8, 14, 6]
    )
    assert arrival.tolist() == clock.tolist() == [0, 1, 2, 3, 4]
    assert value.tolist() == [0.0, 1.0, -1.0, 2.0, -2.0]
    assert not quality.any()


def test_samples_closer_than_half_an_interval_are_thinned():
    """Ten samples a second become one row of training a half to one interval apart."""
    arrival, clock, _, _ = Door().take(np.arange(0, 20, 0.1))
    steps = np.diff(arrival)
    assert (steps >= 0.5 - 1e-9).all()
    assert (steps <= 1.0).all()
    assert np.allclose(np.diff(clock), steps)


def test_jitter_thins_nothing():
    """Samples that come up to 45 % of an interval early or late are all admitted."""
    rng = np.random.default_rng(1)
    arrival = np.sort(np.arange(200) + rng.uniform(-0.22, 0.22, 200) + 1)
    assert len(Door().take(arrival)[0]) == 200


def test_unusable_samples_are_dropped():
    """No sample with a bad bit passes, nor a late or repeated one; an uncertain one does."""
    marks = [0, Quality.BAD, Quality.COMMUNICATION_LOST, Quality.NOT_A_NUMBER, Quality.UNCERTAIN,
             Quality.OUT_OF_PHYSICAL, Quality.REPLAYED, Quality.STALE, Quality.MASKED,
             Quality.CONTRACT_BROKEN, Quality.REPEATED]
    arrival, _, _, quality = Door().take(range(11), quality=marks)
    assert arrival.tolist() == [0, 4]
    assert quality.tolist() == [0, Quality.UNCERTAIN]


def test_values_are_clipped_so_that_sums_stay_finite():
    """A finite value of any size is at most 1e9 standard deviations away."""
    with np.errstate(over="ignore"):  # in plain Python numpy says that the product overflowed
        _, _, value, _ = Door(scale=1e-300).take(range(3), value=[1e300, -1e300, 1e-300])
    assert value.tolist() == [1e9, -1e9, pytest.approx(1.0)]


def test_a_gap_is_a_long_step_of_the_sample_clock():
    """After ten seconds of silence the clock has moved ten intervals: no difference over it."""
    _, clock, _, _ = Door().take([0, 1, 2, 12, 13])
    assert np.diff(clock).tolist() == [1, 1, 10, 1]


# --- one arrival, many samples ---


def test_a_notification_of_ten_values_is_ten_samples():
    """Values that arrive together are told apart by the device's time."""
    door = Door()
    door.take([0.0], source=[0.0])
    arrival, clock, value, _ = door.take([10.0] * 10, source=range(1, 11))
    assert arrival.tolist() == [10.0] * 10
    assert np.diff(clock).tolist() == [1.0] * 9
    assert value.tolist() == list(range(10))


@settings(max_examples=50, deadline=None)
@given(jitter=st.lists(st.floats(-0.2, 0.2), min_size=10, max_size=10), missing=st.integers(1, 8))
def test_jitter_and_a_missing_value_in_a_notification_lose_no_other(jitter, missing):
    """One value that lacks in the middle does not take the rest of the notification with it."""
    source = [k + 1 + jitter[k] for k in range(10) if k != missing]
    door = Door()
    door.take([0.0], source=[0.0])
    arrival, clock, _, _ = door.take([10.0] * 9, source=source)
    assert len(arrival) == 9
    assert (np.diff(clock) > 0).all()


# --- source clocks ---


@pytest.mark.parametrize(
    "source",
    [
        np.zeros_like,  # frozen
        lambda t: -t,  # backward
        lambda t: t + 86_400.0 * (t >= 5),  # set once, a day ahead
        lambda t: t - 86_400.0 * (t >= 5),  # set once, a day back
        lambda t: t * 86_400.0,  # leaping at every sample
        lambda t: 1e6 * np.sin(t),  # nonsense
    ],
)
@pytest.mark.parametrize("delay", [0.0, 2.0, 120.0])
def test_a_wrong_source_clock_falls_back_on_arrival(source, delay):
    """A clock that stands, runs back or leaps admits the samples by their arrival, no flood."""
    times = np.arange(20.0)
    arrival, clock, value, quality = Door(delay=delay).take(times, source=source(times))
    fresh = quality != Quality.HELD
    assert arrival[fresh].tolist() == times.tolist()
    assert value[fresh].tolist() == times.tolist()
    assert (np.diff(clock) > 0).all()
    assert len(arrival) <= 20 + 20 * (delay + 1.5)


def test_a_wrong_clock_does_not_lift_the_thinning():
    """Ten samples a second with a leaping clock are still thinned by their arrival."""
    times = np.arange(0, 20, 0.1)
    assert len(Door().take(times, source=times * 86_400.0)[0]) <= 41


extremes = st.sampled_from([-(2**63), -1, 0, 1, 2**62, 2**63 - 1])
clocks = st.integers(START - 10**12, START + 10**12) | extremes


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 10**8, 10**9, 3 * 10**9, 10**10]), clocks,
                  st.sampled_from([0, 0, 0, 1, 4])), min_size=1, max_size=40,
    ),
    delay=st.sampled_from([0.0, 2.0, 20.0, 120.0]), interval=st.sampled_from([0.5, 1.0, 10.0]),
    cut=st.integers(0, 40), patience=st.sampled_from([0.0, 3.0, 30.0]),
    heard=st.lists(st.integers(0, 599), max_size=20),
)
def test_no_clock_overruns_the_room_or_depends_on_cuts(
    steps, delay, interval, cut, patience, heard
):
    """Any source times: never more than promised, a rising sample clock, the same for any cuts."""
    arrival = START + np.cumsum([step for step, _, _ in steps]).astype(np.int64)
    source = np.array([clock for _, clock, _ in steps], np.int64)
    marks = np.array([mark for _, _, mark in steps], np.uint16)
    value = np.arange(len(steps), dtype=np.float64)
    whole, parts = (
        Door(interval=interval, delay=delay, patience=patience) for _ in range(2)
    )
    told = whole.take_ns(arrival, source, 600.0, value, marks, heard)
    border = int(arrival[min(cut, len(steps) - 1)])
    place = int(np.searchsorted(arrival, border))
    seconds = (border - START) / SECOND
    first = parts.take_ns(arrival[:place], source[:place], seconds, value[:place], marks[:place],
                          [t for t in heard if t < seconds])
    rest = parts.take_ns(arrival[place:], source[place:], 600.0, value[place:], marks[place:],
                         [t for t in heard if t >= seconds])
    assert (np.diff(told[1]) > 0).all()
    for one, two, both in zip(first, rest, told, strict=True):
        assert np.concatenate([one, two]).tobytes() == both.tobytes()
    assert parts.state.tobytes() == whole.state.tobytes()


# --- report by exception ---


def test_silence_of_a_tag_that_reports_changes_restates_its_value():
    """After the delay the last value is restated at the training interval, marked as held."""
    arrival, clock, value, quality = Door(delay=2.0).take([0.0], until=6.5, value=[3.0])
    assert arrival.tolist() == [0, 2, 2, 3, 4, 5, 6]
    assert clock.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert value.tolist() == [3.0] * 7
    assert quality.tolist() == [0] + [Quality.HELD] * 6


def test_a_polled_tag_is_never_restated():
    """Silence of a tag that is read regularly means that nothing is known."""
    assert len(Door().take([0.0], until=100.0)[0]) == 1


def test_a_later_sample_restates_what_passed_without_a_change():
    """A change after three unchanged intervals shows two restated values first, in order."""
    door = Door(delay=5.0)
    arrival, clock, value, quality = door.take([0.0, 3.0], value=[1.0, 9.0])
    assert value.tolist() == [1.0, 1.0, 1.0, 9.0]
    assert clock.tolist() == [0, 1, 2, 3]
    assert arrival.tolist() == [0, 3, 3, 3]
    assert quality.tolist() == [0, Quality.HELD, Quality.HELD, 0]


def test_nothing_is_restated_while_the_value_is_not_usable():
    """After a bad sample, or a lost connection, the old value is no evidence."""
    door = Door(delay=2.0)
    taken = door.take([0.0, 1.0], value=[3.0, np.nan], quality=[0, Quality.COMMUNICATION_LOST],
                      until=60.0)
    assert taken[0].tolist() == [0.0]
    taken = door.take([60.0], value=[4.0], until=63.5)
    assert taken[2].tolist() == [4.0] * 4
    assert np.diff(taken[1]).tolist() == [1.0] * 3


def test_batches_of_changes_fit_the_room_that_was_promised():
    """Many changes in one notification, each several intervals after the one before."""
    door = Door(delay=2.0)
    arrival, _, _, quality = door.take([100.0] * 10, source=range(0, 30, 3))
    assert (quality == 0).sum() == 10
    assert (quality == Quality.HELD).sum() == 2 * 9
    assert (arrival == 100.0).all()


# --- silence of the link ---


def test_a_value_is_held_only_for_time_in_which_its_source_spoke():
    """Another tag of the source proves that the value stands; a silent link proves nothing."""
    door = Door(delay=2.0, patience=30.0)
    arrival, _, _, quality = door.take([0.0], until=20.0, heard=[1, 2, 3.5, 5])
    assert arrival.tolist() == [0, 2, 2, 3.5, 5, 5] and (quality[1:] == Quality.HELD).all()
    arrival, clock, value, _ = door.take([20.0], value=[7.0], until=21.0)
    assert arrival.tolist() == [20] and value.tolist() == [7.0]
    assert clock[0] == 20, "what was not known is a gap"


def test_a_session_that_would_have_told_a_loss_proves_as_well():
    """Where all tags of a source stand still for longer than a loss takes to be seen, they do."""
    door = Door(delay=2.0, patience=30.0)
    arrival = door.take([0.0], until=40.0)[0]
    assert arrival.tolist() == [0, 32, *range(32, 40)]


@pytest.mark.parametrize("spoke", [False, True])
def test_the_time_of_a_lost_link_is_a_gap(spoke):
    """From loss to return nothing is restated, also not after the return; then it goes on."""
    door = Door(delay=2.0, patience=30.0)
    door.take([0.0], until=4.0, heard=[1, 2, 3])
    everything = np.array([True])
    admission.link(door.params, door.state, everything, START + 4 * SECOND, lost=True)
    assert len(door.take([], until=60.0)[0]) == 0
    admission.link(door.params, door.state, everything, START + 60 * SECOND, lost=False)
    arrival, clock, _, _ = door.take([61.0] if spoke else [], until=70.0, heard=range(61, 70))
    first = 63 if spoke else 62
    assert arrival.tolist() == [61] * spoke + [first, *range(first, 70)]
    assert arrival[0] >= 61 and clock[0] >= 60, "a gap lies before"
