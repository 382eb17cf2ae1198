"""State tags in words: what is new about the states that one was last in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.core.kernels.category import NEAR
from agent.types import Float64

UNSEEN, ILLEGAL = "unseen state", "illegal transition"


def trained_states(
    parameters: Mapping[str, Any] | None, centre: float, scale: float
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """(trained codes, trained successors of each as bits) from a `category` detector's parameters.

    Both are empty where the input is no state tag.
    """
    if not parameters or not parameters["count"]:
        return (), ()
    count = int(parameters["count"])
    codes = [round(z * scale + centre) for z in parameters["values"][:count]]
    return tuple(float(code) for code in codes), tuple(int(x) for x in parameters["next"][:count])


def describe(
    values: Float64, states: tuple[float, ...], successors: tuple[int, ...]
) -> tuple[str, str] | None:
    """(kind, what the tag did) of the newest thing among `values` that training never had.

    None where there is no such thing among them any more.

    Args:
        values: float64[m], the latest values in the tag's unit, oldest first.
        states: of `trained_states`.
        successors: of `trained_states`.
    """
    if not states:
        return None
    codes = np.array(states)
    apart = np.abs(values[:, None] - codes[None, :])
    nearest = np.where(apart.min(axis=1) <= NEAR, apart.argmin(axis=1), -1)
    for j in range(len(values) - 1, -1, -1):
        now, before = int(nearest[j]), int(nearest[j - 1]) if j else -1
        if now < 0:
            known = ", ".join(f"{code:g}" for code in states)
            return UNSEEN, f"reads {values[j]:g}, a state that training never had (it had {known})"
        if before >= 0 and now != before and not successors[before] >> now & 1:
            went = f"went from state {states[before]:g} to {states[now]:g}"
            return ILLEGAL, f"{went}, which never happened in training"
    return None
