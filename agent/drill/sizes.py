"""How large a fault is, in the unit of the input that it is put into."""

from __future__ import annotations

from collections.abc import Callable

from agent.core.baseline import InputBaseline
from agent.core.kinds import shown_unit
from agent.drill.faults import Fault
from agent.status.view import duration


def size_of(fault: Fault, item: InputBaseline) -> str:
    """What the fault does to this input, such as ``±3.2 bar (1 sd)``; empty where it has no size.

    Values are told at the centre of training, spans by the input's interval.
    """
    tell = _TEXTS.get(fault.kind)
    return tell(fault, item) if tell else ""


def _in_unit(value: float, item: InputBaseline) -> str:
    return f"{_number(value)} {shown_unit(item.unit, item.kind)}".strip()


def _number(value: float) -> str:
    """To three digits, without an exponent where that can be read."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.3g}"


def _moved(fault: Fault, item: InputBaseline) -> str:
    return f"±{_in_unit(fault.size * item.scale, item)} ({fault.size:g} sd)"


def _drift(fault: Fault, item: InputBaseline) -> str:
    return f"{_moved(fault, item)} within {_span(600, item)}"


def _spikes(fault: Fault, item: InputBaseline) -> str:
    return f"±{_in_unit(fault.size * item.noise, item)} ({fault.size:g} noise)"


def _noise(fault: Fault, item: InputBaseline) -> str:
    larger = _in_unit(fault.size * item.noise, item)
    return f"{_number(item.noise)} becomes {larger} (x{fault.size:g})"


def _scaled(fault: Fault, item: InputBaseline) -> str:
    return _reads(item.centre * fault.size, item)


def _fahrenheit(_: Fault, item: InputBaseline) -> str:
    return _reads(item.centre * 1.8 + 32.0, item)


def _reads(value: float, item: InputBaseline) -> str:
    return f"{_number(item.centre)} reads {_in_unit(value, item)}"


def _late(fault: Fault, item: InputBaseline) -> str:
    return f"up to {_span(fault.size, item)}"


def _across(fault: Fault, item: InputBaseline) -> str:
    low, high = item.trained
    quarter = 0.25 * (high - low)
    text = f"to {_number(low + quarter)} or {_in_unit(high - quarter, item)}"
    return text if fault.kind == "jump" else f"{text} within {_span(fault.size, item)}"


def _span(rows: float, item: InputBaseline) -> str:
    return duration(rows * item.interval_ns / 1e9)


_TEXTS: dict[str, Callable[[Fault, InputBaseline], str]] = {
    "bias": _moved, "drift": _drift, "spikes": _spikes, "noise": _noise, "scale": _scaled,
    "fahrenheit": _fahrenheit, "late": _late, "jump": _across, "ramp": _across,
}  # fmt: skip
