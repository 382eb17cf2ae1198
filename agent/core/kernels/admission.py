"""Admission: which samples the calibrated detectors may see, standardised, in step with training.

Three things happen per input, in this order:
- a sample with a `NOT_USABLE` bit is dropped, so that no bad sample can move a detector's state;
  late and repeated ones are passed over, as if they had not come;
- samples closer than half the training interval are thinned, so that one sample in service is one
  row of training. The step between samples is the source's own where its clock advances plausibly,
  else the arrival's: a notification with ten values has one arrival time. Samples of one arrival
  whose source clock leaps ahead (a value missing in between, a clock that was set) count as one
  interval apart;
- for report-by-exception tags the last value is restated at the training interval (`HELD`): after
  silence of `hold_delay_ns`, or when a later sample shows that intervals passed without a change;
  but only for time for which the source is known to have been there. That is known once any tag of
  the source brought news after it, or once `patience_ns` has passed in which the source would have
  said that its link is lost. A link that stands still is no evidence that a value did: the time is
  a gap.

A tag of a kind is judged by what its kind makes of it (`kind`): a `COUNTER` by its rate, the
difference of two admitted values over the sample clock between them, an `ANGLE` by its place on the
circle from where that is cut. What is restated of a counter is that it stood still.

`news` int64 are the arrival times of what the sources brought, each source's rising; source i owns
`news_starts[i]:news_starts[i + 1]`.

Output `source` is each input's sample clock: steps as above, so a step of more than 1.5 intervals
is a gap. Values are clipped to +-1e9 standard deviations, so that sums stay finite.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, SAMPLE_CLOCK, Moment, kernel
from agent.types import NO_NEWS, NOT_USABLE

PLAIN, COUNTER, ANGLE = 0, 1, 2
HOUR_NS = 3_600_000_000_000
SLACK = 2.0
"""Times the fastest trained rate that a counter may have gone since it began anew."""

PARAMS = np.dtype(
    [
        ("tag", np.int64),
        ("centre", np.float64),
        ("inverse_scale", np.float64),
        ("interval_ns", np.int64),
        ("hold_delay_ns", np.int64),  # 0: not a report-by-exception tag
        ("source", np.int64),  # row of its source in `news_starts`
        ("patience_ns", np.int64),  # after so long its source has noticed that a link is lost
        ("kind", np.int64),
        ("turn", np.float64),  # what a counter rolls over at (0: unknown), an angle's full circle
        ("cut", np.float64),  # where the circle begins
        ("fastest", np.float64),  # of a counter, units per hour
    ]
)
STATE = np.dtype(
    [
        ("seen", np.int64),
        ("usable", np.int64),
        ("last_arrival_ns", np.int64),
        ("last_source_ns", np.int64),
        ("clock_ns", np.int64),
        ("held", np.int64),
        ("last_z", np.float64),
        ("news_ns", np.int64),  # when the source last brought anything
        ("lost", np.int64),  # 1: the source said that its link is
        ("base", np.float64),  # a counter's last value
        ("based", np.int64),  # 1: the next value's difference to it counts
    ]
)
MOMENTS = {
    "last_arrival_ns": ENGINE_TIME, "last_source_ns": Moment(beside="last_arrival_ns"),
    "clock_ns": SAMPLE_CLOCK, "news_ns": ENGINE_TIME,
}
_UNUSABLE = int(NOT_USABLE)
_PASSED_OVER = int(NO_NEWS)
_REFUSED = _UNUSABLE | _PASSED_OVER
_HELD = np.uint16(32)
_CLIP = 1e9
_LATEST = 1 << 62
_MOST_HELD = 4096  # one sample restates at most so many intervals


def link(params, state, rows, time_ns, *, lost):  # type: ignore[no-untyped-def]
    """A source said at `time_ns` that its link is lost, or that it is back.

    The time for which it was lost is a gap of its tags' sample clocks: nothing is restated in it.

    Args:
        time_ns: when it said so.
        lost: else it is back.
        params: `PARAMS`[n].
        state: `STATE`[n].
        rows: bool[n], which of them are of the source.
    """
    if not lost:
        back = rows & (state["lost"] == 1) & (state["seen"] == 1)
        own = state[back]
        passed = np.maximum(time_ns - own["last_arrival_ns"], 0)
        own["clock_ns"] += np.maximum(passed, 2 * params["interval_ns"][back])
        own["last_source_ns"] = np.minimum(own["last_source_ns"], _LATEST) + passed
        own["last_arrival_ns"] += passed
        own["held"] = own["based"] = 0
        state[back] = own
    state["lost"][rows] = int(lost)


@kernel
def capacity(params, state, starts, arrival, until_ns):  # type: ignore[no-untyped-def]
    """An upper bound on how many samples `admit` writes (int)."""
    total = 0
    for row in range(len(params)):
        tag = params[row]["tag"]
        total += starts[tag + 1] - starts[tag]
        if params[row]["hold_delay_ns"] > 0:
            interval = params[row]["interval_ns"]
            first = state[row]["last_arrival_ns"]
            if state[row]["seen"] == 0:
                first = until_ns
                if starts[tag + 1] > starts[tag]:
                    first = arrival[starts[tag]]
            span = until_ns - first + params[row]["hold_delay_ns"]
            # A plausible step is at most the time passed + delay + 1.5 intervals: so many more.
            each = params[row]["hold_delay_ns"] // interval + 3
            total += span // interval + 2 + (starts[tag + 1] - starts[tag]) * each
    return total


@kernel
def proof(news, ahead, stop, due, patience):  # type: ignore[no-untyped-def]
    """(place of the first news not before `due`, since when its source is known to have been)."""
    while ahead < stop and news[ahead] < due:
        ahead += 1
    known = news[ahead] if ahead < stop else _LATEST
    return ahead, min(known, due + patience) if patience < _LATEST else known


@kernel
def latest(news, behind, stop, now, heard):  # type: ignore[no-untyped-def]
    """(place of the first news at or after `now`, when the one before it was; `heard` if none)."""
    while behind < stop and news[behind] < now:
        heard = news[behind]
        behind += 1
    return behind, heard


@kernel
def stepped(step, passed, delay, interval):  # type: ignore[no-untyped-def]
    """The step between two samples: the source's where its clock is plausible, else arrival's."""
    if step <= 0:
        return passed
    if step > passed + delay + interval + interval // 2:
        return passed if passed > 0 else interval
    return step


@kernel
def rate(value, base, span_ns, turn, fastest):  # type: ignore[no-untyped-def]
    """(1, units per hour) that a counter went, or (0, 0) where it began anew: nobody can tell.

    It began anew where it fell to near 0, or from one end of its numbers to the other.
    """
    gone = value - base
    reach = SLACK * fastest * span_ns / HOUR_NS
    if turn > 0.0 and reach >= turn:
        return 0, 0.0  # it may have gone round
    if gone < 0.0:
        if turn > 0.0 and gone + turn <= max(reach, 0.001 * turn):
            gone += turn
        else:
            to_zero = value >= 0.0 and value <= max(reach, 0.001 * abs(base))
            if to_zero or (base > 0.0 and value < 0.0 and base + value <= reach):
                return 0, 0.0
    return 1, gone * HOUR_NS / span_ns


@kernel
def judge(params, state, row, value, span_ns):  # type: ignore[no-untyped-def]
    """(1, what a row is judged by) of a value, or (0, 0) of a counter's that tells nothing yet."""
    kind, turn = params[row]["kind"], params[row]["turn"]
    if kind == ANGLE:
        cut = params[row]["cut"]
        return 1, value - turn * np.floor((value - cut) / turn)
    if kind != COUNTER:
        return 1, value
    before, based = state[row]["base"], state[row]["based"]
    state[row]["base"], state[row]["based"] = value, 1
    if based == 0:
        return 0, 0.0
    return rate(value, before, span_ns, turn, params[row]["fastest"])


@kernel
def admit(  # type: ignore[no-untyped-def]
    params, state, starts, until_ns, arrival, source, value, quality, news_starts, news,
    out_starts, out_arrival, out_source, out_value, out_quality,
):
    """Write each row's admitted samples, tag-major; `out_starts` int64[rows + 1] is filled."""
    n = 0
    for row in range(len(params)):
        out_starts[row] = n
        tag = params[row]["tag"]
        centre, inverse = params[row]["centre"], params[row]["inverse_scale"]
        interval, delay = params[row]["interval_ns"], params[row]["hold_delay_ns"]
        seen, usable = state[row]["seen"], state[row]["usable"]
        last_arrival, last_source = state[row]["last_arrival_ns"], state[row]["last_source_ns"]
        clock, held, z = state[row]["clock_ns"], state[row]["held"], state[row]["last_z"]
        heard = state[row]["news_ns"]
        counts, still = params[row]["kind"] == COUNTER, (0.0 - centre) * inverse
        patience = _LATEST if state[row]["lost"] else params[row]["patience_ns"]
        ahead = behind = news_starts[params[row]["source"]]  # of what is due; of what is now
        stop = news_starts[params[row]["source"] + 1]
        for j in range(starts[tag], starts[tag + 1] + 1):
            final = j == starts[tag + 1]
            now = until_ns if final else arrival[j]
            if delay > 0 and seen == 1 and usable == 1:
                # silence long enough: restate every interval that is known to have passed so
                due = last_arrival + max((held + 1) * interval, delay)
                while due < now:
                    ahead, known = proof(news, ahead, stop, due, patience)
                    if known >= now:
                        break
                    held += 1
                    due = last_arrival + max((held + 1) * interval, delay)
                    clock += interval
                    out_arrival[n], out_source[n] = known, clock
                    out_value[n], out_quality[n] = still if counts else z, _HELD
                    n += 1
            behind, heard = latest(news, behind, stop, now, heard)
            if final or quality[j] & _REFUSED:
                if not final and not quality[j] & _PASSED_OVER:
                    usable = 0
                continue
            passed = arrival[j] - last_arrival
            # Clipped, so that no difference overflows, which compiled code leaves undefined.
            told = min(max(source[j], 0), _LATEST)
            step = stepped(told - last_source, passed, delay, interval)
            if seen == 1 and 2 * step < interval and 2 * passed < interval:
                continue
            linked = passed == 0 or now - heard <= delay + interval
            if delay > 0 and seen == 1 and usable == 1 and linked:
                missed = min((2 * step + interval) // (2 * interval) - 1, _MOST_HELD)
                while held < missed:
                    held += 1
                    clock += interval
                    out_arrival[n], out_source[n] = arrival[j], clock
                    out_value[n], out_quality[n] = still if counts else z, _HELD
                    n += 1
            since = max(step - held * interval, interval // 2)
            clock = told if seen == 0 else clock + since
            seen, usable, held, last_arrival, last_source = 1, 1, 0, arrival[j], told
            told_of, judged = judge(params, state, row, value[j], since)
            if told_of == 0:
                continue
            z = min(max((judged - centre) * inverse, -_CLIP), _CLIP)
            out_arrival[n], out_source[n] = arrival[j], clock
            out_value[n], out_quality[n] = z, quality[j]
            n += 1
        state[row]["seen"], state[row]["usable"], state[row]["held"] = seen, usable, held
        state[row]["last_arrival_ns"], state[row]["last_source_ns"] = last_arrival, last_source
        state[row]["clock_ns"], state[row]["news_ns"], state[row]["last_z"] = clock, heard, z
    out_starts[len(params)] = n
    return n
