"""One model's joint charts in service; a model without joint structure has none."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.flag import Flag
from agent.core.spec import ModelSpec
from agent.types import Float64, Int64

NAMES = ("t2", "spe", "t2_slow", "spe_slow")


class JointCharts:
    """Folds scans through T2 and SPE; `index` is the model's row in flags of scope joint."""

    def __init__(self, index: int, model: ModelSpec) -> None:
        self._index = index

    def fold(self, times: Int64, z: Float64, good: np.ndarray[Any, Any]) -> list[Flag]:
        return []

    def flagged(self) -> bool:
        return False

    def scores(self) -> tuple[float, float, float, float]:
        return (0.0, 0.0, 0.0, 0.0)

    def shares(self, recent: Float64, chart: str) -> list[float]:
        return [0.0] * recent.shape[1]

    def swapped(self, recent: Float64) -> tuple[int, int] | None:
        return None

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        return {}
