"""Local times -> UTC: the hour that is repeated in autumn, the one that is skipped in spring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agent.errors import FieldwardenError
from agent.records.times import CellError
from agent.types import Int64

_S = 10**9
_HOUR = 3600 * _S
_QUARTER = 900 * _S  # offsets change at none but whole quarters of an hour
_LEAST_BACK = 1200 * _S
_LONG_STEP = 2700 * _S  # with rows that far apart, the hour that comes twice is one time twice
_FOLDS_APART = 150 * 86_400 * _S
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local time, whichever


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        FieldwardenError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        hint = "give an IANA name: Europe/Berlin, America/Chicago, UTC"
        raise FieldwardenError("reading --timezone", repr(name), "no such zone", hint) from error


def newest_first(times: Int64) -> bool:
    """Whether rows run from the newest to the oldest."""
    steps = np.diff(times)
    return bool(np.count_nonzero(steps < 0) > np.count_nonzero(steps > 0))


def put_back(times: Int64) -> int | None:
    """The row at which local time goes back by about an hour, as it does in autumn; or None.

    Args:
        times: int64[n] ns, in the file's order, oldest first.
    """
    steps = np.diff(times)
    step = _step(times)
    if not step:
        return None
    back = np.flatnonzero(steps <= 0 if step >= _LONG_STEP else steps < 0)
    span = int(times.max() - times.min())
    if not 0 < len(back) <= 1 + span // _FOLDS_APART or step > 1.5 * _HOUR:
        return None
    least = max(-_LEAST_BACK, -_HOUR + int(1.5 * step))
    by = steps[back]
    return int(back[0]) + 1 if ((by >= -_HOUR) & (by <= least)).all() else None


def sorted_back(times: Int64) -> int | None:
    """The row at which an hour's times come twice each, as where local times were sorted; or None.

    That is each time of one clock hour, in the small hours of a Sunday in autumn of either
    hemisphere, and no other time of the record.

    Args:
        times: int64[n] ns, oldest first.
    """
    step = _step(times)
    twice = np.flatnonzero(np.diff(times) == 0)
    if not step or step >= _LONG_STEP or not len(twice) or np.any(np.diff(times) < 0):
        return None
    hour = int(times[twice[0]]) // _HOUR
    within = np.count_nonzero(times // _HOUR == hour)
    if np.any(times[twice] // _HOUR != hour) or within != 2 * len(twice):
        return None
    moment = _EPOCH + timedelta(seconds=hour * 3600)
    small = moment.weekday() == 6 and moment.month in {3, 4, 10, 11} and moment.hour <= 3
    return int(twice[0]) + 1 if small and len(twice) * step >= _HOUR // 2 else None


def put_forward(times: Int64) -> int | None:
    """The row before which an hour is missing as where clocks are put forward; or None.

    That is an hour and a step between rows that are else even, in the small hours of a Sunday in
    spring of either hemisphere.
    """
    step = _step(times)
    steps = np.diff(times)
    if not step or step >= _LONG_STEP or np.mean(np.abs(steps - step) <= 0.1 * step) < 0.9:
        return None
    for row in np.flatnonzero(np.abs(steps - step - _HOUR) <= 0.1 * step).tolist():
        moment = _EPOCH + timedelta(microseconds=int(times[row + 1]) // 1000)
        if moment.weekday() == 6 and moment.month in {3, 4, 9, 10} and 1 <= moment.hour <= 4:
            return int(row) + 1
    return None


def _step(times: Int64) -> int:
    """The usual step forward; 0 where there is none."""
    steps = np.diff(times)
    forward = steps[steps > 0]
    return int(np.median(forward)) if len(forward) else 0


def to_utc(times: Int64, zone: ZoneInfo) -> Int64:
    """Local times int64[n] ns, in the file's order and oldest first, as UTC.

    Of a time that comes twice a year, the later one is meant where the earlier would go back.

    Raises:
        CellError: there was no such time.
    """
    quarters, place = np.unique(times // _QUARTER, return_inverse=True)
    ahead = np.empty((len(quarters), 2), np.int64)
    for row, quarter in enumerate(quarters.tolist()):
        local = (_EPOCH + timedelta(seconds=quarter * 900)).replace(tzinfo=zone)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(
            tzinfo=None
        ):
            cause = f"there is no such time in {zone.key}: clocks were put forward"
            raise CellError(int(np.flatnonzero(place == row)[0]), cause)
        for fold in (0, 1):
            offset = local.replace(fold=fold).utcoffset() or timedelta()
            ahead[row, fold] = round(offset.total_seconds()) * _S
    first, second = (times - ahead[place, fold] for fold in (0, 1))
    result: Int64 = first.copy()
    hourly = _step(times) >= _LONG_STEP
    for row in np.flatnonzero(first != second).tolist():
        # Equal times are two rows of one instant, unless no row comes more often than hourly.
        back = row and first[row] < result[row - 1] + hourly
        if back and result[row - 1] <= second[row]:
            result[row] = second[row]
    return result
