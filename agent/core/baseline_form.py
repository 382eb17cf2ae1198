"""The form of a baseline's document: what each value must be, before anything is made of it.

A digest that fits says that nobody changed the file since it was written, not that what was written
can be judged by. Kernels index arrays with some of these numbers and divide by others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from agent.core.kernels import DETECTORS, OUTPUT_CHARTS, category
from agent.core.kernels.joint import CHARTS, MOST_LAGS
from agent.core.kernels.tally import BINS
from agent.core.kinds import ANGLE

_MOST_NS = 1 << 60  # 36 years
_MOST_COUNT = 1 << 62
_MOST_TEXT = 10_000
_MOST_INPUTS = 20_000
_MOST_MODES = 1_000
_LEAST_PACE = 1e-9


class Unusable(ValueError):  # noqa: N818 - what is wrong with a value, without its place
    """The value can not be used."""


Check = Callable[[Any], None]


def fault_of(document: Mapping[str, Any]) -> str:
    """What is wrong with a document, with its place in it; empty where nothing is."""
    try:
        _keys(document, _BASELINE)
        if "paces" in document:
            _at(".paces", _paces, document["paces"])
    except Unusable as error:
        return str(error)
    return ""


def _keys(value: Any, checks: Mapping[str, Check]) -> None:
    if not isinstance(value, dict):
        raise Unusable(": not an object")
    for key, check in checks.items():
        if key not in value:
            raise Unusable(f".{key}: it is missing")
        _at(f".{key}", check, value[key])


def _at(place: str, check: Check, value: Any) -> None:
    try:
        check(value)
    except Unusable as error:
        text = str(error)
        raise Unusable(f"{place}{text}" if text[:1] in ".[:" else f"{place}: {text}") from None


def _text(value: Any) -> None:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise Unusable("not a text")


def _flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise Unusable("neither true nor false")


def _object(value: Any) -> None:
    if not isinstance(value, dict):
        raise Unusable("not an object")


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Unusable(f"{_shown(value)} is not a whole number")
        if not least <= value <= most:
            raise Unusable(f"{_shown(value)} is not between {least} and {most}")

    return check


def _number(least: float = -math.inf, most: float = math.inf, *, above: bool = False) -> Check:
    """A finite number in [least, most]; `above`: more than `least`."""

    def check(value: Any) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Unusable(f"{_shown(value)} is not a number")
        try:
            found = float(value)
        except OverflowError:
            raise Unusable(f"{_shown(value)} is too large") from None
        if not math.isfinite(found):
            raise Unusable(f"{_shown(value)} is not a finite number")
        if not least <= found <= most or (above and found <= least):
            raise Unusable(f"{_shown(value)} is {'not above' if found <= least else 'outside'} "
                           f"{least:g}{'' if found <= least else f' to {most:g}'}")  # fmt: skip

    return check


def _list(check: Check, least: int, most: int) -> Check:
    def check_list(value: Any) -> None:
        if not isinstance(value, list):
            raise Unusable("not a list")
        if not least <= len(value) <= most:
            size = f"{least}" if least == most else f"{least} to {most}"
            raise Unusable(f"a list of {len(value)} where {size} are needed")
        for place, item in enumerate(value):
            _at(f"[{place}]", check, item)

    return check_list


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return "it"
    return text if len(text) <= 40 else f"{text[:40]}..."


_ANY = _number()
_POSITIVE = _number(0.0, above=True)
_NOT_NEGATIVE = _number(0.0)


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _ordered(check: Check) -> Check:
    def check_order(value: Any) -> None:
        check(value)
        if any(b < a for a, b in pairwise(value)):
            raise Unusable("its values are not in order")

    return check_order


# --- detectors ----------------------------------------------------------------------------------

_SIGNED = frozenset({"centre", "middle", "low", "high", "values"})
"""Parameters that may be negative; sizes, limits, gains and spreads may not."""

_LEAST = {"block": 1, "part": 1, "sides": 1}
_MOST = {"count": category.MOST, "gap_ns": _MOST_NS}


def _parameter(name: str, kind: Any) -> Check:
    if kind.subdtype is not None:
        inner, shape = kind.subdtype
        one = _parameter(name, inner)
        many = _list(one, shape[0], shape[0])
        return lambda value: many(value) if isinstance(value, list) else one(value)
    if kind.kind in "iu":
        least = _LEAST.get(name, 0)
        return _whole(least, _MOST.get(name, _MOST_COUNT))
    return _ANY if name in _SIGNED else _NOT_NEGATIVE


_PARAMETERS: dict[str, dict[str, Check]] = {
    detector.name: {
        name: _parameter(name, field[0])
        for name, field in (detector.params.fields or {}).items()
    }
    for detector in (*DETECTORS, *OUTPUT_CHARTS)
}


def _detectors(value: Any) -> None:
    _object(value)
    for name, parameters in value.items():
        known = _PARAMETERS.get(name, {})
        _at(f".{name}", _object, parameters)
        for key, found in parameters.items():
            # What another version had is not looked at; `check_baseline` says what is lacking.
            if key in known:
                _at(f".{name}.{key}", known[key], found)


def _input(value: Any) -> None:
    _keys(value, _INPUT)
    for name in _INPUT_MAY_HAVE.keys() & value.keys():
        _at(f".{name}", _INPUT_MAY_HAVE[name], value[name])
    if value.get("kind") == ANGLE and not value.get("turn", 0.0) > 0.0:
        raise Unusable(".turn: an angle needs its full circle")
    low, high = value["trained"]
    if low > high:
        raise Unusable(".trained: its ends are exchanged")
    if not math.isfinite(1.0 / float(value["scale"])):
        raise Unusable(f".scale: {_shown(value['scale'])} is too small")


# --- joint charts -------------------------------------------------------------------------------


def _joint(inputs: int) -> Check:
    def check(value: Any) -> None:
        _object(value)
        groups = value.get("groups", [])
        _at(".groups", _list(_object, 0, max(inputs, 1)), groups)
        for place, group in enumerate(groups):
            _at(f".groups[{place}]", lambda found: _group(found, inputs), group)
        if value.get("relations"):
            relation = partial(_keys, checks={
                "intercept": _ANY, "coefficients": _list(_ANY, inputs, inputs),
            })  # fmt: skip
            _at(".relations", _list(relation, inputs, inputs), value["relations"])
        if "activity" in value:
            _at(".activity", lambda found: _activity(found, inputs), value["activity"])
        if "loops" in value:
            _at(".loops", lambda found: _loops(found, inputs), value["loops"])

    return check


def _activity(value: dict[str, Any], inputs: int) -> None:
    relation = partial(_keys, checks={
        "r2": _ANY, "intercept": _ANY, "spread": _ANY,
        "coefficients": _list(_ANY, inputs, inputs),
    })  # fmt: skip
    _keys(value, checks={"relations": _list(relation, inputs, inputs)})


def _group(value: dict[str, Any], inputs: int) -> None:
    """What is missing in it is for `check_baseline`, which knows this version's needs."""
    if "columns" not in value or "lags" not in value:
        return
    _at(".columns", _list(_whole(0, inputs - 1), 1, inputs), value["columns"])
    _at(".lags", _whole(0, MOST_LAGS), value["lags"])
    if len(set(value["columns"])) != len(value["columns"]):
        raise Unusable(".columns: an input is there twice")
    d = len(value["columns"])
    p = d * (value["lags"] + 1)
    found = value.get("offset")
    q = len(found) if isinstance(found, list) else p
    checks = {
        "offset": _list(_ANY, 1, p), "loadings": _list(_list(_ANY, q, q), p, p),
        "components": _whole(0, q), "adjusted": _list(_list(_ANY, d, d), p, p),
        "middle": _list(_ANY, d, d), "fast": _list(_number(_LEAST_PACE, 1.0), d, d),
        "weight": _list(_NOT_NEGATIVE, d, d), "alpha": _number(0.0, 1.0), "cap": _NOT_NEGATIVE,
        "limit": _list(_POSITIVE, len(CHARTS), len(CHARTS)),
        "mean": _list(_ANY, len(CHARTS), len(CHARTS)), "farthest": _POSITIVE,
    }  # fmt: skip
    for name, check in checks.items():
        if name in value:
            _at(f".{name}", check, value[name])


def _loops(value: Any, inputs: int) -> None:
    """What `fit` learnt of control loops; see `loop_diagnosis`."""
    answers = value.get("answers") if isinstance(value, dict) else None
    count = len(answers) if isinstance(answers, list) else 0
    column, many = _whole(0, inputs - 1), _list(_NOT_NEGATIVE, inputs, inputs)
    _keys(value, {
        "answers": _list(column, 1, inputs), "follows": _list(column, 0, inputs),
        "gains": _list(_list(_ANY, inputs, inputs), count, count),
        "middle": _list(_ANY, count, count),
        "covariance": _list(_list(_ANY, count, count), count, count),
        "farthest": _POSITIVE, "leap": many, "off": many, "sway": many,
    })  # fmt: skip


def _paces(value: Any) -> None:
    _object(value)
    for tag, pace in value.items():
        _at(f"[{_shown(tag)}]", partial(_keys, checks=_PACE), pace)


def _output(inputs: int) -> Check:
    def check(value: Any) -> None:
        _input(value)
        _keys(value, {"charts": _detectors, "relation": _object})
        if value["relation"]:
            _at(".relation", partial(_keys, checks={
                "intercept": _ANY, "slopes": _list(_ANY, inputs, inputs), "middle": _ANY,
                "spread": _POSITIVE, "r2": _number(most=1.0),
            }), value["relation"])  # fmt: skip

    return check


def _mode(value: Any) -> None:
    _keys(value, _MODE)
    inputs = len(value["inputs"])
    _at(".joint", _joint(inputs), value["joint"])
    if "outputs" in value:
        _at(".outputs", _list(_output(inputs), 0, _MOST_INPUTS), value["outputs"])


_INPUT: dict[str, Check] = {
    "tag": _text, "unit": _text, "centre": _ANY, "scale": _POSITIVE, "noise": _NOT_NEGATIVE,
    "interval_ns": _whole(1, _MOST_NS), "tau": _NOT_NEGATIVE, "n_eff": _NOT_NEGATIVE,
    "trained": _list(_ANY, 2, 2), "edges": _ordered(_list(_ANY, 0, BINS - 1)),
    "longest_gap": _whole(0, _MOST_NS), "r2": _number(most=1.0), "provisional": _flag,
    "detectors": _detectors,
}
_INPUT_MAY_HAVE: dict[str, Check] = {
    "resolution": _NOT_NEGATIVE, "kind": _text, "turn": _NOT_NEGATIVE, "cut": _ANY,
    "fastest": _NOT_NEGATIVE,
}  # fmt: skip
_MODE: dict[str, Check] = {
    "name": _text, "code": _optional(_ANY), "inputs": _list(_input, 0, _MOST_INPUTS),
    "joint": _object,
}  # fmt: skip
_PACE: dict[str, Check] = {
    "interval_ns": _whole(1, _MOST_NS), "gap_ns": _whole(0, _MOST_NS),
}  # fmt: skip
_BASELINE: dict[str, Check] = {
    "model": _text, "model_version": _text, "interval_ns": _whole(1, _MOST_NS),
    "modes": _list(_mode, 1, _MOST_MODES), "provisional": _flag, "provisional_text": _text,
    "mask_ns": _whole(0, _MOST_NS), "facts": _object,
}  # fmt: skip
