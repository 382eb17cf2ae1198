"""Admission: which samples the calibrated detectors may see, standardised, in step with training.

Three things happen per input, in this order:
- a sample with a `NOT_USABLE` bit is dropped, so that no bad sample can move a detector's state;
- samples closer than half the training interval are thinned, so that one sample in service is one
  row of training. The step between samples is the source's own where its clock advances plausibly,
  else the arrival's: a notification with ten values has one arrival time. Samples of one arrival
  whose source clock leaps ahead (a value missing in between, a clock that was set) count as one
  interval apart;
- for report-by-exception tags the last value is restated at the training interval (`HELD`): after
  silence of `hold_delay_ns`, or when a later sample shows that intervals passed without a change.

Output `source` is each input's sample clock: steps as above, so a step of more than 1.5 intervals
is a gap. Values are clipped to +-1e9 standard deviations, so that sums stay finite.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel
from agent.types import NOT_USABLE

PARAMS = np.dtype(
    [
        ("tag", np.int64),
        ("centre", np.float64),
        ("inverse_scale", np.float64),
        ("interval_ns", np.int64),
        ("hold_delay_ns", np.int64),  # 0: not a report-by-exception tag
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
    ]
)
_UNUSABLE = int(NOT_USABLE)
_HELD = np.uint16(32)
_CLIP = 1e9
_LATEST = 1 << 62
_MOST_HELD = 4096  # one sample restates at most so many intervals


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
def admit(  # type: ignore[no-untyped-def]
    params, state, starts, until_ns, arrival, source, value, quality,
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
        for j in range(starts[tag], starts[tag + 1] + 1):
            final = j == starts[tag + 1]
            now = until_ns if final else arrival[j]
            if delay > 0 and seen == 1 and usable == 1:
                # silence long enough: restate every interval that has passed
                while last_arrival + max((held + 1) * interval, delay) < now:
                    held += 1
                    due = last_arrival + max(held * interval, delay)
                    clock += interval
                    out_arrival[n], out_source[n] = due, clock
                    out_value[n], out_quality[n] = z, _HELD
                    n += 1
            if final:
                continue
            if quality[j] & _UNUSABLE:
                usable = 0
                continue
            passed = arrival[j] - last_arrival
            # Clipped, so that no difference overflows, which compiled code leaves undefined.
            told = min(max(source[j], 0), _LATEST)
            step = told - last_source
            if step <= 0:
                step = passed
            elif step > passed + delay + interval + interval // 2:
                step = passed if passed > 0 else interval
            if seen == 1 and 2 * step < interval and 2 * passed < interval:
                continue
            if delay > 0 and seen == 1 and usable == 1:
                missed = min((2 * step + interval) // (2 * interval) - 1, _MOST_HELD)
                while held < missed:
                    held += 1
                    clock += interval
                    out_arrival[n], out_source[n] = arrival[j], clock
                    out_value[n], out_quality[n] = z, _HELD
                    n += 1
            if seen == 0:
                clock = told
            else:
                clock += max(step - held * interval, interval // 2)
            z = (value[j] - centre) * inverse
            z = min(max(z, -_CLIP), _CLIP)
            seen, usable, held = 1, 1, 0
            last_arrival, last_source = arrival[j], told
            out_arrival[n], out_source[n] = arrival[j], clock
            out_value[n], out_quality[n] = z, quality[j]
            n += 1
        state[row]["seen"] = seen
        state[row]["usable"] = usable
        state[row]["last_arrival_ns"] = last_arrival
        state[row]["last_source_ns"] = last_source
        state[row]["clock_ns"] = clock
        state[row]["held"] = held
        state[row]["last_z"] = z
    out_starts[len(params)] = n
    return n
